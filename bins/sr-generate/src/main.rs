//! `sr-generate`: problem sets from a random generator, the named suites, a table of text or Parquet or a list of
//! formulas.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;
use sr_args::{TableArgs, counted, table_in_words, table_json};
use sr_cli::output::{seed_in_name, short_number};
use sr_cli::{Claim, Common, Exit, Given, OutputArgs, standard_input};
use sr_lab::sr_expr::Node;
use sr_lab::sr_problems::{
    Blocklist, Error, FormulaOptions, Generator, Problem, ProblemSet, RandomParams, TableOptions, TableReport,
    from_formulas, from_table, parse_constants, parse_names, parse_operators, suite,
};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Make a problem set: expressions with sampled points, or one's own data
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    source: Source,
    #[command(flatten)]
    common: Common,
    /// File to write [default: named after what it holds, such as arith_1k_c05.sr, with the seed, and six digits for
    /// settings that are not the default]
    #[arg(long, global = true, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Subcommand)]
enum Source {
    /// Random expressions; the first problems are the same however many there are
    Random(Random),
    /// A named suite of published problems
    Suite {
        /// The suite
        #[arg(value_parser = sr_args::SuiteName)]
        name: String,
    },
    /// One's own data: a table of numbers as text (CSV and its relatives) or Parquet
    ///
    /// Every column but the target is a variable, called x0, x1, … in formulas; which is which is printed. Numbers are kept
    /// as 64-bit floats. Lines that begin with # are comments, true and false are 1 and 0. A column of text, a date, a
    /// missing value, a row index and two columns of one name are errors that say what to do. The problem is called like
    /// the file, and searches draw their random numbers by that name: data of a renamed file are searched in another
    /// order, so that the result may differ.
    Csv(Csv),
    /// Formulas to be sampled: text with one a line, or JSON {"expressions": ["x0 + 1", …]}
    Formulas {
        /// The file, or - for standard input
        file: PathBuf,
        /// Operators of the searches [default: + - * and those that occur]
        #[arg(long, allow_hyphen_values = true)]
        operators: Option<String>,
        /// Constants of the searches, separated by commas; "" for none
        #[arg(long, default_value = "1.0", allow_hyphen_values = true)]
        constants: String,
        /// Points of each problem
        #[arg(long, default_value_t = FormulaOptions::default().points)]
        points: u32,
        /// Every variable is uniform in this range
        #[arg(long, num_args = 2, value_names = ["LOW", "HIGH"], default_values_t = FormulaOptions::default().range,
            allow_hyphen_values = true)]
        range: Vec<f64>,
        /// Names that formulas have for x0, x1, …, separated by commas, as the columns of a table in what a search of it
        /// prints; one with a comma stands in backticks. x0, x1, … are read too
        #[arg(long, value_name = "NAMES")]
        names: Option<String>,
    },
}

