//! Traces.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use sr_corpus::{Problems, find_problems};
use sr_engine::{Fit, Instance, Objective, Origin, SearchConfig, StopReason};
use sr_expr::{Columns, Target, Tree};
use sr_problems::Problem;
use sr_trace::{Candidates, TraceReader, Trajectory};

use super::text::{short, table};
use super::{Contexts, Options, Record, Spread, View};

pub(super) struct Trace {
    reader: TraceReader,
    about: Rc<About>,
    file_bytes: u64,
    trajectories: u64,
    generations: Spread,
    individuals: u64,
    stops: BTreeMap<&'static str, u64>,
    converged: u64,
    origins: [u64; Origin::ALL.len()],
    sizes: Spread,
    first_diversity: Spread,
    last_diversity: Spread,
    children: u64,
    well_formed: u64,
    label_sets: BTreeMap<String, u64>,
    labels: u64,
    /// The column note of the last search whose columns have names.
    columns: Option<String>,
    /// What the first search has to tell of its formula's offset and factor.
    scale_note: Option<&'static str>,
}

/// The options and settings that all searches of the file share.
struct About {
    config: SearchConfig,
    threshold: f64,
    best: bool,
    export: Option<Target>,
    predict: bool,
    data: Option<Data>,
    /// Whether it was told that a problem beside the trace has other data.
    is_told: Cell<bool>,
}

/// The problem set, and where it comes from.
struct Data {
    problems: Problems,
    /// Whether the caller named it; otherwise it was found beside the file.
    given: bool,
    /// The problem set that the trace was recorded from, if the caller named another one and this one is found.
    own: Option<Problems>,
}

/// One search.
pub(super) struct Searched {
    /// Its number in the file, from 0.
    number: u64,
    trajectory: Trajectory,
    about: Rc<About>,
    /// The search's problem, if it is found.
    at_hand: Option<AtHand>,
    /// The fit of the best formula to that problem.
    fit: Option<Fit>,
    /// Whether the problem's data differ from those of the search.
    other_data: bool,
}

/// A problem as a search had it: its columns are the variables of the search, in their order.
struct AtHand {
    problem: Arc<Problem>,
    instance: Instance,
    columns: ColumnsAre,
    /// Whether these are the data that were searched, if the caller named the problem set.
    is_searched: bool,
    /// The data that were searched, if the caller named others and these are found.
    searched: Option<Instance>,
    /// Names of `x0`, `x1`, … in formulas.
    names: Vec<String>,
    /// The names of the columns in their file.
    titles: Vec<String>,
}

/// How the columns of a problem set are matched to the variables of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
enum ColumnsAre {
    /// The columns are those that were searched.
    Searched,
    /// The columns have the same names, possibly in another order.
    Named,
    /// The names are not known on both sides: the first column is the first variable, and so on.
    InOrder,
}

impl ColumnsAre {
    fn name(self) -> &'static str {
        match self {
            ColumnsAre::Searched => "searched",
            ColumnsAre::Named => "by name",
            ColumnsAre::InOrder => "in order",
        }
    }
}

/// Where the offset and the factor of a formula are from, in a search that fits constants.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    /// The data that were searched.
    Searched,
    /// Other rows, because those that were searched are not at hand.
    OtherData,
    /// There are no data at hand, so that the formula stands without them.
    Missing,
}

impl Scale {
    fn name(self) -> &'static str {
        match self {
            Scale::Searched => "searched",
            Scale::OtherData => "other data",
            Scale::Missing => "missing",
        }
    }

    /// Returns what a reader of the formula has to know.
    fn note(self) -> Option<&'static str> {
        match self {
            Scale::Searched => None,
            Scale::OtherData => {
                Some("the formula's offset and factor are fitted to these rows: those of the search are not at hand")
            }
            Scale::Missing => Some("the formula stands without its offset and factor: the problem set is not at hand"),
        }
    }
}

/// The best individual of a search, or of its first generations.
#[derive(Clone)]
struct Best<'a> {
    generation: u32,
    tree: Cow<'a, Tree>,
    /// The recorded error, in the square of y's units.
    recorded: f64,
    /// The recorded error as in the file: relative to the variance of y with the objective mse.
    recorded_objective: f64,
}

