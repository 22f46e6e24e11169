//! Results: one row a search, one summary a method.

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

/// One search of one problem by one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The method's name.
    pub method: String,
    /// The problem's id.
    pub problem: String,
    /// The search's seed.
    pub seed: u64,
    /// Whether the formula solves the problem, see [`judge`](crate::judge).
    pub solved: bool,
    /// Mean squared error on the training points; `null` in JSON if there were too few valid points.
    pub mse_train: Option<f64>,
    /// R² on fresh points.
    pub r2_test: Option<f64>,
    /// Populations made, the initial one included.
    pub generations: u32,
    /// Individuals whose fitness was needed.
    pub evaluations: u64,
    /// Generation in which the early-stop error was reached, `null` if it was not.
    pub generations_to_solve: Option<u32>,
    /// Evaluations up to and including that generation.
    pub evaluations_to_solve: Option<u64>,
    /// Wall-clock seconds of this search; of its share of the batch where searches ran in one.
    pub seconds: f64,
    /// Nodes of the formula.
    pub size: usize,
    /// The formula.
    pub expression: String,
    /// Learner children that parsed.
    pub well_formed: u64,
    /// Expert children in place of those that did not.
    pub fallback: u64,
    /// All children.
    pub children: u64,
    /// Forms that differ within their generation, summed over generations.
    pub distinct: u64,
}

/// All rows of one method in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The method's name.
    pub method: String,
    /// Searches.
    pub n: usize,
    /// Share solved.
    pub solved: f64,
    /// Lower end of its 95 % Wilson interval.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
    /// Share solved in the initial population, where no policy has had a say yet.
    pub solved_initially: f64,
    /// Median training MSE over all searches (invalid ones count as infinite, `null` if the median is one).
    pub median_mse: Option<f64>,
    /// Mean evaluations a search.
    pub evaluations: f64,
    /// Mean evaluations to solve over the solved searches.
    pub evaluations_to_solve: Option<f64>,
    /// Children a second of wall-clock time, over all searches.
    pub children_per_second: f64,
    /// Share of learner children that parsed; `null` if no learner took part.
    pub well_formed: Option<f64>,
    /// Share of children made by the expert instead; `null` if no learner took part.
    pub fallback: Option<f64>,
    /// Share of children whose form differs from the others of their generation.
    pub distinct: Option<f64>,
    /// Wall-clock seconds of all searches.
    pub seconds: f64,
}

/// One summary a method, in the order in which the methods first occur.
pub fn summarise(rows: &[Row]) -> Vec<Summary> {
    in_order(rows.iter().map(|row| &*row.method)).into_iter().map(|method| summary(method, rows)).collect()
}

/// Every name once, in the order in which they first occur.
pub(crate) fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut once: Vec<&str> = Vec::new();
    for name in names {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    once
}

/// The middle one, or the mean of the two in the middle; `None` if that is not finite, and of none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    let median = (n > 0).then(|| (values[(n - 1) / 2] + values[n / 2]) / 2.0);
    median.filter(|median| median.is_finite())
}

fn summary(method: &str, rows: &[Row]) -> Summary {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.method == method).collect();
    let n = rows.len();
    let count = |test: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| test(row)).count();
    let total = |field: &dyn Fn(&Row) -> u64| rows.iter().map(|row| field(row)).sum::<u64>();
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let solved = count(&|row| row.solved);
    let (lo, hi) = wilson(solved, n);
    let to_solve: Vec<f64> =
        rows.iter().filter(|row| row.solved).filter_map(|row| row.evaluations_to_solve.map(|e| e as f64)).collect();
    let (well_formed, fallback) = (total(&|row| row.well_formed), total(&|row| row.fallback));
    let children = total(&|row| row.children);
    let seconds: f64 = rows.iter().map(|row| row.seconds).sum();
    Summary {
        method: method.into(),
        n,
        solved: solved as f64 / n as f64,
        lo,
        hi,
        solved_initially: count(&|row| row.solved && row.generations_to_solve == Some(0)) as f64 / n as f64,
        median_mse: median(rows.iter().map(|row| row.mse_train.unwrap_or(f64::INFINITY))),
        evaluations: total(&|row| row.evaluations) as f64 / n as f64,
        evaluations_to_solve: (!to_solve.is_empty()).then(|| to_solve.iter().sum::<f64>() / to_solve.len() as f64),
        children_per_second: if seconds > 0.0 { children as f64 / seconds } else { 0.0 },
        well_formed: share(well_formed, well_formed + fallback),
        fallback: share(fallback, well_formed + fallback),
        distinct: share(total(&|row| row.distinct), children),
        seconds,
    }
}

