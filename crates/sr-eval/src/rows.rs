//! Results: one row for each search, one summary for each method.

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::measures::{Resampled, resample};
use crate::{Difference, Trial, area_under_curve, expected_running_time};

/// The quantity that all searches of a comparison may spend equally.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Equal {
    /// Evaluations.
    Evaluations,
    /// Seconds of one thread, or of an equal share of the machine.
    Seconds,
}

impl Equal {
    /// The name in files and flags.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A point at which the least error fell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Progress(
    /// Evaluations spent.
    pub u64,
    /// Seconds spent.
    pub f64,
    /// The mean squared error on the training points.
    pub f64,
);

/// The result of one search of one problem by one method.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The quantity that the searches of its table could spend equally, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Equal>,
    /// The method's name.
    pub method: String,
    /// The problem's id.
    pub problem: String,
    /// The search's seed.
    pub seed: u64,
    /// Whether the formula solves the problem, see [`judge`](crate::judge()).
    pub solved: bool,
    /// Mean squared error over all training points, computed again from the formula; `None` if a value of the formula
    /// is not finite.
    pub mse_train: Option<f64>,
    /// R² over the same points; `None` if a value of the formula is not finite or y is constant.
    #[serde(default)]
    pub r2_train: Option<f64>,
    /// Training points that the search's objective left out of its error; 0 except for masked predictions.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub masked: u64,
    /// R² on fresh points; `None` if a value is not finite, y is constant, or there are no fresh points.
    pub r2_test: Option<f64>,
    /// The reason why the search ended; empty in older files.
    #[serde(default)]
    pub stop_reason: String,
    /// Number of populations, including the initial one.
    pub generations: u32,
    /// Individuals whose fitness was needed.
    pub evaluations: u64,
    /// Generation in which the early-stop error was reached; `None` if it was not.
    pub generations_to_solve: Option<u32>,
    /// Evaluations up to and including that generation.
    pub evaluations_to_solve: Option<u64>,
    /// Values that were computed, nodes times rows, where the search fits constants: its evaluations differ in their cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<u64>,
    /// The same up to the generation in which the early-stop error was reached; `None` if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_to_solve: Option<u64>,
    /// Children that the policy itself scored to choose its proposals; no count of evaluations includes them.
    #[serde(default)]
    pub proposals: u64,
    /// Seconds of one thread: those of the search or, if all threads advance a batch together, the search's share.
    pub seconds: f64,
    /// Seconds up to and including the generation in which the early-stop error was reached; `None` if it was not.
    #[serde(default)]
    pub seconds_to_solve: Option<f64>,
    /// Number of nodes of the formula.
    pub size: usize,
    /// The formula, with guarded operators by their own names: `pdiv(x0, x1)`.
    pub expression: String,
    /// The formula with the names of the columns, if they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formula: Option<String>,
    /// Number of the learner's offspring that parsed.
    pub well_formed: u64,
    /// Number of the expert's offspring that replaced those that did not parse.
    pub fallback: u64,
    /// Number of children that were made and evaluated.
    pub children: u64,
    /// Number of those that a generation had, where not all lived on: survival was a contest with the parents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lived: Option<u64>,
    /// Number of distinct expressions of each generation, summed over generations.
    pub distinct: u64,
    /// The points at which the least error fell; `None` unless the curve was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Vec<Progress>>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Row {
    /// Returns whether the search succeeded, and what it spent in evaluations.
    pub fn trial(&self) -> Trial {
        let until_solved = self.evaluations_to_solve.filter(|_| self.solved);
        Trial { solved: self.solved, spent: until_solved.unwrap_or(self.evaluations) as f64 }
    }

    /// Returns whether the search succeeded, and what it spent in node · rows, where that is known.
    pub fn worked_trial(&self) -> Option<Trial> {
        let until_solved = self.work_to_solve.filter(|_| self.solved);
        self.work.map(|work| Trial { solved: self.solved, spent: until_solved.unwrap_or(work) as f64 })
    }

    /// Returns whether the search succeeded, and what it spent in seconds.
    pub fn timed_trial(&self) -> Trial {
        let until_solved = self.seconds_to_solve.filter(|_| self.solved);
        Trial { solved: self.solved, spent: until_solved.unwrap_or(self.seconds) }
    }
}

