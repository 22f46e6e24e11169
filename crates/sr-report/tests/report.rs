//! Pages of reports, of results as the programs write them.

use serde_json::{Value, json};
use sr_report::{FitRow, ReportError, Section, report_page};

/// A fit of a table of 5,000 rows whose names are those of an attacker.
fn fit() -> Value {
    let formula = |size: usize, expression: &str, rmse: f64| {
        json!({
            "formula": expression.replace("x0", "a</script>").replace("x1", "θ"),
            "expression": expression, "size": size, "method": "evolution", "rmse": rmse, "mse": rmse * rmse,
            "loss": rmse * rmse, "r2": 1.0 - rmse * rmse, "exact": false, "rmse_held_out": rmse, "r2_held_out": null,
        })
    };
    json!({
        "loss": "mse",
        "mean": formula(1, "0.5", 1.0),
        "linear": null,
        "front": [
            formula(1, "0.5", 1.0),
            formula(5, "(1.23456789012345 * sqrt(pow3(x0)))", 0.25),
            formula(9, "((x0 / x1) - 1.5e-09)", 0.0),
        ],
        "marked": 1, "chosen": 1, "reason": "held-out", "stop": "time", "epochs": 12, "work": 1234567,
        "held_out_rows": 1000, "stopped": false,
        "progress": [{ "epoch": 0, "error": 0.5 }, { "epoch": 7, "error": 0.0625 }],
        "settings": {
            "seed": 3, "max_size": 30, "memory": 512, "operators": ["+", "-"], "guesses": [],
            "requirements": { "loss": null, "units": "m, s, m/s", "unit_constants": false },
            "table": { "name": "a<b", "rows": 5000, "columns": { "target": "y_1", "variables": ["a</script>", "θ"] } },
        },
        "budget": { "time_limit": 20.0, "epochs": null, "max_work": null },
    })
}

fn rows(n: usize) -> Vec<FitRow> {
    let row =
        |row: usize| FitRow { row: row + 1, observed: row as f64 / 7.0, predicted: (row as f64 / 7.0).sin() * 1e3 };
    (0..n).map(row).collect()
}

fn page(section: Result<Section, ReportError>) -> String {
    let page = report_page(&[section.expect("a section")]);
    for outside in ["http:", "https:", "src=", "href=", "@import", "url(", "NaN", "inf<"] {
        assert!(!page.contains(outside), "a page has no {outside}");
    }
    page
}

#[test]
fn a_fit_is_one_small_page_that_is_the_same_again() {
    let mut fit = fit();
    // A front as large as they get.
    let sum = ["(1.2345678901234567 * sin((x0 * x1)))"; 8].join(" + ");
    let large: Vec<Value> = (2..40)
        .map(|size| {
            let mut formula = fit["front"][1].clone();
            formula["size"] = json!(size);
            formula["expression"] = json!(sum);
            formula["formula"] = json!(sum);
            formula
        })
        .collect();
    fit["front"].as_array_mut().expect("a front").extend(large);
    let made = page(Section::fit("run", &fit, &rows(1000)));
    assert!(made.len() < 500_000, "{} bytes", made.len());
    assert_eq!(made, page(Section::fit("elsewhere", &fit, &rows(1000))));
}

