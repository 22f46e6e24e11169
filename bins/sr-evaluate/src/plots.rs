//! Plots of a comparison.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sr_eval::{Equal, Progress, Row, Trial, medians, points, solved_curve};
use sr_report::{Axis, Line, Plot, PlotFormat};

/// Writes the share solved against what was spent, `FILE`; where there are tables at equal evaluations and at equal
/// seconds, one plot each, the latter as `FILE-seconds`; and with `curve` the median error of all searches against
/// seconds, as `FILE-mse`. All have the format that the name's end says.
pub(crate) fn write(file: &Path, rows: &[Row], methods: &[&str], curve: bool) -> anyhow::Result<()> {
    let mut budgets: Vec<Option<Equal>> = rows.iter().map(|row| row.budget).collect();
    budgets.sort_unstable();
    budgets.dedup();
    for (index, &budget) in budgets.iter().enumerate() {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.budget == budget).collect();
        let path = if index == 0 { file.to_owned() } else { beside(file, "seconds") };
        draw(&solved(&rows, methods, budget), &path)?;
        if curve && index + 1 == budgets.len() {
            draw(&errors(&rows, methods), &beside(file, "mse"))?;
        }
    }
    Ok(())
}

fn draw(plot: &Plot, path: &Path) -> anyhow::Result<()> {
    sr_cli::write_atomically(path, &plot.render(PlotFormat::of(path)?))
}

/// The file's name with `-WHAT` before its end.
fn beside(file: &Path, what: &str) -> PathBuf {
    let part = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    file.with_file_name(format!("{}-{what}.{}", part(file.file_stem()), part(file.extension())))
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
    let points = points(rows, by_seconds, |row| row.seconds);
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
