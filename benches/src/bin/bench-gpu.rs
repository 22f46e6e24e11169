//! Measures the learner on a GPU: whether it computes the same as the CPU, and the speed of training and of offspring
//! relative to the device's own matrix products.
//!
//! The exit code is 0 if every bar is reached, 1 if one is not, and 2 for an error.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::ensure;
use bench_peers::{Series, machine};
use benches::learner::{self, CHILD_SIZE, instances, one_step_examples, settings, train};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Distribution, FloatDType, Gradients, Tensor};
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use sr_cli::Exit;
use sr_model::{Decoder, DeviceKind, Model, ModelConfig, Precision, TrainBatch};
use sr_neural::Sampling;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the `tiny` learner's training and decoding on a GPU and prints a table
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Where to compute: cuda, or cpu to try the bench itself
    #[arg(long, default_value = "cuda")]
    device: DeviceKind,
    /// Samples a figure
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of a sample, at least
    #[arg(long, value_name = "S", default_value_t = 4.0)]
    seconds: f64,
    /// States of a forward pass in training
    #[arg(long, value_name = "N", default_value_t = 128)]
    rows: usize,
    /// Searches that advance together
    #[arg(long, value_name = "N", default_value_t = 256)]
    problems: u32,
    /// Training steps and generations before a measurement, in which kernels are compiled and chosen
    #[arg(long, value_name = "N", default_value_t = 5)]
    warm_up: u64,
    /// Measure these only
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_values = ["parity", "products", "train", "children"])]
    only: Vec<Part>,
    /// Number formats of matrix products
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_values = ["bf16", "f32"])]
    precision: Vec<Products>,
    /// Name of the device, for the table
    #[arg(long, default_value = "")]
    name: String,
    /// Write the table to NAME.md and all samples to NAME.json
    #[arg(long, value_name = "NAME")]
    out: Option<PathBuf>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
enum Part {
    /// Losses and gradients beside the CPU's
    Parity,
    /// Matrix products
    Products,
    /// Training
    Train,
    /// Searches with the learner
    Children,
}

#[derive(Debug, Clone, Copy, PartialEq, clap::ValueEnum)]
enum Products {
    F32,
    Bf16,
}

/// A figure and the least that it has to reach.
struct Row {
    what: &'static str,
    value: f64,
    unit: &'static str,
    bar: Option<f64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    sr_args::run(|| real_main(&args))
}