/// The 95 % score interval of a proportion (Wilson, 1927): good for small n and for shares near 0 and 1.
pub fn wilson(successes: usize, n: usize) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    const Z: f64 = 1.959_963_984_540_054; // 97.5 % quantile of the standard normal
    let (n, p) = (n as f64, successes as f64 / n as f64);
    let centre = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// The summaries as an aligned table.
pub fn table(summaries: &[Summary]) -> String {
    let headers = [
        "method",
        "n",
        "solved",
        "95 % interval",
        "at start",
        "median MSE",
        "evaluations",
        "to solve",
        "children/s",
        "well-formed",
        "fallback",
        "distinct",
        "seconds",
    ];
    let percent = |share: Option<f64>| share.map_or("–".into(), |share| format!("{:.1} %", 100.0 * share));
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(headers);
    for s in summaries {
        table.add_row([
            s.method.clone(),
            s.n.to_string(),
            percent(Some(s.solved)),
            format!("{:.1}–{:.1} %", 100.0 * s.lo, 100.0 * s.hi),
            percent(Some(s.solved_initially)),
            s.median_mse.map_or("invalid".into(), |mse| format!("{mse:.2e}")),
            format!("{:.0}", s.evaluations),
            s.evaluations_to_solve.map_or("–".into(), |e| format!("{e:.0}")),
            format!("{:.0}", s.children_per_second),
            percent(s.well_formed),
            percent(s.fallback),
            percent(s.distinct),
            format!("{:.2}", s.seconds),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(method: &str, solved: bool, mse: Option<f64>) -> Row {
        Row {
            method: method.into(),
            problem: "p".into(),
            seed: 0,
            solved,
            mse_train: mse,
            r2_test: None,
            generations: 10,
            evaluations: 100,
            generations_to_solve: solved.then_some(4),
            evaluations_to_solve: solved.then_some(40),
            seconds: 0.5,
            size: 3,
            expression: "x0".into(),
            well_formed: 60,
            fallback: 20,
            children: 80,
            distinct: 40,
        }
    }

    #[test]
    fn summaries_count_by_method() {
        let rows = [row("a", true, Some(0.0)), row("b", false, None), row("a", false, Some(2.0)), row("a", true, None)];
        let summaries = summarise(&rows);
        assert_eq!(summaries.iter().map(|s| (s.method.as_str(), s.n)).collect::<Vec<_>>(), [("a", 3), ("b", 1)]);
        let a = &summaries[0];
        assert_eq!((a.solved, a.median_mse, a.evaluations_to_solve), (2.0 / 3.0, Some(2.0), Some(40.0)));
        assert_eq!((a.well_formed, a.fallback, a.distinct), (Some(0.75), Some(0.25), Some(0.5)));
        assert_eq!(a.children_per_second, 160.0);
        assert_eq!(summaries[1].median_mse, None);
        assert!(table(&summaries).contains("66.7 %"));
    }

    #[test]
    fn wilson_gives_published_intervals() {
        // Newcombe (1998), table I, method 3: 81 of 263 and 0 of 20.
        let close = |(lo, hi): (f64, f64), (a, b): (f64, f64)| (lo - a).abs() < 5e-5 && (hi - b).abs() < 5e-5;
        assert!(close(wilson(81, 263), (0.2553, 0.3662)));
        assert!(close(wilson(0, 20), (0.0, 0.1611)));
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    proptest! {
        #[test]
        fn wilson_holds_the_share(n in 1..500_usize, part in 0.0..=1.0_f64) {
            let successes = (part * n as f64) as usize;
            let (lo, hi) = wilson(successes, n);
            let share = successes as f64 / n as f64;
            prop_assert!(lo <= share + 1e-12 && share <= hi + 1e-12 && (0.0..=1.0).contains(&lo) && (0.0..=1.0).contains(&hi));
        }
    }
}
