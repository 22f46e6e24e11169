//! Results of models that write a formula from the data alone: one row for each problem and pick, one summary for each
//! pick.

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::rows::{in_order, median, wilson};

/// A formula that was picked for a problem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DirectRow {
    /// The problem's id.
    pub problem: String,
    /// The kind of pick: `greedy`, or `best of N`.
    pub pick: String,
    /// Whether it is the problem's formula node for node; `None` if that formula is unknown.
    pub exact: Option<bool>,
    /// Whether it solves the problem, see [`judge`](crate::judge()).
    pub solved: bool,
    /// R² on fresh points, −∞ if a prediction is not finite or there is no formula. `None` without fresh points, and
    /// for a constant target. Both are `null` in JSON.
    pub r2_test: Option<f64>,
    /// Mean squared error on the training points; `None` if it is not finite or there is no formula.
    pub mse_train: Option<f64>,
    /// Number of nodes of the formula; 0 if there is none.
    pub size: usize,
    /// The formula; empty if no text was a formula.
    pub expression: String,
    /// Number of texts that were written.
    pub samples: u64,
    /// Number of texts that are formulas of the problem's primitives.
    pub well_formed: u64,
}

/// The summary of all rows of one pick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DirectSummary {
    /// The kind of pick.
    pub pick: String,
    /// Number of problems.
    pub n: usize,
    /// Share of exact formulas among the problems whose formula is known; `None` if there are none.
    pub exact: Option<f64>,
    /// The 95 % Wilson interval of this share.
    pub exact_interval: Option<(f64, f64)>,
    /// Share of solved problems.
    pub solved: f64,
    /// Lower end of the share's 95 % Wilson interval.
    pub lo: f64,
    /// Upper end of the interval.
    pub hi: f64,
    /// Median R² on fresh points over the problems that have one; `None` if there are none, or it is −∞.
    pub median_r2: Option<f64>,
    /// Share of the texts that are formulas.
    pub well_formed: f64,
}

/// Returns one summary for each pick, in the order in which the picks first occur.
pub fn summarise_direct(rows: &[DirectRow]) -> Vec<DirectSummary> {
    in_order(rows.iter().map(|row| &*row.pick)).into_iter().map(|pick| summary(pick, rows)).collect()
}

fn summary(pick: &str, rows: &[DirectRow]) -> DirectSummary {
    let rows: Vec<&DirectRow> = rows.iter().filter(|row| row.pick == pick).collect();
    let n = rows.len();
    let solved = rows.iter().filter(|row| row.solved).count();
    let known: Vec<bool> = rows.iter().filter_map(|row| row.exact).collect();
    let exact = known.iter().filter(|&&exact| exact).count();
    let (lo, hi) = wilson(solved, n);
    let total = |field: fn(&DirectRow) -> u64| rows.iter().map(|row| field(row)).sum::<u64>() as f64;
    DirectSummary {
        pick: pick.into(),
        n,
        exact: (!known.is_empty()).then(|| exact as f64 / known.len() as f64),
        exact_interval: (!known.is_empty()).then(|| wilson(exact, known.len())),
        solved: solved as f64 / n as f64,
        lo,
        hi,
        // Problems without R² are left out: a constant target has none, however good the formula is.
        median_r2: median(rows.iter().filter_map(|row| row.r2_test)),
        well_formed: total(|row| row.well_formed) / total(|row| row.samples).max(1.0),
    }
}

/// Returns rows and summaries as two aligned tables.
///
/// - most: characters of a formula, of which longer ones are cut and end in `…`; `None` leaves them whole
pub fn direct_tables(rows: &[DirectRow], summaries: &[DirectSummary], most: Option<usize>) -> String {
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    let of_rows = rows.iter().map(|row| {
        let exact = row.exact.map_or("–", yes).to_owned();
        let formula = if row.expression.is_empty() { "none".to_owned() } else { shown(&row.expression, most) };
        let cells = [row.problem.clone(), row.pick.clone(), exact, yes(row.solved).to_owned(), r2(row.r2_test)];
        cells.into_iter().chain([row.size.to_string(), formula]).collect()
    });
    let of_rows = aligned(&["problem", "pick", "exact", "solved", "R²", "size", "formula"], of_rows.collect(), &[4, 5]);
    format!("{of_rows}\n\n{}", direct_summary_table(summaries))
}

