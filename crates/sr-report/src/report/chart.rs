//! Charts of a report: SVG that takes its colours from the page, and what is said of each point.

use std::fmt::Write;

use serde_json::json;

use crate::page::{escaped, json};
use crate::plot::{Axis, FLOOR};

/// The width of a chart in the units of its SVG, which are about pixels.
const WIDTH: f64 = 560.0;
/// The height of a chart whose y axis has numbers.
const HEIGHT: f64 = 330.0;
/// The height that a name on the y axis takes.
const ROW: f64 = 34.0;
/// Units left of the axes at least, above them, right of them, and below.
const MARGIN: [f64; 4] = [66.0, 14.0, 26.0, 48.0];
/// The widest that a digit is, in a narrow window too, where the letters of a chart are larger.
const DIGIT: f64 = 10.9;
/// The width of a letter of a name, likewise, in the mean.
const LETTER: f64 = 9.6;
/// Units that the title of the y axis takes, in a narrow window too.
const TITLE: f64 = 21.0;
/// The space between a label of the y axis and the axis.
const GAP: f64 = 7.0;
/// Series whose colours and dashes differ; later ones begin anew.
const LOOKS: usize = 8;
/// Most points of a line that are marked one by one.
const MOST_MARKED: usize = 40;
/// Most dots that are large.
const FEW_DOTS: usize = 100;
/// The space between the points and the ends of an axis, as a share of its length.
const PADDING: f64 = 0.02;

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// What is seen in the chart, for those who do not see it.
    pub(crate) summary: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// Names in the place of numbers on the y axis, from top to bottom: a point's y is the index of one, and its interval
    /// lies along x.
    pub(crate) rows: Option<Vec<String>>,
    pub(crate) series: Vec<Series>,
}

/// Points that belong together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) style: Style,
    pub(crate) points: Vec<Point>,
    /// The number of its colour and dashes, if they do not follow from its place among the series: so a series looks
    /// the same whether or not the chart has those before it.
    pub(crate) look: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Line,
    /// A line that stays where it is until the next point.
    Steps,
    Dots,
    /// Few dots that are larger.
    Marks,
    /// A dashed line to compare with, without a name or texts.
    Guide,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) interval: Option<(f64, f64)>,
    pub(crate) text: String,
    /// The number of the formula that the point stands for.
    pub(crate) formula: Option<usize>,
}

impl Series {
    pub(crate) fn new(name: impl Into<String>, style: Style, points: Vec<Point>) -> Self {
        Series { name: name.into(), style, points, look: None }
    }

    /// Returns the series with a colour of its own.
    pub(crate) fn looking(self, look: usize) -> Self {
        Series { look: Some(look), ..self }
    }

    /// Returns the number of the colour of the series with this index.
    fn look(&self, index: usize) -> usize {
        self.look.unwrap_or(index) % LOOKS
    }
}

impl Point {
    pub(crate) fn new(x: f64, y: f64, text: impl Into<String>) -> Self {
        Point { x, y, text: text.into(), ..Point::default() }
    }
}

/// Returns a chart of one point for each name, which stand on the y axis: a point's y is the index of its name.
pub(crate) fn by_name(title: &str, label: &str, names: Vec<String>, points: impl Iterator<Item = Point>) -> Chart {
    let points: Vec<Point> = points.collect();
    Chart {
        title: title.into(),
        summary: points.iter().map(|point| &*point.text).collect::<Vec<_>>().join(". "),
        x: Axis { label: label.into(), is_log: false, span: Some((0.0, 1.0)) },
        y: Axis { label: String::new(), is_log: false, span: None },
        rows: Some(names),
        series: vec![Series::new("all", Style::Marks, points)],
    }
}