fn real_main(args: &Args) -> anyhow::Result<Exit> {
    let device = args.device.open()?;
    let few = instances(32, 1)?;
    let config = settings("preset = \"tiny\"", &format!("rows_per_batch = {}", args.rows))?;
    let examples = one_step_examples(&config.model, &few)?;
    let many = instances(args.problems, 1)?;

    let mut rows = Vec::new();
    let mut row = |what, value, unit, bar| rows.push(Row { what, value, unit, bar });
    let measures = |part: Part| args.only.contains(&part);
    let uses = |precision: Precision| {
        args.precision.contains(if precision == Precision::F32 { &Products::F32 } else { &Products::Bf16 })
    };
    let few_states = examples.first(8)?;
    let precisions = [
        (Precision::F32, "loss, f32: difference from the CPU's", "gradients, f32: difference from the CPU's"),
        (Precision::Bf16, "loss, bf16: difference from the CPU's", "gradients, bf16: difference from the CPU's"),
    ];
    for (precision, loss, gradients) in precisions.into_iter().filter(|(p, ..)| measures(Part::Parity) && uses(*p)) {
        let found = differences(&config.model, &few_states, precision, &device)?;
        eprintln!("{precision:?}: loss and gradients differ by {found:?}");
        row(loss, found[0], "", None);
        row(gradients, found[1], "", None);
    }
    if measures(Part::Train) {
        let many_states = examples.first(args.rows)?;
        let model = Model::new(&config.model, 1, &device.clone().autodiff())?.with_precision(Precision::Bf16);
        let times = pass_times(&model, &many_states)?;
        let cells = many_states.rows * many_states.length;
        eprintln!("a pass of {cells} tokens, padding included, took {times:.1?} ms, bf16");
        row("forward and backward, bf16: told after", times[0], "ms", None);
        row("forward and backward, bf16: done after", times[1], "ms", None);
    }

    let mut figures: Vec<(&'static str, Series)> = Vec::new();
    let mut add = |name: &'static str, value: f64| {
        eprintln!("{name}: {value:.4e}");
        match figures.iter_mut().find(|(known, _)| *known == name) {
            Some((_, series)) => series.push(value),
            None => {
                let mut series = Series::default();
                series.push(value);
                figures.push((name, series));
            }
        }
    };
    for round in 1..=args.rounds {
        eprintln!("round {round} of {}", args.rounds);
        let warm_up = if round == 1 { args.warm_up } else { 1 };
        if measures(Part::Products) {
            add("products bf16", product_rate(args.seconds / 4.0, FloatDType::BF16, &device)?);
            add("products f32", product_rate(args.seconds / 4.0, FloatDType::F32, &device)?);
        }
        let precisions = [(Precision::Bf16, "train bf16"), (Precision::F32, "train f32")];
        for (precision, name) in precisions.into_iter().filter(|(p, _)| measures(Part::Train) && uses(*p)) {
            let mut config = config.clone();
            config.training.precision = precision;
            add(name, train(args.seconds, warm_up, config, &examples, args.device)?.0);
        }
        let precisions = [(Precision::Bf16, "children bf16"), (Precision::F32, "children f32")];
        for (precision, name) in precisions.into_iter().filter(|(p, _)| measures(Part::Children) && uses(*p)) {
            let model = Model::new(&config.model, 1, &device)?.with_precision(precision);
            let sampling = Sampling { max_child_size: CHILD_SIZE, ..Sampling::default() };
            let rollout = learner::rollout(args.seconds, warm_up, Decoder::new(&model), &many, sampling)?;
            add(name, rollout.children_per_second);
            if precision == Precision::Bf16 {
                let few = learner::rollout(
                    args.seconds / 4.0,
                    warm_up,
                    Decoder::new(&model),
                    &many[..8.min(many.len())],
                    sampling,
                )?;
                add("children bf16, 8 problems", few.children_per_second);
            }
        }
    }

    let median = |name: &str| figures.iter().find(|(known, _)| *known == name).map(|(_, series)| series.median());
    let better = |a: &str, b: &str| Some(median(a)?.max(median(b)?));
    let tera = |name| median(name).map(|value| value / 1e12);
    for (what, value, unit, bar) in [
        ("matrix products of 4096³, bf16", tera("products bf16"), "TFLOP/s", None),
        ("matrix products of 4096³, f32", tera("products f32"), "TFLOP/s", None),
        ("training, one-step, tiny, bf16", median("train bf16"), "tokens/s", Some(1e6)),
        ("training, one-step, tiny, f32", median("train f32"), "tokens/s", None),
        ("children, tiny, bf16, 8 problems", median("children bf16, 8 problems"), "children/s", None),
        ("children, tiny, bf16", median("children bf16"), "children/s", None),
        ("children, tiny, f32", median("children f32"), "children/s", None),
        ("children, tiny, the better of the two", better("children bf16", "children f32"), "children/s", Some(5e4)),
    ] {
        rows.extend(value.map(|value| Row { what, value, unit, bar }));
    }

    let text = to_markdown(args, &rows);
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

/// Returns the FLOP/s of square matrix products.
fn product_rate(seconds: f64, dtype: FloatDType, device: &Device) -> anyhow::Result<f64> {
    let n = 4096;
    let random = || Tensor::<2>::random([n, n], Distribution::Default, device).cast(dtype);
    let (a, b) = (random(), random());
    let wait = |c: Tensor<2>| -> anyhow::Result<()> {
        let corner = c.narrow(0, 0, 1).narrow(1, 0, 1).cast(FloatDType::F32).into_scalar::<f32>();
        ensure!(corner.is_finite() && corner > 0.0, "a sum of positive products is {corner}");
        Ok(())
    };
    for _ in 0..3 {
        wait(a.clone().matmul(b.clone()))?;
    }
    let started = Instant::now();
    let mut count = 0;
    while count == 0 || started.elapsed().as_secs_f64() < seconds {
        let mut last = a.clone().matmul(b.clone());
        for _ in 1..20 {
            last = a.clone().matmul(b.clone());
        }
        wait(last)?;
        count += 20;
    }
    Ok(2.0 * (n as f64).powi(3) * f64::from(count) / started.elapsed().as_secs_f64())
}

/// Collects the loss and then all gradients of a model, concatenated.
struct Flat<'a>(&'a Gradients, Vec<f32>);