impl Trace {
    pub(super) fn open(path: &Path, options: &Options) -> anyhow::Result<Self> {
        let reader = TraceReader::open(path)?;
        let &Options { threshold, best, export, predict, ref problems } = options;
        let data = Data::open(path, &reader.header().problems, problems.as_deref())?;
        ensure!(
            !predict || data.is_some(),
            "--predict needs the problem set {}; it is not beside {}: give it with --problems",
            reader.header().problems,
            path.display()
        );
        let config = reader.header().engine.clone();
        Ok(Trace {
            about: Rc::new(About { config, threshold, best, export, predict, data, is_told: Cell::new(false) }),
            reader,
            file_bytes: std::fs::metadata(path)?.len(),
            trajectories: 0,
            generations: Spread::default(),
            individuals: 0,
            stops: BTreeMap::new(),
            converged: 0,
            origins: Default::default(),
            sizes: Spread::default(),
            first_diversity: Spread::default(),
            last_diversity: Spread::default(),
            children: 0,
            well_formed: 0,
            label_sets: BTreeMap::new(),
            labels: 0,
            columns: None,
            scale_note: None,
        })
    }

    fn count(&mut self, searched: &Searched) {
        let trajectory = &searched.trajectory;
        self.trajectories += 1;
        self.generations.add(trajectory.generations.len() as f64);
        *self.stops.entry(trajectory.stop.name()).or_default() += 1;
        self.converged += u64::from(searched.converged().is_some());
        self.scale_note = self.scale_note.or(searched.scale().and_then(Scale::note));
        if let Some(at_hand) = searched.at_hand.as_ref().filter(|at_hand| !at_hand.titles.is_empty()) {
            self.columns = Some(at_hand.columns_note());
        }
        for individual in trajectory.generations.iter().flat_map(|record| record.individuals()) {
            self.individuals += 1;
            self.origins[individual.origin as usize] += 1;
            self.sizes.add(individual.expr.size() as f64);
        }
        if trajectory.generations.len() > 1 {
            self.first_diversity.add(trajectory.generations.first().diversity());
            self.last_diversity.add(trajectory.generations.last().diversity());
        }
        if let Some(counts) = trajectory.sampling {
            self.children += counts.children;
            self.well_formed += counts.well_formed;
        }
        for set in &trajectory.labels {
            *self.label_sets.entry(format!("{} of {}", set.mode, set.source)).or_default() += 1;
            self.labels += set.states.iter().map(|state| state.children.len() as u64).sum::<u64>();
        }
    }
}

impl Data {
    /// Opens the problem set that the caller names, or else the one that the trace was recorded from, if it is found.
    fn open(trace: &Path, name: &str, given: Option<&Path>) -> anyhow::Result<Option<Self>> {
        let beside = find_problems(trace, name, None).ok();
        // A problem set that the caller did not name need not be readable.
        let open_beside = |path: PathBuf, so: &str| match Problems::open(&path) {
            Ok(problems) => Some(problems),
            Err(error) => {
                tracing::warn!("{}: {error}; {so}", path.display());
                None
            }
        };
        let Some(path) = given else {
            let problems = beside.and_then(|path| open_beside(path, "errors are shown as recorded"));
            return Ok(problems.map(|problems| Data { problems, given: false, own: None }));
        };
        let problems = Problems::open(path)?;
        let is_given =
            |beside: &PathBuf| matches!((beside.canonicalize(), path.canonicalize()), (Ok(a), Ok(b)) if a == b);
        let own = beside.filter(|beside| !is_given(beside));
        let own = own.and_then(|own| open_beside(own, "the names of its columns are not known"));
        Ok(Some(Data { problems, given: true, own }))
    }