/// The places of numbers in the SVG.
struct Scale {
    x: (f64, f64),
    y: (f64, f64),
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Scale {
    fn x(&self, place: f64) -> f64 {
        self.left + (self.right - self.left) * (place - self.x.0) / (self.x.1 - self.x.0)
    }

    fn y(&self, place: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * (place.max(self.y.0) - self.y.0) / (self.y.1 - self.y.0)
    }
}

impl Chart {
    /// Writes the chart as a figure of HTML.
    pub(crate) fn write(&self, html: &mut String) {
        let (svg, texts) = self.drawn();
        let label = escaped(&format!("{}. {}", self.title, self.summary));
        let title = escaped(&self.title);
        // Writing to a string never fails, here and below.
        let _ = write!(
            html,
            "<figure class=\"chart\">\n<figcaption>{title}</figcaption>\n\
             <div class=\"plot\" tabindex=\"0\" role=\"img\" aria-label=\"{label}\">{svg}<div class=\"tip\" hidden></div></div>\n"
        );
        let named = self.series.iter().enumerate().filter(|(_, series)| series.style != Style::Guide);
        if self.rows.is_none() && named.clone().count() > 1 {
            html.push_str("<ul class=\"legend\">");
            for (index, series) in named {
                let (look, name) = (series.look(index), escaped(&series.name));
                let _ = write!(
                    html,
                    "<li><button type=\"button\" aria-pressed=\"true\" data-series=\"{index}\"><svg class=\"key s{look}\" \
                     viewBox=\"0 0 24 10\" aria-hidden=\"true\">{}</svg>{name}</button></li>",
                    match series.style {
                        Style::Line | Style::Steps => "<path class=\"line\" d=\"M1 5H23\"/>",
                        _ => "<path class=\"marks\" d=\"M12 5h0\"/>",
                    }
                );
            }
            html.push_str("</ul>\n");
        }
        let _ = writeln!(html, "<script type=\"application/json\">{}</script>\n</figure>", json(&texts));
    }

