//! Plots of a comparison.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use sr_lab::sr_eval::{Equal, Progress, Row, Trial, curve_points, medians, solved_curve};
use sr_lab::sr_report::{Axis, Line, Plot};

use crate::Args;

/// What is drawn into a file.
enum What {
    /// The share solved against what was spent.
    Solved(Option<Equal>),
    /// The median error of all searches against seconds, of the last table.
    Errors(Option<Equal>),
}

/// The plots and their files: the share solved, `FILE`; where there are tables at equal evaluations and at equal seconds, one
/// plot each, the latter as `FILE-seconds`; and with `--curve` the median error, as `FILE-mse`.
fn all(args: &Args) -> Vec<(What, Option<&'static str>)> {
    let mut budgets: Vec<Option<Equal>> = crate::equal(args).into_iter().map(Some).collect();
    budgets.sort_unstable();
    if budgets.is_empty() {
        budgets.push(None);
    }
    let last = *budgets.last().expect("there is one");
    let solved = budgets.into_iter().zip([None, Some("seconds")]).map(|(budget, name)| (What::Solved(budget), name));
    solved.chain(args.curve.then_some((What::Errors(last), Some("mse")))).collect()
}

/// The files of all plots.
///
/// # Errors
/// If the name does not end in `.svg`.
pub(crate) fn files(file: &Path, args: &Args) -> anyhow::Result<Vec<PathBuf>> {
    Plot::check_name(file)?;
    Ok(all(args).into_iter().map(|(_, name)| name.map_or_else(|| file.to_owned(), |name| beside(file, name))).collect())
}

/// The contents of the same files.
///
pub(crate) fn draw(rows: &[Row], args: &Args) -> Vec<Vec<u8>> {
    if args.plot.is_none() {
        return Vec::new();
    }
    let methods: Vec<&str> = args.methods.iter().map(|method| &*method.name).collect();
    let of_budget = |budget| rows.iter().filter(|row| row.budget == budget).collect::<Vec<&Row>>();
    let plot = |(what, _): (What, _)| match what {
        What::Solved(budget) => solved(&of_budget(budget), &methods, budget),
        What::Errors(budget) => errors(&of_budget(budget), &methods),
    };
    all(args).into_iter().map(|what| plot(what).svg().into_bytes()).collect()
}

/// Writes the plots that are not there.
///
/// # Errors
/// If something else is there under the name of one; then none is written.
pub(crate) fn write_missing(paths: &[PathBuf], plots: &[Vec<u8>]) -> anyhow::Result<()> {
    let (there, missing): (Vec<_>, Vec<_>) = paths.iter().zip(plots).partition(|(path, _)| path.exists());
    for (path, plot) in there {
        let is_it = std::fs::read(path).is_ok_and(|found| found == *plot);
        let path = path.display();
        ensure!(is_it, "--plot {path}: {path} is there already, and is another plot; choose another name");
    }
    missing.into_iter().try_for_each(|(path, plot)| sr_cli::write_atomically(path, plot))
}

/// The file's name with `-WHAT` before its end.
fn beside(file: &Path, what: &str) -> PathBuf {
    let mut name = OsString::from(file.file_stem().unwrap_or_default());
    name.push(format!("-{what}."));
    name.push(file.extension().unwrap_or_default());
    file.with_file_name(name)
}

fn solved(rows: &[&Row], methods: &[&str], budget: Option<Equal>) -> Plot {
    let trial = |row: &Row| if budget == Some(Equal::Seconds) { row.timed_trial() } else { row.trial() };
    let all = |row: &Row| if budget == Some(Equal::Seconds) { row.seconds } else { row.evaluations as f64 };
    let curve = |method: &str| {
        let own = rows.iter().filter(|row| row.method == method);
        solved_curve(&own.map(|row| trial(row)).collect::<Vec<Trial>>())
    };
    // All lines go from 0 where the first problem of any method is solved, and where none is one decade before the end, to
    // where the longest search of any method ended.
    let end = rows.iter().map(|row| all(row)).fold(0.0, f64::max);
    let firsts = methods.iter().filter_map(|method| curve(method).first().map(|point| point.0));
    let begin = firsts.fold(f64::INFINITY, f64::min);
    let begin = if begin.is_finite() { begin } else { end / 10.0 };
    let line = |&method: &&str| {
        let mut points = vec![(begin, 0.0)];
        points.extend(curve(method));
        let share = points.last().map_or(0.0, |point| point.1);
        points.push((end, share));
        Line { name: method.to_owned(), points, is_step: true }
    };
    let what = budget.unwrap_or(Equal::Evaluations).name();
    Plot {
        title: format!("Share of searches that have solved their problem, by {what}"),
        x: Axis { label: what.into(), is_log: true, span: None },
        y: Axis { label: "share solved".into(), is_log: false, span: Some((0.0, 1.0)) },
        lines: methods.iter().map(line).collect(),
    }
}

fn errors(rows: &[&Row], methods: &[&str]) -> Plot {
    let by_seconds = |step: &Progress| step.1;
    let points = curve_points(rows, by_seconds, |row| row.seconds);
    let line = |&method: &&str| {
        let own: Vec<&Row> = rows.iter().copied().filter(|row| row.method == method).collect();
        let medians = medians(&own, &points, by_seconds);
        let points = medians.into_iter().filter_map(|(at, error)| Some((at, error?))).collect();
        Line { name: method.to_owned(), points, is_step: true }
    };
    Plot {
        title: "Median over all searches of the least error so far".into(),
        x: Axis { label: "seconds of one thread".into(), is_log: true, span: None },
        y: Axis { label: "mean squared error".into(), is_log: true, span: None },
        lines: methods.iter().map(line).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(method: &str, solved_after: Option<u64>) -> Row {
        Row {
            method: method.into(),
            evaluations: 500,
            solved: solved_after.is_some(),
            evaluations_to_solve: solved_after,
            ..Row::default()
        }
    }

    fn lines(rows: &[Row], methods: &[&str]) -> Vec<Vec<(f64, f64)>> {
        let plot = solved(&rows.iter().collect::<Vec<_>>(), methods, None);
        plot.svg(); // whatever it is, it can be drawn
        plot.lines.into_iter().map(|line| line.points).collect()
    }

    #[test]
    fn lines_begin_and_end_together() {
        let rows = [row("a", Some(20)), row("a", None), row("b", None), row("b", None)];
        assert_eq!(
            lines(&rows, &["a", "b"]),
            [vec![(20.0, 0.0), (20.0, 0.5), (500.0, 0.5)], vec![(20.0, 0.0), (500.0, 0.0)],]
        );
    }

    #[test]
    fn nothing_solved_is_a_line_at_0_up_to_the_limit() {
        assert_eq!(lines(&[row("a", None)], &["a"]), [vec![(50.0, 0.0), (500.0, 0.0)]]);
    }
}
