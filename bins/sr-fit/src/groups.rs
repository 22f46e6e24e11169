//! What people and programs are told of a law over groups.

use console::Term;
use serde_json::{Value, json};
use sr_args::{counted, table_json};
use sr_lab::fit::{GroupFitted, GroupFormula};
use sr_lab::inspect::text::table;
use sr_lab::sr_expr::Tree;
use sr_lab::sr_problems::TableReport;

use crate::formula::{Formula, Groups};
use crate::report::{fitted_to_terminal, marked, short, six_digits};

/// Groups that the text result names.
const NAMED: usize = 50;

/// A fit of groups with the names of its columns.
pub(crate) struct View<'a> {
    pub(crate) fitted: &'a GroupFitted,
    table: &'a TableReport,
    /// The law of the front that is marked.
    pub(crate) marked: usize,
    /// Whether that was asked for by its size.
    is_picked: bool,
    /// The names of variables and of the groups' own constants.
    names: Vec<String>,
}

impl<'a> View<'a> {
    /// A view with the choice marked, or the largest law of a size of no more than `pick`.
    pub(crate) fn new(fitted: &'a GroupFitted, table: &'a TableReport, pick: Option<usize>) -> anyhow::Result<Self> {
        let sizes: Vec<usize> = fitted.front.iter().map(|law| law.size).collect();
        let marked = marked(fitted.choice, &sizes, pick)?;
        Ok(View { fitted, table, marked, is_picked: pick.is_some(), names: fitted.names(&table.variables) })
    }

    fn formula(&self, law: &GroupFormula) -> String {
        self.text_of(&law.expr)
    }

    fn text_of(&self, tree: &Tree) -> String {
        tree.display(self.fitted.semantics).with_names(&self.names).to_string()
    }

    /// The names of a law's own constants.
    fn own(&self, law: &GroupFormula) -> &[String] {
        &self.names[self.fitted.n_variables..][..law.n_own()]
    }

    /// A mean loss as it is shown: in the units of the target if it is a mean square.
    fn error(&self, loss: f64) -> f64 {
        if self.fitted.loss.is_some() { loss } else { loss.sqrt() }
    }

    /// The column of groups.
    pub(crate) fn column(&self) -> &str {
        self.table.group.as_deref().unwrap_or("group")
    }

    /// The marked law.
    pub(crate) fn marked(&self) -> Formula {
        let law = &self.fitted.front[self.marked];
        Formula {
            expr: law.expr.clone(),
            names: self.names[..self.fitted.n_variables + law.n_own()].to_vec(),
            groups: Some(Groups {
                column: self.column().to_owned(),
                names: self.fitted.groups.clone(),
                constants: law.constants.clone(),
            }),
        }
    }

    /// The laws, and the constants of each group in the marked one.
    pub(crate) fn text(&self) -> String {
        let GroupFitted { groups, rows, front, reason, loss, n_held_out, is_stopped, .. } = self.fitted;
        let title =
            loss.as_ref().map_or("# error".to_owned(), |loss| format!("# {}", loss.split(':').next().unwrap_or(loss)));
        let mut titles = vec!["", "# size", "# own constants", &title, if loss.is_some() { "# D²" } else { "# R²" }];
        if *n_held_out > 0 {
            titles.push("# held out");
        }
        titles.push("law");
        let law = |(index, law): (usize, &GroupFormula)| {
            let mut cells = vec![
                if index == self.marked { "→" } else { "" }.to_owned(),
                law.size.to_string(),
                self.own(law).len().to_string(),
                short(self.error(law.all.loss)),
                share(law),
            ];
            if *n_held_out > 0 {
                cells.push(law.held_out.map_or_else(|| "–".into(), |error| short(self.error(error.loss))));
            }
            cells.push(match Term::stdout().is_term() {
                true => self.text_of(&six_digits(&law.expr)),
                false => self.formula(law),
            });
            cells
        };
        let laws = fitted_to_terminal(table(&titles, front.iter().enumerate().map(law).collect()), Term::stdout());
        let marked = &front[self.marked];
        let mut text = format!(
            "  {} by {}\n\n{laws}\n{} = {}\n",
            counted(groups.len(), "group"),
            self.column(),
            self.table.target,
            self.formula(marked)
        );
        text += &match self.is_picked {
            true => format!("  picked by its size of {}", marked.size),
            false => format!("  {}", reason.in_words()),
        };
        text += match self.own(marked).len() {
            0 => "; no constant differs between groups",
            _ => "; each group has constants of its own:",
        };
        if let Some(loss) = loss {
            text += &format!("; loss {loss}, lower is better");
        }
        if *is_stopped {
            text += "; stopped";
        }
        let mut titles = vec![self.column(), "# rows"];
        let own: Vec<String> = self.own(marked).iter().map(|name| format!("# {name}")).collect();
        titles.extend(own.iter().map(String::as_str));
        titles.push(&title);
        let group = |number: usize| {
            let mut cells = vec![groups[number].clone(), rows[number].to_string()];
            cells.extend(marked.constants[number].iter().map(|constant| format!("{constant:.6}")));
            cells.push(short(self.error(marked.losses[number])));
            cells
        };
        text += &format!("\n\n{}", table(&titles, (0..groups.len().min(NAMED)).map(group).collect()));
        if groups.len() > NAMED {
            text += &format!("and {} more, which --json lists\n", counted(groups.len() - NAMED, "group"));
        }
        text.trim_end().to_owned()
    }

    /// The same as JSON.
    pub(crate) fn json(&self) -> Value {
        let GroupFitted { groups, rows, front, choice, reason, loss, n_held_out, epochs, is_stopped, .. } = self.fitted;
        let law = |law: &GroupFormula| {
            let group = |number: usize| {
                let own = self.own(law).iter().zip(&law.constants[number]);
                json!({
                    "group": groups[number],
                    "rows": rows[number],
                    "constants": own.map(|(name, value)| (name.clone(), json!(value))).collect::<serde_json::Map<_, _>>(),
                    "loss": law.losses[number],
                })
            };
            json!({
                "formula": self.formula(law),
                "expression": law.expr.display(self.fitted.semantics).to_string(),
                "size": law.size,
                "own_constants": self.own(law),
                "exact": law.is_exact,
                "loss": law.all.loss,
                "r2": 1.0 - law.all.relative,
                "loss_held_out": law.held_out.map(|error| error.loss),
                "groups": (0..groups.len()).map(group).collect::<Vec<_>>(),
            })
        };
        json!({
            "table": table_json(self.table),
            "loss": loss.as_deref().unwrap_or("mse"),
            "front": front.iter().map(law).collect::<Vec<_>>(),
            "marked": self.marked,
            "chosen": choice,
            "reason": reason.name(),
            "epochs": epochs,
            "held_out_rows": n_held_out,
            "stopped": is_stopped,
        })
    }
}

/// 1 − the relative loss, with as many nines as it has.
fn share(law: &GroupFormula) -> String {
    match 1.0 - law.all.relative {
        _ if law.is_exact => "1".to_owned(),
        share if share > 0.999 => format!("1 - {:.1e}", law.all.relative),
        share => format!("{share:.4}"),
    }
}
