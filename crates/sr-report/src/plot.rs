//! Line plots as SVG.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::page::escaped;

/// The size of a plot in pixels.
const SIZE: (f64, f64) = (860.0, 520.0);
/// Pixels left of the axes, above them, right of them (for the legend), and below.
const MARGIN: [f64; 4] = [76.0, 40.0, 170.0, 56.0];
/// The distance of the line at 0 of a log axis from the least value, as a share of the height.
pub(crate) const FLOOR: f64 = 0.08;
/// The approximate number of labels of an axis.
const LABELS: f64 = 7.0;
/// Colours that people with any kind of colour vision can distinguish (Okabe & Ito, 2008).
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#969696"];

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The text of the label.
    pub label: String,
    /// Whether the axis is logarithmic. Points at 0 or below have no place on it: on the x axis they are left out, on
    /// the y axis they lie on a dashed line at the bottom, which is marked `0`.
    pub is_log: bool,
    /// The least range of values that the axis shows; it grows if the points need it.
    pub span: Option<(f64, f64)>,
}

/// A named line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The name in the legend.
    pub name: String,
    /// The points, `(x, y)`, in order; NaN and infinite ones are left out.
    pub points: Vec<(f64, f64)>,
    /// Whether y stays constant until the next point.
    pub is_step: bool,
}

/// A plot of lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// The title above the plot.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines, in the order of the legend.
    pub lines: Vec<Line>,
}

/// The error for a file name that does not end in `.svg`.
#[derive(Debug, thiserror::Error)]
#[error("{}: plots are SVG, which browsers show; expected a name that ends in .svg", .0.display())]
pub struct PlotNameError(PathBuf);