#[test]
fn a_fit_has_its_formulas_rows_and_settings() {
    let made = page(Section::fit("run", &fit(), &rows(1000)));
    for text in [
        "<title>y_1 of a&lt;b · sr-fit</title>",
        // The marked formula with constants of six digits, and with all digits below.
        "<math display=\"block\"><mrow><msub><mi>y</mi><mn>1</mn></msub><mo>=</mo><mn>1.23457</mn><mo>⋅</mo><msqrt>",
        "y_1 = (1.23456789012345 * sqrt(pow3(a&lt;/script&gt;)))",
        "1,000 of 5,000 rows, evenly spread over the table.",
        "the shortest description among those as good on the rows that were held out",
        "row 1: observed 0, predicted 0, residual 0",
        "<dt>units</dt><dd>m, s, m/s</dd>",
        "It is 0.5000 at first and 0.06250 after epoch 7.",
        "<tr class=\"marked\" data-formula=\"1\">",
        "role=\"img\" aria-label=\"Pareto front: error against size. 3 formulas of sizes 1 to 9: ",
    ] {
        assert!(made.contains(text), "{text}");
    }
    assert!(!made.contains("a</script>"), "no name leaves its place");
    assert!(!made.contains("1 − 0"), "an R² of 1 is told as such");
    assert!(!made.contains("unit constants"), "what was not asked for is not told");
    let without = page(Section::fit("run", &fit(), &[]));
    assert!(!without.contains("Observed against predicted"));
}

#[test]
fn what_is_compared_with_the_front_has_the_same_colour_with_and_without_rows_held_out() {
    let mut fit = fit();
    fit["linear"] = fit["front"][1].clone();
    let colours = |fit: &Value| -> Vec<(String, String)> {
        let made = page(Section::fit("run", fit, &[]));
        let key = |part: &str| {
            let look = part.split_once('"').expect("the end of a class").0.to_owned();
            Some((part.split_once("</svg>")?.1.split_once("</button>")?.0.to_owned(), look))
        };
        made.split("<svg class=\"key ").skip(1).filter_map(key).collect()
    };
    let with = colours(&fit);
    assert_eq!(with.len(), 5, "{with:?}");
    for formula in fit["front"].as_array_mut().expect("a front") {
        formula.as_object_mut().expect("an object").remove("rmse_held_out");
    }
    let without = colours(&fit);
    let held_out = |(name, _): &&(String, String)| name != "on the rows held out";
    assert_eq!(without, with.iter().filter(held_out).cloned().collect::<Vec<_>>());
    assert_eq!(without.last(), Some(&("marked".to_owned(), "s6".to_owned())));
    fit["mean"] = Value::Null;
    assert_eq!(colours(&fit), [&without[..1], &without[2..]].concat(), "without the mean");
}

#[test]
fn every_math_element_and_chart_is_well_formed() {
    let made = page(Section::fit("run", &fit(), &rows(50)));
    for (open, close) in [("<math", "</math>"), ("<svg", "</svg>")] {
        let parts: Vec<&str> = made.split(open).skip(1).collect();
        assert!(parts.len() >= 3, "{open}");
        for part in parts {
            let element = format!("{open}{}{close}", part.split(close).next().expect("an end"));
            assert!(roxmltree::Document::parse(&element).is_ok(), "{element}");
        }
    }
}

#[test]
fn rows_without_a_value_are_counted() {
    let mut rows = rows(20);
    (rows[3].predicted, rows[4].predicted) = (f64::NAN, f64::INFINITY);
    let mut fit = fit();
    fit["settings"]["table"]["rows"] = json!(20);
    let made = page(Section::fit("run", &fit, &rows));
    assert!(made.contains("All 20 rows; 2 rows have no place, because the formula has no finite value there."));
    assert!(made.contains("18 rows; on the dashed line both are equal."));
}

#[test]
fn laws_of_groups_have_a_table_of_constants() {
    let mut fit = fit();
    fit["front"][1] = json!({
        "formula": "(c0 * θ)", "expression": "(x2 * x1)", "size": 3, "own_constants": ["c0"], "exact": false, "loss": 0.25,
        "r2": 0.5, "loss_held_out": null,
        "groups": [
            { "group": "north", "rows": 30, "constants": { "c0": 1.5 }, "loss": 0.04 },
            { "group": "south", "rows": 20, "constants": { "c0": -2.5 }, "loss": 0.09 },
        ],
    });
    let made = page(Section::fit("run", &fit, &[]));
    assert!(made.contains("Constants of each group in the marked law"));
    assert!(
        made.contains("<td>north</td>") && made.contains(">-2.500</td>") && made.contains(">0.3000</td>"),
        "{made}"
    );
    assert!(made.contains("<mo>=</mo><msub><mi>c</mi><mn>0</mn></msub><mo>⋅</mo><mi>θ</mi>"));
}