impl ModuleVisitor for Flat<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.0).expect("a gradient");
        self.1.extend(gradient.try_into_vec_as::<f32>().expect("f32"));
    }
}

/// Returns how far the loss and the gradients of a few states are from those of the same weights on the CPU: relative
/// differences, for the gradients of their norms.
fn differences(
    config: &ModelConfig,
    batch: &TrainBatch,
    precision: Precision,
    device: &Device,
) -> anyhow::Result<[f64; 2]> {
    let passed = |device: &Device, precision| -> anyhow::Result<(f64, Vec<f32>)> {
        let model = Model::new(config, 1, &device.clone().autodiff())?.with_precision(precision);
        let loss = model.loss(batch)?.value;
        let mut flat = Flat(&loss.backward(), Vec::new());
        model.visit(&mut flat);
        Ok((f64::from(loss.into_scalar::<f32>()), flat.1))
    };
    let (expected, gradients) = passed(&DeviceKind::Cpu.open()?, Precision::F32)?;
    let (found, of_found) = passed(device, precision)?;
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let apart = norm(&mut gradients.iter().zip(&of_found).map(|(a, b)| a - b));
    Ok([(found - expected).abs() / expected, apart / norm(&mut gradients.iter().copied())])
}

/// Returns the milliseconds of a forward and backward pass: until the host has submitted everything, and until it is
/// done.
fn pass_times(model: &Model, batch: &TrainBatch) -> anyhow::Result<[f64; 2]> {
    let mut times = [0.0; 2];
    for _ in 0..4 {
        model.device().sync()?;
        let started = Instant::now();
        let gradients = model.loss(batch)?.value.backward();
        times[0] = 1e3 * started.elapsed().as_secs_f64();
        model.device().sync()?;
        times[1] = 1e3 * started.elapsed().as_secs_f64();
        drop(gradients);
    }
    Ok(times)
}

fn to_markdown(args: &Args, rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(["what", "figure", "", "bar", ""]);
    for row in rows {
        let bar = row.bar.map_or(String::new(), |bar| format!("≥ {bar}"));
        let passes = row.bar.map_or("", |bar| if row.value >= bar { "pass" } else { "MISS" });
        let figure = match row.value {
            value if value < 0.01 => format!("{value:.1e}"),
            value if value < 10.0 => format!("{value:.2}"),
            value => format!("{value:.0}"),
        };
        table.add_row([row.what, &figure, row.unit, &bar, passes]);
    }
    table.column_mut(1).expect("five columns").set_cell_alignment(CellAlignment::Right);
    format!(
        "# Learner on a GPU\n\nWritten by `just gpu-bench`: medians of {} rounds of {} s; {} states a training step, {} problems at once, \
         children of at most {CHILD_SIZE} nodes.\nDevice {} {}; {}, commit {}.\n\n{table}\n",
        args.rounds,
        args.seconds,
        args.rows,
        args.problems,
        args.device,
        args.name,
        machine::rustc(),
        machine::commit(),
    )
}