/// The summary of all rows of one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The quantity that the searches could spend equally, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Equal>,
    /// The method's name.
    pub method: String,
    /// Number of searches.
    pub n: usize,
    /// Share of searches that solved their problem.
    pub solved: f64,
    /// Lower end of the share's 95 % Wilson interval.
    pub lo: f64,
    /// Upper end of the interval.
    pub hi: f64,
    /// Share of searches solved in the initial population, before the policy has proposed anything.
    pub solved_initially: f64,
    /// Median training MSE over all searches; one that is not finite counts as infinite, and the median is then `None`.
    pub median_mse: Option<f64>,
    /// Median R² on the training points over the searches whose y varies. A formula with a value that is not finite
    /// counts as −∞, and the median is then `None`.
    #[serde(default)]
    pub median_r2: Option<f64>,
    /// Mean evaluations of a search.
    pub evaluations: f64,
    /// Mean evaluations to solve over the solved searches.
    pub evaluations_to_solve: Option<f64>,
    /// Mean generations to solve over the solved searches.
    pub generations_to_solve: Option<f64>,
    /// Expected running time in evaluations, see [`expected_running_time`]; `None` if nothing was solved.
    pub ert: Option<f64>,
    /// Lower end of its 95 % bootstrap interval.
    pub ert_lo: Option<f64>,
    /// Upper end of the interval; `None` if it lies among resamples without a success.
    pub ert_hi: Option<f64>,
    /// Expected running time in seconds.
    pub ert_seconds: Option<f64>,
    /// Expected running time in node · rows; `None` if the searches did not fit constants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ert_work: Option<f64>,
    /// Area under the share solved against the decades of evaluations, up to the most that a search of this table
    /// spent; see [`area_under_curve`].
    pub area: f64,
    /// The difference from the first method; `None` for the first method itself.
    pub difference: Option<Difference>,
    /// Mean number, per search, of children that the policy itself scored.
    pub proposals: f64,
    /// Offspring per second of one thread, over all searches.
    pub children_per_second: f64,
    /// Share of the learner's offspring that parsed; `None` without a learner.
    pub well_formed: Option<f64>,
    /// Share of offspring that the expert made instead; `None` without a learner.
    pub fallback: Option<f64>,
    /// Share of offspring whose expression differs from the others of their generation.
    pub distinct: Option<f64>,
    /// Seconds of all searches.
    pub seconds: f64,
}

/// Returns one summary for each method, in the order in which the methods first occur, separately for each budget.
///
/// - seed: the seed of the resampling for intervals
pub fn summarise(rows: &[Row], seed: u64) -> Vec<Summary> {
    summaries(&rows.iter().collect::<Vec<_>>(), seed)
}

/// Returns the summaries of [`summarise`], with differences from another method than the first. That method comes first.
pub fn summarise_against(reference: &str, rows: &[Row], seed: u64) -> Vec<Summary> {
    let (first, others): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.method == reference);
    summaries(&[first, others].concat(), seed)
}

fn summaries(rows: &[&Row], seed: u64) -> Vec<Summary> {
    let mut budgets: Vec<Option<Equal>> = Vec::new();
    for row in rows {
        if !budgets.contains(&row.budget) {
            budgets.push(row.budget);
        }
    }
    let of_budget = |budget| {
        let rows: Vec<&Row> = rows.iter().copied().filter(|row| row.budget == budget).collect();
        let methods = in_order(rows.iter().map(|row| &*row.method));
        let most = rows.iter().map(|row| row.evaluations).max().unwrap_or(0) as f64;
        let resampled = resample(&methods, &rows, seed);
        let summary = |(method, Resampled { ert: (ert_lo, ert_hi), difference }): (&&str, Resampled)| Summary {
            budget,
            ert_lo,
            ert_hi,
            difference,
            ..summary(method, &rows, most)
        };
        methods.iter().zip(resampled).map(summary).collect::<Vec<_>>()
    };
    budgets.into_iter().flat_map(of_budget).collect()
}