    /// Returns the problem of a search. If the caller named a set of one problem, its id may differ.
    fn problem(&self, trajectory: &Trajectory, config: &SearchConfig) -> anyhow::Result<Option<AtHand>> {
        let found = match self.problems.by_id(&trajectory.problem_id) {
            Ok(problem) => problem,
            Err(_) if self.given && self.problems.len() == 1 => {
                self.problems.iter().next().context("a set of one")??
            }
            Err(error) if self.given => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        let titles = names_of(&self.problems);
        let of = |problem: Arc<Problem>, columns, names, titles| -> anyhow::Result<AtHand> {
            let instance = problem.instance()?;
            let is_searched = self.given && trajectory.check_searched(&instance, config).is_ok();
            Ok(AtHand { problem, instance, columns, is_searched, searched: None, names, titles })
        };
        let (own, searched) = self.own(trajectory, config)?.unzip();
        if let Some(own) = own.as_ref().filter(|own| !own.is_empty() && !titles.is_empty()) {
            let problem = self.by_name(&found, own, &titles)?;
            let at_hand = of(problem, ColumnsAre::Named, own.clone(), own.clone())?;
            return Ok(Some(AtHand { searched, ..at_hand }));
        }
        if self.given {
            self.check_count(&found, trajectory)?;
        } else if found.x.n_columns() != usize::from(trajectory.primitives.n_variables()) {
            return Ok(None);
        }
        let at_hand = of(found, ColumnsAre::InOrder, Vec::new(), titles)?;
        let mut at_hand = AtHand { searched, ..at_hand };
        match own {
            // Both are named x0, x1, ….
            Some(own) if own.is_empty() && at_hand.titles.is_empty() => at_hand.columns = ColumnsAre::Named,
            Some(own) => at_hand.names = own,
            None if at_hand.is_searched || !self.given => {
                (at_hand.columns, at_hand.names) = (ColumnsAre::Searched, at_hand.titles.clone());
            }
            None => {}
        }
        Ok(Some(at_hand))
    }

    /// Returns the names of the columns that were searched and these data, from the trace's own problem set; `None` if it
    /// is not found or has changed.
    fn own(&self, trajectory: &Trajectory, config: &SearchConfig) -> anyhow::Result<Option<(Vec<String>, Instance)>> {
        let Some(own) = &self.own else { return Ok(None) };
        let Ok(problem) = own.by_id(&trajectory.problem_id) else { return Ok(None) };
        let instance = problem.instance()?;
        let is_searched = trajectory.check_searched(&instance, config).is_ok();
        Ok(is_searched.then(|| (names_of(own), instance)))
    }

    /// Returns the problem with the columns of these names, in this order.
    fn by_name(&self, found: &Problem, names: &[String], titles: &[String]) -> anyhow::Result<Arc<Problem>> {
        let place = |name: &String| titles.iter().position(|title| title == name);
        let missing: Vec<String> =
            names.iter().filter(|name| place(name).is_none()).map(|name| format!("{name:?}")).collect();
        ensure!(
            missing.is_empty(),
            "{}: there is no column {}, which the search had; the columns are {}",
            self.problems.path().display(),
            missing.join(", "),
            titles.join(", ")
        );
        let columns = names.iter().filter_map(place).flat_map(|column| found.x.column(column)).copied().collect();
        let x = Columns::new(found.x.n_rows(), names.len(), columns);
        Ok(Arc::new(Problem { x, ..found.clone() }))
    }

    fn check_count(&self, found: &Problem, trajectory: &Trajectory) -> anyhow::Result<()> {
        let (columns, variables) = (found.x.n_columns(), usize::from(trajectory.primitives.n_variables()));
        ensure!(
            columns == variables,
            "{}: problem {} has {columns} variables, the search of {} had {variables}",
            self.problems.path().display(),
            found.id,
            trajectory.problem_id
        );
        Ok(())
    }
}

fn names_of(problems: &Problems) -> Vec<String> {
    problems.params().origin.variable_names().unwrap_or_default().to_vec()
}

impl AtHand {
    /// Describes the variables.
    fn columns_note(&self) -> String {
        const MOST: usize = 20;
        let named = self.titles.iter().take(MOST).enumerate();
        let mut columns: Vec<String> = named.map(|(index, name)| format!("x{index} = {name:?}")).collect();
        if self.titles.len() > MOST {
            columns.push(format!("… and {} more", self.titles.len() - MOST));
        }
        let columns = columns.join(", ");
        match self.columns {
            ColumnsAre::Searched | ColumnsAre::Named => format!("columns: {columns}\n"),
            ColumnsAre::InOrder => format!(
                "columns are taken in their order, {columns}: those of the search have no names that are at hand\n"
            ),
        }
    }
}

impl Searched {
    fn new(number: u64, trajectory: Trajectory, about: Rc<About>) -> anyhow::Result<Self> {
        let at_hand = about.data.as_ref().map(|data| data.problem(&trajectory, &about.config)).transpose()?.flatten();
        let mut searched = Searched { number, trajectory, about, at_hand, fit: None, other_data: false };
        let best = searched.best();
        let fit = searched.fit_of(&best.tree);
        let is_given = searched.about.data.as_ref().is_some_and(|data| data.given);
        if let (Some(fit), Some(at_hand)) = (fit, &searched.at_hand) {
            searched.other_data = if is_given { !at_hand.is_searched } else { searched.differs(fit, at_hand, &best) };
        }
        searched.fit = fit;
        if searched.other_data && !is_given {
            let id = &searched.trajectory.problem_id;
            // The first of them stands for all: often none is the one that was searched.
            if !searched.about.is_told.replace(true) {
                tracing::warn!(
                    "problem {id} beside the trace has other data than its search; where that is so, errors are shown as \
                     recorded"
                );
            }
            (searched.at_hand, searched.fit) = (None, None);
        }
        Ok(searched)
    }

