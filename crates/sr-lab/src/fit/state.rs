//! What a fit needs to go on in another process.

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use sr_expr::{Expr, Node, Op, Tree};

use super::{Method, Proposed};

/// The state of a fit between epochs, see [`Fitting::state`](super::Fitting::state).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The whole epochs of evolution.
    pub(super) epochs: u32,
    /// The work done, in node · rows.
    pub(super) work: u64,
    /// The work that was done before the last epoch.
    pub(super) work_before: u64,
    /// The search for closed forms; `None` if it was not done to its end.
    pub(super) closed_forms: Option<ClosedForms>,
    pub(super) closed_forms_work: u64,
    /// The number of epochs before the first formula that is exact.
    pub(super) exact_since: Option<u32>,
    /// Of a table of few rows the structure of the formula with the shortest description, and since which epoch.
    pub(super) settled: Option<(u64, u32)>,
    /// What a policy has proposed.
    #[serde(default)]
    pub(super) proposed: Proposed,
    /// Whether the last epoch has improved the front.
    #[serde(default = "improved")]
    pub(super) has_improved: bool,
    pub(super) front: Vec<Saved>,
    /// The populations of the islands.
    pub(super) populations: Vec<Vec<String>>,
}

/// What earlier states, which do not tell, are taken for.
fn improved() -> bool {
    true
}

impl State {
    /// Reads a state from JSON.
    ///
    /// # Errors
    /// If a field is missing or of another kind.
    pub fn of_json(json: &serde_json::Value) -> anyhow::Result<Self> {
        Ok(State::deserialize(json)?)
    }
}

/// How the search for closed forms ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClosedForms {
    /// Its budget in node · rows.
    pub(super) budget: u64,
    /// Whether the budget ended it, so that it would have gone on with a larger one.
    pub(super) is_spent: bool,
    /// The question at which the clock ended it.
    pub(super) stopped_at: Option<u64>,
}

/// A formula of the front.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) formula: String,
    pub(super) method: String,
    pub(super) error: f64,
    pub(super) polished: bool,
}

impl Saved {
    /// Reads the formula and the method.
    pub(super) fn read(&self, n_variables: usize) -> anyhow::Result<(Expr, Method, f64, bool)> {
        let method = self.method.parse().ok().with_context(|| format!("no method is called {:?}", self.method))?;
        ensure!(self.error.is_finite(), "the error of a formula is not finite");
        Ok((read(&self.formula, n_variables)?, method, self.error, self.polished))
    }
}

/// Writes a formula with its operators after their operands, which is read as the same nodes.
pub(super) fn write(tree: &Tree) -> String {
    let node = |node: &Node| match node {
        Node::Var(index) => format!("x{index}"),
        Node::Const(value) => format!("{value:?}"),
        Node::Op(op) => op.name().to_owned(),
    };
    tree.nodes().iter().map(node).collect::<Vec<_>>().join(" ")
}

/// Reads what [`write`] wrote.
pub(super) fn read(text: &str, n_variables: usize) -> anyhow::Result<Expr> {
    let node = |word: &str| -> anyhow::Result<Node> {
        // `Op::from_name` reads aliases too, none of which is a number or a variable.
        if let Some(op) = Op::from_name(word) {
            return Ok(Node::Op(op));
        }
        if let Some(index) = word.strip_prefix('x').and_then(|index| index.parse::<u16>().ok()) {
            ensure!(usize::from(index) < n_variables, "{word} is none of {n_variables} variables");
            return Ok(Node::Var(index));
        }
        match word.parse() {
            Ok(value) => Ok(Node::Const(value)),
            Err(_) => bail!("{word:?} is no part of a formula"),
        }
    };
    let nodes = text.split_whitespace().map(node).collect::<anyhow::Result<Vec<Node>>>()?;
    Expr::new(nodes).with_context(|| format!("{text:?} is no formula"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_is_read_as_the_same_nodes() {
        for text in ["x0", "-1.5*x0 + neg(2)", "sin(x1)/1e-300 - inf", "pow2(x0)**0.1", "(-0.0)*x1", "neg(-3)"] {
            let expr: Expr = text.parse().expect(text);
            let read = read(&write(&expr), 2).expect(text);
            assert_eq!(read, expr);
            assert_eq!(write(&read), write(&expr));
        }
        assert!(read("x2", 2).is_err() && read("x0 +", 2).is_err() && read("", 2).is_err() && read("y", 2).is_err());
    }
}
