//! Traces.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use sr_corpus::{Problems, find_problems};
use sr_engine::{Fit, Instance, Origin, StopReason};
use sr_expr::{Semantics, Tree};
use sr_problems::{Origin as Source, Problem};
use sr_trace::{Candidates, TraceReader, Trajectory};

use crate::view::{Contexts, Record, Spread, View, ellipsis, short, table};

/// What is asked for, beside what every file has.
pub(crate) struct TraceOptions {
    /// The error at which a search counts as converged.
    pub(crate) threshold: f64,
    /// Whether only the best formula of each search is wanted.
    pub(crate) best: bool,
    /// Whether the values of the best formula are wanted.
    pub(crate) predict: bool,
    /// The problem set.
    pub(crate) problems: Option<PathBuf>,
}

pub(crate) struct Trace {
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
    cut: bool,
}

/// What all searches of the file have in common.
struct About {
    semantics: Semantics,
    threshold: f64,
    best: bool,
    predict: bool,
    data: Option<Data>,
}

/// A problem set at hand.
struct Data {
    problems: Problems,
    /// Names of the columns that are `x0`, `x1`, …
    names: Vec<String>,
    /// Whether it was asked for, and not only found beside the file.
    given: bool,
}

/// One search.
pub(crate) struct Searched {
    trajectory: Trajectory,
    about: Rc<About>,
    /// Its problem, if that is at hand.
    problem: Option<Arc<Problem>>,
    /// The same as its search had it.
    instance: Option<Instance>,
    /// Whether the problem's data are others than those of the search.
    other_data: bool,
}

/// The best individual of a search, or of its first generations.
#[derive(Clone, Copy)]
struct Best<'a> {
    generation: u32,
    tree: &'a Tree,
    /// The error that the search had, in y's units.
    recorded: f64,
}

impl Trace {
    pub(crate) fn open(path: &Path, options: TraceOptions) -> anyhow::Result<Self> {
        let reader = TraceReader::open(path)?;
        let TraceOptions { threshold, best, predict, problems } = options;
        let data = Data::open(path, &reader.header().problems, problems.as_deref())?;
        ensure!(
            !predict || data.is_some(),
            "--predict needs the problem set {}; it is not beside {}: give it with --problems",
            reader.header().problems,
            path.display()
        );
        let semantics = reader.header().engine.semantics;
        Ok(Trace {
            about: Rc::new(About { semantics, threshold, best, predict, data }),
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
            cut: false,
        })
    }

    fn count(&mut self, searched: &Searched) {
        let trajectory = &searched.trajectory;
        self.trajectories += 1;
        self.generations.add(trajectory.generations.len() as f64);
        *self.stops.entry(trajectory.stop.name()).or_default() += 1;
        self.converged += u64::from(searched.converged().is_some());
        self.cut |= searched.whole_formula().chars().count() > ellipsis(&searched.whole_formula()).chars().count();
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
    /// The problem set that the caller names, or the one that the trace was made from if it is there.
    fn open(trace: &Path, name: &str, given: Option<&Path>) -> anyhow::Result<Option<Self>> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => match find_problems(trace, name, None) {
                Ok(path) => path,
                Err(_) => return Ok(None),
            },
        };
        let problems = match (Problems::open(&path), given) {
            (Ok(problems), _) => problems,
            (Err(error), Some(_)) => return Err(error.into()),
            // What was not asked for need not be whole.
            (Err(error), None) => {
                tracing::warn!("{}: {error}; errors are shown as recorded", path.display());
                return Ok(None);
            }
        };
        let names = match &problems.params().origin {
            Source::Csv { variables, .. } | Source::Parquet { variables, .. } => variables.clone(),
            _ => Vec::new(),
        };
        Ok(Some(Data { problems, names, given: given.is_some() }))
    }

    /// The problem of a search. A set of one that was asked for may hold new rows under another name.
    fn problem(&self, trajectory: &Trajectory) -> anyhow::Result<Option<Arc<Problem>>> {
        let found = match self.problems.by_id(&trajectory.problem_id) {
            Ok(problem) => problem,
            Err(_) if self.given && self.problems.len() == 1 => {
                self.problems.iter().next().context("a set of one")??
            }
            Err(error) if self.given => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        let (columns, variables) = (found.x.n_columns(), usize::from(trajectory.primitives.n_variables()));
        if columns == variables {
            return Ok(Some(found));
        }
        ensure!(
            !self.given,
            "{}: problem {} has {columns} variables, the search of {} had {variables}",
            self.problems.path().display(),
            found.id,
            trajectory.problem_id
        );
        Ok(None)
    }
}