    /// Returns whether the best individual's error shows that the data differ from those that were searched.
    fn differs(&self, fit: Fit, at_hand: &AtHand, best: &Best<'_>) -> bool {
        let (scale, tolerance) = (at_hand.instance.scale(), at_hand.instance.tolerance());
        // In units of the scale of y, whose own square may overflow.
        let recorded = match self.about.config.objective {
            Objective::Mse => best.recorded_objective,
            Objective::Masked => best.recorded / scale / scale,
        };
        // The record has 32 bits. If the objective masked rows, the errors cannot be compared. An error that is larger
        // by rounding alone belongs to a nearly exact formula.
        let rounding = 1e-5 * recorded.max(fit.relative) + tolerance.max(1e-12);
        recorded.is_finite() && fit.masked_rows == 0 && (fit.relative - recorded).abs() > rounding
    }

    /// Returns the fit of the best formula, or an earlier best one, to the problem that was found.
    fn fit_of(&self, tree: &Tree) -> Option<Fit> {
        Some(self.at_hand.as_ref()?.instance.fit(tree, self.about.config.semantics))
    }

    /// Returns where the formula's offset and factor are from; `None` if the search has none.
    fn scale(&self) -> Option<Scale> {
        self.about.config.fitting?;
        Some(match &self.at_hand {
            None => Scale::Missing,
            Some(at_hand) if self.other_data && at_hand.searched.is_none() => Scale::OtherData,
            Some(_) => Scale::Searched,
        })
    }

    fn best(&self) -> Best<'_> {
        self.progression().pop().expect("a search has a best individual")
    }

