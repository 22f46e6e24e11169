//! Methods × problems × seeds: who solves what, at what cost.

mod beside;
mod direct;
mod method;
mod operator;
mod partial;
mod plots;
mod runner;
mod tune;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use serde_json::{Value, json};
use sr_args::{SamplingArgs, SearchArgs};
use sr_cli::{Claim, Common, Exit, Given, OutputArgs};
use sr_codec::Kind;
use sr_corpus::{Corpus, Problems, find_problems};
use sr_engine::SearchConfig;
use sr_eval::{Equal, Row, curves, summarise, table};
use sr_neural::{Per, Share};
use sr_problems::{Origin, ProblemSet};

use crate::beside::Published;
use crate::method::{Method, Policy};
use crate::partial::RowsFile;
use crate::runner::{Item, Task, evaluate};

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compare methods on problems over seeds, all with the same search settings
///
/// A problem is solved when 1 - R² is at most 1e-10 on 1000 fresh points (own data: when 1 - R² over all rows is no more than
/// the digits of y leave open). Intervals of shares are 95 % Wilson intervals; those of expected running times (ERT: evaluations of all searches
/// by success) and of differences from the first method are of a paired bootstrap over problems and seeds. Seconds are
/// those of one thread; a batch with a learner has all threads, and each search its share of them. What all of it means
/// stands in docs/comparison.md.
///
/// Ctrl-C finishes the current batch and exits with 130; after it, or a kill, the same command with --resume goes on.
#[derive(Parser)]
#[command(version, subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    problems: ProblemArgs,
    /// Methods to compare, each also as NAME=…: expert; unique (never repeats a form); tuned (with searched settings);
    /// random (random trees); cheat:best-of-K (the best of K children for each, a bound and no method); and
    /// NAME=neural:CHECKPOINT, NAME=direct:CHECKPOINT, NAME=hybrid:CHECKPOINT, NAME=hybrid:CHECKPOINT@every=K,
    /// NAME=hybrid:CHECKPOINT@p=P
    #[arg(long, value_delimiter = ',', default_value = "expert")]
    methods: Vec<Method>,
    /// In hybrids what --neural-per says is the learner's with this probability, and else the expert's
    #[arg(long, value_name = "P", conflicts_with = "neural_every")]
    neural_prob: Option<f64>,
    /// What --neural-prob is drawn for: child, generation or search [default: child]
    #[arg(long, value_name = "WHAT", requires = "neural_prob")]
    neural_per: Option<Per>,
    /// In hybrids the learner makes every K-th generation, and the expert the others
    #[arg(long, value_name = "K")]
    neural_every: Option<u32>,
    /// Searches of each problem by each method, with the seeds SEED, SEED + 1, …
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=MOST_SEEDS))]
    seeds: u64,
    /// Searches that advance together
    #[arg(long, value_name = "B", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    batch_size: u64,
    /// Where learners compute: cpu, ndarray or cuda
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// One table each in which all searches may spend the same: --max-evaluations evaluations, --time-limit seconds.
    /// There is then no limit on generations
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    equal: Vec<EqualArg>,
    /// Also tell how the least error falls with evaluations and seconds: of each search, and as medians of each problem
    #[arg(long)]
    curve: bool,
    /// Also print the shares solved problem by problem, beside figures that somebody has published: a JSON file such as
    /// fixtures/published/original-harder.json
    #[arg(long, value_name = "FILE")]
    beside: Option<PathBuf>,
    /// Also draw the share solved against evaluations, or seconds, into this SVG or PNG file, and with tables at equal
    /// evaluations and seconds the latter into FILE-seconds.svg or FILE-seconds.png; with --curve also the median error
    /// against seconds, into FILE-mse.svg or FILE-mse.png
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Also write rows and summary to this JSON file; rows that are done stand in FILE.rows until then
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Continue an interrupted run of the same flags from FILE.rows; a new one is begun if there is none, and of a finished
    /// one only the plots are drawn that are not there
    #[arg(long, requires = "out", conflicts_with = "force")]
    resume: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    search: SearchArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    common: Common,
}

/// Searches of one problem by one method that can be asked for.
const MOST_SEEDS: u64 = 1_000_000;

