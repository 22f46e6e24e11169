//! The folder of a run: `report.html`, `fit.json`, `front.csv`, `formula.txt`, `points.csv` and, of groups, `constants.csv`
//! for people and programs, `state.json` to go on.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize as _;
use serde_json::{Value, json};
use sr_cli::{Claim, Output};
use sr_lab::fit::{Course, FitOptions, Fitting, State};
use sr_lab::report::REPORT;
use sr_lab::sr_codec::sums;
use sr_lab::sr_expr::{Expr, Op};
use sr_lab::sr_problems::{Decimal, Missing, Problem, Table, TableOptions};
use sr_lab::sr_report::{Section, report_page};

use crate::formula::{Formula, Groups};
use crate::learner::Asked;
use crate::report;
use crate::requirements::RequirementArgs;
use crate::search::{Found, Step};

const FORMAT_VERSION: u64 = 1;
const FIT: &str = "fit.json";
const FRONT: &str = "front.csv";
const FORMULA: &str = "formula.txt";
const CONSTANTS: &str = "constants.csv";
const POINTS: &str = "points.csv";
const STATE: &str = "state.json";
/// The state while `--force` replaces a result, which stays as it is until the new one is there.
const PARTIAL: &str = "state.partial.json";
/// What differs between equal runs, as [`sr_cli::write_run_file`] names it.
const RUN: &str = "fit.run.json";
const ALL: [&str; 9] = [FIT, FRONT, FORMULA, CONSTANTS, POINTS, REPORT, STATE, PARTIAL, RUN];

/// Claims the folder of a run before any work is done. `resume` is `None` for a search that keeps no state to go on from.
pub(crate) fn claim<'a>(
    out: &'a Path,
    inputs: impl Iterator<Item = &'a PathBuf>,
    resume: Option<bool>,
    force: bool,
) -> anyhow::Result<Output> {
    let inputs = inputs.filter(|path| path.exists());
    let claim = Claim::folder(out).also(ALL).inputs(inputs).may_exist(true);
    let output = claim.take()?;
    let is_empty = match fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("reading {}", out.display())),
    };
    let goes_on = if resume.is_some() { "--resume goes on with the run in it, " } else { "" };
    ensure!(
        is_empty || resume == Some(true) || force,
        "{} is not empty; {goes_on}--force replaces it, and --out DIR writes elsewhere",
        out.display()
    );
    Ok(output)
}

/// Refuses a file that a run writes into its folder as the file of a flag: one of the two would be lost.
pub(crate) fn refuse_own(out: &Path, flag: &str, path: Option<&Path>) -> anyhow::Result<()> {
    let own = ALL.map(|name| out.join(name));
    let is_own = path.is_some_and(|path| own.iter().any(|own| is_same(own, path)));
    ensure!(
        !is_own,
        "{flag} {}: the run has a file of that name in its folder; take another",
        path.unwrap_or(out).display()
    );
    Ok(())
}

/// Returns whether two paths are of one file, which need not be there.
pub(crate) fn is_same(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some((fs::canonicalize(parent).ok()?, path.file_name()?.to_owned()))
    };
    place(a).is_some_and(|of_a| place(b) == Some(of_a))
}