    /// Returns the SVG, and for each series the places and texts of its points.
    fn drawn(&self) -> (String, serde_json::Value) {
        let placed: Vec<Vec<Placed<'_>>> = self.series.iter().map(|series| self.placed(series)).collect();
        let all = || placed.iter().flatten();
        let ends = |along_x: bool| {
            let within = move |placed: &Placed<'_>| placed.ends.filter(|_| self.rows.is_some() == along_x);
            all().filter_map(within).flat_map(|(low, high)| [low, high])
        };
        let padded = |(low, high): (f64, f64)| (low - PADDING * (high - low), high + PADDING * (high - low));
        let x = padded(self.x.range(all().map(|p| p.x).chain(ends(true))));
        let numbers = padded(self.y.range(all().map(|p| p.y).chain(ends(false))));
        let has_floor = all().any(|p| p.y == f64::NEG_INFINITY);
        let [margin, top, right, bottom] = MARGIN;
        let (left, height, y) = match &self.rows {
            Some(rows) => {
                let longest = rows.iter().map(|row| row.chars().count()).max().unwrap_or(0) as f64;
                let height = top + bottom + ROW * rows.len() as f64;
                (
                    (2.0 * GAP + LETTER * longest).ceil().clamp(margin, 0.45 * WIDTH),
                    height,
                    (-0.5, rows.len() as f64 - 0.5),
                )
            }
            None => {
                // The title of the axis stands left of the longest label.
                let labels = labelled(&self.y, self.y.ticks(numbers.0, numbers.1));
                let longest = labels.iter().map(|(_, text)| text.chars().count()).max().unwrap_or(0) as f64;
                let low = if has_floor { numbers.0 - FLOOR * (numbers.1 - numbers.0) } else { numbers.0 };
                ((TITLE + DIGIT * longest + GAP).ceil().max(margin), HEIGHT, (low, numbers.1))
            }
        };
        let scale = Scale { x, y, left, right: WIDTH - right, top, bottom: height - bottom };
        let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" aria-hidden=\"true\">");
        let is_counted = all().all(|p| p.point.x.fract() == 0.0);
        self.write_axes(&mut svg, &scale, height, has_floor.then_some(numbers.0), is_counted);
        let mut texts = Vec::new();
        for (index, (series, points)) in self.series.iter().zip(&placed).enumerate() {
            let _ = write!(svg, "<g class=\"s{}\" data-series=\"{index}\">", series.look(index));
            self.write_series(&mut svg, &scale, series.style, points);
            svg.push_str("</g>");
            // Tenths of a unit are finer than what is seen.
            let tenths = |place: f64| (place * 10.0).round() / 10.0;
            let text = |p: &Placed<'_>| match p.point.formula {
                Some(formula) => json!([tenths(scale.x(p.x)), tenths(scale.y(p.y)), p.point.text, formula]),
                None => json!([tenths(scale.x(p.x)), tenths(scale.y(p.y)), p.point.text]),
            };
            let is_told = series.style != Style::Guide;
            texts.push(json!({
                "name": series.name,
                "points": points.iter().filter(|_| is_told).map(text).collect::<Vec<_>>(),
            }));
        }
        svg.push_str("</svg>");
        (svg, json!(texts))
    }

    /// Returns the points of a series that have a place, with the coordinates of their axes.
    fn placed<'a>(&self, series: &'a Series) -> Vec<Placed<'a>> {
        // On a log axis what is 0 or below stands at the foot.
        let foot = |y: f64| if self.y.is_log && y <= 0.0 { f64::NEG_INFINITY } else { self.y.place(y) };
        // Names go from top to bottom.
        let y = |y: f64| self.rows.as_ref().map_or_else(|| foot(y), |rows| rows.len() as f64 - 1.0 - y);
        let along = if self.rows.is_some() { &self.x } else { &self.y };
        let ends = |&(low, high): &(f64, f64)| (along.place(low), along.place(high));
        let is_interval = |&(low, high): &(f64, f64)| low.is_finite() && high.is_finite();
        let place = |point: &'a Point| Placed {
            x: self.x.place(point.x),
            y: if point.y.is_finite() { y(point.y) } else { f64::NAN },
            ends: point.interval.as_ref().map(ends).filter(is_interval),
            point,
        };
        series.points.iter().map(place).filter(|p| p.x.is_finite() && !p.y.is_nan() && p.y < f64::INFINITY).collect()
    }

    /// Writes axes with their labels. `floor` is the least number of a y axis on which 0 stands below; an x axis that is
    /// counted has whole numbers alone.
    fn write_axes(&self, svg: &mut String, scale: &Scale, height: f64, floor: Option<f64>, is_counted: bool) {
        let Scale { left, right, top, bottom, .. } = *scale;
        let mut ticks = self.x.ticks(scale.x.0, scale.x.1);
        ticks.retain(|place| !is_counted || self.x.is_log || (place - place.round()).abs() < 1e-9);
        for (place, text) in labelled(&self.x, ticks) {
            let (at, below) = (scale.x(place), bottom + 17.0);
            let _ = write!(svg, "<path class=\"grid\" d=\"M{at:.1} {top}V{bottom}\"/>");
            let _ = write!(svg, "<text x=\"{at:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{text}</text>");
        }
        let mut label = |place: f64, text: &str| {
            let (at, beside) = (scale.y(place), left - GAP);
            let _ = write!(svg, "<path class=\"grid\" d=\"M{left} {at:.1}H{right}\"/>");
            let _ = write!(svg, "<text x=\"{beside:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", at + 4.0);
        };
        match &self.rows {
            Some(rows) => {
                // As many letters as the margin has place for.
                let most = ((left - 2.0 * GAP) / LETTER) as usize;
                for (index, row) in rows.iter().rev().enumerate() {
                    let short: String = row.chars().take(most.saturating_sub(1)).collect();
                    let shown = if row.chars().count() > most { short + "…" } else { row.clone() };
                    label(index as f64, &escaped(&shown));
                }
            }
            None => {
                let low = floor.unwrap_or(scale.y.0);
                labelled(&self.y, self.y.ticks(low, scale.y.1)).iter().for_each(|(place, text)| label(*place, text));
                if floor.is_some() {
                    label(scale.y.0, "0");
                }
            }
        }
        let _ = write!(svg, "<path class=\"axes\" d=\"M{left} {top}V{bottom}H{right}\"/>");
        let (middle, below) = ((left + right) / 2.0, height - 10.0);
        let text = escaped(&self.x.label);
        let _ = write!(
            svg,
            "<text class=\"label\" x=\"{middle:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{text}</text>"
        );
        if self.rows.is_none() {
            let (text, centre) = (escaped(&self.y.label), (top + bottom) / 2.0);
            let _ = write!(
                svg,
                "<text class=\"label\" transform=\"translate(14 {centre:.1}) rotate(-90)\" text-anchor=\"middle\">{text}</text>"
            );
        }
    }

    fn write_series(&self, svg: &mut String, scale: &Scale, style: Style, points: &[Placed<'_>]) {
        if points.is_empty() {
            return;
        }
        let at = |p: &Placed<'_>| (scale.x(p.x), scale.y(p.y));
        if matches!(style, Style::Line | Style::Steps | Style::Guide) {
            let class = if style == Style::Guide { "guide" } else { "line" };
            let mut path = String::new();
            for (index, (x, y)) in points.iter().map(at).enumerate() {
                let _ = match (index, style) {
                    (0, _) => write!(path, "M{x:.1} {y:.1}"),
                    (_, Style::Steps) => write!(path, "H{x:.1}V{y:.1}"),
                    _ => write!(path, "L{x:.1} {y:.1}"),
                };
            }
            let _ = write!(svg, "<path class=\"{class}\" d=\"{path}\"/>");
        }
        for (p, (low, high)) in points.iter().filter_map(|p| Some((p, p.ends?))) {
            let (x, y) = at(p);
            let _ = match self.rows {
                Some(_) => {
                    write!(svg, "<path class=\"interval\" d=\"M{:.1} {y:.1}H{:.1}\"/>", scale.x(low), scale.x(high))
                }
                None => {
                    write!(svg, "<path class=\"interval\" d=\"M{x:.1} {:.1}V{:.1}\"/>", scale.y(low), scale.y(high))
                }
            };
        }
        let class = match style {
            Style::Guide => return,
            Style::Marks => "marks",
            Style::Dots if points.len() <= FEW_DOTS => "marked",
            Style::Dots => "dots",
            Style::Line if points.len() <= MOST_MARKED => "marked",
            Style::Line | Style::Steps => return,
        };
        // Lines of no length with round ends are dots.
        let dots: String = points.iter().map(at).map(|(x, y)| format!("M{x:.1} {y:.1}h0")).collect();
        let _ = write!(svg, "<path class=\"{class}\" d=\"{dots}\"/>");
    }
}

