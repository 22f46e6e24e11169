//! Measures the learner's speed in training and decoding, beside PyTorch and the original system's layout on PyTorch.
//!
//! The exit code is 0 if every bar that could be measured is reached, 1 if one is not, and 2 for an error.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use bench_peers::{Series, machine};
use benches::learner::{CHILD_SIZE, instances, one_step_examples, rollout, settings, train, with_features};
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use rayon::prelude::*;
use serde_json::{Value, json};
use sr_cli::Exit;
use sr_cpu::product::{Into, Left, Packed, product};
use sr_engine::{Generation, Instance, Origin, Search, SearchConfig, run};
use sr_model::{Decoder, DeviceKind, Model, ModelConfig, Population, Prompt};
use sr_neural::{Language, Learner, LearnerMode, Sampling};
use sr_prompt::{Condition, Token, infix};
use sr_train::Examples;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the learner's training and decoding and prints a table; with PyTorch's figures if --python has it
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Samples a figure
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of a sample, at least
    #[arg(long, value_name = "S", default_value_t = 4.0)]
    seconds: f64,
    /// Children that are checked for being legal
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    legal: u64,
    /// Python interpreter that has torch and transformers
    #[arg(long, value_name = "FILE", default_value = "runs/torch-venv/bin/python")]
    python: PathBuf,
    /// The peer
    #[arg(long, value_name = "FILE", default_value = "benches/peers/python/torch_learner.py")]
    driver: PathBuf,
    /// Write the table to NAME.md and all samples to NAME.json
    #[arg(long, value_name = "NAME")]
    out: Option<PathBuf>,
}

/// A figure and the least that it has to reach.
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    bar: Option<f64>,
}

/// The number of searches that advance together.
const PROBLEMS: u32 = 8;

fn main() -> ExitCode {
    let args = Args::parse();
    sr_args::run(|| real_main(&args))
}

fn real_main(args: &Args) -> anyhow::Result<Exit> {
    let threads = rayon::current_num_threads();
    let instances = instances(PROBLEMS, 1)?;
    let [micro, tiny] = [ModelConfig::micro, ModelConfig::tiny].map(|preset| with_features(preset(512)));
    let apart = [&micro, &tiny].map(|config| ModelConfig { population: Population::Separate, ..config.clone() });
    let mut figures: Vec<(&str, Series)> = Vec::new();
    let mut add = |name: &'static str, value: f64| match figures.iter_mut().find(|(known, _)| *known == name) {
        Some((_, series)) => series.push(value),
        None => {
            let mut series = Series::default();
            series.push(value);
            figures.push((name, series));
        }
    };
    let folder = tempfile::tempdir()?;
    let prompts = folder.path().join("prompts.txt");
    std::fs::write(&prompts, original_prompts(&instances)?)?;
    let mut child_tokens = 0.0;
    let mut read = 0.0;
    for round in 1..=args.rounds {
        eprintln!("round {round} of {}", args.rounds);
        add("product", product_rate(args.seconds / 4.0));
        add("train", train_rate(args)?);
        if let Some(theirs) = peer(args, &["train"], &[])? {
            add("torch train", theirs);
        }
        if let Some(theirs) = peer(args, &["train"], &TUNED)? {
            add("torch train, allocator tuned", theirs);
        }
        add("one-step", one_step_rate(args, &instances)?);
        for (name, rate, config) in [
            ("children micro", "rate micro", &micro),
            ("children tiny", "rate tiny", &tiny),
            ("children micro, apart", "", &apart[0]),
            ("children tiny, apart", "", &apart[1]),
            ("children micro, reference", "", &micro),
        ] {
            let model = Model::new(config, 1, &DeviceKind::Cpu.open()?)?;
            let decoder = if name.ends_with("reference") { Decoder::reference(&model) } else { Decoder::new(&model) };
            let sampling = Sampling { max_child_size: CHILD_SIZE, ..Sampling::default() };
            let rollout = rollout(args.seconds, 1, decoder, &instances, sampling)?;
            add(name, rollout.children_per_second);
            if !rate.is_empty() {
                add(rate, rollout.flops_per_second);
                (child_tokens, read) = (rollout.child_tokens, rollout.prompt_positions);
            }
        }
        if let Some(theirs) = peer(args, &["generate", &prompts.to_string_lossy()], &[])? {
            add("torch generate", theirs);
        }
        if round == 1
            && let Some(theirs) = peer(args, &["original-train"], &[])?
        {
            add("torch original-train", theirs);
        }
    }
    eprintln!("checking {} children", args.legal);
    let illegal = illegal_children(args.legal)?;

    let series = |name: &str| figures.iter().find(|(known, _)| *known == name).map(|(_, series)| series);
    let median = |name: &str| series(name).map(Series::median);
    let over = |a: &str, b: &str| Some(series(a)?.over(series(b)?).median());
    let mut rows = Vec::new();
    let mut row = |what: &str, value: Option<f64>, unit, bar| {
        rows.extend(value.map(|value| Row { what: what.to_owned(), value, unit, bar }));
    };
    let giga = |name| median(name).map(|value| value / 1e9);
    row("f32 matrix products of this machine", giga("product"), "GFLOP/s", None);
    row("training, 4 × 256, 512 tokens × 8", median("train"), "tokens/s", None);
    row("÷ PyTorch eager", over("train", "torch train"), "", Some(1.0));
    row("÷ PyTorch eager, allocator tuned", over("train", "torch train, allocator tuned"), "", None);
    row("training, one-step, tiny", median("one-step"), "examples/s", None);
    let original = median("torch original-train");
    row(
        "÷ original's layout in PyTorch",
        original.and_then(|theirs| Some(median("one-step")? / theirs)),
        "",
        Some(300.0),
    );
    row("children, tiny, 8 problems", median("children tiny"), "children/s", Some(500.0));
    row("÷ original's model, transformers", over("children tiny", "torch generate"), "", Some(45.0));
    row("children, micro, 8 problems", median("children micro"), "children/s", Some(1500.0));
    row("÷ the same on the tensor framework", over("children micro", "children micro, reference"), "", None);
    row("children, micro, individuals apart", median("children micro, apart"), "children/s", None);
    row("children, tiny, individuals apart", median("children tiny, apart"), "children/s", None);
    row("share of the matrix products' rate, tiny", over("rate tiny", "product").map(|x| 100.0 * x), "%", Some(50.0));
    row("share of the matrix products' rate, micro", over("rate micro", "product").map(|x| 100.0 * x), "%", Some(50.0));
    row("tokens of a child", Some(child_tokens), "", None);
    row("positions of a prompt", Some(read), "", None);
    row(
        &format!("legal of {} children", args.legal),
        Some(100.0 * (1.0 - illegal as f64 / args.legal as f64)),
        "%",
        Some(100.0),
    );

    let text = to_markdown(args, threads, &rows);
    sr_cli::out(&text)?;
    if let Some(name) = &args.out {
        let with = |extension: &str| PathBuf::from(format!("{}.{extension}", name.display()));
        let samples: serde_json::Map<String, Value> =
            figures.iter().map(|(name, series)| ((*name).to_owned(), json!(series))).collect();
        sr_cli::write_atomically(&with("md"), text.as_bytes())?;
        sr_cli::write_atomically(&with("json"), format!("{:#}\n", Value::Object(samples)).as_bytes())?;
    }
    let passes = |row: &Row| row.bar.is_none_or(|bar| row.value >= bar);
    Ok(if rows.iter().all(passes) { Exit::Ok } else { Exit::Negative })
}

