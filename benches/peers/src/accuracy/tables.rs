//! Tables and curves of runs.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use sr_eval::{median, wilson};
use sr_report::{Axis, Line, Plot};

use super::Run;

/// The seconds at which curves are told in numbers.
const MARKS: [f64; 12] = [0.01, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 180.0, 600.0];
/// R² above which a formula is accurate, as benchmarks of the field count.
const ACCURATE: f64 = 0.999;

/// The runs of one suite with one budget, as they are shown.
#[derive(Debug)]
pub struct Tables<'a> {
    /// The title.
    pub title: String,
    /// What else is to be said: settings, versions, methods that are left out; a name and a text each.
    pub about: Vec<(String, String)>,
    /// The names of the methods, in the order of the tables.
    pub methods: Vec<String>,
    /// The runs of those methods, in any order.
    pub runs: Vec<&'a Run>,
    /// The seconds that a run could spend.
    pub seconds: f64,
    /// Whether y has noise, so that the right form counts as solved and not the exact formula.
    pub is_noisy: bool,
}

impl Tables<'_> {
    fn of<'b>(&'b self, method: &'b str) -> impl Iterator<Item = &'b Run> + Clone {
        self.runs.iter().copied().filter(move |run| run.method == method)
    }

    /// Returns when the front first held the solution.
    fn in_front(&self, run: &Run) -> Option<f64> {
        let found = if self.is_noisy { &run.shape_in_front } else { &run.exact_in_front };
        found.as_ref().map(|found| found.seconds)
    }

    /// Returns since when the solution was the method's choice.
    fn chosen(&self, run: &Run) -> Option<f64> {
        if self.is_noisy { run.shape_chosen } else { run.exact_chosen }
    }

    /// Returns all tables as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("# {}\n\n", self.title);
        for (name, value) in &self.about {
            writeln!(text, "- {name}: {value}").expect("text grows");
        }
        let solved = if self.is_noisy { "form right" } else { "exact" };
        writeln!(text, "\nSolved: {solved}. Intervals are Wilson's, 95 %.\n").expect("text grows");
        section(&mut text, None, self.summary());
        section(&mut text, Some("Solved by time, chosen"), self.by_time(|tables, run| tables.chosen(run)));
        section(&mut text, Some("Solved by time, in front"), self.by_time(|tables, run| tables.in_front(run)));
        section(&mut text, Some("Problems"), self.problems());
        for run in self.runs.iter().filter(|run| run.failure.is_some()) {
            let why = run.failure.as_deref().unwrap_or_default();
            writeln!(text, "- {}, seed {}, {} failed: {why}", run.problem, run.seed, run.method).expect("text grows");
        }
        text.trim_end().to_owned() + "\n"
    }

    fn summary(&self) -> Table {
        let mut table = table(&[
            "method",
            "n",
            "in front",
            "chosen",
            "form right",
            "R² > 0.999",
            "wrong claims",
            "median s to solve",
            "median 1 − R²",
            "median s",
        ]);
        for method in &self.methods {
            let runs = self.of(method);
            let n = runs.clone().count();
            let share = |is: &dyn Fn(&Run) -> bool| rate(runs.clone().filter(|run| is(run)).count(), n);
            let chosen = |run: &Run| run.chosen.clone();
            let unexplained = |run: &Run| match chosen(run) {
                Some(one) if one.exact => one.r2.map_or(0.0, |r2| 1.0 - r2),
                Some(one) => one.r2.map_or(f64::INFINITY, |r2| 1.0 - r2),
                None => f64::INFINITY,
            };
            let claims: Vec<bool> = runs
                .clone()
                .filter(|run| run.claims_exact == Some(true))
                .map(|run| !run.chosen.as_ref().is_some_and(|chosen| chosen.exact))
                .collect();
            let makes_claims = runs.clone().any(|run| run.claims_exact.is_some());
            let wrong = claims.iter().filter(|wrong| **wrong).count();
            let claimed = if makes_claims { format!("{wrong} of {}", claims.len()) } else { "–".into() };
            table.add_row([
                method.clone(),
                n.to_string(),
                share(&|run| self.in_front(run).is_some()),
                share(&|run| self.chosen(run).is_some()),
                share(&|run| run.shape_chosen.is_some()),
                share(&|run| unexplained(run) < 1.0 - ACCURATE),
                claimed,
                number(median(runs.clone().filter_map(|run| self.chosen(run)))),
                number(median(runs.clone().map(unexplained)).map(|value| value.max(0.0))),
                number(median(runs.clone().map(|run| run.seconds))),
            ]);
        }
        table
    }

    fn by_time(&self, time: impl Fn(&Self, &Run) -> Option<f64>) -> Table {
        let marks: Vec<f64> = MARKS.into_iter().filter(|&mark| mark < self.seconds).chain([self.seconds]).collect();
        let headers = marks.iter().map(|mark| format!("{mark} s"));
        let mut table = table(&["method".to_owned()].into_iter().chain(headers).collect::<Vec<_>>());
        for method in &self.methods {
            let n = self.of(method).count();
            let solved = |mark: f64| {
                // What came a moment after the end counts at the end.
                let by = if mark >= self.seconds { f64::INFINITY } else { mark };
                rate(self.of(method).filter(|run| time(self, run).is_some_and(|seconds| seconds <= by)).count(), n)
            };
            table.add_row([method.clone()].into_iter().chain(marks.iter().map(|&mark| solved(mark))));
        }
        table
    }

    fn problems(&self) -> Table {
        let headers = ["problem", "seed"].map(String::from).into_iter().chain(self.methods.iter().cloned());
        let mut table = table(&headers.collect::<Vec<_>>());
        let mut rows: Vec<(&str, u64)> = Vec::new();
        for run in &self.runs {
            if !rows.contains(&(&run.problem, run.seed)) {
                rows.push((&run.problem, run.seed));
            }
        }
        for (problem, seed) in rows {
            let cell = |method: &String| {
                let run = self.of(method).find(|run| run.problem == problem && run.seed == seed);
                let Some(run) = run else { return String::new() };
                match (self.chosen(run), self.in_front(run)) {
                    (Some(seconds), _) => format!("{} s", number(Some(seconds))),
                    (None, Some(seconds)) => format!("in front, {} s", number(Some(seconds))),
                    (None, None) if run.failure.is_some() => "failed".into(),
                    (None, None) => "–".into(),
                }
            };
            let cells = self.methods.iter().map(cell);
            table.add_row([problem.to_owned(), seed.to_string()].into_iter().chain(cells));
        }
        table
    }

    /// Returns the shares of solved problems by seconds: for each method a line for what was chosen, and below it in the
    /// legend one for what was in front, without the method's name, for which there is no room.
    pub fn plot(&self) -> Plot {
        let least = self.runs.iter().flat_map(|run| [self.chosen(run), self.in_front(run)]).flatten();
        let start = least.fold(self.seconds, f64::min).max(1e-4) / 2.0;
        let line = |name: String, times: Vec<Option<f64>>| {
            let n = times.len() as f64;
            let mut solved: Vec<f64> = times.into_iter().flatten().map(|time| time.min(self.seconds)).collect();
            solved.sort_by(f64::total_cmp);
            let steps = solved.iter().enumerate().map(|(index, &time)| (time.max(start), (index + 1) as f64 / n));
            let last = solved.len() as f64 / n;
            let points = [(start, 0.0)].into_iter().chain(steps).chain([(self.seconds, last)]).collect();
            Line { name, points, is_step: true }
        };
        let both = |method: &String| {
            let times = |time: &dyn Fn(&Run) -> Option<f64>| self.of(method).map(time).collect::<Vec<_>>();
            [
                line(method.clone(), times(&|run| self.chosen(run))),
                line("– in front".into(), times(&|run| self.in_front(run))),
            ]
        };
        Plot {
            title: self.title.clone(),
            x: Axis { label: "seconds".into(), is_log: true, span: None },
            y: Axis { label: "share solved".into(), is_log: false, span: Some((0.0, 1.0)) },
            lines: self.methods.iter().filter(|method| self.of(method).count() > 0).flat_map(both).collect(),
        }
    }
}

