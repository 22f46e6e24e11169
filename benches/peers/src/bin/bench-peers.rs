//! Measures speed beside other systems: all sides in turns, round by round, on one thread.
//!
//! The exit code is 0 if every bar that could be measured is reached, 1 if one is not or a result is wrong, and 2 for
//! an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use bench_peers::measure::Workload;
use bench_peers::peer::{MODES, Mode};
use bench_peers::report::{Evaluation, OURS, Record, Searches};
use bench_peers::{Case, Peer, TreeSet, data, machine, search};
use clap::{Parser, ValueEnum};
use serde_json::json;
use sr_cli::Exit;
use sr_expr::{Level, Semantics, reference};

/// The numbers of rows of the data of searches.
const SEARCH_ROWS: [usize; 2] = [100, 1000];

/// Measures sr and other systems in turns on the same trees and the same searches, and prints tables
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Files of trees
    #[arg(default_values = ["benches/peers/trees/arith.txt", "benches/peers/trees/math.txt"])]
    trees: Vec<PathBuf>,
    /// Rows of the data for evaluation
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "10,50,100,200,1000,10000", value_parser = clap::value_parser!(u32).range(1..))]
    rows: Vec<u32>,
    /// Samples a figure; every round takes one of each
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Generations of the searches with population 1,000
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    generations: u32,
    /// Seconds of the searches that are not told in generations (symbolic_regression)
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    seconds: f64,
    /// Most nodes of a tree in the peers' searches [default: each system's own]
    #[arg(long, value_name = "N")]
    peer_size: Option<u32>,
    /// Measure these only
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Evaluation, Part::Searches, Part::Engine])]
    only: Vec<Part>,
    /// Driver of the Rust systems
    #[arg(long, value_name = "FILE", default_value = "runs/peers-rust/release/peers-rust")]
    native: PathBuf,
    /// Python interpreter that has the Python systems
    #[arg(long, value_name = "FILE", default_value = "runs/peers-venv/bin/python")]
    python: PathBuf,
    /// Driver of the Python systems
    #[arg(long, value_name = "FILE", default_value = "benches/peers/python/driver.py")]
    driver: PathBuf,
    /// Write the tables to NAME.md and all samples to NAME.json
    #[arg(long, value_name = "NAME")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Evaluation of the files of trees
    Evaluation,
    /// Searches with population 1,000
    Searches,
    /// Our preset `basic`, recorded and not, and on two threads
    Engine,
}

fn main() -> ExitCode {
    let args = Args::parse();
    sr_args::run(|| real_main(&args))
}

fn real_main(args: &Args) -> anyhow::Result<Exit> {
    let sets: Vec<TreeSet> = args.trees.iter().map(|path| TreeSet::read(path)).collect::<Result<_, _>>()?;
    let mut peers = Peers::start(args);
    let mut record = Record { about: about(args, &peers), ..Record::default() };
    let mut evaluation = Vec::new();
    if args.only.contains(&Part::Evaluation) {
        for (path, set) in args.trees.iter().zip(&sets) {
            evaluation.extend(args.rows.iter().map(|&rows| Pairing::new(path, set, rows as usize)));
        }
        for pairing in &evaluation {
            let wrong: Vec<_> = [false, true].iter().flat_map(|&double| pairing.workload.check(double).wrong).collect();
            wrong.iter().take(10).for_each(|wrong| eprintln!("wrong: {wrong}"));
            if !wrong.is_empty() {
                return Ok(Exit::Negative);
            }
        }
    }
    record.searches = SEARCH_ROWS.map(|rows| Searches { rows, ..Searches::default() }).to_vec();
    for round in 1..=args.rounds {
        for pairing in &mut evaluation {
            progress(args, round, &format!("evaluation, {}, {} rows", pairing.cases[0].trees, pairing.cases[0].rows));
            pairing.measure(&mut peers);
        }
        if args.only.contains(&Part::Searches) {
            for searches in &mut record.searches {
                progress(args, round, &format!("searches, {} rows", searches.rows));
                measure_searches(searches, args, round, &mut peers);
            }
        }
        if args.only.contains(&Part::Engine) {
            progress(args, round, "engine");
            for recording in search::Recording::ALL {
                let children = search::basic(recording)?;
                record.basic.entry(recording.name().into()).or_default().push(children);
            }
            for threads in [1, 2] {
                record.threads.entry(threads).or_default().push(search::on_threads(threads));
            }
        }
    }
    record.searches.retain(|searches| !searches.sides.is_empty());
    // Evaluations are sorted by file and case.
    for (set, case) in sets.iter().flat_map(|set| Case::ALL.map(|case| (set, case))) {
        let cases = evaluation.iter().flat_map(|pairing| &pairing.cases);
        record.evaluation.extend(cases.filter(|e| e.trees == set.name && e.case == case).cloned());
    }
    record.missing = peers.missing;
    let text = record.to_markdown();
    sr_cli::out(&text)?;
    if let Some(name) = &args.out {
        let with = |extension: &str| PathBuf::from(format!("{}.{extension}", name.display()));
        sr_cli::write_atomically(&with("md"), text.as_bytes())?;
        sr_cli::write_atomically(&with("json"), format!("{:#}\n", record.to_json()).as_bytes())?;
    }
    Ok(if record.bars().iter().all(|bar| bar.passes) { Exit::Ok } else { Exit::Negative })
}

fn progress(args: &Args, round: u32, what: &str) {
    eprintln!("round {round} of {}: {what}", args.rounds);
}

