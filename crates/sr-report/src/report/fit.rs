//! The section of a fit: its formulas, what they say of the rows, and how the search went.

use serde_json::Value;
use sr_expr::{Expr, Node, Semantics, Target};

use super::blocks::{Block, Cell, Column, Formula, Formulas, Row, Table, counted, short, whole};
use super::chart::{Chart, Point, Series, Style};
use super::json::{Fields, value_in_words};
use super::{FitRow, ReportError, Section};
use crate::plot::Axis;

/// The systems whose texts a page has for each formula.
const EXPORTS: [(&str, Target); 3] = [("LaTeX", Target::Latex), ("SymPy", Target::Sympy), ("NumPy", Target::Numpy)];
/// Significant digits of constants in typeset formulas.
const DIGITS: usize = 6;
/// The colour of the marked formula: that of text, which is far from all others.
const MARKED: usize = 6;
/// Formulas that a page typesets, of the largest fronts the smallest ones and the marked one.
const MOST_TYPESET: usize = 60;

/// A result of sr-fit with the fields that a report needs.
struct Fit<'a> {
    json: &'a Value,
    front: Vec<Shown<'a>>,
    marked: usize,
    target: &'a str,
    /// The name of the loss, or that of the error in the units of the target.
    error: String,
    /// 1 − the relative loss: R² of squares.
    share: &'static str,
    has_held_out: bool,
    /// The names of the table's variables.
    variables: Vec<String>,
}

/// A formula of the front.
struct Shown<'a> {
    json: &'a Value,
    formula: &'a str,
    size: u64,
    error: f64,
    held_out: Option<f64>,
    /// 1 − the relative loss, in words.
    share: String,
}

/// Returns the section of a fit.
pub(super) fn section(name: &str, json: &Value, rows: &[FitRow]) -> Result<Section, ReportError> {
    let fit = Fit::read(json)?;
    let marked = &fit.front[fit.marked];
    let mut blocks = vec![
        Block::Facts(fit.facts()),
        Block::Heading("Formula".into()),
        Block::Formulas(fit.formulas()),
        Block::Charts(vec![fit.front_chart()]),
        Block::Table(fit.table()),
    ];
    if !rows.is_empty() {
        blocks.push(Block::Heading("Rows of the table".into()));
        blocks.push(Block::Note(fit.of_rows(rows)));
        blocks.push(Block::Charts(fit.row_charts(rows)));
    }
    if let Some(table) = fit.groups(marked) {
        blocks.push(Block::Heading("Constants of the groups".into()));
        blocks.push(Block::Table(table));
    }
    if let Some(chart) = fit.progress() {
        blocks.push(Block::Heading("Progress of the search".into()));
        blocks.push(Block::Charts(vec![chart]));
    }
    blocks.push(Block::Heading("Settings and budget".into()));
    blocks.push(Block::Facts(fit.settings()));
    // The name of the folder differs between equal runs, that of the table does not.
    let title = format!("{} of {}", fit.target, json["settings"]["table"]["name"].as_str().unwrap_or("a table"));
    Ok(Section { name: name.to_owned(), title, kind: "sr-fit", blocks })
}

impl<'a> Fit<'a> {
    fn read(json: &'a Value) -> Result<Self, ReportError> {
        let is_mse = json["loss"].as_str().is_none_or(|loss| loss == "mse");
        let fields = Fields { of: "fit", json };
        let front = fields.list("front")?.iter().map(|formula| Shown::read(formula, is_mse));
        let front = front.collect::<Result<Vec<_>, _>>()?;
        let marked = fields.number("marked")? as usize;
        if marked >= front.len() {
            return Err(ReportError::Field { of: "fit", name: "marked".into() });
        }
        let columns = Fields { of: "fit", json: &json["settings"]["table"]["columns"] };
        let variables = columns.list("variables")?.iter().map(|name| name.as_str().unwrap_or_default().to_owned());
        let loss = json["loss"].as_str().unwrap_or("mse");
        Ok(Fit {
            json,
            marked,
            target: columns.text("target")?,
            error: if is_mse { "RMSE".into() } else { loss.split(':').next().unwrap_or(loss).to_owned() },
            share: if is_mse { "R²" } else { "D²" },
            has_held_out: front.iter().any(|formula| formula.held_out.is_some()),
            variables: variables.collect(),
            front,
        })
    }