/// Formats `7 of 12` with its interval, as `7: 58 % (32–81)`.
fn rate(successes: usize, n: usize) -> String {
    if n == 0 {
        return "–".into();
    }
    let (low, high) = wilson(successes, n);
    let percent = |share: f64| (100.0 * share).round();
    format!("{successes}: {} % ({}–{})", percent(successes as f64 / n as f64), percent(low), percent(high))
}

/// Formats a value with two or three digits.
fn number(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(0.0) => "0".into(),
        Some(value) if (0.01..1e4).contains(&value.abs()) => {
            let decimals = (1 - value.abs().log10().floor() as i32).clamp(0, 3) as usize;
            format!("{value:.decimals$}")
        }
        Some(value) => format!("{value:.1e}"),
    }
}

fn table<T: ToString>(headers: &[T]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(headers.iter().map(ToString::to_string));
    table
}

fn section(text: &mut String, title: Option<&str>, mut table: Table) {
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    let title = title.map_or(String::new(), |title| format!("## {title}\n\n"));
    write!(text, "{title}{table}\n\n").expect("text grows");
}

#[cfg(test)]
mod tests {
    use super::super::results::testing::run;
    use super::*;

    #[test]
    fn tables_count_what_is_chosen_and_what_is_in_front() {
        let runs = [
            run("a", "m", Some(0.1), Some(0.3)),
            run("b", "m", Some(2.0), None),
            run("c", "m", None, None),
            run("d", "m", Some(1.0), Some(5.2)),
            Run { claims_exact: Some(true), failure: Some("it ended".into()), ..run("a", "k", None, None) },
        ];
        let tables = Tables {
            title: "nguyen".into(),
            about: vec![("threads".into(), "2".into())],
            methods: vec!["m".into(), "k".into(), "none".into()],
            runs: runs.iter().collect(),
            seconds: 5.0,
            is_noisy: false,
        };
        let text = tables.to_markdown();
        for part in [
            "3: 75 % (30–95)",
            "2: 50 % (15–85)",
            "1 of 1",
            "in front, 2.0 s",
            "0.30 s",
            "k failed: it ended",
            "- threads: 2",
        ] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
        let plot = tables.plot();
        assert_eq!(plot.lines.len(), 4);
        assert_eq!(plot.lines[0].points.last(), Some(&(5.0, 0.5)));
        assert_eq!(plot.lines[1].points.last(), Some(&(5.0, 0.75)));
        assert!(plot.svg().contains("– in front"));
    }
}