/// Returns every name once, in the order in which they first occur.
pub(crate) fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut once: Vec<&str> = Vec::new();
    for name in names {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    once
}

/// Returns the median: the middle value, or the mean of the two middle values. It is `None` if that is not finite, or
/// there are no values. A NaN counts as infinite.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.map(|value| if value.is_nan() { f64::INFINITY } else { value }).collect();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    let median = (n > 0).then(|| {
        let (a, b) = (values[(n - 1) / 2], values[n / 2]);
        // The sum may overflow where its half does not.
        if (a + b).is_finite() { (a + b) / 2.0 } else { a / 2.0 + b / 2.0 }
    });
    median.filter(|median| median.is_finite())
}

/// Computes everything but the resampled values. `most` is the number of evaluations up to which the area goes.
fn summary(method: &str, rows: &[&Row], most: f64) -> Summary {
    let rows: Vec<&Row> = rows.iter().copied().filter(|row| row.method == method).collect();
    let n = rows.len();
    let count = |test: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| test(row)).count();
    let total = |field: &dyn Fn(&Row) -> u64| rows.iter().map(|row| field(row)).sum::<u64>();
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let solved = count(&|row| row.solved);
    let (lo, hi) = wilson(solved, n);
    let mean_of_solved = |field: &dyn Fn(&Row) -> Option<f64>| {
        let values: Vec<f64> = rows.iter().filter(|row| row.solved).filter_map(|row| field(row)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let trials: Vec<Trial> = rows.iter().map(|row| row.trial()).collect();
    let timed: Vec<Trial> = rows.iter().map(|row| row.timed_trial()).collect();
    let worked: Option<Vec<Trial>> = rows.iter().map(|row| row.worked_trial()).collect();
    let (well_formed, fallback) = (total(&|row| row.well_formed), total(&|row| row.fallback));
    let children = total(&|row| row.children);
    let seconds: f64 = rows.iter().map(|row| row.seconds).sum();
    Summary {
        budget: None,
        method: method.into(),
        n,
        solved: solved as f64 / n as f64,
        lo,
        hi,
        solved_initially: count(&|row| row.solved && row.generations_to_solve == Some(0)) as f64 / n as f64,
        median_mse: median(rows.iter().map(|row| row.mse_train.unwrap_or(f64::INFINITY))),
        // A finite error without R² is one of a constant y. Signs are inverted, so that missing values count as the
        // worst.
        median_r2: median(rows.iter().filter_map(|row| match (row.r2_train, row.mse_train) {
            (Some(r2), _) => Some(-r2),
            (None, Some(_)) => None,
            (None, None) => Some(f64::INFINITY),
        }))
        .map(|turned| 0.0 - turned),
        evaluations: total(&|row| row.evaluations) as f64 / n as f64,
        evaluations_to_solve: mean_of_solved(&|row| row.evaluations_to_solve.map(|e| e as f64)),
        generations_to_solve: mean_of_solved(&|row| row.generations_to_solve.map(f64::from)),
        ert: expected_running_time(&trials),
        ert_lo: None,
        ert_hi: None,
        ert_seconds: expected_running_time(&timed),
        ert_work: worked.as_deref().and_then(expected_running_time),
        area: area_under_curve(&trials, most),
        difference: None,
        proposals: total(&|row| row.proposals) as f64 / n as f64,
        children_per_second: if seconds > 0.0 { children as f64 / seconds } else { 0.0 },
        well_formed: share(well_formed, well_formed + fallback),
        fallback: share(fallback, well_formed + fallback),
        distinct: share(total(&|row| row.distinct), total(&|row| row.lived.unwrap_or(row.children))),
        seconds,
    }
}

/// Returns the 95 % score interval of a proportion (Wilson, 1927), which suits small n and shares near 0 and 1.
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

/// Returns the summaries as aligned tables, a pair for each budget: what was solved, and what it cost.
pub fn summary_table(summaries: &[Summary]) -> String {
    let mut text = String::new();
    for group in summaries.chunk_by(|a, b| a.budget == b.budget) {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        if let Some(budget) = group[0].budget {
            text.push_str(&format!("Equal {}\n\n", budget.name()));
        }
        text.push_str(&solved_table(group));
        text.push_str("\n\n");
        text.push_str(&cost_table(group));
    }
    text
}

fn percent(share: Option<f64>) -> String {
    share.map_or("–".into(), |share| format!("{:.1} %", 100.0 * share))
}

fn count(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| format!("{value:.0}"))
}