/// Settings for glibc: by default PyTorch maps and unmaps large buffers at every operation.
const TUNED: [(&str, &str); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", "17179869184"),
    ("MALLOC_TRIM_THRESHOLD_", "17179869184"),
    ("MALLOC_TOP_PAD_", "268435456"),
];

/// Measures a figure of the peer; returns `None` if its Python does not exist.
fn peer(args: &Args, what: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Option<f64>> {
    if !args.python.exists() {
        return Ok(None);
    }
    let threads = rayon::current_num_threads().to_string();
    let output = Command::new(&args.python)
        .arg(&args.driver)
        .args(what)
        .args(["--threads", &threads, "--seconds", &args.seconds.to_string()])
        .envs(environment.iter().copied())
        .output()?;
    ensure!(output.status.success(), "{} failed: {}", args.driver.display(), String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    answer["per_second"].as_f64().context("per_second is a number").map(Some)
}

/// Returns the FLOP/s of products of 512 × 256 with 256 × 1024, one thread each.
fn product_rate(seconds: f64) -> f64 {
    let (m, k, n) = (512, 256, 1024);
    let right = Packed::rows(&vec![0.5; k * n], k, n, n);
    let threads = rayon::current_num_threads();
    let started = Instant::now();
    let counts: Vec<u64> = (0..threads)
        .into_par_iter()
        .map(|_| {
            let (left, mut out) = (vec![0.25; m * k], vec![0.0; m * n]);
            let mut count = 0;
            while started.elapsed().as_secs_f64() < seconds {
                product(Left::rows(&left, m, k, k), &right, n, &mut out, n, Into::Set);
                count += 1;
            }
            assert_eq!(out[0], k as f32 * 0.125);
            count
        })
        .collect();
    (2 * m * k * n) as f64 * counts.iter().sum::<u64>() as f64 / started.elapsed().as_secs_f64()
}

/// Returns the tokens/s of the model that PyTorch trains too: 4 × 256, 16 heads, vocabulary 128, rows of 512 tokens.
fn train_rate(args: &Args) -> anyhow::Result<f64> {
    let model = "preset = \"tiny\"\nn_heads = 16\nn_points = 0\nn_positions = 512\nactivation = \"gelu_new\"";
    let mut config = settings(model, "rows_per_batch = 8")?;
    (config.model.vocab_size, config.model.n_features) = (128, 0);
    let mut examples = Examples::new(&config.model);
    for row in 0..64 {
        let ids: Vec<i32> = (0..511).map(|i| (i * 7 + row * 13) % 127 + 1).collect();
        let prompt = Prompt { tokens: vec![1], ..Prompt::default() };
        examples.push(&prompt, Token::Condition(Condition::All), [(&ids[..], 1.0)])?;
    }
    Ok(train(args.seconds, 1, config, &examples, DeviceKind::Cpu)?.0)
}

/// Returns the examples/s on states of expert searches.
fn one_step_rate(args: &Args, instances: &[Arc<Instance>]) -> anyhow::Result<f64> {
    let config = settings("preset = \"tiny\"", "rows_per_batch = 16")?;
    let examples = one_step_examples(&config.model, instances)?;
    Ok(train(args.seconds, 1, config, &examples, DeviceKind::Cpu)?.1)
}

/// Returns the original system's prompts at generation 30, one a line.
fn original_prompts(instances: &[Arc<Instance>]) -> anyhow::Result<String> {
    let mut text = String::new();
    for instance in instances {
        let config = SearchConfig { generations: 31, early_stop_mse: None, ..SearchConfig::basic() };
        let mut last = String::new();
        let mut observer = |seen: &Generation<'_>| {
            let population = infix::population(seen.population.iter().map(|m| (m.tree, m.score.fitness)));
            let context = infix::basic_context(seen.generation, instance.primitives());
            last = infix::prompt(&context, &population);
            std::ops::ControlFlow::Continue(())
        };
        let mut searches = [Search::new(instance.clone(), config, 1)?];
        run(&mut searches, &mut sr_engine::Expert, std::slice::from_mut(&mut observer))
            .expect("the expert never fails");
        text += &last;
        text += "\n";
    }
    Ok(text)
}

/// Returns the number of children of a small model with random weights that are not expressions of their problems.
fn illegal_children(wanted: u64) -> anyhow::Result<u64> {
    let config = ModelConfig {
        d_model: 16,
        n_layers: 1,
        n_heads: 2,
        d_mlp: 32,
        points: None,
        population: Population::Separate,
        ..with_features(ModelConfig::micro(512))
    };
    let model = Model::new(&config, 1, &DeviceKind::Cpu.open()?)?;
    let sampling = Sampling { max_child_size: CHILD_SIZE, ..Sampling::default() };
    let mut learner = Learner::new(Decoder::new(&model), LearnerMode::OneStep, &Language::default(), sampling);
    let (mut children, mut fallback) = (0, 0);
    for seed in 0.. {
        let config = SearchConfig { generations: 10, early_stop_mse: None, ..SearchConfig::basic() };
        let mut searches: Vec<Search> = instances(64, seed)?
            .into_iter()
            .map(|instance| Search::new(instance, config.clone(), seed))
            .collect::<Result<_, _>>()?;
        let mut counts = vec![[0_u64; 2]; searches.len()];
        let mut observers: Vec<_> = counts
            .iter_mut()
            .map(|[all, fallen]| {
                |seen: &Generation<'_>| {
                    let made = |origin| seen.population.iter().filter(|m| m.origin == origin).count() as u64;
                    *all += made(Origin::Learner) + made(Origin::Fallback);
                    *fallen += made(Origin::Fallback);
                    std::ops::ControlFlow::Continue(())
                }
            })
            .collect();
        run(&mut searches, &mut learner, &mut observers)?;
        drop(observers);
        for [all, fallen] in counts {
            children += all;
            fallback += fallen;
        }
        if children >= wanted {
            break;
        }
    }
    Ok(fallback)
}

fn to_markdown(args: &Args, threads: usize, rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(["what", "figure", "", "bar", ""]);
    for row in rows {
        let bar = row.bar.map_or(String::new(), |bar| format!("≥ {bar}"));
        let passes = row.bar.map_or("", |bar| if row.value >= bar { "pass" } else { "MISS" });
        let figure = if row.value < 10.0 { format!("{:.2}", row.value) } else { format!("{:.0}", row.value) };
        table.add_row([&*row.what, &figure, row.unit, &bar, passes]);
    }
    table.column_mut(1).expect("five columns").set_cell_alignment(CellAlignment::Right);
    let peer = if args.python.exists() { "" } else { " PyTorch was not there." };
    format!(
        "# Learner\n\nWritten by `just bench-learner`: medians of {} rounds of {} s, {threads} threads.{peer}\n{}, {}, commit {}.\n\n{table}\n",
        args.rounds,
        args.seconds,
        machine::processor(),
        machine::rustc(),
        machine::commit(),
    )
}