    /// Returns all best individuals so far, the first one included.
    fn progression(&self) -> Vec<Best<'_>> {
        let winners = self.trajectory.winners(&self.about.config).into_iter();
        winners.map(|step| self.best_of(step.generation, step.expr, step.mse)).collect()
    }

    /// Where a search fits constants, its individuals are scored with an offset and a factor, which are put back here if
    /// the data that were searched are at hand.
    fn best_of<'a>(&self, generation: u32, tree: &'a Tree, mse: f32) -> Best<'a> {
        let instance = self.at_hand.as_ref().map(|at_hand| at_hand.searched.as_ref().unwrap_or(&at_hand.instance));
        let tree = instance.map_or(Cow::Borrowed(tree), |instance| self.about.config.formula_of(tree, instance));
        Best { generation, tree, recorded: self.trajectory.mse(mse), recorded_objective: mse.into() }
    }

    /// Returns the generation in which the error of the best individual fell to the threshold; `None` if the final
    /// error is above it.
    fn converged(&self) -> Option<u32> {
        let is_within = |error: f64| error <= self.about.threshold;
        if !is_within(self.error(&self.best(), self.fit)) {
            return None;
        }
        let steps = self.progression();
        let step = steps.iter().find(|best| is_within(self.error(best, self.fit_of(&best.tree))));
        step.map(|best| best.generation)
    }

    /// Returns the error that the threshold applies to: the mean squared error, or with the objective mse the one
    /// relative to the variance of y. It is over all rows if the data are found, otherwise as recorded. A mean squared
    /// error that is small only because y is small counts as infinite.
    fn error(&self, best: &Best<'_>, fit: Option<Fit>) -> f64 {
        match (self.about.config.objective, fit) {
            (Objective::Mse, Some(fit)) => fit.relative,
            (Objective::Mse, None) => best.recorded_objective,
            (Objective::Masked, Some(fit)) if fit.relative > LEAST_EXPLAINED => f64::INFINITY,
            (Objective::Masked, Some(fit)) => fit.mse,
            (Objective::Masked, None) => best.recorded,
        }
    }

    /// Returns the error to show, which is computed again if the data are found.
    fn mse(&self, best: &Best<'_>) -> f64 {
        self.fit_of(&best.tree).map_or(best.recorded, |fit| fit.mse)
    }

    /// Returns the error to show as text.
    fn mse_text(&self, best: &Best<'_>) -> String {
        self.fit_of(&best.tree).map_or_else(|| short(best.recorded), mse_text)
    }

    fn text(&self, tree: &Tree) -> String {
        tree.display(self.about.config.semantics).to_string()
    }

    /// Returns the formula as text, with the names of columns if there are any.
    fn named(&self, tree: &Tree) -> String {
        let names = self.at_hand.as_ref().map_or(&[][..], |at_hand| &at_hand.names);
        tree.display(self.about.config.semantics).with_names(names).to_string()
    }

    /// Returns the fields of the best formula, which are the same with and without generations.
    fn best_json(&self) -> Value {
        let best = self.best();
        let fit = self.fit;
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        let step = |best: &Best<'_>| {
            json!({
                "generation": best.generation,
                "expression": self.text(&best.tree),
                "mse": finite(self.mse(best)),
                "mse_recorded": finite(best.recorded),
                "size": best.tree.size(),
            })
        };
        let mut value = json!({
            "problem_id": self.trajectory.problem_id,
            "seed": self.trajectory.seed,
            "stop_reason": self.trajectory.stop.name(),
            "stop_limit": stop_limit(self.trajectory.stop),
            "n_generations": self.trajectory.generations.len(),
            "threshold": self.about.threshold,
            "threshold_of": threshold_of(self.about.config.objective),
            "generations_to_threshold": self.converged(),
            "expression": self.text(&best.tree),
            "formula": self.named(&best.tree),
            "size": best.tree.size(),
            "best_generation": best.generation,
            "mse": finite(self.mse(&best)),
            "mse_recorded": finite(best.recorded),
            "mse_is_recorded": fit.is_none(),
            "rmse": fit.and_then(|fit| finite(fit.rmse)),
            "r2": fit.and_then(|fit| fit.r2()),
            "columns": self.at_hand.as_ref().map(|at_hand| at_hand.columns.name()),
            "other_data": self.other_data,
            "scale": self.scale().map(Scale::name),
            "best_progression": self.progression().iter().map(step).collect::<Vec<_>>(),
        });
        if let Some(text) = self.export() {
            value["export"] = json!(text);
        }
        if self.about.predict
            && let Some(AtHand { problem, .. }) = &self.at_hand
        {
            let predicted = sr_expr::predict(&best.tree, &problem.x, self.about.config.semantics);
            value["predictions"] = predicted.into_iter().map(finite).collect();
            value["y"] = json!(problem.y);
        }
        value
    }

    /// Returns a table of the rows with the best formula's prediction for each.
    fn predictions(&self, at_hand: &AtHand) -> String {
        let AtHand { problem, titles, .. } = at_hand;
        let predicted = sr_expr::predict(&self.best().tree, &problem.x, self.about.config.semantics);
        let name = |column: usize| titles.get(column).cloned().unwrap_or_else(|| format!("x{column}"));
        let columns: Vec<String> = (0..problem.x.n_columns()).map(|column| format!("# {}", name(column))).collect();
        let titles: Vec<&str> = ["# row"]
            .into_iter()
            .chain(columns.iter().map(String::as_str))
            .chain(["# y", "# prediction", "# error"])
            .collect();
        let rows = predicted.iter().enumerate().map(|(row, &value)| {
            let x = (0..problem.x.n_columns()).map(|column| problem.x.column(column)[row].to_string());
            let y = problem.y[row];
            [row.to_string()].into_iter().chain(x).chain([y.to_string(), value.to_string(), short(value - y)]).collect()
        });
        table(&titles, rows.collect())
    }
}