impl Plot {
    /// Checks that a file's name ends in `.svg`.
    ///
    /// # Errors
    /// If it ends in something else.
    pub fn check_name(path: &Path) -> Result<(), PlotNameError> {
        let is_svg = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("svg"));
        if is_svg { Ok(()) } else { Err(PlotNameError(path.to_owned())) }
    }

    /// Returns the plot as SVG. Equal plots give equal text on every machine.
    pub fn svg(&self) -> String {
        let lines: Vec<Vec<(f64, f64)>> = self.lines.iter().map(|line| self.placed(line)).collect();
        let (x_low, x_high) = self.x.range(lines.iter().flatten().map(|point| point.0));
        let (y_first, y_high) = self.y.range(lines.iter().flatten().map(|point| point.1));
        let has_floor = lines.iter().flatten().any(|point| point.1 == f64::NEG_INFINITY);
        let y_low = if has_floor { y_first - FLOOR * (y_high - y_first) } else { y_first };
        let [left, top, right, bottom] = MARGIN;
        let (right, bottom) = (SIZE.0 - right, SIZE.1 - bottom);
        let x = |place: f64| left + (right - left) * (place - x_low) / (x_high - x_low);
        let y = |place: f64| bottom - (bottom - top) * (place - y_low) / (y_high - y_low);
        let mut svg = String::new();
        let mut add = |text: std::fmt::Arguments<'_>| writeln!(svg, "{text}").expect("text grows");
        let (width, height) = SIZE;
        add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">"
        ));
        add(format_args!("<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>"));
        let middle = (left + right) / 2.0;
        let title = escaped(&self.title);
        add(format_args!("<text x=\"{middle}\" y=\"24\" font-size=\"16\" text-anchor=\"middle\">{title}</text>"));
        for place in self.x.ticks(x_low, x_high) {
            let (at, below, text) = (x(place), bottom + 18.0, self.x.text(place));
            add(format_args!("<path d=\"M{at:.1} {top}V{bottom}\" stroke=\"#ddd\"/>"));
            add(format_args!("<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{text}</text>"));
        }
        for place in self.y.ticks(y_first, y_high) {
            let (at, beside, text) = (y(place), left - 8.0, self.y.text(place));
            add(format_args!("<path d=\"M{left} {at:.1}H{right}\" stroke=\"#ddd\"/>"));
            let base = at + 4.0;
            add(format_args!("<text x=\"{beside}\" y=\"{base:.1}\" text-anchor=\"end\">{text}</text>"));
        }
        if has_floor {
            let (beside, base) = (left - 8.0, bottom + 4.0);
            add(format_args!("<path d=\"M{left} {bottom}H{right}\" stroke=\"#999\" stroke-dasharray=\"4 4\"/>"));
            add(format_args!("<text x=\"{beside}\" y=\"{base:.1}\" text-anchor=\"end\">0</text>"));
        }
        add(format_args!("<path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#333\"/>"));
        let (label, below) = (escaped(&self.x.label), height - 14.0);
        add(format_args!("<text x=\"{middle}\" y=\"{below}\" font-size=\"14\" text-anchor=\"middle\">{label}</text>"));
        let (label, centre) = (escaped(&self.y.label), (top + bottom) / 2.0);
        add(format_args!(
            "<text transform=\"translate(18 {centre}) rotate(-90)\" font-size=\"14\" text-anchor=\"middle\">{label}</text>"
        ));
        for (index, points) in lines.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let points: Vec<String> =
                points.iter().map(|&(a, b)| format!("{:.1},{:.1}", x(a), y(b.max(y_low)))).collect();
            let points = points.join(" ");
            add(format_args!("<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"));
        }
        for (index, line) in self.lines.iter().enumerate() {
            let (colour, name) = (COLOURS[index % COLOURS.len()], escaped(&line.name));
            let (at, base) = (top + 14.0 + 18.0 * index as f64, top + 18.0 + 18.0 * index as f64);
            let (start, end, text) = (right + 12.0, right + 34.0, right + 40.0);
            add(format_args!("<path d=\"M{start} {at}H{end}\" stroke=\"{colour}\" stroke-width=\"3\"/>"));
            add(format_args!(
                "<text x=\"{text}\" y=\"{base}\" stroke=\"#fff\" stroke-width=\"3\" paint-order=\"stroke\">{name}</text>"
            ));
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Returns the coordinates of a line's points on the axes.
    fn placed(&self, line: &Line) -> Vec<(f64, f64)> {
        let foot = |y: f64| if self.y.is_log && y <= 0.0 { f64::NEG_INFINITY } else { self.y.place(y) };
        let known = line.points.iter().filter(|(_, y)| y.is_finite());
        let placed = known.map(|&(x, y)| (self.x.place(x), foot(y)));
        let mut points: Vec<(f64, f64)> = Vec::new();
        for (x, y) in placed.filter(|(x, _)| x.is_finite()) {
            if let Some(&(_, before)) = points.last().filter(|_| line.is_step) {
                points.push((x, before));
            }
            points.push((x, y));
        }
        points
    }
}

impl Axis {
    /// Returns the coordinate of a value; not finite if it has none.
    pub(crate) fn place(&self, value: f64) -> f64 {
        if self.is_log { value.log10() } else { value }
    }

    /// Returns the range of all coordinates.
    pub(crate) fn range(&self, places: impl Iterator<Item = f64>) -> (f64, f64) {
        let span = self.span.map(|(low, high)| [self.place(low), self.place(high)]);
        let all = places.chain(span.into_iter().flatten()).filter(|place| place.is_finite());
        let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        // Numbers so near to each other have no numbers between them that labels could tell apart.
        let reach = low.abs().max(high.abs());
        match high - low {
            width if width.is_finite() && width > (NARROWEST * reach).max(TINY) => (low, high),
            // All are the same, or nearly.
            width if (0.0..f64::INFINITY).contains(&width) => {
                let half = (NARROWEST.sqrt() * reach).max(0.5);
                (low - half, high + half)
            }
            // From the one end of all numbers to the other.
            width if width > 0.0 => (0.25 * low, 0.25 * high),
            _ => (0.0, 1.0),
        }
    }