    fn facts(&self) -> Vec<(String, String)> {
        let (json, table, marked) = (self.json, &self.json["settings"]["table"], &self.front[self.marked]);
        let reason = match json["reason"].as_str() {
            _ if json["marked"] != json["chosen"] => "picked by its size",
            Some("exact") => "the smallest formula that is exact on all rows",
            Some("description-length") => "the shortest description of formula and errors together",
            Some("held-out") => "the shortest description among those as good on the rows that were held out",
            other => other.unwrap_or("–"),
        };
        let stop = match json["stop"].as_str() {
            Some("exact") => "a formula is exact",
            Some("time") => "the time was over",
            Some("epochs") => "the epochs were done",
            Some("work") => "the budget of work was spent",
            Some("interrupted") => "it was stopped",
            Some("exhausted") => "nothing was left to look at",
            Some("settled") => "more epochs changed nothing",
            Some(other) => other,
            None if json["stopped"] == true => "it was stopped",
            None => "–",
        };
        let rows = table["rows"].as_u64().unwrap_or(0);
        let held_out = json["held_out_rows"].as_u64().unwrap_or(0);
        let variables = self.variables.len() as u64;
        let mut facts = vec![
            ("Data".to_owned(), format!("{}, {}", counted(rows, "row"), counted(variables, "variable"))),
            (
                self.error.clone(),
                format!(
                    "{}{}",
                    short(marked.error),
                    if self.error == "RMSE" { " in the units of the target" } else { "" }
                ),
            ),
            (self.share.to_owned(), marked.share.clone()),
            ("Chosen as".to_owned(), reason.to_owned()),
            ("The search ended because".to_owned(), stop.to_owned()),
        ];
        if held_out > 0 {
            let of = marked.held_out.map_or(String::new(), |error| format!(", {} {} there", self.error, short(error)));
            facts.insert(3, ("Held out".to_owned(), format!("{}{of}", counted(held_out, "row"))));
        }
        facts
    }

    /// The formulas of the front, typeset and as texts.
    fn formulas(&self) -> Formulas {
        let formula = |(index, shown): (usize, &Shown<'_>)| {
            let typeset = index < MOST_TYPESET || index == self.marked;
            let typeset = typeset.then(|| self.typeset(shown)).flatten();
            let (mathml, exports) = typeset.map_or((None, Vec::new()), |(mathml, exports)| (Some(mathml), exports));
            let held_out = shown.held_out.map_or(String::new(), |error| format!(", {} held out", short(error)));
            let about = format!(
                "Size {}, {} {}{held_out}, {} {}.",
                shown.size,
                self.error,
                short(shown.error),
                self.share,
                shown.share
            );
            Formula { mathml, text: format!("{} = {}", self.target, shown.formula), about, exports }
        };
        Formulas { formulas: self.front.iter().enumerate().map(formula).collect(), shown: self.marked }
    }