/// Returns what a result depends on beside the budgets.
pub(crate) fn settings(
    table: &Table,
    validation: Option<&Problem>,
    options: &FitOptions,
    requirements: &RequirementArgs,
    learner: Option<&Asked>,
) -> Value {
    let (problem, report) = (&table.set.problems[0], &table.report);
    let mut settings = json!({
        "table": {
            "columns": { "target": report.target, "variables": report.variables, "weights": report.weights },
            "data": data_of(problem),
            "name": problem.id,
            "rows": problem.y.len(),
        },
        "validation": validation.map(|problem| json!({ "data": data_of(problem), "rows": problem.y.len() })),
        "seed": options.seed,
        "operators": options.operators.iter().map(|op| op.name()).collect::<Vec<_>>(),
        "max_size": options.max_size,
        "memory": options.memory >> 20,
        "closed_forms_work": options.algebra_work,
        "requirements": requirements.json(),
        "guesses": options.guesses.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    if let Some(learner) = learner {
        settings["learner"] = learner.settings();
    }
    if let Some(groups) = &table.groups {
        settings["table"]["groups"] = json!(sums::of_bytes(json!(groups).to_string().as_bytes()));
    }
    settings
}

/// Returns the data of a problem in a short form, by which it is recognised.
fn data_of(problem: &Problem) -> String {
    format!("{:016x}", problem.fingerprint())
}

/// The folder of a run that is made.
pub(crate) struct Folder<'a> {
    pub(crate) path: &'a Path,
    pub(crate) settings: Value,
}

impl Folder<'_> {
    /// Makes the folder. With `force` a state that an earlier run left without a result is removed; a result stays until
    /// there is another one.
    pub(crate) fn prepare(&self, force: bool) -> anyhow::Result<()> {
        fs::create_dir_all(self.path).with_context(|| format!("making {}", self.path.display()))?;
        if force {
            self.remove(PARTIAL)?;
            match self.path.join(FIT).exists() {
                // From here on states have this name.
                true => self.write_state(&self.path.join(PARTIAL), json!({ "settings": self.settings }))?,
                false => self.remove(STATE)?,
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Where the state of the run is that goes on.
    fn state_path(&self) -> PathBuf {
        let partial = self.path.join(PARTIAL);
        if partial.exists() { partial } else { self.path.join(STATE) }
    }

    /// Writes what is needed to go on.
    pub(crate) fn save(&self, fitting: &Fitting, progress: &[Step]) -> anyhow::Result<()> {
        let content = json!({ "settings": self.settings, "state": fitting.state(), "progress": progress });
        self.write_state(&self.state_path(), content)
    }

    fn write_state(&self, path: &Path, content: Value) -> anyhow::Result<()> {
        let sum = sums::of_bytes(content.to_string().as_bytes());
        let file = json!({ "format_version": FORMAT_VERSION, "sha256": sum, "content": content });
        sr_cli::write_atomically(path, file.to_string().as_bytes())
    }

    /// Reads the state of the run in the folder and its progress, if there is one of the same settings.
    pub(crate) fn state(&self) -> anyhow::Result<Option<(State, Vec<Step>)>> {
        let [partial, own] = [PARTIAL, STATE].map(|name| self.path.join(name));
        let is_of = |content: &Value| sr_cli::difference(&content["settings"], &self.settings).is_none();
        let (mut path, mut content) = (own.clone(), None);
        if partial.exists() {
            (path, content) = (partial.clone(), Some(read_state(&partial)?));
            // The result itself may be what goes on, in the place of the run that was to replace it.
            if !content.as_ref().is_some_and(is_of) && own.exists() {
                let of_result = read_state(&own)?;
                if is_of(&of_result) {
                    self.remove(PARTIAL)?;
                    (path, content) = (own, Some(of_result));
                }
            }
        } else if own.exists() {
            content = Some(read_state(&own)?);
        }
        let Some(content) = content else {
            let has_result = self.path.join(FIT).exists();
            ensure!(
                !has_result,
                "{} has a result but no {STATE} to go on from; --force begins anew",
                self.path.display()
            );
            return Ok(None);
        };
        sr_cli::check_same_settings(self.path, &content["settings"], &self.settings)?;
        if content["state"].is_null() {
            // It was killed before its first state.
            return Ok(None);
        }
        let reading = || format!("reading {}", path.display());
        let state = State::of_json(&content["state"]).with_context(reading)?;
        // Earlier versions did not keep the progress.
        let progress = content["progress"].as_array().into_iter().flatten().map(Step::deserialize);
        let progress = progress.collect::<Result<_, _>>().with_context(reading)?;
        Ok(Some((state, progress)))
    }

    /// Writes the result, with the report of it.
    pub(crate) fn write(&self, found: &Found, options: &FitOptions, table: &Table) -> anyhow::Result<()> {
        let mut fit = found.result.clone();
        fit["format_version"] = json!(FORMAT_VERSION);
        fit["settings"] = self.settings.clone();
        fit["budget"] = json!({
            "time_limit": options.time_limit.map(|limit| limit.as_secs_f64()),
            "epochs": options.epochs,
            "max_work": options.max_work,
        });
        if table.report.missing == Missing::Drop {
            fit["table"]["missing"] = json!("drop");
        }
        if let Some(course) = &found.course {
            fit["course"] = json!(course);
        }
        let write = |name: &str, text: &str| sr_cli::write_atomically(&self.path.join(name), text.as_bytes());
        write(FRONT, &found.front_csv)?;
        write(FORMULA, &format!("{} = {}\n", found.target, found.formula.text()))?;
        if let Some(constants) = &found.constants_csv {
            write(CONSTANTS, constants)?;
        }
        let mut rows = sr_lab::report::rows(&table.set.problems[0].y, &found.formula.predict(table));
        rows.iter_mut().for_each(|row| row.row = table.report.row(row.row - 1) + 1);
        write(POINTS, &sr_lab::report::rows_csv(&rows))?;
        write(REPORT, &report_page(&[Section::fit(&found.target, &fit, &rows)?]))?;
        // The last one, so that a folder with it is whole.
        write(FIT, &(serde_json::to_string_pretty(&fit)? + "\n"))?;
        // What an earlier result had and this one has not.
        if found.constants_csv.is_none() {
            self.remove(CONSTANTS)?;
        }
        let partial = self.path.join(PARTIAL);
        match found.course {
            Some(_) if partial.exists() => {
                fs::rename(&partial, self.path.join(STATE)).with_context(|| format!("renaming {}", partial.display()))
            }
            Some(_) => Ok(()),
            None => self.remove(PARTIAL).and_then(|()| self.remove(STATE)),
        }
    }
}

/// Reads the settings and the state of a run.
fn read_state(path: &Path) -> anyhow::Result<Value> {
    let mut file = read_json(path)?;
    let content = file["content"].take();
    let sum = sums::of_bytes(content.to_string().as_bytes());
    ensure!(
        file["sha256"].as_str() == Some(&sum),
        "{} was changed or damaged: its checksum is another; --force without --resume begins anew",
        path.display()
    );
    Ok(content)
}

/// The groups of a law, the names of their own constants, and these, `[groups, own constants]`.
struct Law {
    groups: Vec<String>,
    own: Vec<String>,
    constants: Vec<Vec<f64>>,
}

/// An earlier run, read from its folder.
pub(crate) struct Run {
    path: PathBuf,
    fit: Value,
    pub(crate) settings: Value,
    pub(crate) target: String,
    pub(crate) variables: Vec<String>,
    /// The expressions of the front, the smallest first, and their sizes.
    pub(crate) expressions: Vec<String>,
    sizes: Vec<usize>,
    pub(crate) chosen: usize,
    marked: usize,
}

impl Run {
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FIT);
        let unfinished = folder.join(STATE).exists() && !path.exists();
        ensure!(!unfinished, "the run in {} has no result yet; --resume goes on with it", folder.display());
        let fit = read_json(&path)?;
        let text = |value: &Value, name: &str| -> anyhow::Result<String> {
            let found = value[name].as_str().map(str::to_owned);
            found.with_context(|| format!("{} has no {name}; it is not a whole result of sr-fit", path.display()))
        };
        let index = |name: &str| -> anyhow::Result<usize> {
            let found = fit[name].as_u64().map(|index| index as usize);
            found.with_context(|| format!("{} has no {name}; it is not a whole result of sr-fit", path.display()))
        };
        let columns = &fit["settings"]["table"]["columns"];
        let variables = columns["variables"].as_array().into_iter().flatten();
        let variables = variables.filter_map(|name| name.as_str().map(str::to_owned)).collect();
        let front = fit["front"].as_array().map(Vec::as_slice).unwrap_or_default();
        let expressions =
            front.iter().map(|formula| text(formula, "expression")).collect::<anyhow::Result<Vec<_>>>()?;
        let size = |formula: &Value| formula["size"].as_u64().map(|size| size as usize);
        let sizes = front.iter().map(size).collect::<Option<Vec<_>>>();
        let sizes = sizes.with_context(|| format!("{}: a formula has no size", path.display()))?;
        let (chosen, marked) = (index("chosen")?, index("marked")?);
        ensure!(
            chosen.max(marked) < expressions.len(),
            "{}: chosen and marked are none of {} formulas",
            path.display(),
            expressions.len()
        );
        let target = text(columns, "target")?;
        let settings = fit["settings"].clone();
        Ok(Run { target, variables, expressions, sizes, chosen, marked, settings, fit, path })
    }

    /// Returns the formula that is marked, or the largest of a size of no more than `pick`.
    pub(crate) fn marked(&self, pick: Option<usize>) -> anyhow::Result<Formula> {
        let index = report::marked(self.marked, &self.sizes, pick)?;
        let text = &self.expressions[index];
        let expr: Expr = text.parse().with_context(|| self.path.display().to_string())?;
        let mut names = self.variables.clone();
        let groups = match self.group() {
            Some(column) => {
                let law = self.law(index);
                let law = law.with_context(|| format!("{}: {text} has no valid groups", self.path.display()))?;
                names.extend(law.own);
                Some(Groups { column: column.to_owned(), names: law.groups, constants: law.constants })
            }
            None => None,
        };
        let (found, known) = (expr.n_variables(), names.len());
        ensure!(found <= known, "{}: {text} has a variable beyond the {known} columns", self.path.display());
        Ok(Formula { expr, names, groups })
    }

    /// Returns the column of groups, if the run had one.
    pub(crate) fn group(&self) -> Option<&str> {
        self.settings["requirements"]["group"].as_str()
    }

    /// Reads the groups of a law and their own constants.
    fn law(&self, index: usize) -> Option<Law> {
        let law = &self.fit["front"][index];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let own: Vec<String> = law["own_constants"].as_array()?.iter().map(text).collect::<Option<_>>()?;
        let of_groups = law["groups"].as_array()?;
        let constants =
            |group: &Value| own.iter().map(|name| group["constants"][name].as_f64()).collect::<Option<Vec<f64>>>();
        Some(Law {
            groups: of_groups.iter().map(|group| text(&group["group"])).collect::<Option<_>>()?,
            constants: of_groups.iter().map(constants).collect::<Option<_>>()?,
            own,
        })
    }

    /// Returns how the table of the run is to be read again.
    pub(crate) fn reading(&self) -> anyhow::Result<TableOptions> {
        let table = &self.fit["table"];
        let weights = self.settings["table"]["columns"]["weights"].as_str().map(str::to_owned);
        let mut options = TableOptions::new(&self.target);
        options.features = Some(self.variables.clone());
        options.weights = weights;
        options.header = table["header"].as_bool().unwrap_or(true);
        options.decimal = if table["decimal"] == "," { Decimal::Comma } else { Decimal::Point };
        // Earlier versions did not write it.
        let is_dropped = table["missing"] == "drop" || table["dropped_rows"].as_u64() > Some(0);
        options.missing = if is_dropped { Missing::Drop } else { Missing::Refuse };
        Ok(options)
    }

    /// Returns what the run was asked for besides data.
    pub(crate) fn requirements(&self) -> anyhow::Result<RequirementArgs> {
        RequirementArgs::of_json(&self.settings["requirements"])
            .with_context(|| format!("reading {}", self.path.display()))
    }

    /// Returns the options of the run and its course, without its loss and rules.
    pub(crate) fn options(&self) -> anyhow::Result<FitOptions> {
        let bad = |what: &str| format!("{} has no valid {what}", self.path.display());
        let (settings, budget) = (&self.settings, &self.fit["budget"]);
        let texts = |name: &str| settings[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        let course: Course = serde_json::from_value(self.fit["course"].clone()).with_context(|| bad("course"))?;
        let limit = budget["time_limit"].as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let operators = texts("operators").map(|name| Op::from_name(name).with_context(|| bad("operators")));
        let guesses = texts("guesses").map(|text| text.parse::<Expr>().with_context(|| bad("guesses")));
        let epochs = budget["epochs"].as_u64().and_then(|epochs| u32::try_from(epochs).ok());
        let number = |name: &str| settings[name].as_u64().with_context(|| bad(name));
        Ok(FitOptions {
            seed: number("seed")?,
            operators: operators.collect::<anyhow::Result<_>>()?,
            max_size: number("max_size")? as usize,
            time_limit: limit,
            epochs,
            algebra_work: number("closed_forms_work")?,
            max_work: budget["max_work"].as_u64(),
            memory: (number("memory")? as usize) << 20,
            guesses: guesses.collect::<anyhow::Result<_>>()?,
            policy_share: settings["learner"]["share"].as_f64().unwrap_or(FitOptions::default().policy_share),
            replay: Some(course),
            ..FitOptions::default()
        })
    }
}

/// Reads a file of this version.
fn read_json(path: &Path) -> anyhow::Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let file: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is cut off or damaged", path.display()))?;
    match file["format_version"].as_u64() {
        Some(FORMAT_VERSION) => Ok(file),
        Some(version) => bail!("{} has format version {version}, expected {FORMAT_VERSION}", path.display()),
        None => bail!("{} has no format_version; it is no file of sr-fit", path.display()),
    }
}