fn solved_table(summaries: &[Summary]) -> String {
    let headers = [
        "method",
        "n",
        "solved",
        "95 % interval",
        "at start",
        "median MSE",
        "median R²",
        "evaluations",
        "proposals",
        "children/s",
        "well-formed",
        "fallback",
        "distinct",
        "seconds",
    ];
    let rows = summaries.iter().map(|s| {
        vec![
            s.method.clone(),
            s.n.to_string(),
            percent(Some(s.solved)),
            format!("{:.1}–{:.1} %", 100.0 * s.lo, 100.0 * s.hi),
            percent(Some(s.solved_initially)),
            s.median_mse.map_or("infinite".into(), |mse| format!("{mse:.2e}")),
            s.median_r2.map_or("–".into(), |r2| format!("{r2:.4}")),
            count(Some(s.evaluations)),
            count(Some(s.proposals)),
            count(Some(s.children_per_second)),
            percent(s.well_formed),
            percent(s.fallback),
            percent(s.distinct),
            format!("{:.2}", s.seconds),
        ]
    });
    aligned_table(&headers, rows)
}

/// Returns the differences from the first method as an aligned table for each budget.
pub fn against_table(summaries: &[Summary]) -> String {
    let of_budget = |group: &[Summary]| {
        let reference = &group[0].method;
        let headers = [
            "method".to_owned(),
            format!("solved − {reference}"),
            "95 % interval".to_owned(),
            format!("ERT ÷ {reference}"),
            "95 % interval".to_owned(),
        ];
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let table = aligned_table(&headers, group.iter().map(|s| [vec![s.method.clone()], differences(s)].concat()));
        group[0].budget.map_or(String::new(), |budget| format!("Equal {}\n\n", budget.name())) + &table
    };
    let groups = summaries.chunk_by(|a, b| a.budget == b.budget);
    groups.map(of_budget).collect::<Vec<_>>().join("\n\n")
}

/// The cells of a method's difference from the first: solved, its interval, ratio of expected running times, its interval.
fn differences(summary: &Summary) -> Vec<String> {
    let Some(d) = &summary.difference else { return vec!["–".into(); 4] };
    let interval = format!("{}–{}", ratio(d.log_ert_lo, "0"), ratio(d.log_ert_hi, "∞"));
    vec![
        format!("{:+.1}", 100.0 * d.solved),
        format!("{:+.1} to {:+.1}", 100.0 * d.solved_lo, 100.0 * d.solved_hi),
        ratio(d.log_ert, "–"),
        d.log_ert.map_or("–".into(), |_| interval),
    ]
}

fn ratio(log: Option<f64>, infinite: &str) -> String {
    log.map_or(infinite.into(), |log| format!("{:.2}", 10_f64.powf(log)))
}

