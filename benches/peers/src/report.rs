//! Tables of measurements, their ratios, and the bars that they have to reach.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::{Case, search};

/// The name of our own side.
pub const OURS: &str = "sr";

/// The samples of one figure, one for each round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series(Vec<f64>);

impl Series {
    /// Adds the sample of a round.
    pub fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// Returns the middle sample, or the mean of the two middle ones; NaN if there are none.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        if n == 0 { f64::NAN } else { (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0 }
    }

    /// Returns the smallest sample.
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Returns the largest sample.
    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Returns the ratio to another figure, round by round, so that what slows both sides of a round cancels.
    pub fn over(&self, other: &Series) -> Series {
        Series(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json!({ "median": self.median(), "min": self.min(), "max": self.max(), "samples": self.0 })
            .serialize(serializer)
    }
}

/// A ratio or a rate with the bar that it has to reach.
#[derive(Debug, Clone, Serialize)]
pub struct Bar {
    /// A description of the comparison.
    pub what: String,
    /// The least value that passes.
    pub at_least: f64,
    /// The measured median.
    pub value: f64,
    /// Whether it passes.
    pub passes: bool,
}

impl Bar {
    fn new(what: String, at_least: f64, value: f64) -> Self {
        Bar { what, at_least, value, passes: value >= at_least }
    }
}

/// The evaluation of one file of trees in one case, with one number of rows.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    /// The name of the file of trees.
    pub trees: String,
    /// Whether the trees have functions beside + − * /.
    pub functions: bool,
    /// The case, see [`Case::name`].
    #[serde(serialize_with = "case_name")]
    pub case: Case,
    /// The number of rows of the data.
    pub rows: usize,
    /// Node·rows per second by side.
    pub sides: BTreeMap<String, Series>,
}

fn case_name<S: Serializer>(case: &Case, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(case.name())
}

impl Evaluation {
    /// Returns the ratio to a peer that has to be reached.
    fn at_least(&self, peer: &str) -> Option<f64> {
        // With functions, the ratio must be reached for both peers, so the better one counts.
        match (self.case, self.functions, peer) {
            (Case::Stored, false, "dynamic_expressions") => Some(if self.rows < 1000 { 3.0 } else { 1.5 }),
            (Case::Stored, false, "pyoperon") => Some(if self.rows < 1000 { 10.0 } else { 8.0 }),
            (Case::Stored, true, "dynamic_expressions" | "pyoperon") => Some(if self.rows < 100 { 2.5 } else { 4.0 }),
            (Case::Compiled, _, "dynamic_expressions") => Some(1.2),
            _ => None,
        }
    }

    fn ratio(&self, peer: &str) -> Option<Series> {
        Some(self.sides.get(OURS)?.over(self.sides.get(peer)?))
    }

    fn bars(&self) -> Vec<Bar> {
        let bar = |peer: &String| {
            let what = format!("{}, {}, {} rows, ÷ {peer}", self.trees, self.case.name(), self.rows);
            Some(Bar::new(what, self.at_least(peer)?, self.ratio(peer)?.median()))
        };
        self.sides.keys().filter_map(bar).collect()
    }
}

/// Searches on one number of rows.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Searches {
    /// The number of rows of the data.
    pub rows: usize,
    /// Individuals per second by side.
    pub sides: BTreeMap<String, Series>,
    /// Our individuals per second without those whose expression was in the generation before.
    pub fresh: Series,
    /// Mean nodes of an individual at the end, for sides that report it.
    pub mean_size: BTreeMap<String, Series>,
}

impl Searches {
    fn at_least(peer: &str) -> impl Fn(usize) -> Option<f64> {
        let bars = match peer {
            "pyoperon" => Some((5.0, 8.0)),
            "symbolic_regression" => Some((2.0, 4.0)),
            _ => None,
        };
        move |rows| bars.map(|(few, many)| if rows < 1000 { few } else { many })
    }

    fn bars(&self) -> Vec<Bar> {
        let Some(ours) = self.sides.get(OURS) else { return Vec::new() };
        let bar = |(peer, series): (&String, &Series)| {
            let what = format!("search, {} rows, ÷ {peer}", self.rows);
            Some(Bar::new(what, Searches::at_least(peer)(self.rows)?, ours.over(series).median()))
        };
        self.sides.iter().filter_map(bar).collect()
    }
}

/// All measurements of a run of `bench-peers`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Record {
    /// Processor, compiler, versions and settings, in order.
    pub about: Vec<(String, String)>,
    /// Systems that were left out, and why.
    pub missing: BTreeMap<String, String>,
    /// The measurements of evaluation.
    pub evaluation: Vec<Evaluation>,
    /// The measurements of searches beside peers.
    pub searches: Vec<Searches>,
    /// Children per second of preset `basic`, by [`search::Recording::name`].
    pub basic: BTreeMap<String, Series>,
    /// Children per second by number of threads.
    pub threads: BTreeMap<usize, Series>,
}