    /// Returns the `math` element of a formula, with constants of a few digits, and its texts for other systems.
    fn typeset(&self, shown: &Shown<'_>) -> Option<(String, Vec<(&'static str, String)>)> {
        let expr: Expr = shown.json["expression"].as_str()?.parse().ok()?;
        let own = shown.json["own_constants"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let names: Vec<String> = self.variables.iter().cloned().chain(own.map(str::to_owned)).collect();
        if expr.n_variables() > names.len() {
            return None;
        }
        let rounded = |node: &Node| match *node {
            Node::Const(value) => Node::Const(format!("{value:.*e}", DIGITS - 1).parse().unwrap_or(value)),
            node => node,
        };
        let rounded = Expr::new(expr.nodes().iter().map(rounded).collect()).ok()?;
        let text = |expr: &Expr, target| expr.export(target, Semantics::Ieee).with_names(&names).to_string();
        let target = [self.target.to_owned()];
        let target = Expr::var(0).export(Target::MathMl, Semantics::Ieee).with_names(&target).identifiers().remove(0);
        // Comments above it tell what a symbol stands for, which the text below does too.
        let mathml = text(&rounded, Target::MathMl);
        let mathml = mathml.lines().find(|line| line.starts_with("<math"))?;
        let mathml = mathml.replacen("<mrow>", &format!("<mrow>{target}<mo>=</mo>"), 1);
        Some((mathml, EXPORTS.map(|(name, target)| (name, text(&expr, target))).to_vec()))
    }

    /// The front: error against size.
    fn front_chart(&self) -> Chart {
        let point = |(index, shown): (usize, &Shown<'_>)| {
            let text = format!(
                "size {}: {} {}, {} {}\n{}",
                shown.size,
                self.error,
                short(shown.error),
                self.share,
                shown.share,
                shown.formula
            );
            Point { formula: Some(index), ..Point::new(shown.size as f64, shown.error, text) }
        };
        let points: Vec<Point> = self.front.iter().enumerate().map(point).collect();
        let mut series = vec![Series::new("best of each size", Style::Line, points.clone())];
        if self.has_held_out {
            let held_out = |(index, shown): (usize, &Shown<'_>)| {
                let error = shown.held_out?;
                let text = format!(
                    "size {}: {} {} on the rows held out\n{}",
                    shown.size,
                    self.error,
                    short(error),
                    shown.formula
                );
                Some(Point { formula: Some(index), ..Point::new(shown.size as f64, error, text) })
            };
            let points = self.front.iter().enumerate().filter_map(held_out).collect();
            series.push(Series::new("on the rows held out", Style::Line, points).looking(1));
        }
        for (name, look) in [("mean", 2), ("linear", 3)] {
            let Some(shown) = Shown::read(&self.json[name], self.error == "RMSE").ok() else { continue };
            let text = format!("{name}, size {}: {} {}", shown.size, self.error, short(shown.error));
            let point = Point::new(shown.size as f64, shown.error, text);
            series.push(Series::new(format!("{name} model"), Style::Marks, vec![point]).looking(look));
        }
        series.push(Series::new("marked", Style::Marks, vec![points[self.marked].clone()]).looking(MARKED));
        let (first, last) = (&self.front[0], &self.front[self.front.len() - 1]);
        let summary = format!(
            "{} of sizes {} to {}: the {} falls from {} to {}. The marked one has size {} and {} {}.",
            counted(self.front.len() as u64, "formula"),
            first.size,
            last.size,
            self.error,
            short(first.error),
            short(last.error),
            self.front[self.marked].size,
            self.error,
            short(self.front[self.marked].error)
        );
        Chart {
            title: "Pareto front: error against size".into(),
            summary,
            x: Axis { label: "size".into(), is_log: false, span: None },
            y: Axis { label: self.error.clone(), is_log: true, span: None },
            rows: None,
            series,
        }
    }

    fn table(&self) -> Table {
        let mut columns = vec![Column::number("size"), Column::number(&self.error), Column::number(self.share)];
        if self.has_held_out {
            columns.push(Column::number("held out"));
        }
        columns.extend([Column::text("found by"), Column::text("formula")]);
        let row = |(index, shown): (usize, &Shown<'_>)| {
            let mut cells = vec![
                Cell::keyed(shown.size.to_string(), Some(shown.size as f64)),
                Cell::number(Some(shown.error)),
                Cell::keyed(&*shown.share, shown.json["r2"].as_f64()),
            ];
            if self.has_held_out {
                cells.push(Cell::number(shown.held_out));
            }
            cells.extend([Cell::text(shown.json["method"].as_str().unwrap_or("–")), Cell::code(shown.formula)]);
            Row { cells, formula: Some(index), is_marked: index == self.marked }
        };
        let caption = "Formulas, each the best of its size; the number of a row shows its formula above".into();
        Table { caption, columns, rows: self.front.iter().enumerate().map(row).collect() }
    }

    /// Says which rows are drawn.
    fn of_rows(&self, rows: &[FitRow]) -> String {
        let all = self.json["settings"]["table"]["rows"].as_u64().unwrap_or(rows.len() as u64);
        let drawn = rows.iter().filter(|row| row.residual().is_finite()).count() as u64;
        let mut text = match (rows.len() as u64) < all {
            true => format!("{} of {} rows, evenly spread over the table", whole(rows.len() as u64), whole(all)),
            false => format!("All {}", counted(all, "row")),
        };
        if drawn < rows.len() as u64 {
            text += &format!(
                "; {} have no place, because the formula has no finite value there",
                counted(rows.len() as u64 - drawn, "row")
            );
        }
        text + ". Predictions are those of the marked formula."
    }

    /// Observed against predicted values, residuals against predicted ones, and residuals by size.
    fn row_charts(&self, rows: &[FitRow]) -> Vec<Chart> {
        let rows: Vec<&FitRow> = rows.iter().filter(|row| row.residual().is_finite()).collect();
        let text = |row: &FitRow| {
            format!(
                "row {}: observed {}, predicted {}, residual {}",
                row.row,
                short(row.observed),
                short(row.predicted),
                short(row.residual())
            )
        };
        let dots = |y: fn(&FitRow) -> f64| {
            let points = rows.iter().map(|row| Point::new(row.predicted, y(row), text(row))).collect();
            Series::new("rows", Style::Dots, points)
        };
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
        };
        let (low, high) = ends(&mut rows.iter().flat_map(|row| [row.observed, row.predicted]));
        let (left, right) = ends(&mut rows.iter().map(|row| row.predicted));
        let guide = |points: [(f64, f64); 2]| {
            let points = points.map(|(x, y)| Point::new(x, y, "")).to_vec();
            Series::new("exact", Style::Guide, points)
        };
        let axis = |label: String| Axis { label, is_log: false, span: None };
        let worst = rows.iter().map(|row| row.residual().abs()).fold(0.0, f64::max);
        let chart = |title: &str, summary: String, y: String, series| Chart {
            title: title.into(),
            summary,
            x: axis(format!("predicted {}", self.target)),
            y: axis(y),
            rows: None,
            series,
        };
        vec![
            chart(
                "Observed against predicted",
                format!("{}; on the dashed line both are equal.", counted(rows.len() as u64, "row")),
                format!("observed {}", self.target),
                vec![guide([(low, low), (high, high)]), dots(|row| row.observed)],
            ),
            chart(
                "Residuals: observed minus predicted",
                format!("{}; the largest residual is {} in size.", counted(rows.len() as u64, "row"), short(worst)),
                "residual".into(),
                vec![guide([(left, 0.0), (right, 0.0)]), dots(FitRow::residual)],
            ),
        ]
    }

    /// The constants of each group in a law.
    fn groups(&self, law: &Shown<'_>) -> Option<Table> {
        let (groups, own) = (law.json["groups"].as_array()?, law.json["own_constants"].as_array()?);
        let own: Vec<&str> = own.iter().filter_map(Value::as_str).collect();
        let mut columns = vec![Column::text("group"), Column::number("rows")];
        columns.extend(own.iter().map(|name| Column::number(name)));
        columns.push(Column::number(&self.error));
        let row = |group: &Value| {
            let rows = group["rows"].as_u64();
            let error = group["loss"].as_f64().map(|loss| if self.error == "RMSE" { loss.sqrt() } else { loss });
            let mut cells = vec![
                Cell::text(group["group"].as_str().unwrap_or_default()),
                Cell::keyed(rows.map_or("–".into(), whole), rows.map(|rows| rows as f64)),
            ];
            cells.extend(own.iter().map(|name| Cell::number(group["constants"][name].as_f64())));
            cells.push(Cell::number(error));
            Row { cells, ..Row::default() }
        };
        let caption = "Constants of each group in the marked law".into();
        Some(Table { caption, columns, rows: groups.iter().map(row).collect() })
    }

    /// The least error after each epoch, if the result tells.
    fn progress(&self) -> Option<Chart> {
        let steps = self.json["progress"].as_array()?;
        let of = |step: &Value| Some((step["epoch"].as_f64()?, step["error"].as_f64()?));
        let steps: Vec<(f64, f64)> = steps.iter().filter_map(of).collect();
        let (&first, &last) = (steps.first()?, steps.last()?);
        // Nothing is better after the last fall.
        let end = self.json["epochs"].as_f64().filter(|&end| end > last.0).map(|end| (end, last.1));
        let steps: Vec<(f64, f64)> = steps.into_iter().chain(end).collect();
        let point = |&(epoch, error): &(f64, f64)| Point::new(epoch, error, format!("epoch {epoch}: {}", short(error)));
        Some(Chart {
            title: "Least error of the search, epoch by epoch; 0 are the closed forms".into(),
            summary: format!("It is {} at first and {} after epoch {}.", short(first.1), short(last.1), last.0),
            x: Axis { label: "epoch".into(), is_log: false, span: None },
            y: Axis { label: format!("1 − {}", self.share), is_log: true, span: None },
            rows: None,
            series: vec![Series::new("least error", Style::Steps, steps.iter().map(point).collect())],
        })
    }

    fn settings(&self) -> Vec<(String, String)> {
        let (settings, budget) = (&self.json["settings"], &self.json["budget"]);
        let mut facts =
            vec![("Target".to_owned(), self.target.to_owned()), ("Variables".to_owned(), listed(&self.variables))];
        let names = [
            ("Seed", "seed"),
            ("Operators", "operators"),
            ("Most nodes", "max_size"),
            ("Megabytes", "memory"),
            ("Guesses", "guesses"),
        ];
        facts.extend(names.map(|(name, field)| (name.to_owned(), value_in_words(&settings[field]))));
        facts.push(("Loss".to_owned(), self.json["loss"].as_str().unwrap_or("mse").to_owned()));
        if let Some(asked) = settings["requirements"].as_object() {
            let asked = asked.iter().filter(|(name, value)| *name != "loss" && !super::json::is_empty(value));
            facts.extend(asked.map(|(name, value)| (name.replace('_', " "), value_in_words(value))));
        }
        if let Some(learner) = settings["learner"].as_object() {
            facts.extend(learner.iter().map(|(name, value)| (format!("learner {name}"), value_in_words(value))));
        }
        let limit = |name: &str, of: &str| match &budget[of] {
            Value::Null => (name.to_owned(), "no limit".to_owned()),
            value if value.is_u64() => (name.to_owned(), whole(value.as_u64().unwrap_or(0))),
            value => (name.to_owned(), value_in_words(value)),
        };
        facts.extend([
            limit("Limit of seconds", "time_limit"),
            limit("Limit of epochs", "epochs"),
            limit("Limit of work", "max_work"),
        ]);
        let spent = [("Epochs of evolution", "epochs"), ("Work, in values", "work")];
        facts.extend(
            spent.iter().filter_map(|(name, field)| Some((name.to_string(), whole(self.json[field].as_u64()?)))),
        );
        facts
    }
}