fn cost_table(summaries: &[Summary]) -> String {
    let mut headers = vec![
        "method",
        "ERT",
        "95 % interval",
        "ERT seconds",
        "area",
        "to solve",
        "generations",
        "solved − first",
        "95 % interval",
        "ERT ÷ first",
        "95 % interval",
    ];
    let has_work = summaries.iter().any(|s| s.ert_work.is_some());
    if has_work {
        headers.extend(["work", "÷ first", "95 % interval"]);
    }
    let end = |value: Option<f64>, infinite: &str| value.map_or(infinite.into(), |value| format!("{value:.0}"));
    let rows = summaries.iter().map(|s| {
        let mut row = vec![
            s.method.clone(),
            count(s.ert),
            s.ert.map_or("–".into(), |_| format!("{}–{}", end(s.ert_lo, "∞"), end(s.ert_hi, "∞"))),
            s.ert_seconds.map_or("–".into(), |seconds| format!("{seconds:.3}")),
            format!("{:.3}", s.area),
            count(s.evaluations_to_solve),
            s.generations_to_solve.map_or("–".into(), |g| format!("{g:.1}")),
        ];
        row.extend(differences(s));
        if has_work {
            row.push(s.ert_work.map_or("–".into(), |work| format!("{work:.2e}")));
            let of_work = s.difference.as_ref().and_then(|difference| difference.log_work);
            row.extend(match of_work {
                None => ["–", "–"].map(String::from),
                Some([lo, log, hi]) => {
                    [ratio(Some(log), "–"), format!("{}–{}", ratio(Some(lo), "0"), ratio(Some(hi), "∞"))]
                }
            });
        }
        row
    });
    aligned_table(&headers, rows)
}