#[test]
fn a_fit_without_a_field_is_an_error_that_names_it() {
    for field in ["front", "marked"] {
        let mut fit = fit();
        fit.as_object_mut().expect("an object").remove(field);
        let error = Section::fit("run", &fit, &[]).expect_err(field).to_string();
        assert_eq!(error, format!("a fit has no valid field {field}"));
    }
    let mut beyond = fit();
    beyond["marked"] = json!(3);
    assert!(Section::fit("run", &beyond, &[]).is_err());
}

/// A comparison of two methods on two problems.
fn evaluation() -> Value {
    let row = |method: &str, problem: &str, solved: bool| {
        json!({
            "method": method, "problem": problem, "seed": 1, "solved": solved, "mse_train": 0.5, "r2_test": null,
            "generations": 10, "evaluations": 300, "evaluations_to_solve": solved.then_some(200),
            "generations_to_solve": null, "seconds": 0.5, "size": 3, "expression": "x0", "well_formed": 0, "fallback": 0,
            "children": 100, "distinct": 90,
        })
    };
    let summary = |method: &str, solved: f64, ert: Option<f64>| {
        json!({
            "method": method, "n": 2, "solved": solved, "lo": solved / 2.0, "hi": 1.0, "solved_initially": 0.0,
            "median_mse": 0.5, "evaluations": 300.0, "evaluations_to_solve": 200.0, "generations_to_solve": null,
            "ert": ert, "ert_lo": 150.0, "ert_hi": null, "ert_seconds": 1.0, "area": 0.5, "difference": null,
            "proposals": 0.0, "children_per_second": 1e5, "well_formed": null, "fallback": null, "distinct": 0.9,
            "seconds": 1.0,
        })
    };
    json!({
        "settings": { "problems": "2 problems eba5155267030424", "seeds": 1, "condition": null },
        "rows": [row("expert", "a", true), row("expert", "b", true), row("<b>", "a", true), row("<b>", "b", false)],
        "summary": [summary("expert", 1.0, Some(200.0)), summary("<b>", 0.5, None)],
    })
}

#[test]
fn a_comparison_has_methods_curves_and_problems() {
    let made = page(Section::evaluation("runs/evaluation", &evaluation()));
    for text in [
        "expert: 100.0 % (50.0 % to 100.0 %) of 2 searches",
        "expert: 200 evaluations (150 to no limit) to solve a problem",
        "Share solved against evaluations",
        "&lt;b&gt; ends at 50.0 %",
        "<dt>Searches</dt><dd>4 searches</dd>",
        "<dt>Problems</dt><dd>2 problems; the fingerprint of the set is eba5155267030424</dd>",
        ">0 of 1</td>",
    ] {
        assert!(made.contains(text), "{text}");
    }
    assert_eq!(made, page(Section::evaluation("runs/evaluation", &evaluation())));
    let error = Section::evaluation("e", &json!({ "rows": [], "summary": [] })).expect_err("no rows").to_string();
    assert_eq!(error, "a comparison has no valid field rows");
}

#[test]
fn a_comparison_against_another_method_has_its_ratios() {
    let mut result = evaluation();
    let mut ratio = result["summary"][1].clone();
    ratio["difference"] = json!({
        "against": "expert", "pairs": 2, "solved": -0.5, "solved_lo": -1.0, "solved_hi": 0.0, "log_ert": 2.0,
        "log_ert_lo": 0.0, "log_ert_hi": null,
    });
    result["against"] = json!({ "method": "expert", "summary": [result["summary"][0].clone(), ratio] });
    let made = page(Section::evaluation("e", &result));
    for text in ["ERT of methods divided by that of expert", ">100</td>", ">1 or more</td>"] {
        assert!(made.contains(text), "{text}");
    }
}