impl Record {
    /// Returns all bars that could be measured.
    pub fn bars(&self) -> Vec<Bar> {
        let mut bars: Vec<Bar> = self.evaluation.iter().flat_map(Evaluation::bars).collect();
        bars.extend(self.searches.iter().flat_map(Searches::bars));
        if let Some(series) = self.basic.get(search::Recording::File.name()) {
            bars.push(Bar::new("basic, recorded to a file, children/s".into(), 1.5e6, series.median()));
        }
        if let (Some(one), Some(two)) = (self.threads.get(&1), self.threads.get(&2)) {
            bars.push(Bar::new("two threads ÷ one".into(), 1.9, two.over(one).median()));
        }
        bars
    }

    /// Returns the record as one JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        let mut object = json!(self);
        object["about"] = self.about.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        object["bars"] = json!(self.bars());
        object
    }

    /// Returns the record as a Markdown document.
    pub fn to_markdown(&self) -> String {
        let mut text = String::from(
            "# Side by side\n\nWritten by `just bench-peers`; what is measured how is told in `benches/peers/README.md`.\n\
             Figures are medians over rounds (smallest–largest); ratios are medians of the rounds' own ratios.\n\n",
        );
        let mut about = table(&["", ""]);
        for (name, value) in &self.about {
            about.add_row([name, value]);
        }
        for (peer, why) in &self.missing {
            about.add_row([&format!("{peer}: left out"), why]);
        }
        section(&mut text, None, &about, None);
        self.write_evaluation(&mut text);
        self.write_searches(&mut text);
        self.write_bars(&mut text);
        text
    }

    fn write_evaluation(&self, text: &mut String) {
        let mut rest = &self.evaluation[..];
        while let Some(first) = rest.first() {
            let is_same = |e: &Evaluation| (&e.trees, e.case) == (&first.trees, first.case);
            let (group, others) = rest.split_at(rest.iter().take_while(|e| is_same(e)).count());
            rest = others;
            // A peer that failed during the run may be in some rows only.
            let mut peers: Vec<&String> =
                group.iter().flat_map(|e| e.sides.keys()).filter(|side| *side != OURS).collect();
            peers.sort();
            peers.dedup();
            let mut headers = vec!["rows".to_owned(), OURS.to_owned()];
            peers.iter().for_each(|peer| headers.extend([peer.to_string(), format!("÷ {peer}")]));
            let mut table = table(&headers);
            for evaluation in group {
                let figure = |side: &str| evaluation.sides.get(side).map_or("–".into(), |s| figure(s, 1e9));
                let mut row = vec![evaluation.rows.to_string(), figure(OURS)];
                for peer in &peers {
                    let ratio = evaluation.ratio(peer).map(|ratio| judged(&ratio, evaluation.at_least(peer)));
                    row.extend([figure(peer), ratio.unwrap_or("–".into())]);
                }
                table.add_row(row);
            }
            let title = format!("Evaluation: {}, {}, 10⁹ node·rows/s", first.trees, first.case.name());
            section(text, Some(&title), &table, None);
        }
    }

    fn write_searches(&self, text: &mut String) {
        if !self.searches.is_empty() {
            let mut table = table(&["rows", "side", "10³ individuals/s", "sr ÷ it", "mean size"]);
            for searches in &self.searches {
                let ours = searches.sides.get(OURS).cloned().unwrap_or_default();
                for (side, series) in &searches.sides {
                    let size =
                        searches.mean_size.get(side).map_or("–".into(), |size| format!("{:.1}", size.median()));
                    let at_least = Searches::at_least(side)(searches.rows);
                    let ratio = if side == OURS { "–".into() } else { judged(&ours.over(series), at_least) };
                    table.add_row([searches.rows.to_string(), side.clone(), figure(series, 1e3), ratio, size]);
                }
                let fresh = figure(&searches.fresh, 1e3);
                let side = format!("{OURS}, not in the generation before");
                table.add_row([searches.rows.to_string(), side, fresh, "–".into(), "–".into()]);
            }
            let note = "Ours counts individuals whose fitness was needed. The engine does not compute that of a form \
                        which it has met lately again; those that stood in the generation before are left out in the \
                        second line, what it remembers of older ones is not, so that line is an upper bound of what was \
                        computed. pyoperon and symbolic_regression tell the evaluations that they computed; of gplearn \
                        it is population × generations. Sizes differ, and with them the work for an individual: \
                        `--peer-size 25` gives the peers our limit.";
            section(text, Some("Searches: population 1,000, + − * / sin cos exp log sqrt"), &table, Some(note));
        }
        if !self.basic.is_empty() {
            let mut table = table(&["preset basic, + − *, 20 × 50 rows", "10⁶ children/s"]);
            for (name, series) in &self.basic {
                table.add_row([name, &figure(series, 1e6)]);
            }
            section(text, Some("Searches: recording"), &table, None);
        }
        if let Some(one) = self.threads.get(&1) {
            let mut table = table(&["threads", "10⁶ children/s", "÷ one thread"]);
            for (&threads, series) in &self.threads {
                let at_least = (threads == 2).then_some(1.9);
                table.add_row([threads.to_string(), figure(series, 1e6), judged(&series.over(one), at_least)]);
            }
            section(text, Some(&format!("Searches: {} problems in parallel", search::PROBLEMS)), &table, None);
        }
    }

    fn write_bars(&self, text: &mut String) {
        let bars = self.bars();
        let mut table = table(&["bar", "at least", "measured", ""]);
        for Bar { what, at_least, value, passes } in &bars {
            let verdict = if *passes { "pass" } else { "MISS" };
            table.add_row([what.clone(), digits(*at_least), digits(*value), verdict.into()]);
        }
        let passed = bars.iter().filter(|bar| bar.passes).count();
        section(text, Some(&format!("Bars: {passed} of {} pass", bars.len())), &table, None);
    }
}