impl View for Trace {
    fn kind(&self) -> &'static str {
        "trace"
    }

    fn columns(&self) -> Vec<String> {
        let mse = if self.about.data.is_some() { "# best mse" } else { "# recorded mse" };
        let threshold = match self.about.config.objective {
            Objective::Masked => format!("# to {:e}", self.about.threshold),
            Objective::Mse => format!("# to 1 − R² {:e}", self.about.threshold),
        };
        let mut columns = ["problem", "# seed", "# generations", "stop", &threshold, mse].map(String::from).to_vec();
        if self.about.best && self.about.data.is_some() {
            columns.push("# R²".into());
        }
        columns.extend(["# size", "best expression"].map(String::from));
        columns
    }

    fn format_version(&self) -> u32 {
        self.reader.header().version()
    }

    fn header(&self) -> Value {
        serde_json::to_value(self.reader.header()).expect("a header is plain data")
    }

    fn is_finished(&self) -> bool {
        self.reader.stated_records().is_some()
    }

    fn next_record(&mut self) -> anyhow::Result<Option<Box<dyn Record>>> {
        let Some(trajectory) = self.reader.next_trajectory()? else { return Ok(None) };
        let searched = Searched::new(self.trajectories, trajectory, self.about.clone())?;
        self.count(&searched);
        Ok(Some(Box::new(searched)))
    }

    fn statistics(&self) -> Vec<(&'static str, Value)> {
        let share = |n: u64, of: u64| n as f64 / of as f64;
        let origins = Origin::ALL.iter().zip(self.origins).filter(|(_, n)| *n > 0);
        let origins: BTreeMap<&str, f64> =
            origins.map(|(origin, n)| (origin.name(), share(n, self.individuals))).collect();
        let mut statistics = vec![
            ("trajectories", json!(self.trajectories)),
            ("converged", json!(self.converged)),
            ("generations", self.generations.json()),
            ("individuals", json!(self.individuals)),
            ("stop reasons", json!(self.stops)),
            ("origins", json!(origins)),
            ("sizes", self.sizes.json()),
            ("first diversity", self.first_diversity.json()),
            ("last diversity", self.last_diversity.json()),
        ];
        if self.children > 0 {
            statistics.push(("well formed", json!(share(self.well_formed, self.children))));
        }
        if self.labels > 0 {
            statistics.push(("label sets", json!(self.label_sets)));
            statistics.push(("labels", json!(self.labels)));
        }
        if self.individuals > 0 {
            statistics.push(("bytes per individual", json!(share(self.file_bytes, self.individuals))));
        }
        statistics
    }

    fn notes(&self) -> String {
        let mut notes = String::new();
        if let Some(columns) = &self.columns {
            notes += columns;
        }
        if self.about.data.is_none() {
            notes += "errors are as recorded, under the search's objective: with --problems they are computed over all rows\n";
        }
        if let Some(note) = self.scale_note {
            notes += &format!("{note}\n");
        }
        notes
    }
}

/// Returns the name, for JSON, of the error that the threshold applies to.
fn threshold_of(objective: Objective) -> &'static str {
    match objective {
        Objective::Masked => "mse",
        Objective::Mse => "relative",
    }
}

/// The largest share of the variance of y that a result may leave unexplained if its mean squared error counts as
/// having fallen to a threshold. The threshold is in the units of y, and where y itself is tiny every error is below
/// it.
const LEAST_EXPLAINED: f64 = 1e-3;

/// Returns a mean squared error as text; where it is out of the range of floats, its root is given instead.
fn mse_text(fit: Fit) -> String {
    let rmse = || short(fit.rmse);
    match fit.mse {
        _ if !fit.is_finite() => "∞".into(),
        mse if mse.is_infinite() => format!("above 1e308 (root {})", rmse()),
        mse if mse > 0.0 && mse < f64::MIN_POSITIVE => format!("below 1e-307 (root {})", rmse()),
        mse => short(mse),
    }
}

impl Record for Searched {
    fn id(&self) -> &str {
        &self.trajectory.problem_id
    }

