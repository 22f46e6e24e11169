//! What a formula predicts for the rows of another table.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sr_args::{ReadingArgs, counted};
use sr_lab::fit::predict_groups;
use sr_lab::sr_expr::{Expr, Node, Semantics, predict};
use sr_lab::sr_problems::{GroupColumn, NamedColumns, columns_of_table};

use crate::args::standard_input;
use crate::formula::{Formula, Groups};

/// A table that a formula is applied to.
pub(crate) struct NewTable {
    columns: NamedColumns,
    path: PathBuf,
}

impl NewTable {
    /// Reads the columns of these names, and that of the groups.
    pub(crate) fn read(
        path: &Path,
        names: &[String],
        groups: Option<GroupColumn<'_>>,
        reading: &ReadingArgs,
    ) -> anyhow::Result<Self> {
        // The target is not looked for: it is what is predicted.
        let columns = columns_of_table(&standard_input(path), names, groups, &reading.options(""))?;
        Ok(NewTable { columns, path: path.to_owned() })
    }

    /// Returns a value for each row of the table: NaN where one is missing or the formula has none, which is warned of. The
    /// formula's variables are the columns in order.
    pub(crate) fn predict(self, formula: &Formula) -> Vec<f64> {
        let NewTable { columns, path } = self;
        columns.warnings.iter().for_each(|warning| tracing::warn!("{}: {warning}", path.display()));
        let values = match &formula.groups {
            None => predict(&formula.expr, &columns.x, Semantics::Ieee),
            Some(groups) => {
                predict_groups(&formula.expr, &groups.constants, &columns.x, &columns.groups, Semantics::Ieee)
            }
        };
        warn_of_nan(&values);
        if columns.dropped.is_empty() {
            return values;
        }
        tracing::warn!(
            "{}: {} with missing values; the prediction is NaN there",
            path.display(),
            counted(columns.dropped.len(), "row")
        );
        // Predictions stay beside the rows that they are for.
        let (mut values, mut dropped) = (values.into_iter(), columns.dropped.iter().peekable());
        let value = |row: usize| match dropped.next_if_eq(&&row) {
            Some(_) => f64::NAN,
            None => values.next().expect("a value for each row"),
        };
        (0..columns.rows + columns.dropped.len()).map(value).collect()
    }
}

/// Predicts for the rows of a table of which only the columns that the formula uses are read.
pub(crate) fn of_used_columns(path: &Path, formula: &Formula, reading: &ReadingArgs) -> anyhow::Result<Vec<f64>> {
    let n_variables = formula.variables().len();
    // The groups' own constants stay the last ones.
    let is_kept = |index: &usize| *index >= n_variables || formula.expr.uses_variable(*index as u16);
    let kept: Vec<usize> = (0..formula.names.len()).filter(is_kept).collect();
    let node = |node: &Node| match *node {
        Node::Var(index) => Node::Var(kept.binary_search(&index.into()).expect("it is used") as u16),
        node => node,
    };
    let formula = Formula {
        expr: Expr::new(formula.expr.nodes().iter().map(node).collect())?,
        names: kept.iter().map(|&index| formula.names[index].clone()).collect(),
        groups: formula.groups.clone(),
    };
    let groups = formula.groups.as_ref().map(Groups::column);
    Ok(NewTable::read(path, formula.variables(), groups, reading)?.predict(&formula))
}

/// Warns of rows for which the formula has no value.
fn warn_of_nan(values: &[f64]) {
    let (nan, infinite) = (
        values.iter().filter(|value| value.is_nan()).count(),
        values.iter().filter(|value| value.is_infinite()).count(),
    );
    let of = values.len();
    if nan > 0 {
        tracing::warn!("the formula has no value (NaN) in {nan} of {of} rows");
    }
    if infinite > 0 {
        tracing::warn!("the formula is infinite in {infinite} of {of} rows");
    }
}

/// The values as CSV, each with the digits that read back to the same number.
pub(crate) fn csv(target: &str, values: &[f64]) -> String {
    let is_plain = |c: char| !matches!(c, ',' | '"' | '\n' | '\r' | ';' | '\t' | '#' | ' ');
    // A line without anything would be passed over.
    let mut text = match !target.is_empty() && target.chars().all(is_plain) {
        true => target.to_owned(),
        false => format!("\"{}\"", target.replace('"', "\"\"")),
    };
    for value in values {
        text += &format!("\n{value:?}");
    }
    text.push('\n');
    text
}

/// The values as JSON, where null stands for what is no number.
pub(crate) fn json(values: &[f64]) -> Value {
    json!(values.iter().map(|&value| value.is_finite().then_some(value)).collect::<Vec<_>>())
}
