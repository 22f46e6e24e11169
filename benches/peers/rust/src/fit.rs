//! Fits of one table each by `symbolic_regression`, for bench-accuracy; `benches/peers/src/accuracy/wire.rs` has the
//! protocol.

use std::time::Instant;

use ndarray::{Array1, Array2};
use serde_json::{Value, json};
use symbolic_regression::prelude::*;

use crate::D;

/// The names of our operators in the crate. It has no cube of its own, which is a product or a power.
fn name(operator: &str) -> Option<&str> {
    Some(match operator {
        "+" => "add",
        "-" => "sub",
        "*" => "mul",
        "/" => "div",
        "pow2" => "abs2",
        "pow3" => return None,
        other => other,
    })
}

/// Runs a search with the crate's defaults, in double precision, prints a line whenever its front changes, and returns
/// the last one. Threads are those of the environment's `RAYON_NUM_THREADS`.
pub fn fit(request: &Value) -> Result<Value, String> {
    let started = Instant::now();
    let numbers = |value: &Value| -> Option<Vec<f64>> { value.as_array()?.iter().map(Value::as_f64).collect() };
    let y = numbers(&request["y"]).ok_or("y is no list of numbers")?;
    let columns = request["columns"].as_array().ok_or("columns is no list")?;
    let columns: Vec<Vec<f64>> = columns.iter().map(numbers).collect::<Option<_>>().ok_or("a column is no list")?;
    let operators = request["operators"].as_array().ok_or("operators is no list")?;
    let operators = operators.iter().filter_map(Value::as_str).filter_map(name);
    let operators = BuiltinOpsF64::from_names(operators).map_err(|error| format!("{error:?}"))?;
    let seconds = request["seconds"].as_f64().ok_or("seconds is no number")?;
    let seed = request["seed"].as_u64().ok_or("seed is no number")?;
    let (n_rows, values) = (y.len(), columns.concat());
    let x = Array2::from_shape_vec((columns.len(), n_rows), values).map_err(|error| error.to_string())?;
    let options = Options::<f64, D> {
        operators,
        niterations: 1_000_000,
        seed,
        timeout_in_seconds: seconds,
        progress: false,
        ..Options::default()
    };
    let dataset = Dataset::new(x, Array1::from_vec(y));
    let mut engine = SearchEngine::<f64, BuiltinOpsF64, D>::new(dataset, options);
    // A step of so many populations keeps the threads busy between looks at the front.
    let step = 2 * std::thread::available_parallelism().map_or(1, usize::from);
    let mut before = Value::Null;
    loop {
        let goes_on = engine.step(step) > 0 && started.elapsed().as_secs_f64() < seconds;
        let members = engine.hall_of_fame().pareto_front();
        let members: Vec<_> = members.iter().filter(|member| member.loss.is_finite()).collect();
        let losses: Vec<(usize, f64)> = members.iter().map(|member| (member.complexity, member.loss)).collect();
        let front: Vec<Value> = members
            .iter()
            .map(|m| json!({ "formula": m.expr.to_string(), "size": m.complexity, "error": m.loss }))
            .collect();
        let chosen = best(&losses).map(|index| front[index]["formula"].clone());
        let report = json!({ "front": front, "chosen": chosen });
        if !goes_on || report != before {
            let mut line = report.clone();
            line["seconds"] = json!(started.elapsed().as_secs_f64());
            if !goes_on {
                line["end"] = json!(true);
                return Ok(line);
            }
            println!("{line}");
        }
        before = report;
    }
}

/// Returns PySR's choice among members of rising complexity and falling loss: the crate has no rule of its own. It is
/// the member with the steepest fall of the log of the loss among those whose loss is at most 1.5 times the least.
fn best(members: &[(usize, f64)]) -> Option<usize> {
    let least = members.iter().map(|member| member.1).fold(f64::INFINITY, f64::min);
    let score = |index: usize| {
        let Some(before) = index.checked_sub(1).map(|before| members[before]) else { return 0.0 };
        let (complexity, loss) = members[index];
        if loss > 0.0 { -(loss / before.1).ln() / (complexity - before.0) as f64 } else { f64::INFINITY }
    };
    let eligible = (0..members.len()).filter(|&index| members[index].1 <= 1.5 * least);
    eligible.max_by(|&a, &b| score(a).total_cmp(&score(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_the_steepest_fall_near_the_least_loss() {
        assert_eq!(best(&[(1, 9.0), (3, 1e-3), (7, 0.9e-3), (9, 0.8e-3)]), Some(1));
        assert_eq!(best(&[(1, 9.0), (3, 1.0), (5, 1e-20), (11, 0.9e-20)]), Some(2));
        assert_eq!(best(&[(1, 9.0), (3, 0.0)]), Some(1));
        assert_eq!(best(&[(1, 9.0)]), Some(0));
        assert_eq!(best(&[]), None);
    }
}
