//! What people and programs are told of a fit.

use std::io::IsTerminal;

use anyhow::Context;
use console::Term;
use serde_json::{Value, json};
use sr_args::{counted, table_json};
use sr_lab::fit::{Fitted, FrontFormula, Stop};
use sr_lab::inspect::text::table;
use sr_lab::sr_engine::Fit;
use sr_lab::sr_expr::{Expr, Node, Semantics, Tree};
use sr_lab::sr_problems::TableReport;

use crate::formula::Formula;

/// Characters of a line that are shown on the narrowest terminal.
const MOST_NARROW: usize = 40;

/// A fit with the names of its columns.
pub(crate) struct View<'a> {
    pub(crate) fitted: &'a Fitted,
    pub(crate) table: &'a TableReport,
    /// The formula of the front that is marked.
    pub(crate) marked: usize,
    /// Whether that was asked for by its size.
    pub(crate) is_picked: bool,
}

impl<'a> View<'a> {
    /// A view with the choice marked, or the largest formula of a size of no more than `pick`.
    pub(crate) fn new(fitted: &'a Fitted, table: &'a TableReport, pick: Option<usize>) -> anyhow::Result<Self> {
        let sizes: Vec<usize> = fitted.front.iter().map(|formula| formula.size).collect();
        let marked = marked(fitted.choice, &sizes, pick)?;
        Ok(View { fitted, table, marked, is_picked: pick.is_some() })
    }

    fn formula(&self, formula: &FrontFormula) -> String {
        self.text_of(&formula.expr)
    }

    fn text_of(&self, tree: &Tree) -> String {
        tree.display(self.fitted.semantics).with_names(&self.table.variables).to_string()
    }

    /// The marked formula.
    pub(crate) fn marked(&self) -> Formula {
        let expr = self.fitted.front[self.marked].expr.clone();
        Formula { expr, names: self.table.variables.clone(), groups: None }
    }

    /// The table of formulas, and what is to be said of them.
    pub(crate) fn text(&self) -> String {
        let Fitted { front, mean, linear, loss, reason, n_held_out, epochs, stop, .. } = self.fitted;
        let (has_held_out, is_terminal) = (*n_held_out > 0, std::io::stdout().is_terminal());
        let error = |fit: &Fit| short(if loss.is_some() { fit.loss } else { fit.rmse });
        let row = |name: &str, formula: &FrontFormula| {
            let mut cells = vec![name.to_owned(), formula.size.to_string(), error(&formula.fit), r2(formula)];
            if has_held_out {
                cells.push(formula.held_out.map_or_else(|| "–".into(), |fit| error(&fit)));
            }
            cells.push(match is_terminal {
                true => self.text_of(&six_digits(&formula.expr)),
                false => self.formula(formula),
            });
            cells
        };
        let mut rows = vec![row("mean", mean)];
        rows.extend(linear.iter().map(|linear| row("linear", linear)));
        rows.extend(
            front.iter().enumerate().map(|(index, formula)| row(if index == self.marked { "→" } else { "" }, formula)),
        );
        let loss_title = loss.as_ref().map(|loss| format!("# {}", loss.split(':').next().unwrap_or(loss)));
        let mut titles = match &loss_title {
            Some(loss) => vec!["", "# size", loss, "# D²"],
            None => vec!["", "# size", "# error", "# R²"],
        };
        if has_held_out {
            titles.push("# held out");
        }
        titles.push("formula");
        let marked = &front[self.marked];
        let mut text = format!("\n{}\n", fitted_to_terminal(table(&titles, rows), Term::stdout()));
        text += &format!("{} = {}\n", self.table.target, self.formula(marked));
        text += &match self.is_picked {
            true => format!("  picked by its size of {}", marked.size),
            false => format!("  {}", reason.in_words()),
        };
        text += &format!("; {} of evolution", counted(*epochs as usize, "epoch"));
        if has_held_out {
            text += &format!("; {} held out", counted(*n_held_out, "row"));
        }
        if let Some(loss) = loss {
            text += &format!("; loss {loss}, lower is better");
        }
        if let Some(stop) = stop {
            text += &format!("; {}", stop.in_words());
        }
        text
    }