#[derive(clap::Args)]
struct Random {
    /// Number of problems
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Kind of expressions
    #[arg(long, value_enum, default_value_t = Preset::Arith)]
    preset: Preset,
    /// Operators: arith (+ - *), full, or a list such as "+,-,sin" [default: arith; with the preset e2e the paper's]
    #[arg(long, allow_hyphen_values = true)]
    operators: Option<String>,
    /// 0 to 1, grows the number of operators; preset arith only [default: 0.5]
    #[arg(long)]
    complexity: Option<f64>,
    /// Constants of the searches, with the preset arith also of the expressions; "" for none
    #[arg(long, default_value = "1.0", allow_hyphen_values = true)]
    constants: String,
    /// Most variables [default: 3, with the preset e2e 10]
    #[arg(long, value_name = "N")]
    max_variables: Option<u16>,
    /// Points of each problem [default: random, 50 to 200, with the preset e2e 5 a variable to 200]
    #[arg(long, value_name = "N")]
    points: Option<u32>,
    /// Expressions with a |y| of this or more are dropped [default: 1e18]
    #[arg(long, value_name = "Y")]
    max_y: Option<f64>,
    /// Suites and problem files whose formulas are kept out, however they are written and their variables called
    #[arg(long, num_args = 1.., value_name = "SUITE|FILE")]
    exclude: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Preset {
    /// Listed constants and no others
    Arith,
    /// The E2E paper's distribution, with free constants in affine positions
    E2e,
}

/// A table, and what its searches may use.
#[derive(clap::Args)]
struct Csv {
    #[command(flatten)]
    table: TableArgs,
    /// Operators of the searches: arith (+ - *), full, or a list
    #[arg(long, default_value = "+,-,*,/", allow_hyphen_values = true)]
    operators: String,
    /// Constants of the searches, separated by commas; "" for none
    #[arg(long, default_value = "1.0", allow_hyphen_values = true)]
    constants: String,
}

impl Csv {
    fn options(&self) -> anyhow::Result<TableOptions> {
        let mut options = self.table.options();
        options.operators = parse_operators(&self.operators).context("--operators")?;
        options.constants = parse_constants(&self.constants).context("--constants")?;
        Ok(options)
    }
}

fn main() -> ExitCode {
    sr_args::run(|| {
        let started = Instant::now();
        let (args, given) = sr_cli::parse::<Args>();
        args.common.init()?;
        if let Some(out) = args.out.as_ref().filter(|out| out.file_name().is_some_and(|name| name.to_str().is_none())) {
            bail!("--out {}: the name is not UTF-8, and traces refer to a problem set by its name", out.display());
        }
        if let Source::Csv(_) = args.source {
            given.refuse(&["seed"], "with csv, which draws nothing")?;
        }
        let what =
            if matches!(args.source, Source::Random(_)) { "the current problems" } else { "reading and drawing" };
        let stop = sr_cli::on_interrupt(what)?;
        let out = args.out.clone().map_or_else(|| default_name(&args, &given), Ok)?;
        let _output = Claim::file(&out).inputs(inputs(&args)).may_exist(args.output.force).take()?;
        let Some(Made { set, excluded, table }) = make(&args, stop)?.filter(|_| !sr_cli::interrupted()) else {
            return Ok(sr_cli::stopped(&format!("{} is not written; the same command begins anew", out.display())));
        };
        set.write(&out)?;
        for warning in table.iter().flat_map(|table| &table.warnings) {
            tracing::warn!("{warning}");
        }
        if let Source::Formulas { operators: Some(_), .. } = args.source {
            warn_of_operators(&set);
        }
        sr_cli::write_run_file(&out, &args.common, started)?;

        let points: usize = set.problems.iter().map(|problem| problem.y.len()).sum();
        let mut result = json!({
            "problems": set.problems.len(),
            "points": points,
            "fingerprint": format!("{:016x}", set.fingerprint()),
            "excluded": excluded.unwrap_or(0),
            "out": out.display().to_string(),
        });
        let dropped = excluded.map_or_else(String::new, |n| format!(", {n} excluded expressions drawn anew"));
        let (problems, points) = (counted(set.problems.len(), "problem"), counted(points, "point"));
        let mut text = format!("{}: {problems}, {points}{dropped}", out.display());
        if let Some(table) = &table {
            result["table"] = table_json(table);
            text += &format!("\n{}", table_in_words(table));
        }
        args.common.report("sr-generate", started, result, &text)?;
        Ok(Exit::Ok)
    })
}

/// A problem set and what is told of it.
struct Made {
    set: ProblemSet,
    /// How many expressions were excluded, if any were to be.
    excluded: Option<u64>,
    /// How the table was read, if it is one.
    table: Option<TableReport>,
}

impl Made {
    fn of(set: ProblemSet) -> Self {
        Made { set, excluded: None, table: None }
    }
}

/// The files that are read.
fn inputs(args: &Args) -> Vec<&Path> {
    match &args.source {
        Source::Random(random) => random.exclude.iter().map(Path::new).collect(),
        Source::Suite { .. } => Vec::new(),
        Source::Csv(csv) => vec![&csv.table.file],
        Source::Formulas { file, .. } => vec![file],
    }
}

/// A file name that says what the set holds: `data/flow.csv` becomes `flow.sr` in the working folder.
fn default_name(args: &Args, given: &Given) -> anyhow::Result<PathBuf> {
    let seed = args.common.seed;
    let stem = |file: &Path| {
        let stem = standard_input(file)
            .file_stem()
            .map(ToOwned::to_owned)
            .with_context(|| format!("{}: no file name", file.display()))?;
        Ok::<OsString, anyhow::Error>(stem)
    };
    let mut name = match &args.source {
        Source::Random(random) => {
            let label = random.params(seed)?.label();
            let count = short_number(random.count.into());
            let name = match label.split_once('_') {
                Some((operators, complexity)) => format!("{operators}_{count}_{complexity}"),
                None => format!("{label}_{count}"),
            };
            // Lists that have no name are told apart by the digits.
            let names_operators = random.preset == Preset::Arith && !label.starts_with("custom");
            let told: &[&str] = if names_operators { &["operators"] } else { &[] };
            let told = [&["count", "preset", "complexity", "max_variables"], told].concat();
            let variables = random.max_variables.filter(|_| given.has("max_variables"));
            let variables = variables.map(|n| format!("_v{n}")).unwrap_or_default();
            format!("{name}{variables}{}{}", seed_in_name(seed), given.digits(&told)).into()
        }
        Source::Suite { name } => format!("{name}{}", seed_in_name(seed)).into(),
        Source::Csv(csv) => {
            let mut name = stem(&csv.table.file)?;
            name.push(given.digits(&["file", "target"]));
            name
        }
        Source::Formulas { file, .. } => {
            let mut name = stem(file)?;
            name.push(format!("{}{}", seed_in_name(seed), given.digits(&["file"])));
            name
        }
    };
    name.push(".sr");
    Ok(name.into())
}

/// Makes the problems; none if that was stopped.
fn make(args: &Args, stop: &AtomicBool) -> anyhow::Result<Option<Made>> {
    let seed = args.common.seed;
    match &args.source {
        Source::Random(random) => {
            let params = random.params(seed)?;
            let blocklist = Arc::new(Blocklist::of(&random.exclude)?);
            let generator = Generator::new(params).map_err(told)?.excluding(blocklist.clone());
            let bar = args.common.progress(random.count.into(), "problems");
            let set = generator.generate_until(random.count, stop, || bar.inc(1)).map_err(told)?;
            bar.finish_and_clear();
            let excluded = (!blocklist.is_empty()).then(|| blocklist.excluded());
            Ok(set.map(|set| Made { excluded, ..Made::of(set) }))
        }
        Source::Suite { name } => Ok(Some(Made::of(suite(name, seed)?))),
        Source::Csv(csv) => {
            let sr_lab::sr_problems::Table { set, report, .. } =
                from_table(&standard_input(&csv.table.file), &csv.options()?)?;
            Ok(Some(Made { table: Some(report), ..Made::of(set) }))
        }
        Source::Formulas { file, operators, constants, points, range, names } => {
            let &[low, high] = &**range else { bail!("--range takes two numbers") };
            let options = FormulaOptions {
                operators: operators.as_deref().map(parse_operators).transpose().context("--operators")?,
                constants: parse_constants(constants).context("--constants")?,
                points: *points,
                range: [low, high],
                seed,
                names: names.as_deref().map(parse_names).transpose().context("--names")?.unwrap_or_default(),
            };
            Ok(Some(Made::of(from_formulas(&standard_input(file), &options).map_err(told)?)))
        }
    }
}

/// An error about a setting in the words of the flags.
fn told(error: Error) -> anyhow::Error {
    let flag = |name: &str| format!("--{}", name.replace('_', "-"));
    match error {
        Error::Setting { name, value, expected } => anyhow::anyhow!("{} is {value}, expected {expected}", flag(name)),
        Error::Range { .. } | Error::TooManyPoints { .. } => anyhow::anyhow!("--{error}"),
        Error::TooLarge { .. } => anyhow::Error::new(error).context("--points"),
        Error::NoBinaryOperator | Error::NoAffineOperators => anyhow::Error::new(error).context("--operators"),
        Error::BadConstant { .. } => anyhow::Error::new(error).context("--constants"),
        error => error.into(),
    }
}

/// Formulas that are told one by one.
const MOST_TOLD: usize = 5;

/// Warns of formulas with operators that no search of the set will have.
fn warn_of_operators(set: &ProblemSet) {
    let foreign = |problem: &Problem| {
        let operators = |node: &Node| if let Node::Op(op) = node { Some(*op) } else { None };
        let mut used = problem.source.as_ref()?.nodes().iter().filter_map(operators);
        Some((problem.formula()?, used.find(|op| !set.params.operators.contains(op))?.name()))
    };
    let found: Vec<(String, &str)> = set.problems.iter().filter_map(foreign).collect();
    for (formula, operator) in found.iter().take(MOST_TOLD) {
        tracing::warn!("{formula} has the operator {operator}, which is not among --operators: no search will try it");
    }
    if found.len() > MOST_TOLD {
        tracing::warn!("so have {} other formulas", found.len() - MOST_TOLD);
    }
}

impl Random {
    fn params(&self, seed: u64) -> anyhow::Result<RandomParams> {
        let constants = parse_constants(&self.constants).context("--constants")?;
        let operators = self.operators.as_deref().map(parse_operators).transpose().context("--operators")?;
        let mut params = match self.preset {
            Preset::E2e if self.complexity.is_some() => bail!("--complexity goes with --preset arith only"),
            Preset::E2e => RandomParams::e2e(constants, seed),
            Preset::Arith => {
                RandomParams::arith(parse_operators("arith")?, constants, self.complexity.unwrap_or(0.5), seed)
            }
        };
        params.operators = operators.unwrap_or(params.operators);
        params.max_variables = self.max_variables.unwrap_or(params.max_variables);
        params.points = self.points;
        params.max_y = self.max_y.unwrap_or(params.max_y);
        Ok(params)
    }
}