/// Returns the summaries as an aligned table.
pub fn direct_summary_table(summaries: &[DirectSummary]) -> String {
    let of_picks = summaries.iter().map(|s| {
        let exact = [s.exact.map_or("–".into(), percent), s.exact_interval.map_or("–".into(), interval)];
        let cells = [s.pick.clone(), s.n.to_string()].into_iter().chain(exact);
        let solved = [percent(s.solved), interval((s.lo, s.hi)), r2(s.median_r2), percent(s.well_formed)];
        cells.chain(solved).collect()
    });
    let headers = ["pick", "n", "exact", "95 % interval", "solved", "95 % interval", "median R²", "well-formed"];
    aligned(&headers, of_picks.collect(), &[1, 2, 3, 4, 5, 6, 7]).to_string()
}

fn shown(formula: &str, most: Option<usize>) -> String {
    match most.and_then(|most| formula.char_indices().nth(most)) {
        Some((end, _)) => format!("{}…", &formula[..end]),
        None => formula.to_owned(),
    }
}

fn r2(r2: Option<f64>) -> String {
    match r2 {
        None => "–".to_owned(),
        Some(r2) if r2.is_finite() => format!("{r2:.4}"),
        Some(_) => "−∞".to_owned(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn interval((lo, hi): (f64, f64)) -> String {
    format!("{:.1}–{:.1} %", 100.0 * lo, 100.0 * hi)
}

fn aligned(headers: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(headers.to_vec()).add_rows(rows);
    for &column in right {
        table.column_mut(column).expect("a column").set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pick: &str, exact: Option<bool>, solved: bool, r2_test: Option<f64>) -> DirectRow {
        DirectRow {
            problem: "p".into(),
            pick: pick.into(),
            exact,
            solved,
            r2_test,
            mse_train: None,
            size: 3,
            expression: "(x0 + x1)".into(),
            samples: 4,
            well_formed: 3,
        }
    }

    #[test]
    fn summaries_count_by_pick() {
        let rows = [
            row("greedy", Some(true), true, Some(1.0)),
            row("best of 4", None, true, None),
            row("greedy", Some(false), true, Some(0.5)),
            row("greedy", None, false, Some(f64::NEG_INFINITY)),
        ];
        let [greedy, best] = &summarise_direct(&rows)[..] else { panic!("two picks") };
        assert_eq!((greedy.n, greedy.exact, greedy.solved), (3, Some(0.5), 2.0 / 3.0));
        assert_eq!((greedy.median_r2, greedy.well_formed), (Some(0.5), 0.75));
        assert_eq!((greedy.lo, greedy.hi), wilson(2, 3));
        assert_eq!((best.exact, best.exact_interval, best.median_r2), (None, None, None));
        let tables = direct_tables(&rows, &summarise_direct(&rows), None);
        assert!(tables.contains("best of 4") && tables.contains("66.7 %") && tables.contains("(x0 + x1)"), "{tables}");
        assert!(tables.contains("−∞"), "{tables}");
        let long = DirectRow { expression: "sin(".repeat(60) + "x0" + &")".repeat(60), ..rows[0].clone() };
        let tables = |most| direct_tables(std::slice::from_ref(&long), &[], most);
        assert!(tables(None).contains(&long.expression), "{}", tables(None));
        let cut = tables(Some(80));
        assert!(cut.lines().all(|line| line.chars().count() < 150) && cut.contains("sin(…"), "{cut}");
    }

    #[test]
    fn the_median_is_over_the_problems_that_have_r2() {
        let median = |values: &[Option<f64>]| {
            let rows: Vec<DirectRow> = values.iter().map(|&r2| row("greedy", None, false, r2)).collect();
            summarise_direct(&rows)[0].median_r2
        };
        let none = f64::NEG_INFINITY; // no number
        assert_eq!(median(&[Some(0.25), None, Some(0.75)]), Some(0.5), "a constant target counts for nothing");
        assert_eq!(median(&[Some(none), Some(0.75), Some(1.0), None]), Some(0.75));
        assert_eq!(median(&[Some(none), Some(1.0)]), None);
        assert_eq!(median(&[None]), None);
    }
}