fn table<T: ToString>(headers: &[T]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(headers.iter().map(ToString::to_string));
    table
}

fn section(text: &mut String, title: Option<&str>, table: &Table, note: Option<&str>) {
    let mut table = table.clone();
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    let title = title.map_or(String::new(), |title| format!("## {title}\n\n"));
    let note = note.map_or(String::new(), |note| format!("{note}\n\n"));
    write!(text, "{title}{table}\n\n{note}").expect("writing to a string");
}

/// Formats a figure as `3.42 (3.30–3.60)`.
fn figure(series: &Series, unit: f64) -> String {
    let [median, min, max] = [series.median(), series.min(), series.max()].map(|value| digits(value / unit));
    format!("{median} ({min}–{max})")
}

/// Formats a ratio, with whether it is enough.
fn judged(ratio: &Series, at_least: Option<f64>) -> String {
    let verdict = at_least.map(|bar| {
        let verdict = if ratio.median() >= bar { "pass" } else { "MISS" };
        format!(" ≥ {bar} {verdict}")
    });
    figure(ratio, 1.0) + &verdict.unwrap_or_default()
}

/// Formats a value with three digits.
fn digits(value: f64) -> String {
    let decimals = (2 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
    if value == 0.0 { "0".into() } else { format!("{value:.decimals$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(samples: &[f64]) -> Series {
        Series(samples.to_vec())
    }

    #[test]
    fn medians_and_ratios_are_by_round() {
        assert_eq!(series(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(series(&[3.0, 1.0]).median(), 2.0);
        // The machine was slow in the second round, which the ratio does not show.
        assert_eq!(series(&[4.0, 2.0]).over(&series(&[2.0, 1.0])), series(&[2.0, 2.0]));
        assert_eq!([digits(1234.5), digits(3.456), digits(0.01234)], ["1234", "3.46", "0.0123"]);
    }

    #[test]
    fn bars_depend_on_the_case_and_a_missing_peer_has_none() {
        let sides = |ours: f64| {
            let side = |name: &str, rate| (name.to_owned(), series(&[rate]));
            BTreeMap::from([side(OURS, ours), side("dynamic_expressions", 1.0)])
        };
        let evaluation = |case, functions, rows, ours| {
            let one = Evaluation { trees: "t".into(), functions, case, rows, sides: sides(ours) };
            let record = Record { evaluation: vec![one], ..Record::default() };
            assert_eq!(record.to_markdown().contains("MISS"), !record.bars()[0].passes);
            (record.bars().len(), record.bars()[0].passes)
        };
        assert_eq!(evaluation(Case::Stored, false, 200, 2.9), (1, false));
        assert_eq!(evaluation(Case::Stored, false, 200, 3.0), (1, true));
        assert_eq!(evaluation(Case::Stored, false, 1000, 1.5), (1, true));
        assert_eq!(evaluation(Case::Stored, true, 50, 2.5), (1, true));
        assert_eq!(evaluation(Case::Stored, true, 100, 3.9), (1, false));
        assert_eq!(evaluation(Case::Compiled, false, 10, 1.1), (1, false));
    }
}