impl Searched {
    fn new(trajectory: Trajectory, about: Rc<About>) -> anyhow::Result<Self> {
        let problem = about.data.as_ref().map(|data| data.problem(&trajectory)).transpose()?.flatten();
        let instance = problem.as_ref().map(|problem| problem.instance()).transpose()?;
        let mut searched = Searched { trajectory, about, problem, instance, other_data: false };
        let best = searched.best();
        if let (Some(fit), Some(instance)) = (searched.fit(best.tree), &searched.instance) {
            // The record has 32 bits, and an objective may have left rows out: of these nothing can be told. An error that
            // is larger by rounding alone is one of a nearly exact formula.
            let least = 1e-12_f64.max(instance.tolerance()) * instance.scale() * instance.scale();
            let rounding = 1e-5 * best.recorded.max(fit.mse) + least;
            let is_comparable = best.recorded.is_finite() && fit.masked_rows == 0;
            searched.other_data = is_comparable && (fit.mse - best.recorded).abs() > rounding;
        }
        let is_given = searched.about.data.as_ref().is_some_and(|data| data.given);
        if searched.other_data && !is_given {
            let id = &searched.trajectory.problem_id;
            tracing::warn!(
                "problem {id} beside the trace has other data than its search; errors are shown as recorded"
            );
            (searched.problem, searched.instance) = (None, None);
        }
        Ok(searched)
    }

    /// How the best formula, or one of its predecessors, fits the problem at hand.
    fn fit(&self, tree: &Tree) -> Option<Fit> {
        Some(self.instance.as_ref()?.fit(tree, self.about.semantics))
    }