    fn row(&self) -> Vec<String> {
        let best = self.best();
        let mut row = vec![
            self.trajectory.problem_id.clone(),
            self.trajectory.seed.to_string(),
            self.trajectory.generations.len().to_string(),
            self.trajectory.stop.name().into(),
            self.converged().map_or("–".into(), |generation| generation.to_string()),
            self.mse_text(&best) + if self.at_hand.is_none() && self.about.data.is_some() { " (recorded)" } else { "" },
        ];
        if self.about.best && self.about.data.is_some() {
            row.push(self.fit.and_then(|fit| fit.r2()).map_or("–".into(), r2_text));
        }
        let formula = self.named(&best.tree);
        row.extend([best.tree.size().to_string(), formula]);
        row
    }

    fn export(&self) -> Option<String> {
        let target = self.about.export?;
        let Trajectory { problem_id, seed, primitives, .. } = &self.trajectory;
        let mut names = self.at_hand.as_ref().map_or_else(Vec::new, |at_hand| at_hand.names.clone());
        // All formulas of a search are functions of the same columns.
        names.extend((names.len()..primitives.n_variables().into()).map(|column| format!("x{column}")));
        // Functions of several searches may stand in one file; f64 is a type of Rust.
        let function = format!("f_{}", self.number);
        let note = self.scale().and_then(Scale::note).map(|note| format!("; {note}")).unwrap_or_default();
        let title = format!("search {}: problem {problem_id}, seed {seed}{note}", self.number);
        let best = self.best();
        let export = best.tree.export(target, self.about.config.semantics);
        Some(export.with_names(&names).with_function(&function).with_title(&title).to_string())
    }

    fn contexts(&self, contexts: &Contexts) -> anyhow::Result<Vec<String>> {
        contexts.of_search(&self.trajectory, &self.about.config)
    }

    fn json(&self) -> Value {
        let mut value = self.best_json();
        if self.about.best {
            return value;
        }
        let trajectory = &self.trajectory;
        let text = |expr: &Tree| self.text(expr);
        // Recorded errors have 32 bits, and are shown with no more digits.
        let mse = |recorded: f32| match trajectory.target {
            None => json!(recorded),
            Some(_) => json!(trajectory.mse(recorded)),
        };
        let lineage = trajectory.lineage();
        let generations = trajectory.generations.iter().zip(lineage).map(|(record, lineage)| {
            let each = || record.individuals();
            let mut value = json!({
                "generation": record.generation,
                "expressions": each().map(|i| text(i.expr)).collect::<Vec<_>>(),
                "fitnesses": each().map(|i| i.fitness).collect::<Vec<_>>(),
                "mses": each().map(|i| mse(i.mse)).collect::<Vec<_>>(),
                "origins": each().map(|i| i.origin.name()).collect::<Vec<_>>(),
                "parents": each().map(|i| i.parents.iter().collect::<Vec<_>>()).collect::<Vec<_>>(),
                "best_index": record.best_index,
                "lineage": lineage,
                "diversity": record.diversity(),
            });
            if let Some(labels) = trajectory.dagger_labels(record.generation) {
                let each = || labels.children.iter();
                value["dagger_expressions"] = each().map(|label| text(label.child.expr)).collect();
                value["dagger_gains"] = each().map(|label| label.gain_best).collect();
                if let Some(Candidates { drawn, distinct, improving, gains }) = labels.children.candidates {
                    let gains = Some(gains).filter(|gains| gains.iter().all(|gain| gain.is_finite()));
                    value["dagger_candidates"] =
                        json!({ "drawn": drawn, "distinct": distinct, "improving": improving, "gains": gains });
                }
            }
            value
        });
        let all = json!({
            "operators": trajectory.primitives.ops().iter().map(|op| op.name()).collect::<Vec<_>>(),
            "constants": trajectory.primitives.constants(),
            "variables": trajectory.primitives.n_variables(),
            "evaluations": trajectory.evaluations.search,
            "duplicates": trajectory.evaluations.duplicates,
            "proposals": trajectory.evaluations.proposals,
            "sampling": trajectory.sampling,
            "label_sets": trajectory.labels.iter().map(|set| json!({
                "mode": set.mode,
                "source": set.source,
                "params": set.params,
                "states": set.states.len(),
            })).collect::<Vec<_>>(),
            "generations": generations.collect::<Vec<_>>(),
        });
        let fields = value.as_object_mut().expect("an object was made");
        fields.extend(all.as_object().expect("an object was made").clone());
        value
    }