    /// Returns the coordinates of labels.
    pub(crate) fn ticks(&self, low: f64, high: f64) -> Vec<f64> {
        match high - low {
            _ if !self.is_log => ticks(low, high, 0.0),
            decades if decades > 2.5 => ticks(low, high, 1.0),
            // 1, 2 and 5 of each decade.
            decades if decades > 0.7 => {
                let decades = low.floor() as i32..=high.floor() as i32;
                let units = decades.flat_map(|decade| [1.0, 2.0, 5.0_f64].map(|unit| f64::from(decade) + unit.log10()));
                units.filter(|place| (low..=high).contains(place)).collect()
            }
            _ => ticks(10_f64.powf(low), 10_f64.powf(high), 0.0).into_iter().map(f64::log10).collect(),
        }
    }

    /// Returns the label at a coordinate.
    pub(crate) fn text(&self, place: f64) -> String {
        let value = if self.is_log { 10_f64.powf(place) } else { place };
        match value.abs() {
            0.0 => "0".into(),
            size if !(1e-3..1e5).contains(&size) => format!("{value:.1e}").replace(".0e", "e"),
            size => {
                let digits = (1 - size.log10().floor() as i32).max(0) as usize;
                let text = format!("{value:.digits$}");
                if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
            }
        }
    }
}

/// The width of a range, as a share of its numbers, below which these count as the same.
const NARROWEST: f64 = 1e-12;
/// The same for numbers near 0.
const TINY: f64 = 1e-290;