#[test]
fn formulas_that_a_model_writes_have_picks_and_rows() {
    let row = |pick: &str, solved: bool, expression: &str| {
        json!({
            "problem": "a<b", "pick": pick, "exact": solved, "solved": solved, "r2_test": null, "mse_train": 0.5, "size": 3,
            "expression": expression, "samples": 4, "well_formed": 3,
        })
    };
    let summary = |pick: &str, solved: f64, exact: Option<f64>| {
        json!({
            "pick": pick, "n": 1, "exact": exact, "exact_interval": exact.map(|exact| (exact / 2.0, 1.0)), "solved": solved,
            "lo": 0.0, "hi": 1.0, "median_r2": null, "well_formed": 0.75,
        })
    };
    let mut result = json!({
        "settings": { "problems": "1 problems 0123456789abcdef", "samples": 4, "distinct": false },
        "rows": [row("greedy", false, ""), row("best of 4", true, "(x0 + x1)")],
        "summary": [summary("greedy", 0.0, Some(0.0)), summary("best of 4", 1.0, Some(1.0))],
    });
    let made = page(Section::evaluation("direct", &result));
    for text in [
        "best of 4: solves 100.0 % (0.0 % to 100.0 %) of 1 problem",
        "best of 4: is exact in 100.0 % (50.0 % to 100.0 %)",
        "<code>(x0 + x1)</code>",
        "<code>none</code>",
        "<td>a&lt;b</td>",
        "<dt>samples</dt><dd>4</dd>",
        "<dt>problems</dt><dd>1 problem; the fingerprint of the set is 0123456789abcdef</dd>",
    ] {
        assert!(made.contains(text), "{text}: {made}");
    }
    // Of data of one's own no formula is known.
    for pick in 0..2 {
        result["rows"][pick]["exact"] = Value::Null;
        (result["summary"][pick]["exact"], result["summary"][pick]["exact_interval"]) = (Value::Null, Value::Null);
    }
    assert!(!page(Section::evaluation("direct", &result)).contains("whose formula is exact"));
    result["summary"] = json!([]);
    let error = Section::evaluation("direct", &result).expect_err("no summary").to_string();
    assert_eq!(error, "a result of sr-evaluate direct has no valid field summary");
}

#[test]
fn what_methods_propose_has_its_phases() {
    let method = |name: &str, improved: f64| {
        json!({
            "method": name, "children": 5700, "improving": 0.0123, "states_improved": improved, "lo": improved - 0.1,
            "hi": improved + 0.1, "by_phase": [0.75, 0.5, 0.25], "best_gain": 0.5, "distinct": 0.9, "well_formed": null,
            "ratio": 1.0, "predicted_speed_up": 1.5, "seconds": 0.25,
        })
    };
    let mut result =
        json!({ "states": 300, "exponent": 0.5, "methods": [method("expert", 0.5), method("<learner>", 0.25)] });
    let made = page(Section::evaluation("bank", &result));
    for text in [
        "&lt;learner&gt;: improves 25.0 % (15.0 % to 35.0 %) of the states",
        "expert: improves 75.0 % of the early states",
        "(states improved ÷ those of expert) to the power of 0.5000",
        ">1.23 %</td>",
        ">5,700</td>",
    ] {
        assert!(made.contains(text), "{text}");
    }
    result["methods"][1]["lo"] = json!("x");
    assert!(Section::evaluation("bank", &result).expect_err("a text").to_string().contains("reading methods"));
}