    /// The same as JSON.
    pub(crate) fn json(&self) -> Value {
        let formula = |formula: &FrontFormula| {
            json!({
                "formula": self.formula(formula),
                "expression": formula.expr.display(self.fitted.semantics).to_string(),
                "size": formula.size,
                "method": formula.method.name(),
                "loss": formula.fit.loss,
                "loss_held_out": formula.held_out.map(|fit| fit.loss),
                "mse": formula.fit.mse,
                "rmse": formula.fit.rmse,
                "r2": formula.fit.r2(),
                "exact": formula.is_exact,
                "rmse_held_out": formula.held_out.map(|fit| fit.rmse),
                "r2_held_out": formula.held_out.and_then(|fit| fit.r2()),
            })
        };
        let Fitted { front, mean, linear, loss, reason, n_held_out, epochs, work, stop, is_stopped, .. } = self.fitted;
        json!({
            "table": table_json(self.table),
            "loss": loss.as_deref().unwrap_or("mse"),
            "mean": formula(mean),
            "linear": linear.as_ref().map(formula),
            "front": front.iter().map(formula).collect::<Vec<_>>(),
            "marked": self.marked,
            "chosen": self.fitted.choice,
            "reason": reason.name(),
            "epochs": epochs,
            "work": work,
            "stop": stop.map(Stop::name),
            "held_out_rows": n_held_out,
            "stopped": is_stopped,
        })
    }
}

/// The tree with constants of six digits.
pub(crate) fn six_digits(tree: &Tree) -> Expr {
    let node = |node: &Node| match *node {
        Node::Const(value) => Node::Const(format!("{value:.5e}").parse().unwrap_or(value)),
        node => node,
    };
    Expr::new(tree.nodes().iter().map(node).collect()).expect("the same nodes but for constants")
}

/// The table of a terminal: lines that end where it ends, and what is to be said of them. A file or pipe gets all of it.
pub(crate) fn fitted_to_terminal(table: String, terminal: Term) -> String {
    if !terminal.is_term() {
        return table;
    }
    let width = usize::from(terminal.size().1);
    let cut = |line: &str| console::truncate_str(line, width.max(MOST_NARROW), "…").into_owned() + "\n";
    let lines: String = table.lines().map(cut).collect();
    lines + "In this table constants have six digits, and long lines end in …; front.csv has all of them.\n"
}

/// The place of the chosen formula, or of the largest one of a size of no more than `pick`, among those of these sizes.
pub(crate) fn marked(chosen: usize, sizes: &[usize], pick: Option<usize>) -> anyhow::Result<usize> {
    let Some(pick) = pick else { return Ok(chosen) };
    let smallest = sizes.first().copied().unwrap_or(0);
    let found = sizes.iter().rposition(|&size| size <= pick);
    found.with_context(|| format!("--pick {pick}: the smallest formula has a size of {smallest}"))
}

/// The largest formula so far and its error; the line ends where the terminal does.
pub(crate) fn best_so_far(expr: &Tree, error: f64, names: &[String]) -> String {
    let formula = six_digits(expr);
    format!("1 - R² {}: {}", short(error), formula.display(Semantics::Ieee).with_names(names))
}

/// Four digits.
pub(crate) fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if (1e-3..1e6).contains(&value.abs()) => {
            let digits = (3 - value.abs().log10().floor() as i32).max(0) as usize;
            format!("{value:.digits$}")
        }
        value => format!("{value:.3e}"),
    }
}

/// R², with as many nines as it has.
fn r2(formula: &FrontFormula) -> String {
    match formula.fit.r2() {
        None => "–".to_owned(),
        Some(_) if formula.is_exact || formula.fit.relative == 0.0 => "1".to_owned(),
        Some(r2) if r2 > 0.999 => format!("1 - {:.1e}", formula.fit.relative),
        // Rounding may make −0.0000 of the mean.
        Some(r2) => format!("{:.4}", if r2.abs() < 5e-5 { 0.0 } else { r2 }),
    }
}