impl<'a> Shown<'a> {
    fn read(json: &'a Value, is_mse: bool) -> Result<Self, ReportError> {
        let fields = Fields { of: "formula", json };
        let root = |loss: Option<f64>| loss.map(|loss| if is_mse { loss.sqrt() } else { loss });
        let of = |rmse: &str, loss: &str| json[rmse].as_f64().filter(|_| is_mse).or_else(|| root(json[loss].as_f64()));
        let share = match json["r2"].as_f64() {
            _ if json["exact"] == true => "1".to_owned(),
            // The difference is below the digits of a number.
            Some(r2) if r2 >= 1.0 => "1".to_owned(),
            None => "–".to_owned(),
            Some(r2) if r2 > 0.999 => format!("1 − {:.1e}", 1.0 - r2),
            // The mean has an R² of 0, give or take rounding.
            Some(r2) if r2.abs() < 5e-5 => "0".to_owned(),
            Some(r2) => format!("{r2:.4}"),
        };
        Ok(Shown {
            json,
            formula: fields.text("formula")?,
            size: fields.number("size")?,
            error: of("rmse", "loss").unwrap_or(f64::NAN),
            held_out: of("rmse_held_out", "loss_held_out"),
            share,
        })
    }
}

/// Returns names with commas between them, of many the first ones.
fn listed(names: &[String]) -> String {
    const MOST: usize = 30;
    let mut text = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > MOST {
        text += &format!(" and {} more", names.len() - MOST);
    }
    text
}