fn about(args: &Args, peers: &Peers) -> Vec<(String, String)> {
    let list = |numbers: &[u32]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut about = vec![
        ("processor".to_owned(), machine::processor()),
        ("vectors".to_owned(), Level::detect().name().to_owned()),
        ("rustc".to_owned(), machine::rustc()),
        (OURS.to_owned(), format!("{}, commit {}", env!("CARGO_PKG_VERSION"), machine::commit())),
    ];
    about.extend(peers.drivers.iter().flat_map(|driver| driver.versions.clone()));
    let size = args.peer_size.map_or("each system's own".into(), |size| format!("{size} nodes"));
    about.extend([
        ("rounds".to_owned(), args.rounds.to_string()),
        ("rows".to_owned(), list(&args.rows)),
        ("generations, seconds of searches".to_owned(), format!("{}, {}", args.generations, args.seconds)),
        ("limit of the peers' trees in searches".to_owned(), size),
    ]);
    about
}

/// The running drivers, and the systems that are left out.
struct Peers {
    drivers: Vec<Peer>,
    missing: BTreeMap<String, String>,
}

impl Peers {
    fn start(args: &Args) -> Self {
        let mut peers = Peers { drivers: Vec::new(), missing: BTreeMap::new() };
        peers.add(&mut Command::new(&args.native), &["dynamic_expressions", "symbolic_regression"]);
        peers.add(Command::new(&args.python).arg(&args.driver), &["pyoperon", "gplearn"]);
        peers
    }

    fn add(&mut self, command: &mut Command, speaks_for: &[&str]) {
        match Peer::start(command) {
            Ok(driver) => {
                driver.missing.iter().for_each(|(peer, why)| self.leave_out(peer, why));
                self.drivers.push(driver);
            }
            Err(error) => speaks_for.iter().for_each(|peer| self.leave_out(peer, &format!("{error:#}"))),
        }
    }

    fn leave_out(&mut self, peer: &str, why: &str) {
        eprintln!("{peer} is left out: {why}");
        self.missing.insert(peer.to_owned(), why.to_owned());
    }

    /// Returns the answer of `peer`, or `None` if it is left out. An error of the peer leaves it out from then on.
    fn ask<T>(&mut self, peer: &str, question: impl FnOnce(&mut Peer) -> anyhow::Result<T>) -> Option<T> {
        let is_missing = self.missing.contains_key(peer);
        let driver = self.drivers.iter_mut().find(|driver| !is_missing && driver.versions.contains_key(peer))?;
        let answer = question(driver);
        answer.map_err(|error| self.leave_out(peer, &format!("{error:#}"))).ok()
    }
}

/// One file of trees at one number of rows: our workload, and all cases.
struct Pairing<'a> {
    path: &'a Path,
    workload: Workload<'a>,
    /// The trees' values at the last row.
    last: Vec<f64>,
    cases: Vec<Evaluation>,
}

impl<'a> Pairing<'a> {
    fn new(path: &'a Path, set: &'a TreeSet, rows: usize) -> Self {
        let (trees, functions) = (set.name.clone(), set.has_functions());
        let case = |case| Evaluation { trees: trees.clone(), functions, case, rows, sides: BTreeMap::new() };
        let workload = Workload::new(&set.trees, rows, Level::detect());
        let mut row = Vec::new();
        data::evaluation(rows).0.copy_row(rows - 1, &mut row);
        let last = set.trees.iter().map(|tree| reference::eval_row(tree, &row, Semantics::Ieee)).collect();
        Pairing { path, workload, last, cases: Case::ALL.map(case).to_vec() }
    }

    /// Takes one sample of each side of each case.
    fn measure(&mut self, peers: &mut Peers) {
        for evaluation in &mut self.cases {
            let Evaluation { case, rows, ref mut sides, .. } = *evaluation;
            sides.entry(OURS.into()).or_default().push(self.workload.sample(case));
            for mode in MODES.iter().filter(|mode| mode.cases.contains(&case)) {
                if let Some(sample) = peers.ask(mode.peer, |peer| peer.evaluate(mode, self.path, rows, &self.last)) {
                    sides.entry(side(mode)).or_default().push(sample);
                }
            }
        }
    }
}

/// Returns the column title of a mode.
fn side(mode: &Mode) -> String {
    if mode.compared { mode.peer.into() } else { format!("{}, {}", mode.peer, mode.mode.replace('_', " ")) }
}

fn measure_searches(searches: &mut Searches, args: &Args, round: u32, peers: &mut Peers) {
    let ours = search::large(searches.rows, args.generations, u64::from(round));
    searches.sides.entry(OURS.into()).or_default().push(ours.children);
    searches.mean_size.entry(OURS.into()).or_default().push(ours.mean_size);
    searches.fresh.push(ours.fresh);
    for peer in ["pyoperon", "symbolic_regression", "gplearn"] {
        // gplearn takes minutes for what the others do in seconds.
        let generations = if peer == "gplearn" { args.generations.div_ceil(10) } else { args.generations };
        let request = json!({
            "task": "search", "peer": peer, "rows": searches.rows, "generations": generations,
            "seconds": args.seconds, "max_size": args.peer_size, "seed": round,
        });
        if let Some(figure) = peers.ask(peer, |driver| driver.search(&request)) {
            searches.sides.entry(peer.into()).or_default().push(figure.value);
            if let Some(size) = figure.mean_size {
                searches.mean_size.entry(peer.into()).or_default().push(size);
            }
        }
    }
}