    fn detail(&self) -> anyhow::Result<String> {
        let trajectory = &self.trajectory;
        let (problem, seed, stop) = (&trajectory.problem_id, trajectory.seed, trajectory.stop.name());
        let best = self.best();
        let mut text = format!("problem {problem}, seed {seed}, ended: {stop}\n");
        text += &format!("best: {}\n", self.named(&best.tree));
        match (self.fit, &self.at_hand) {
            (Some(fit), Some(AtHand { problem, .. })) => {
                let of = if self.other_data { " of other data than the search's" } else { "" };
                let (rows, size) = (problem.y.len(), best.tree.size());
                let fits = match fit.r2() {
                    Some(r2) => format!("mse {} over all {rows} rows{of}, R² {}", mse_text(fit), r2_text(r2)),
                    None if fit.is_finite() => {
                        format!("mse {} over all {rows} rows{of}, whose y does not vary", mse_text(fit))
                    }
                    None => format!("no value on some of {rows} rows{of}"),
                };
                text += &format!("{fits}, size {size}\n");
            }
            _ => {
                let (mse, size) = (short(best.recorded), best.tree.size());
                text += &format!("mse {mse} as recorded (the problem set is not at hand), size {size}\n");
            }
        }
        if let Some(note) = self.scale().and_then(Scale::note) {
            text += &format!("{note}\n");
        }
        let threshold = self.about.threshold;
        let of = match self.about.config.objective {
            Objective::Masked => format!("an mse of {threshold:e}"),
            Objective::Mse => format!("1 − R² of {threshold:e}"),
        };
        let recorded = if self.fit.is_none() { ", as recorded" } else { "" };
        text += &match self.converged() {
            Some(generation) => format!("generations to {of}: {generation}{recorded}\n"),
            None => format!("{of} was not reached{recorded}\n"),
        };
        if let Some(at_hand) = self.at_hand.as_ref().filter(|at_hand| at_hand.columns == ColumnsAre::InOrder) {
            text += &at_hand.columns_note();
        }
        if self.about.predict {
            let Some(at_hand) = &self.at_hand else {
                bail!("--predict: problem {problem} has other data: give its problem set with --problems")
            };
            return Ok(text + "\n" + &self.predictions(at_hand));
        }
        let steps = self.progression().into_iter().map(|best| {
            vec![
                best.generation.to_string(),
                self.mse_text(&best),
                best.tree.size().to_string(),
                self.named(&best.tree),
            ]
        });
        let mse = if self.at_hand.is_some() { "# mse" } else { "# recorded mse" };
        text += "\n";
        text += &table(&["# generation", mse, "# size", "best so far"], steps.collect());
        if self.about.best {
            return Ok(text);
        }
        let rows = trajectory.generations.iter().zip(trajectory.lineage()).map(|(record, lineage)| {
            let best = record.best();
            vec![
                record.generation.to_string(),
                short(trajectory.mse(best.mse)),
                short(best.fitness.into()),
                short(record.diversity()),
                lineage.len().to_string(),
                trajectory.dagger_labels(record.generation).map_or(0, |state| state.children.len()).to_string(),
                if record.improved { "*".into() } else { String::new() },
            ]
        });
        let titles =
            ["# generation", "# recorded mse", "# fitness", "# diversity", "# ancestors", "# labels", "new best"];
        text += "\n";
        text += &table(&titles, rows.collect());
        Ok(text)
    }
}

/// Returns R² with as many digits as distinguish it from 1.
fn r2_text(r2: f64) -> String {
    match 1.0 - r2 {
        0.0 => "1".into(),
        rest if rest.abs() < 1e-4 => format!("1 − {rest:.1e}"),
        _ => short(r2),
    }
}

/// Returns the limit that belongs to a stop reason.
fn stop_limit(stop: StopReason) -> Value {
    match stop {
        StopReason::Solved { mse } => json!(mse),
        StopReason::Generations(limit) => json!(limit),
        StopReason::Evaluations(limit) => json!(limit),
        StopReason::TimeLimit(limit) => json!(limit.as_secs_f64()),
        StopReason::Exhausted | StopReason::Observer => Value::Null,
    }
}
