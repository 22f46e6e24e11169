//! `sr-convert`: training examples from a trace or a problem set.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{bail, ensure};
use clap::{Parser, ValueEnum};
use serde_json::json;
use sr_args::counted;
use sr_cli::output::seed_in_name;
use sr_cli::{Claim, Common, Exit, Given, OutputArgs};
use sr_lab::Monitor;
use sr_lab::convert::{Conversion, Source};
use sr_lab::sr_corpus::{Counts, Exclude, Options, Shape, Targets};
use sr_lab::sr_problems::Blocklist;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Make training and validation examples: OUT/train.sr and OUT/val.sr
///
/// No problem, and no formula up to its numbers, is on both sides. The side depends on the seed and the problem set
/// alone, so all traces of one set are split alike.
///
/// Files appear under their names when all is done. After Ctrl-C (exit code 130), a kill or a full disk those of before are
/// still there, and the same command begins anew, to the bytes of an undisturbed run.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Trace to make one-step or autoregressive examples from
    #[arg(long, value_name = "FILE")]
    traces: Option<PathBuf>,
    /// Problem set: of the trace [default: the one it names, beside it], or to make direct examples from
    #[arg(long, value_name = "FILE")]
    problems: Option<PathBuf>,
    /// What an example is
    #[arg(long, value_enum, default_value_t = Mode::OneStep)]
    mode: Mode,
    /// What prompts, those that a model reads and those of --jsonl, tell of a problem
    #[arg(long, value_enum, default_value_t = Context::Basic)]
    context: Context,
    /// Whether autoregressive targets have the fitness of each individual [default: on]
    #[arg(long, value_enum)]
    fitness: Option<Switch>,
    /// Learn the expert's labels of each state, made by sr-relabel, in place of what the search did
    #[arg(long, conflicts_with_all = ["ancestors_only", "elite"])]
    dagger: bool,
    /// Learn only the ancestors of the best individual of the last generation
    #[arg(long)]
    ancestors_only: bool,
    /// Whether one-step examples of individuals carried over unchanged are made [default: exclude]
    #[arg(long, value_enum)]
    elite: Option<Elite>,
    /// Share to keep, above 0 and at most 1: of one-step examples, of trajectories in autoregressive mode, of problems in
    /// direct mode
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    sample_fraction: f64,
    /// States to keep of each search at most: one of each stage by turns (early, improving, stagnated, near the target),
    /// each population once [default: all]
    #[arg(long, value_name = "N")]
    states_per_search: Option<NonZeroU32>,
    /// Share of the formulas for validation, 0 or more and below 1
    #[arg(long, value_name = "X", default_value_t = 0.1)]
    val_fraction: f64,
    /// What training and validation do not share: skeletons (formulas without their numbers), or also functions, which
    /// leaves training problems out that are a validation formula in other words
    #[arg(long, value_enum, default_value_t = Apart::Skeleton)]
    apart: Apart,
    /// Suites and problem files of a test. Their formulas, however they are written and their variables called, are kept
    /// out: problems that have one from both sides, and from the training side the children that are one and the states
    /// that have one in their population
    #[arg(long, num_args = 1.., value_name = "SUITE|FILE")]
    exclude: Vec<String>,
    /// Folder to write to [default: named after the input and the mode, with the seed, and six digits for settings that are
    /// not the default]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    /// Write OUT/train.jsonl and OUT/val.jsonl too, as text for other tools; without it, those of a corpus that is replaced
    /// are removed
    #[arg(long)]
    jsonl: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// A population and one individual of the next generation
    OneStep,
    /// A population and the whole next one
    Autoregressive,
    /// A problem and its formula
    Direct,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Context {
    /// Generation, number of variables, operators and constants
    Basic,
    /// And statistics of y
    Rich,
    /// And a plot of y, if there is one variable
    #[value(name = "superrich")]
    SuperRich,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Apart {
    Skeleton,
    Function,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Elite {
    /// They are not
    Exclude,
    /// They are
    Include,
}

fn main() -> ExitCode {
    let (args, given) = sr_cli::parse::<Args>();
    sr_args::run(|| convert(&args, &given))
}

fn convert(args: &Args, given: &Given) -> anyhow::Result<Exit> {
    let started = Instant::now();
    args.common.init()?;
    let (input, out) = (args.input()?, args.out(given)?);
    if args.val_fraction == 0.0 {
        given.refuse(&["apart"], "with --val-fraction 0, which leaves nothing to be apart from")?;
    }
    let source = match args.mode {
        Mode::OneStep | Mode::Autoregressive => Source::trace(input, args.problems.as_deref())?,
        Mode::Direct => Source::Problems { problems: input.to_owned() },
    };
    let conversion = Conversion { source, out, options: args.options()? };
    let (source, out) = (&conversion.source, &conversion.out);
    let stop = sr_cli::on_interrupt("this trajectory or problem")?;
    // The text export of a corpus that is replaced goes with it.
    let is_replaced = ["train.sr", "val.sr"].iter().any(|name| out.join(name).exists());
    let files: &[&str] = &["train.sr", "val.sr", "train.jsonl", "val.jsonl"];
    let _output = Claim::folder(out)
        .also(files[..if args.jsonl || is_replaced { 4 } else { 2 }].iter().copied())
        .inputs([input, source.problems()])
        .inputs(args.exclude.iter().map(Path::new))
        .may_exist(args.output.force)
        .take()?;
    let unit = if args.mode == Mode::Direct { "problems" } else { "trajectories" };
    let progress = args.common.progress(source.pieces()?.unwrap_or(0), unit);
    let counts = conversion.run(&mut Monitor::new(stop, |pieces| progress.inc(pieces)))?;
    let Some(Counts { train, val, excluded, bytes_per_example }) = counts else {
        return Ok(sr_cli::stopped(&format!("{} is as it was; the same command begins anew", out.display())));
    };
    sr_cli::write_run_file(&out.join("corpus"), &args.common, started)?;
    let bytes_per_example = (bytes_per_example * 10.0).round() / 10.0;
    let result = json!({
        "out": out.display().to_string(),
        "train": train,
        "val": val,
        "excluded": excluded.total(),
        "excluded_by": excluded,
        "bytes_per_example": bytes_per_example,
    });
    let mut text = format!(
        "{}: {train} training and {}, {bytes_per_example} bytes each",
        out.display(),
        counted(val as usize, "validation example")
    );
    if excluded.total() > 0 {
        text += &format!(
            "\n{} left out: {} of an excluded formula, {} of a validation formula written otherwise, {} with an excluded \
             expression in the population, {} with one as target",
            match excluded.total() {
                1 => "1 example was".to_owned(),
                n => format!("{n} examples were"),
            },
            excluded.problem,
            excluded.validation,
            excluded.population,
            excluded.target
        );
    }
    args.common.report("sr-convert", started, result, &text)?;
    Ok(Exit::Ok)
}

impl Args {
    /// The file to convert; refuses flags that would have no meaning.
    fn input(&self) -> anyhow::Result<&Path> {
        let one_step = self.mode == Mode::OneStep;
        ensure!(one_step || !self.ancestors_only, "--ancestors-only is for --mode one-step");
        ensure!(one_step || self.elite.is_none(), "--elite is for --mode one-step");
        ensure!(
            self.mode != Mode::Direct || self.states_per_search.is_none(),
            "--states-per-search is for traces; direct examples have no states"
        );
        ensure!(self.mode == Mode::Autoregressive || self.fitness.is_none(), "--fitness is for --mode autoregressive");
        match (self.mode, &self.traces, &self.problems) {
            (Mode::OneStep | Mode::Autoregressive, Some(traces), _) => Ok(traces),
            (Mode::OneStep, None, _) => bail!("one-step examples are made from a trace; give --traces"),
            (Mode::Autoregressive, None, _) => bail!("autoregressive examples are made from a trace; give --traces"),
            (Mode::Direct, Some(_), _) => bail!("direct examples are made from problems; --traces has no meaning"),
            (Mode::Direct, None, None) => bail!("direct examples are made from problems; give --problems"),
            (Mode::Direct, None, Some(problems)) => {
                ensure!(!self.dagger, "--dagger is for modes one-step and autoregressive");
                Ok(problems)
            }
        }
    }

    fn options(&self) -> anyhow::Result<Options<'static>> {
        let include_elite = self.elite == Some(Elite::Include);
        Ok(Options {
            context: match self.context {
                Context::Basic => sr_lab::sr_corpus::Context::Basic,
                Context::Rich => sr_lab::sr_corpus::Context::Rich,
                Context::SuperRich => sr_lab::sr_corpus::Context::SuperRich,
            },
            targets: match (self.dagger, self.ancestors_only) {
                (true, _) => Targets::Labels,
                (false, true) => Targets::Ancestors { include_elite },
                (false, false) => Targets::NextGeneration { include_elite },
            },
            shape: match self.mode {
                Mode::Autoregressive => Shape::WholeGeneration { fitness: self.fitness != Some(Switch::Off) },
                Mode::OneStep | Mode::Direct => Shape::EachChild,
            },
            sample_fraction: self.sample_fraction,
            states_per_search: self.states_per_search,
            val_fraction: self.val_fraction,
            is_part: false,
            split_by: match self.apart {
                Apart::Skeleton => sr_lab::sr_corpus::SplitBy::Skeleton,
                Apart::Function => sr_lab::sr_corpus::SplitBy::Function,
            },
            seed: self.common.seed,
            jsonl: self.jsonl,
            exclude: Exclude::listed(Arc::new(Blocklist::of(&self.exclude)?)),
            stop: None,
        })
    }

    fn out(&self, given: &Given) -> anyhow::Result<PathBuf> {
        if let Some(out) = &self.out {
            return Ok(out.clone());
        }
        let mut name = OsString::from(self.input()?.file_stem().unwrap_or_default());
        let mode = match (self.mode, self.dagger, self.ancestors_only) {
            (Mode::Direct, ..) => "direct",
            (Mode::Autoregressive, true, _) => "autoreg_dagger",
            (Mode::Autoregressive, false, _) => "autoreg",
            (Mode::OneStep, true, _) => "onestep_dagger",
            (Mode::OneStep, false, true) => "onestep_ancestors",
            (Mode::OneStep, false, false) => "onestep",
        };
        name.push(format!("_{mode}{}", seed_in_name(self.common.seed)));
        name.push(given.digits(&["traces", "problems", "mode", "dagger", "ancestors_only", "jsonl"]));
        Ok(name.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_named_after_what_it_holds() {
        let out = |flags: &str| {
            let flags = flags.split_whitespace();
            let flags = ["sr-convert"].into_iter().chain(flags);
            let (args, given) = sr_cli::try_parse_from::<Args>(flags).expect("flags");
            args.out(&given).expect("a name")
        };
        assert_eq!(out("--traces gen50.sr --seed 3 --jsonl"), Path::new("gen50_onestep_s3"));
        let [a, b] = ["0.2", "0.3"].map(|x| out(&format!("--traces gen50.sr --val-fraction {x}")));
        assert!(a != b && a.to_string_lossy().starts_with("gen50_onestep_"), "{a:?}");
        assert_eq!(out("--traces a/gen50.sr --dagger"), Path::new("gen50_onestep_dagger"));
        assert_eq!(out("--traces a/gen50.sr --mode autoregressive"), Path::new("gen50_autoreg"));
        assert_eq!(out("--problems a/nguyen.sr --mode direct"), Path::new("nguyen_direct"));
        assert_eq!(out("--traces a/gen50.sr --out b"), Path::new("b"));
    }
}