/// Returns the labels of an axis, with as many digits as tell them apart.
fn labelled(axis: &Axis, ticks: Vec<f64>) -> Vec<(f64, String)> {
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let largest = ticks.iter().fold(0.0, |largest: f64, tick| largest.max(tick.abs()));
    let text = |place: f64| {
        if axis.is_log || !step.is_finite() {
            return axis.text(place);
        }
        // A sum of steps is not quite 0.
        let place = if place.abs() < 1e-9 * step { 0.0 } else { place };
        let digits = |unit: f64| (-(step / unit).log10() - 1e-9).ceil().max(0.0) as usize;
        match largest {
            largest if (1e-3..1e6).contains(&largest) => format!("{place:.*}", digits(1.0)),
            _ if place == 0.0 => "0".to_owned(),
            _ => format!("{place:.*e}", digits(10.0_f64.powf(place.abs().log10().floor()))),
        }
    };
    ticks.into_iter().map(|place| (place, text(place))).collect()
}

/// A point with the coordinates of its axes, and those of its interval.
struct Placed<'a> {
    x: f64,
    y: f64,
    ends: Option<(f64, f64)>,
    point: &'a Point,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(label: &str, is_log: bool) -> Axis {
        Axis { label: label.into(), is_log, span: None }
    }

    fn chart(series: Vec<Series>) -> Chart {
        let (x, y) = (axis("size", false), axis("error", true));
        Chart { title: "a <b>".into(), summary: "falls".into(), x, y, rows: None, series }
    }

    fn series(name: &str, style: Style, points: &[(f64, f64)]) -> Series {
        let points = points.iter().map(|&(x, y)| Point::new(x, y, format!("</script> {x}"))).collect();
        Series::new(name, style, points)
    }

    fn html(chart: &Chart) -> String {
        let mut html = String::new();
        chart.write(&mut html);
        html
    }

    #[test]
    fn a_chart_has_its_points_their_texts_and_a_text_alternative() {
        let points = [(1.0, 10.0), (3.0, 0.0), (f64::NAN, 1.0), (4.0, f64::INFINITY)];
        let drawn = html(&chart(vec![series("a", Style::Line, &points), series("b & c", Style::Dots, &[(2.0, 1.0)])]));
        assert!(drawn.contains("aria-label=\"a &lt;b&gt;. falls\"") && drawn.contains("b &amp; c</button>"), "{drawn}");
        assert!(!drawn.contains("</script> ") && !drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        let svg = &drawn[drawn.find("<svg").expect("a chart")..drawn.find("</svg>").expect("its end") + 6];
        assert!(roxmltree::Document::parse(svg).is_ok(), "{svg}");
        let texts = drawn.split("json\">").nth(1).and_then(|rest| rest.split("</script>").next()).expect("texts");
        let texts: serde_json::Value = serde_json::from_str(texts).expect("JSON");
        assert_eq!(texts[0]["points"].as_array().expect("points").len(), 2, "a point without a place is left out");
        assert_eq!(texts[1]["points"][0][2], "</script> 2");
        // A zero stands at the foot of a log axis, which says so.
        assert_eq!(texts[0]["points"][1][1], HEIGHT - MARGIN[3], "the foot");
        assert!(svg.contains(">0</text>"), "{svg}");
    }

    #[test]
    fn names_stand_on_the_y_axis_from_top_to_bottom() {
        let point = |y: f64, x: f64| Point { interval: Some((x - 0.1, x + 0.1)), ..Point::new(x, y, "") };
        let series = vec![Series::new("solved", Style::Marks, vec![point(0.0, 0.5), point(1.0, 0.8)])];
        let rows = Some(vec!["expert".to_owned(), "a very long name of a method that has no place on the axis".into()]);
        let drawn = html(&Chart { rows, x: axis("share", false), ..chart(series) });
        assert_eq!(drawn.matches("class=\"interval\"").count(), 2);
        let place = |name: &str| drawn.find(name).expect(name);
        assert!(drawn.contains("…") && place("a very long") < place(">expert<"), "{drawn}");
    }

    #[test]
    fn a_series_keeps_its_colour_when_others_are_missing() {
        let marked = || series("marked", Style::Marks, &[(1.0, 1.0)]).looking(6);
        let other = || series("other", Style::Line, &[(1.0, 2.0)]);
        for drawn in [html(&chart(vec![marked()])), html(&chart(vec![other(), other(), marked()]))] {
            assert!(drawn.contains("<g class=\"s6\" data-series"), "{drawn}");
        }
        let drawn = html(&chart(vec![other(), marked()]));
        assert!(drawn.contains("<svg class=\"key s6\""), "the legend has the same colour: {drawn}");
        assert!(drawn.contains("<g class=\"s0\" data-series=\"0\">"), "{drawn}");
    }

    #[test]
    fn long_numbers_have_room_beside_the_title_of_their_axis() {
        let left = |highest: f64| {
            let points = [(0.0, 0.0), (1.0, highest)];
            let drawn = html(&Chart { y: axis("rate", false), ..chart(vec![series("a", Style::Line, &points)]) });
            let axes = drawn.split_once("class=\"axes\" d=\"M").expect("axes").1;
            axes.split_once(' ').expect("a place").0.parse::<f64>().expect("a number")
        };
        // "5" has room in the least margin; "5.0e-5" has six letters.
        assert_eq!((left(5.0), left(1.2e-4)), (MARGIN[0], (TITLE + 6.0 * DIGIT + GAP).ceil()));
    }

    #[test]
    fn labels_of_numbers_differ() {
        let labels = |low: f64, high: f64| -> Vec<String> {
            let axis = axis("loss", false);
            labelled(&axis, axis.ticks(low, high)).into_iter().map(|(_, text)| text).collect()
        };
        assert_eq!(labels(1.13, 1.24), ["1.14", "1.16", "1.18", "1.20", "1.22", "1.24"]);
        assert_eq!(labels(-1.0, 2.0), ["-1.0", "-0.5", "0.0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!(labels(0.0, 5.0), ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(labels(0.0, 60000.0), ["0", "10000", "20000", "30000", "40000", "50000", "60000"]);
        assert_eq!(labels(0.0, 2e-5), ["0", "5e-6", "1.0e-5", "1.5e-5", "2.0e-5"]);
    }

    #[test]
    fn nothing_can_be_drawn_too() {
        html(&chart(Vec::new()));
        html(&chart(vec![series("a", Style::Steps, &[])]));
        html(&chart(vec![series("a", Style::Marks, &[(1.0, 0.0)])]));
    }
}