/// What is evaluated on.
#[derive(clap::Args)]
struct ProblemArgs {
    /// Problem set, or a corpus (train.sr, val.sr) whose problems are meant
    #[arg(long, value_name = "FILE", required_unless_present = "suite", conflicts_with = "suite")]
    problems: Option<PathBuf>,
    /// Named suite instead of a problem set
    #[arg(long, value_name = "NAME")]
    suite: Option<String>,
}

#[derive(clap::Subcommand)]
enum Command {
    Direct(Box<direct::DirectArgs>),
    Operator(Box<operator::OperatorArgs>),
    Tune(Box<tune::TuneArgs>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum EqualArg {
    /// As many evaluations
    Evaluations,
    /// As many seconds
    Seconds,
}

impl From<EqualArg> for Equal {
    fn from(arg: EqualArg) -> Self {
        match arg {
            EqualArg::Evaluations => Equal::Evaluations,
            EqualArg::Seconds => Equal::Seconds,
        }
    }
}

fn main() -> ExitCode {
    let (args, given) = sr_cli::parse::<Args>();
    sr_args::run(|| match &args.command {
        Some(Command::Direct(args)) => direct::run(args, &given),
        Some(Command::Operator(args)) => operator::run(args, &given),
        Some(Command::Tune(args)) => tune::run(args, &given),
        None => compare(&args, &given),
    })
}

/// Compares the methods.
fn compare(args: &Args, given: &Given) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    ensure!(
        args.equal.is_empty() || !given.has("generations"),
        "--generations has no effect with --equal, where there is no limit on generations"
    );
    ensure!(
        !args.curve || args.plot.is_some() || args.out.is_some() || args.common.json,
        "--curve has no effect without --out, --plot or --json"
    );
    for (index, equal) in args.equal.iter().enumerate() {
        let name = Equal::from(*equal).name();
        ensure!(!args.equal[..index].contains(equal), "--equal has {name} twice");
    }
    if args.out.is_none() && args.plot.is_none() {
        given.refuse(&["force"], "without --out or --plot")?;
    }
    method::check(&args.methods, given)?;
    method::check_search(&args.methods, given)?;
    let share = Share::of_flags(args.neural_prob, args.neural_per, args.neural_every)?;
    method::check_share(&args.methods, share)?;
    let plots = args.plot.as_deref().map(|plot| plots::files(plot, args)).transpose()?.unwrap_or_default();
    let Source { set, files } = args.problems.read(args.common.seed)?;
    let inputs = files.iter().chain(&args.beside).chain(args.methods.iter().filter_map(Method::checkpoint));
    let claim = |path, may_exist| Claim::file(path).inputs(inputs.clone()).may_exist(may_exist);
    let may_exist = args.output.force || args.resume;
    let of_out = |out| claim(out, may_exist).also([".rows"]).unfinished(".rows", may_exist).take();
    let _output = args.out.as_deref().map(of_out).transpose()?;
    let passes = passes(args, &set)?;
    let ids = || set.problems.iter().map(|problem| &*problem.id);
    let published = args.beside.as_deref().map(|path| Published::read(path, ids())).transpose()?;
    // Everything that can be wrong is found before the first search.
    sr_model::open(args.device.parse()?)?;
    let policy = |method| Policy::new(method, &args.device, &args.sampling, share);
    let mut policies = args.methods.iter().map(policy).collect::<anyhow::Result<Vec<_>>>()?;
    for policy in &policies {
        if let Policy::Learner(hybrid) = policy {
            let problems = set.problems.iter().map(|problem| (&*problem.id, problem.x.n_columns()));
            sr_lab::learner::check_problems(hybrid.learner(), problems)?;
        }
    }
    let settings = settings(args, &set)?;
    let finished = match args.out.as_ref().filter(|_| args.resume) {
        Some(out) => partial::finished(out, &settings)?,
        None => None,
    };
    // The plots of a finished result may be there, if they are the ones that would be drawn.
    let of_plot = |plot| claim(plot, args.output.force || finished.is_some()).flag("--plot").take();
    let _plots = plots.iter().map(|plot| of_plot(plot)).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(rows) = finished {
        plots::write_missing(&plots, &plots::draw(&rows, args)?)?;
        let result = result(args, &settings, &rows, published.as_ref());
        let out = args.out.as_ref().expect("it was read").display();
        args.common.report("sr-evaluate", started, result, &format!("{out} is complete, nothing is left to do"))?;
        return Ok(Exit::Ok);
    }
    let items = items(&set, args.seeds, args.common.seed)?;
    let (mut file, mut rows) = match &args.out {
        None => (None, Vec::new()),
        Some(out) if args.resume => {
            let (file, rows) = RowsFile::resume(out, &settings)?;
            (Some(file), rows)
        }
        Some(out) => (Some(RowsFile::create(out, &settings)?), Vec::new()),
    };

    let names = names(&set);
    let all = items.len() * policies.len() * passes.len();
    let stop = sr_cli::on_interrupt("the current batch")?;
    let progress = args.common.progress(all as u64, "searches");
    progress.inc(rows.len() as u64);
    for (budget, common) in &passes {
        for (method, policy) in args.methods.iter().zip(&mut policies) {
            let of_task = |row: &&Row| row.budget == *budget && row.method == method.name;
            let done: HashSet<(String, u64)> =
                rows.iter().filter(of_task).map(|row| (row.problem.clone(), row.seed)).collect();
            let is_left = |item: &&Item<'_>| !done.contains(&(item.problem.id.clone(), item.seed));
            let left: Vec<Item<'_>> = items.iter().filter(is_left).cloned().collect();
            let config = method.config(common);
            let task = Task { method: &method.name, budget: *budget, config, progress: args.curve, names };
            for batch in left.chunks(args.batch_size as usize) {
                if stop.load(Ordering::Relaxed) {
                    return Ok(sr_cli::stopped(&match file {
                        Some(_) => format!("after {} of {all} searches, from which --resume goes on", rows.len()),
                        None => format!("after {} of {all} searches; only with --out they are kept", rows.len()),
                    }));
                }
                let found = match evaluate(&task, policy, batch) {
                    Ok(found) => found,
                    Err(error) => {
                        // There is nothing to go on from.
                        if let Some(file) = file.take_if(|_| rows.is_empty()) {
                            file.finish().ok();
                        }
                        return Err(error);
                    }
                };
                if let Some(file) = &mut file {
                    file.append(&found)?;
                }
                rows.extend(found);
                progress.inc(batch.len() as u64);
            }
        }
    }
    progress.finish_and_clear();
    sort(&mut rows, &passes, args, &items);

    let result = result(args, &settings, &rows, published.as_ref());
    if let (Some(out), Some(file)) = (&args.out, file) {
        sr_cli::write_atomically(out, serde_json::to_string_pretty(&result)?.as_bytes())?;
        sr_cli::write_run_file(out, &args.common, started)?;
        file.finish()?;
    }
    if !plots.is_empty() {
        for (path, bytes) in plots.iter().zip(plots::draw(&rows, args)?) {
            sr_cli::write_atomically(path, &bytes)?;
        }
    }
    let mut text = table(&summarise(&rows, args.common.seed));
    if names.is_some() {
        text += &format!("\n\n{}", best_formulas(&rows));
    }
    let masked = rows.iter().filter(|row| row.masked > 0).count();
    if masked > 0 {
        text += &format!(
            "\n\n{masked} of {} formulas have values of 1e6 and more, or none, which the objective masked leaves out of the error \
             that searches go by; MSE and R² are over all rows",
            rows.len()
        );
    }
    if let Some(published) = published {
        text += &format!("\n\n{}", beside::tables(&rows, &published));
    }
    args.common.report("sr-evaluate", started, result, &text)?;
    Ok(Exit::Ok)
}

/// What is written and printed as JSON.
fn result(args: &Args, settings: &partial::Settings, rows: &[Row], published: Option<&Published>) -> Value {
    let mut result = json!({ "settings": settings, "rows": rows, "summary": summarise(rows, args.common.seed) });
    if args.curve {
        result["curves"] = json!(curves(rows));
    }
    if let Some(published) = published {
        result["published"] = json!(published);
    }
    result
}

/// The settings that all methods of a table share.
fn config(args: &Args, set: &ProblemSet) -> anyhow::Result<SearchConfig> {
    match args.methods.iter().any(|method| method.checkpoint().is_some()) {
        true => args.search.config(set.is_own_data()),
        false => args.search.expert_config(set.is_own_data()),
    }
}

/// The settings of each table, with what its searches may spend alike.
fn passes(args: &Args, set: &ProblemSet) -> anyhow::Result<Vec<(Option<Equal>, SearchConfig)>> {
    let config = config(args, set)?;
    if args.equal.is_empty() {
        return Ok(vec![(None, config)]);
    }
    let has = |what| args.equal.contains(&what);
    let (evaluations, seconds) = (has(EqualArg::Evaluations), has(EqualArg::Seconds));
    ensure!(
        evaluations == config.max_evaluations.is_some(),
        "--equal evaluations and --max-evaluations need each other"
    );
    ensure!(seconds == config.time_limit.is_some(), "--equal seconds and --time-limit need each other");
    let unlimited = SearchConfig { generations: u32::MAX, ..config };
    let by_evaluations = SearchConfig { time_limit: None, ..unlimited.clone() };
    let by_seconds = SearchConfig { max_evaluations: None, ..unlimited };
    let passes = [(evaluations, Equal::Evaluations, by_evaluations), (seconds, Equal::Seconds, by_seconds)];
    Ok(passes.into_iter().filter(|pass| pass.0).map(|(_, budget, config)| (Some(budget), config)).collect())
}

/// What rows depend on, by the names of the flags; not the threads, the device's name or the batches.
fn settings(args: &Args, set: &ProblemSet) -> anyhow::Result<partial::Settings> {
    let mut checkpoints = partial::Settings::new();
    for method in &args.methods {
        if let Some(folder) = method.checkpoint() {
            let id = sr_neural::checkpoint_id(folder).with_context(|| format!("reading {}", folder.display()))?;
            checkpoints.insert(method.name.clone(), id.into());
        }
    }
    let (search, sampling) = (config(args, set)?, &args.sampling);
    let methods = args.methods.iter().map(|method| format!("{}={}", method.name, method.written)).collect::<Vec<_>>();
    let settings = json!({
        "problems": fingerprint(set),
        "methods": methods,
        "checkpoints": checkpoints,
        "seeds": args.seeds,
        "seed": args.common.seed,
        "equal": args.equal.iter().map(|&equal| Equal::from(equal).name()).collect::<Vec<_>>(),
        "curve": args.curve,
        "neural-prob": args.neural_prob,
        "neural-per": args.neural_per.map(Per::name),
        "neural-every": args.neural_every,
        "preset": args.search.preset.name(),
        "objective": search.objective.name(),
        "population-size": search.population_size,
        "generations": search.generations,
        "tournament-size": search.tournament_size,
        "crossover": search.crossover_probability,
        "elitism": search.elitism,
        "parsimony": search.parsimony_coefficient,
        "survival": search.survival.name(),
        "unique": search.unique,
        "semantics": search.semantics.name(),
        "max-size": search.limits.max_size,
        "max-depth": search.limits.max_depth,
        "early-stop-mse": search.early_stop_mse,
        "extra-generations": search.extra_generations,
        "max-evaluations": search.max_evaluations,
        "time-limit": search.time_limit.map(|limit| limit.as_secs_f64()),
        "temperature": sampling.temperature,
        "top-k": sampling.top_k,
        "top-p": sampling.top_p,
        "distinct": sampling.distinct,
        "max-child-size": sampling.max_child_size,
        "grammar": sampling.grammar()?.is_some(),
        "rules": sampling.rules.iter().map(|rule| rule.name()).collect::<Vec<_>>(),
        "condition": sampling.condition.map(|condition| condition.name()),
    });
    Ok(settings.as_object().expect("an object was made").clone())
}

/// Which problems these are.
fn fingerprint(set: &ProblemSet) -> String {
    format!("{} problems {:016x}", set.problems.len(), set.fingerprint())
}

/// The names of the columns of own data.
fn names(set: &ProblemSet) -> Option<&[String]> {
    match &set.params.origin {
        Origin::Csv { variables, .. } | Origin::Parquet { variables, .. } => Some(variables),
        _ => None,
    }
}

/// The best formula of each method, whole, in the names of the columns.
fn best_formulas(rows: &[Row]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for group in rows.chunk_by(|a, b| (a.budget, &a.method) == (b.budget, &b.method)) {
        let error = |row: &Row| row.mse_train.unwrap_or(f64::INFINITY);
        let Some(best) = group.iter().min_by(|a, b| error(a).total_cmp(&error(b)).then(a.size.cmp(&b.size))) else {
            continue;
        };
        let mse = match (best.mse_train, best.r2_train) {
            (Some(mse), _) => format!("{mse:.4e}"),
            (None, Some(_)) => format!("above {:.1e}", f64::MAX),
            (None, None) => "infinite".into(),
        };
        let r2 = best.r2_train.map_or("–".into(), |r2| format!("{r2:.6}"));
        let budget = best.budget.map_or(String::new(), |budget| format!(" at equal {}", budget.name()));
        let formula = best.formula.as_deref().unwrap_or(&best.expression);
        let (method, size, seed) = (&best.method, best.size, best.seed);
        lines.push(format!("{method}{budget}: MSE {mse}, R² {r2}, size {size}, seed {seed}\n  {formula}"));
    }
    format!("best of all seeds\n{}", lines.join("\n"))
}

/// Puts rows in the order of passes, methods, problems and seeds, whenever they were made.
fn sort(rows: &mut [Row], passes: &[(Option<Equal>, SearchConfig)], args: &Args, items: &[Item<'_>]) {
    let places: std::collections::HashMap<(&str, u64), usize> =
        items.iter().enumerate().map(|(place, item)| ((&*item.problem.id, item.seed), place)).collect();
    rows.sort_by_cached_key(|row| {
        let pass = passes.iter().position(|(budget, _)| *budget == row.budget);
        let method = args.methods.iter().position(|method| method.name == row.method);
        (pass, method, places.get(&(&*row.problem, row.seed)).copied())
    });
}

/// Problems, and the files that they were read from.
struct Source {
    set: ProblemSet,
    files: Vec<PathBuf>,
}

impl ProblemArgs {
    fn read(&self, seed: u64) -> anyhow::Result<Source> {
        let source = match (&self.problems, &self.suite) {
            (Some(path), _) if sr_codec::peek(path).is_ok_and(|header| header.kind == Kind::Corpus) => of_corpus(path)?,
            (Some(path), _) => Source { set: ProblemSet::read(path)?, files: vec![path.clone()] },
            (None, Some(name)) => Source { set: sr_problems::suite(name, seed)?, files: Vec::new() },
            (None, None) => bail!("--problems or --suite is needed"),
        };
        ensure!(!source.set.problems.is_empty(), "there are no problems");
        Ok(source)
    }
}

/// The problems of a corpus's examples, in the order in which they come, from the problem set that lies beside it or one
/// folder up.
fn of_corpus(path: &Path) -> anyhow::Result<Source> {
    let corpus = Corpus::open(path)?;
    let set = find_problems(path, &corpus.header().problems, None)?;
    let problems = Problems::open(&set)?;
    let (mut seen, mut found) = (HashSet::new(), Vec::new());
    for example in corpus {
        let example = example?;
        if seen.insert(example.problem().id.clone()) {
            found.push((*problems.get(example.problem())?).clone());
        }
    }
    let files = vec![path.to_owned(), set];
    Ok(Source { set: ProblemSet { params: problems.params().clone(), problems: found }, files })
}

fn items(set: &ProblemSet, seeds: u64, first: u64) -> anyhow::Result<Vec<Item<'_>>> {
    let end = first.checked_add(seeds - 1);
    let last = end.with_context(|| format!("--seeds {seeds}: seeds from {first} on end before"))?;
    let mut items = Vec::new();
    for problem in &set.problems {
        let instance = Arc::new(problem.instance().with_context(|| format!("problem {}", problem.id))?);
        items.extend((first..=last).map(|seed| Item { problem, instance: instance.clone(), seed }));
    }
    Ok(items)
}