/// Returns a table whose first column is text and whose others are numbers.
pub fn aligned_table(headers: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(headers.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn row(method: &str, solved: bool, mse: Option<f64>) -> Row {
        Row {
            budget: None,
            method: method.into(),
            problem: "p".into(),
            seed: 0,
            solved,
            mse_train: mse,
            r2_train: None,
            masked: 0,
            r2_test: None,
            stop_reason: "generations".into(),
            generations: 10,
            evaluations: 100,
            generations_to_solve: solved.then_some(4),
            evaluations_to_solve: solved.then_some(40),
            work: None,
            work_to_solve: None,
            proposals: 0,
            seconds: 0.5,
            seconds_to_solve: solved.then_some(0.2),
            size: 3,
            expression: "x0".into(),
            formula: None,
            well_formed: 60,
            fallback: 20,
            children: 80,
            lived: None,
            distinct: 40,
            progress: None,
        }
    }

    #[test]
    fn work_is_compared_where_all_searches_have_some() {
        // b solves the same with a quarter of the work.
        let of = |method: &str, i: u64, work: u64| Row {
            seed: i,
            work: Some(work),
            work_to_solve: (i.is_multiple_of(2)).then_some(work / 2),
            ..row(method, i.is_multiple_of(2), None)
        };
        let mut rows: Vec<Row> = (0..40).flat_map(|i| [of("a", i, 4000), of("b", i, 1000)]).collect();
        let summaries = summarise(&rows, 0);
        // (20 · 2000 + 20 · 4000) / 20
        assert_eq!(summaries.iter().map(|s| s.ert_work).collect::<Vec<_>>(), [Some(6000.0), Some(1500.0)]);
        let log_work = summaries[1].difference.as_ref().and_then(|d| d.log_work).expect("both have work");
        assert!(log_work.iter().all(|log| (log - 0.25_f64.log10()).abs() < 1e-12), "{log_work:?}");
        assert!(
            summary_table(&summaries).contains("1.50e3 |    0.25 |     0.25–0.25 |"),
            "{}",
            summary_table(&summaries)
        );
        rows[0].work = None;
        let summaries = summarise(&rows, 0);
        assert!(summaries[0].ert_work.is_none() && summaries[1].difference.as_ref().expect("b").log_work.is_none());
    }

    #[test]
    fn differences_from_any_method_mirror_those_from_the_first() {
        let of = |method: &str, i: u64, evaluations: u64| Row {
            seed: i,
            evaluations,
            evaluations_to_solve: Some(evaluations),
            ..row(method, true, None)
        };
        let rows: Vec<Row> = (0..20).flat_map(|i| [of("a", i, 40), of("b", i, 10), of("c", i, 20)]).collect();
        let against = summarise_against("b", &rows, 0);
        let ratios = |summaries: &[Summary]| -> Vec<_> {
            let log = |s: &Summary| s.difference.as_ref().and_then(|d| d.log_ert);
            summaries.iter().map(|s| (s.method.clone(), log(s).map(|log| 10_f64.powf(log).round()))).collect()
        };
        assert_eq!(ratios(&against), [("b".into(), None), ("a".into(), Some(4.0)), ("c".into(), Some(2.0))]);
        assert_eq!(against[1].ert, summarise(&rows, 0)[0].ert);
        let table = against_table(&against);
        assert!(table.contains("ERT ÷ b") && table.contains("4.00 |     4.00–4.00"), "{table}");
    }

    #[test]
    fn summaries_count_by_method() {
        let rows = [row("a", true, Some(0.0)), row("b", false, None), row("a", false, Some(2.0)), row("a", true, None)];
        let summaries = summarise(&rows, 0);
        assert_eq!(summaries.iter().map(|s| (s.method.as_str(), s.n)).collect::<Vec<_>>(), [("a", 3), ("b", 1)]);
        let a = &summaries[0];
        assert_eq!((a.solved, a.median_mse, a.evaluations_to_solve), (2.0 / 3.0, Some(2.0), Some(40.0)));
        assert_eq!((a.well_formed, a.fallback, a.distinct), (Some(0.75), Some(0.25), Some(0.5)));
        assert_eq!(a.children_per_second, 160.0);
        assert_eq!(summaries[1].median_mse, None);
        assert_eq!((a.ert, a.generations_to_solve), (Some(90.0), Some(4.0)));
        assert!((a.ert_seconds.expect("solved") - 0.45).abs() < 1e-9);
        assert_eq!(a.area, 2.0 / 3.0 * (1.0 - 40_f64.log10() / 2.0));
        assert!(summary_table(&summaries).contains("66.7 %"));
        assert_eq!((a.median_r2, summaries[1].median_r2), (None, None), "one of a has no finite error");
    }

    #[test]
    fn medians_never_take_what_is_no_number() {
        let nan = f64::NAN;
        assert_eq!(median([5.0, nan, 1e308, f64::INFINITY, 1.0].into_iter()), Some(1e308));
        assert_eq!(median([5.0, -nan, 1.0].into_iter()), Some(5.0), "whatever its sign");
        assert_eq!(median([nan, 1.0, nan].into_iter()), None);
        let of = |values: &[(Option<f64>, Option<f64>)]| {
            let row =
                |&(r2_train, mse_train): &(Option<f64>, Option<f64>)| Row { r2_train, ..row("a", false, mse_train) };
            summarise(&values.iter().map(row).collect::<Vec<_>>(), 0)[0].median_r2
        };
        assert_eq!(of(&[(Some(0.5), Some(1.0)), (Some(1.0), Some(0.0)), (None, None)]), Some(0.5));
        assert_eq!(of(&[(Some(0.5), Some(1.0)), (None, Some(2.0))]), Some(0.5), "a constant y has no R²");
        assert_eq!(of(&[(None, None), (None, None), (Some(1.0), Some(0.0))]), None);
    }

    #[test]
    fn budgets_have_tables_of_their_own() {
        let of = |budget, method: &str| Row { budget: Some(budget), ..row(method, true, None) };
        let (e, s) = (Equal::Evaluations, Equal::Seconds);
        let summaries = summarise(&[of(e, "a"), of(e, "b"), of(s, "a"), of(s, "b")], 0);
        let found: Vec<_> = summaries.iter().map(|s| (s.budget, &*s.method, s.difference.is_some())).collect();
        assert_eq!(found, [(Some(e), "a", false), (Some(e), "b", true), (Some(s), "a", false), (Some(s), "b", true)]);
        let text = summary_table(&summaries);
        assert!(text.contains("Equal evaluations") && text.contains("Equal seconds"), "{text}");
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