    fn best(&self) -> Best<'_> {
        self.progression().pop().expect("a search has a best individual")
    }

    /// Every best individual so far, the first one included.
    fn progression(&self) -> Vec<Best<'_>> {
        let mut steps: Vec<Best<'_>> = self
            .trajectory
            .best_progression()
            .into_iter()
            .map(|step| Best { generation: step.generation, tree: step.expr, recorded: self.trajectory.mse(step.mse) })
            .collect();
        if steps.is_empty() {
            // A continued search may be fitter from before; what it begins with is what can be shown.
            let first = self.trajectory.generations.first();
            let best = first.best();
            steps.push(Best { generation: first.generation, tree: best.expr, recorded: self.trajectory.mse(best.mse) });
        }
        steps
    }

    /// The generation in which the recorded error of the best individual fell to the threshold.
    fn converged(&self) -> Option<u32> {
        let threshold = self.about.threshold;
        self.progression().iter().find(|best| best.recorded <= threshold).map(|best| best.generation)
    }

    /// The error to show: computed again where the data are at hand.
    fn mse(&self, best: Best<'_>) -> f64 {
        self.fit(best.tree).map_or(best.recorded, |fit| fit.mse)
    }

    fn text(&self, tree: &Tree) -> String {
        tree.display(self.about.semantics).to_string()
    }

    /// With the names of columns, where there are any.
    fn named(&self, tree: &Tree) -> String {
        let names = self.about.data.as_ref().map_or(&[][..], |data| &data.names);
        tree.display(self.about.semantics).with_names(names).to_string()
    }

    fn whole_formula(&self) -> String {
        self.named(self.best().tree)
    }

    /// What is the same with and without generations.
    fn best_json(&self) -> Value {
        let best = self.best();
        let fit = self.fit(best.tree);
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        let step = |best: &Best<'_>| {
            json!({
                "generation": best.generation,
                "expression": self.text(best.tree),
                "mse": finite(self.mse(*best)),
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
            "generations_to_threshold": self.converged(),
            "expression": self.text(best.tree),
            "formula": self.named(best.tree),
            "size": best.tree.size(),
            "best_generation": best.generation,
            "mse": finite(self.mse(best)),
            "mse_recorded": finite(best.recorded),
            "mse_is_recorded": fit.is_none(),
            "r2": fit.and_then(|fit| fit.r2()),
            "other_data": self.other_data,
            "best_progression": self.progression().iter().map(step).collect::<Vec<_>>(),
        });
        if self.about.predict
            && let Some(problem) = &self.problem
        {
            let predicted = sr_expr::predict(best.tree, &problem.x, self.about.semantics);
            value["predictions"] = predicted.into_iter().map(finite).collect();
            value["y"] = json!(problem.y);
        }
        value
    }

    /// Rows with what the best formula says of them.
    fn predictions(&self, problem: &Problem) -> String {
        let predicted = sr_expr::predict(self.best().tree, &problem.x, self.about.semantics);
        let names = self.about.data.as_ref().map_or(&[][..], |data| &data.names);
        let name = |column: usize| names.get(column).cloned().unwrap_or_else(|| format!("x{column}"));
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
    type Record = Searched;
    const KIND: &'static str = "trace";

    fn columns(&self) -> Vec<String> {
        let mse = if self.about.data.is_some() { "# best mse" } else { "# recorded mse" };
        let threshold = format!("# to {:e}", self.about.threshold);
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

    fn next_record(&mut self) -> anyhow::Result<Option<Searched>> {
        let Some(trajectory) = self.reader.next_trajectory()? else { return Ok(None) };
        let searched = Searched::new(trajectory, self.about.clone())?;
        self.count(&searched);
        Ok(Some(searched))
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
        if let Some(data) = self.about.data.as_ref().filter(|data| !data.names.is_empty()) {
            notes += &columns_note(&data.names);
        }
        if self.cut && !self.about.best {
            notes += "formulas that end in … are cut: --best prints them whole\n";
        }
        if self.about.data.is_none() {
            notes += "errors are as recorded, under the search's objective: with --problems they are computed over all rows\n";
        }
        notes
    }
}

/// What the variables are.
fn columns_note(names: &[String]) -> String {
    const MOST: usize = 20;
    let mut names_of: Vec<String> =
        names.iter().take(MOST).enumerate().map(|(index, name)| format!("x{index} = {name:?}")).collect();
    if names.len() > MOST {
        names_of.push(format!("… and {} more", names.len() - MOST));
    }
    format!("columns: {}\n", names_of.join(", "))
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
            short(self.mse(best))
                + if self.problem.is_none() && self.about.data.is_some() { " (recorded)" } else { "" },
        ];
        if self.about.best && self.about.data.is_some() {
            row.push(self.fit(best.tree).and_then(|fit| fit.r2()).map_or("–".into(), r2_text));
        }
        let formula = self.named(best.tree);
        row.extend([best.tree.size().to_string(), if self.about.best { formula } else { ellipsis(&formula) }]);
        row
    }

    fn contexts(&self, contexts: &Contexts) -> anyhow::Result<Vec<String>> {
        let Trajectory { problem_id, primitives, generations, .. } = &self.trajectory;
        let text = |generation| contexts.text(problem_id, generation, Some(primitives));
        generations.iter().map(|record| text(record.generation)).collect()
    }

    fn json(&self) -> Value {
        let mut value = self.best_json();
        if self.about.best {
            return value;
        }
        let trajectory = &self.trajectory;
        let text = |expr: &Tree| self.text(expr);
        // The digits of 32 bits where these are what is told.
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
        text += &format!("best: {}\n", self.named(best.tree));
        match (self.fit(best.tree), &self.problem) {
            (Some(fit), Some(data)) => {
                let r2 = fit.r2().map_or(String::new(), |r2| format!(", R² {}", r2_text(r2)));
                let of = if self.other_data { " of other data than the search's" } else { "" };
                let (mse, rows) = (short(fit.mse), data.y.len());
                text += &format!("mse {mse} over all {rows} rows{of}{r2}, size {}\n", best.tree.size());
            }
            _ => {
                let (mse, size) = (short(best.recorded), best.tree.size());
                text += &format!("mse {mse} as recorded (the problem set is not at hand), size {size}\n");
            }
        }
        let threshold = self.about.threshold;
        text += &match self.converged() {
            Some(generation) => format!("generations to an mse of {threshold:e}: {generation}\n"),
            None => format!("an mse of {threshold:e} was not reached\n"),
        };
        if self.about.predict {
            let Some(problem) = &self.problem else {
                bail!("--predict: problem {problem} has other data: give its problem set with --problems")
            };
            return Ok(text + "\n" + &self.predictions(problem));
        }
        let steps = self.progression().into_iter().map(|best| {
            vec![
                best.generation.to_string(),
                short(self.mse(best)),
                best.tree.size().to_string(),
                self.named(best.tree),
            ]
        });
        let mse = if self.problem.is_some() { "# mse" } else { "# recorded mse" };
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

/// R² to as many digits as tell it from 1.
fn r2_text(r2: f64) -> String {
    match 1.0 - r2 {
        0.0 => "1".into(),
        rest if rest.abs() < 1e-4 => format!("1 − {rest:.1e}"),
        _ => short(r2),
    }
}

/// The number that belongs to a stop reason.
fn stop_limit(stop: StopReason) -> Value {
    match stop {
        StopReason::Solved { mse } => json!(mse),
        StopReason::Generations(limit) => json!(limit),
        StopReason::Evaluations(limit) => json!(limit),
        StopReason::TimeLimit(limit) => json!(limit.as_secs_f64()),
        StopReason::Exhausted | StopReason::Observer => Value::Null,
    }
}
