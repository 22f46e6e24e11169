//! The driver of the crates `dynamic_expressions` and `symbolic_regression`; `benches/peers/src/peer.rs` has the
//! protocol.

mod fit;

use std::collections::HashMap;
use std::hint::black_box;
use std::io::BufRead;
use std::time::Instant;

use dynamic_expressions::{EvalOptions, EvalPlan, OpId, OperatorSet, compile_plan, eval_plan_array_into};
use ndarray::{Array1, Array2};
use serde_json::{Value, json};
use symbolic_regression::prelude::*;

const DYNAMIC_EXPRESSIONS: &str = "dynamic_expressions";
const SYMBOLIC_REGRESSION: &str = "symbolic_regression";
const COLUMNS: usize = 3;
/// The largest arity that the crates are compiled for.
const D: usize = 3;
/// The least seconds of a sample.
const SAMPLE: f64 = 0.1;
/// Functions beside + − * /.
const FUNCTIONS: [&str; 5] = ["sin", "cos", "exp", "log", "sqrt"];

/// Returns the stream of `benches/peers/src/data.rs`, `[columns, rows]`.
fn stream(seed: u64, rows: usize, value: impl Fn(f64) -> f64) -> Array2<f64> {
    let mut s = seed;
    Array2::from_shape_fn((COLUMNS, rows), |_| {
        s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        value((s >> 11) as f64 / (1u64 << 53) as f64)
    })
}

const SEED: u64 = 0x1234_5678_9abc_def1;

fn sample(work: f64, mut pass: impl FnMut()) -> f64 {
    let started = Instant::now();
    pass();
    let passes = (SAMPLE / started.elapsed().as_secs_f64()).ceil().clamp(1.0, 1e5) as u32;
    let started = Instant::now();
    (0..passes).for_each(|_| pass());
    work * f64::from(passes) / started.elapsed().as_secs_f64()
}

/// Defines evaluation for one kind of number.
macro_rules! evaluation {
    ($kind:ident, $ops:ty) => {
        mod $kind {
            use super::*;

            type Ops = $ops;

            fn op(name: &str) -> Result<OpId, String> {
                <Ops as OperatorSet>::lookup(name).map_err(|_| format!("no operator {name}"))
            }

            fn parse(line: &str) -> Result<PostfixExpr<$kind, Ops, D>, String> {
                let mut nodes = Vec::new();
                let mut constants = Vec::new();
                for token in line.split_whitespace() {
                    let binary = [("+", "add"), ("-", "sub"), ("*", "mul"), ("/", "div")];
                    let name = binary.iter().find(|(sign, _)| *sign == token).map(|(_, name)| *name);
                    let name = name.or(FUNCTIONS.contains(&token).then_some(token));
                    nodes.push(if let Some(name) = name {
                        let OpId { arity, id } = op(name)?;
                        PNode::Op { arity, op: id }
                    } else if let Some(index) = token.strip_prefix('x') {
                        PNode::Var { feature: index.parse().map_err(|_| token)? }
                    } else {
                        constants.push(token[1..].parse().map_err(|_| token)?);
                        PNode::Const { idx: (constants.len() - 1) as u16 }
                    });
                }
                Ok(PostfixExpr::new(nodes, constants, Default::default()))
            }

            pub struct Trees {
                trees: Vec<PostfixExpr<$kind, Ops, D>>,
                plans: Vec<EvalPlan<D>>,
            }

            impl Trees {
                pub fn read(path: &str) -> Result<Self, String> {
                    let text = std::fs::read_to_string(path).map_err(|error| format!("reading {path}: {error}"))?;
                    let trees = text.lines().map(parse).collect::<Result<Vec<_>, _>>()?;
                    let plans = trees.iter().map(|t| compile_plan::<D>(&t.nodes, COLUMNS, t.consts.len())).collect();
                    Ok(Trees { trees, plans })
                }

                /// Returns node·rows per second, and the value of every tree at the last row. With the finite check
                /// every tree is compiled in each pass, without it before.
                pub fn sample(&self, rows: usize, check_finite: bool) -> (f64, Vec<$kind>) {
                    let x = data(rows);
                    // Early exit would leave a tree at the first value that is not finite: less work than on our side.
                    let options = EvalOptions { check_finite, early_exit: false };
                    let mut out = vec![0.0; rows];
                    // Scratch memory must have the shape of a plan: there is one for each number of slots.
                    let most_slots = self.plans.iter().map(|plan| plan.n_slots as usize).max().unwrap_or(0);
                    let mut scratch: Vec<_> = (0..=most_slots).map(|n| Array2::zeros((n, rows))).collect();
                    let nodes: usize = self.trees.iter().map(|tree| tree.nodes.len()).sum();
                    let mut last = vec![0.0; self.trees.len()];
                    let rate = sample((nodes * rows) as f64, || {
                        for ((tree, plan), last) in self.trees.iter().zip(&self.plans).zip(&mut last) {
                            let compiled;
                            let plan = if check_finite {
                                compiled = compile_plan::<D>(&tree.nodes, COLUMNS, tree.consts.len());
                                &compiled
                            } else {
                                plan
                            };
                            let scratch = &mut scratch[plan.n_slots as usize];
                            eval_plan_array_into::<$kind, Ops, D>(&mut out, plan, tree, x.view(), scratch, &options);
                            *last = black_box(&out)[rows - 1];
                        }
                    });
                    (rate, last)
                }
            }

            fn data(rows: usize) -> Array2<$kind> {
                stream(SEED, rows, |u| 0.1 + 2.9 * u).mapv(|value| value as $kind)
            }
        }
    };
}