#[test]
fn a_training_has_its_curves_and_a_dagger_run_its_rounds() {
    let line = |step: u32| json!({ "step": step, "loss": 3.0 - f64::from(step) / 100.0, "lr": 0.001, "tokens_per_second": 5e3 });
    let mut lines: Vec<Value> = (1..=2000).map(|step| line(step * 10)).collect();
    lines.push(json!({ "step": 20_000, "val_loss": 1.25, "val_token_accuracy": 0.5 }));
    let made = page(Ok(Section::training("model", &lines, None, None)));
    assert!(made.contains("1.250 after 20,000 updates") && made.contains("50.0 % in the last validation"));
    assert!(made.len() < 200_000, "a long training is cut to a number of points: {} bytes", made.len());
    assert!(page(Ok(Section::training("model", &[], None, None))).contains("No loss was recorded."));

    let metric = |value: f64| json!({ "name": "solved", "value": value, "lo": value - 0.1, "hi": value + 0.1 });
    let round = |number: u32| json!({ "round": number, "beta": 0.5, "buffered": 1868, "metrics": [metric(0.4 + f64::from(number) / 10.0)] });
    let results = json!({ "milestones": [
        { "milestone_id": "poly", "status": "completed", "reason": null, "expert_success_rate": 0.7, "rounds": [round(0), round(1)] },
        { "milestone_id": "hard", "status": "failed", "reason": "the expert solves too little", "rounds": [] },
    ]});
    let config = json!({ "dagger": { "beta": "indicator:1", "enough": null } });
    let made = page(Section::dagger("run", &results, Some(&config)));
    for text in [
        "Milestone poly",
        "round 1: 0.5000 (0.4000 to 0.6000)",
        "failed: the expert solves too little",
        ">1,868</td>",
        "<dd>indicator:1</dd>",
    ] {
        assert!(made.contains(text), "{text}");
    }
}

#[test]
fn a_training_tells_its_name_its_settings_and_its_data() {
    let config = json!({
        "mode": "one-step", "seed": 7, "init": null, "tracking": { "kind": "jsonl" },
        "model": { "d_model": 128, "n_layers": 3, "points": { "kind": "set", "n_points": 50 } },
        "training": { "steps": 2000, "learning_rate": 0.001, "ema_decay": 0.999, "shares": null },
        "language": { "actions": "edit" },
    });
    let data = json!({
        "train": ["a/train.sr", "b/<i>.sr"], "validation": "a/val.sr", "init": null, "parameters": 663_424, "states": 1234,
        "validation_states": 1,
    });
    // A run that is shorter than the distance of its lines has its validation alone.
    let made =
        page(Ok(Section::training("mine", &[json!({ "step": 30, "val_loss": 1.806 })], Some(&config), Some(&data))));
    for text in [
        "<title>Training of mine · sr-train</title>",
        "<dt>Mode</dt><dd>one-step</dd>",
        "<dt>Model</dt><dd>128 wide, 3 layers, 663,424 parameters</dd>",
        "<dt>Learned from</dt><dd>a/train.sr, b/&lt;i&gt;.sr: 1,234 states</dd>",
        "<dt>Validated on</dt><dd>a/val.sr: 1 state</dd>",
        "<dt>Updates</dt><dd>30 of 2,000</dd>",
        "<dt>Least validation loss</dt><dd>1.806 after 30 updates</dd>",
        "<dt>learning rate</dt><dd>0.001</dd>",
        "<dt>actions</dt><dd>edit</dd>",
        // Validations have their colour without a curve of the training, too.
        "<g class=\"s1\" data-series=\"0\">",
    ] {
        assert!(made.contains(text), "{text}: {made}");
    }
    assert!(!made.contains("Began with") && !made.contains("shares"), "what was not asked for is not told");
}

#[test]
fn several_results_are_tabs_of_one_page() {
    let sections = [Section::fit("one", &fit(), &[]), Section::evaluation("two", &evaluation())];
    let made = report_page(&sections.map(|section| section.expect("a section")));
    assert_eq!((made.matches("role=\"tab\"").count(), made.matches("role=\"tabpanel\"").count()), (2, 2));
    assert!(made.contains("aria-controls=\"s1\">two</button>") && made.contains("id=\"s0f2\""));
}