/// Returns multiples of 1, 2 or 5 times a power of ten, about [`LABELS`] of them and at least `least` apart.
fn ticks(low: f64, high: f64, least: f64) -> Vec<f64> {
    let wanted = ((high - low) / LABELS).max(least);
    let power = 10_f64.powf(wanted.log10().floor());
    let step = [1.0, 2.0, 5.0].map(|unit| unit * power).into_iter().find(|&step| step >= wanted);
    let step = step.unwrap_or(10.0 * power);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|index| index as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> Plot {
        let axis = |label: &str, is_log| Axis { label: label.into(), is_log, span: None };
        let line =
            |name: &str, points: &[(f64, f64)]| Line { name: name.into(), points: points.to_vec(), is_step: true };
        Plot {
            title: "solved <b> & more".into(),
            x: axis("evaluations", true),
            y: Axis { span: Some((0.0, 1.0)), ..axis("share", false) },
            lines: vec![line("expert", &[(20.0, 0.1), (1000.0, 0.5)]), line("random", &[(0.0, 0.3), (100.0, 0.2)])],
        }
    }

    #[test]
    fn numbers_that_hardly_differ_or_are_huge_have_a_range_and_labels() {
        let axis = Axis { label: String::new(), is_log: false, span: None };
        let largest = f64::MAX;
        for numbers in [
            [0.3, 0.300_000_000_000_000_04],
            [17.900_000_000_000_002, 17.9],
            [1.7e15 + 6.0, 1.7e15 + 26.0],
            [5e-324, 1e-323],
            [1e20, 1e20],
            [0.0, 0.0],
            [-largest, largest],
        ] {
            let (low, high) = axis.range(numbers.into_iter());
            let ticks = axis.ticks(low, high);
            assert!(low < high && (high - low).is_finite(), "{numbers:?}: {low} to {high}");
            assert!((1..20).contains(&ticks.len()) && ticks.windows(2).all(|pair| pair[0] < pair[1]), "{ticks:?}");
        }
        // What can be told apart is: 17 digits have room for a range of a thousand beside 1e9.
        assert_eq!(axis.range([1.7e9, 1.7e9 + 1000.0].into_iter()), (1.7e9, 1.7e9 + 1000.0));
    }

    #[test]
    fn an_svg_has_all_texts_and_lines_and_is_the_same_again() {
        let svg = plot().svg();
        for text in ["solved &lt;b&gt; &amp; more", "evaluations", "share", "expert", "random", "100"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg, plot().svg());
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_ne!(svg, Plot { lines: Vec::new(), ..plot() }.svg());
    }

    #[test]
    fn steps_stay_until_the_next_point_and_places_that_are_none_are_left_out() {
        let plot = plot();
        let log = |x: f64| x.log10();
        assert_eq!(plot.placed(&plot.lines[0]), [(log(20.0), 0.1), (3.0, 0.1), (3.0, 0.5)]);
        assert_eq!(plot.placed(&plot.lines[1]), [(2.0, 0.2)]);
    }

    #[test]
    fn zeros_of_a_log_axis_stand_on_a_marked_line() {
        let of = |values: &[f64]| {
            let points = (1..).zip(values).map(|(x, &y)| (f64::from(x), y)).collect();
            let y = Axis { label: "mean squared error".into(), is_log: true, span: None };
            let x = Axis { is_log: false, ..y.clone() };
            Plot { title: "t".into(), x, y, lines: vec![Line { name: "a".into(), points, is_step: false }] }.svg()
        };
        let heights = |svg: &str| -> Vec<f64> {
            let points = svg.split("points=\"").nth(1).expect("a line").split('"').next().expect("an end");
            points.split_whitespace().map(|p| p.split_once(',').expect("a pair").1.parse().expect("a number")).collect()
        };
        let bottom = SIZE.1 - MARGIN[3];
        let svg = of(&[7.0, 1e-30, 0.0, 0.0, f64::NAN, -1.0, f64::INFINITY]);
        let found = heights(&svg);
        assert_eq!((found.len(), &found[2..]), (5, &[bottom; 3][..]), "zeros and what is below are at the foot: {svg}");
        assert!(found[0] == MARGIN[1] && found[1] < bottom - 20.0, "others are above it: {found:?}");
        assert!(svg.contains("stroke-dasharray") && svg.contains(">0</text>"), "{svg}");
        assert_eq!(heights(&of(&[0.0, 0.0])), [bottom; 2]);
        assert!(!of(&[1.0, 2.0]).contains("stroke-dasharray"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn nothing_and_one_point_are_drawn_too() {
        for points in [vec![], vec![(1.0, f64::NAN)], vec![(5.0, 5.0)]] {
            let line = Line { name: "a".into(), points, is_step: false };
            Plot { lines: vec![line], ..plot() }.svg();
        }
    }

    #[test]
    fn ticks_are_round_and_within() {
        let (linear, log) = (plot().y, plot().x);
        assert_eq!(linear.ticks(0.0, 7.0), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(linear.ticks(1.3, 3.0).len(), 4); // 1.5, 2, 2.5, 3
        let labels = |low: f64, high: f64| -> Vec<String> {
            let ticks = log.ticks(low.log10(), high.log10());
            assert!(ticks.iter().all(|place| (low.log10()..=high.log10()).contains(place)), "{ticks:?}");
            ticks.into_iter().map(|place| log.text(place)).collect()
        };
        assert_eq!(labels(1e-9, 1e4), ["1e-8", "1e-6", "1e-4", "0.01", "1", "100", "10000"]);
        assert_eq!(labels(3.0, 2000.0), ["10", "100", "1000"]);
        assert_eq!(labels(38.0, 980.0), ["50", "100", "200", "500"]);
        assert_eq!(labels(100.0, 300.0), ["100", "150", "200", "250", "300"]);
    }

    #[test]
    fn labels_are_short() {
        let (linear, log) = (plot().y, plot().x);
        assert_eq!([0.0, 0.25, 12.0, 2e6].map(|x| linear.text(x)), ["0", "0.25", "12", "2e6"]);
        assert_eq!([0.0, 1.5, 3.0, -16.0].map(|x| log.text(x)), ["1", "32", "1000", "1e-16"]);
    }

    #[test]
    fn any_text_can_be_drawn() {
        for code in (0..0x300).chain(0x2020..0x2030).chain(0xfff0..=0xffff) {
            let title = format!("{}<&\"'", char::from_u32(code).expect("no surrogate"));
            let svg = Plot { title, ..plot() }.svg();
            assert!(roxmltree::Document::parse(&svg).is_ok(), "U+{code:04X}: {svg}");
        }
    }

    #[test]
    fn plots_are_svg() {
        assert!(Plot::check_name(Path::new("a/b.svg")).is_ok() && Plot::check_name(Path::new("b.SVG")).is_ok());
        for name in ["b.pdf", "b.png", "svg", "b"] {
            let error = Plot::check_name(Path::new(name)).expect_err(name).to_string();
            assert_eq!(error, format!("{name}: plots are SVG, which browsers show; expected a name that ends in .svg"));
        }
    }
}
