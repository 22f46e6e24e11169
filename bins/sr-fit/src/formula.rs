//! A formula that is printed, exported and applied: one for all rows, or one whose constants differ between groups.

use std::collections::HashMap;

use sr_lab::fit::predict_groups;
use sr_lab::sr_expr::{Expr, GroupConstants, Semantics, Target, predict};
use sr_lab::sr_problems::{GroupColumn, Table};

/// A formula with the names of its variables.
#[derive(Debug, Clone)]
pub(crate) struct Formula {
    /// Variables beyond those of the table are the groups' own constants.
    pub(crate) expr: Expr,
    /// The names of the table's variables and of the groups' own constants.
    pub(crate) names: Vec<String>,
    pub(crate) groups: Option<Groups>,
}

/// The groups of a formula.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    /// The column of groups.
    pub(crate) column: String,
    pub(crate) names: Vec<String>,
    /// `[groups, own constants]`
    pub(crate) constants: Vec<Vec<f64>>,
}

impl Groups {
    pub(crate) fn n_own(&self) -> usize {
        self.constants.first().map_or(0, Vec::len)
    }

    /// The column of groups in a table that the formula is applied to.
    pub(crate) fn column(&self) -> GroupColumn<'_> {
        GroupColumn { name: &self.column, groups: &self.names }
    }
}

impl Formula {
    /// The names of the table's variables.
    pub(crate) fn variables(&self) -> &[String] {
        let n_own = self.groups.as_ref().map_or(0, Groups::n_own);
        &self.names[..self.names.len() - n_own]
    }

    /// The formula as a line.
    pub(crate) fn text(&self) -> String {
        self.expr.display(Semantics::Ieee).with_names(&self.names).to_string()
    }

    /// What the formula says of the rows of the table that it was fitted to.
    pub(crate) fn predict(&self, table: &Table) -> Vec<f64> {
        let x = &table.set.problems[0].x;
        let (Some(groups), Some(of_rows)) = (&self.groups, &table.groups) else {
            return predict(&self.expr, x, Semantics::Ieee);
        };
        let numbers: HashMap<&String, usize> = groups.names.iter().zip(0..).collect();
        let of_rows: Vec<usize> = of_rows.iter().map(|group| numbers[group]).collect();
        predict_groups(&self.expr, &groups.constants, x, &of_rows, Semantics::Ieee)
    }

    /// The formula as text of another system.
    pub(crate) fn export(&self, target: Target) -> String {
        let export = self.expr.export(target, Semantics::Ieee).with_names(&self.names);
        match self.groups.as_ref().filter(|groups| groups.n_own() > 0) {
            Some(Groups { column, names, constants }) => {
                export.with_groups(GroupConstants { name: column, groups: names, values: constants }).to_string()
            }
            None => export.to_string(),
        }
    }
}