evaluation!(f32, BuiltinOpsF32);
evaluation!(f64, BuiltinOpsF64);

/// Returns the individuals per second of a search that fits no constants; populations are the crate's default, 31 of
/// 27.
fn search(rows: usize, seconds: f64, max_size: Option<usize>, seed: u64) -> Result<f64, String> {
    let x = stream(SEED ^ 7, rows, |u| -3.0 + 6.0 * u).mapv(|value| value as f32);
    let target = |row| {
        let [x0, x1, x2]: [f32; 3] = [x[(0, row)], x[(1, row)], x[(2, row)]];
        (x0 * x1).sin() + 0.5 * x2 * x2 + 1.3 * x0
    };
    let y: Array1<f32> = (0..rows).map(target).collect();
    let names = ["add", "sub", "mul", "div"].into_iter().chain(FUNCTIONS);
    let operators = BuiltinOpsF32::from_names(names).map_err(|error| format!("{error:?}"))?;
    let defaults = Options::<f32, D>::default();
    let options = Options::<f32, D> {
        operators,
        niterations: 1_000_000,
        maxsize: max_size.unwrap_or(defaults.maxsize),
        seed,
        timeout_in_seconds: seconds,
        progress: false,
        should_optimize_constants: false,
        ..defaults
    };
    let mut engine = SearchEngine::<f32, BuiltinOpsF32, D>::new(Dataset::new(x, y), options);
    let before = engine.total_evals();
    let started = Instant::now();
    while started.elapsed().as_secs_f64() < seconds && engine.step(8) > 0 {}
    Ok((engine.total_evals() - before) as f64 / started.elapsed().as_secs_f64())
}

/// The files of trees that were read so far.
#[derive(Default)]
struct Driver {
    single: HashMap<String, f32::Trees>,
    double: HashMap<String, f64::Trees>,
}

fn cached<'a, T>(
    files: &'a mut HashMap<String, T>,
    path: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<&'a T, String> {
    if !files.contains_key(path) {
        files.insert(path.to_owned(), read(path)?);
    }
    Ok(&files[path])
}

impl Driver {
    fn answer(&mut self, line: &str) -> Result<Value, String> {
        let request: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let text = |name: &str| request[name].as_str().ok_or(format!("{name} is no text"));
        if text("task")? == "fit" {
            return fit::fit(&request);
        }
        let rows = request["rows"].as_u64().ok_or("rows is no number")? as usize;
        match text("task")? {
            "eval_throughput" => {
                let (path, kind, mode) = (text("trees")?, text("type")?, text("mode")?);
                let check_finite = match mode {
                    "finite_check_compile_each" => true,
                    "no_check_precompiled" => false,
                    _ => return Err(format!("no mode {mode}")),
                };
                // JSON has no NaN and no infinity: they become null.
                let (value, last) = match kind {
                    "f32" => {
                        let (value, last) =
                            cached(&mut self.single, path, f32::Trees::read)?.sample(rows, check_finite);
                        (value, json!(last))
                    }
                    "f64" => {
                        let (value, last) =
                            cached(&mut self.double, path, f64::Trees::read)?.sample(rows, check_finite);
                        (value, json!(last))
                    }
                    _ => return Err(format!("no type {kind}")),
                };
                let set = std::path::Path::new(path).file_stem().unwrap_or_default().to_string_lossy();
                Ok(json!({
                    "peer": DYNAMIC_EXPRESSIONS, "task": "eval_throughput", "value": value, "unit": "node*rows/s",
                    "last": last, "params": { "set": set, "rows": rows, "type": kind, "mode": mode },
                }))
            }
            "search" => {
                let seconds = request["seconds"].as_f64().ok_or("seconds is no number")?;
                let seed = request["seed"].as_u64().ok_or("seed is no number")?;
                let max_size = request["max_size"].as_u64().map(|size| size as usize);
                Ok(json!({
                    "peer": SYMBOLIC_REGRESSION, "task": "search", "value": search(rows, seconds, max_size, seed)?,
                    "unit": "individuals/s", "params": { "rows": rows, "type": "f32" },
                }))
            }
            task => Err(format!("no task {task}")),
        }
    }
}

fn main() {
    let peers = json!({ DYNAMIC_EXPRESSIONS: "0.10.1", SYMBOLIC_REGRESSION: "0.12.3" });
    println!("{}", json!({ "peers": peers, "missing": {} }));
    let mut driver = Driver::default();
    for line in std::io::stdin().lock().lines() {
        let answer = line.map_err(|error| error.to_string()).and_then(|line| driver.answer(&line));
        println!("{}", answer.unwrap_or_else(|error| json!({ "error": error })));
    }
}
