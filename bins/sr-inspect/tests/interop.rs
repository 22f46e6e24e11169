//! The Python of docs/formats.md, taken from the document itself, reads what our readers read.
//!
//! Skipped, with a line that says so, where there is no Python with msgpack, zstandard and numpy; `just interop-python`
//! makes one in `runs/interop-venv`, and `SR_PYTHON` names another. In CI that is a failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use sr_corpus::{Corpus, Example, Options, Problems, Shape, convert_problems, convert_trace};
use sr_engine::{Expert, Search, SearchConfig, run};
use sr_expr::{Expr, Node};
use sr_problems::{Generator, ProblemSet, RandomParams};
use sr_trace::{Recorder, TraceHeader, TraceReader, TraceWriter};

/// Prints what the document's readers give as one JSON object a line; numbers as the bits of their 64-bit form.
const DRIVER: &str = r#"
import json, struct, sys

def bits(x):
    return struct.unpack("<Q", struct.pack("<d", float(x)))[0]

def nodes(words):
    return [word if isinstance(word, str) else bits(word) for word in words]

kind, path = sys.argv[1:]
if kind == "problems":
    for id, source, x, y in problems(path):
        print(json.dumps([id, source, [bits(v) for v in x.flatten()], list(x.shape), [bits(v) for v in y]]))
elif kind == "trace":
    for id, seed, generations in trajectories(path):
        print(json.dumps([id, seed, [[[nodes(n), bits(f)] for n, f in generation] for generation in generations]]))
elif kind == "one-step":
    for id, generation, population, target in one_step(path):
        print(json.dumps([id, generation, [[nodes(e), bits(f)] for e, f in population], nodes(target)]))
elif kind == "autoregressive":
    header, *records = values(path)
    for r in records:
        table = list(forms(r["forms"]))
        for s in r["states"]:
            print(json.dumps([r["problem"]["id"], s["generation"], [nodes(table[i]) for i in s["targets"]]]))
elif kind == "direct":
    header, *records = values(path)
    for r in records:
        print(json.dumps([r["problem"]["id"], [nodes(e) for e in forms(r["target"])]]))
elif kind == "jsonl":
    def refuse(name):
        raise ValueError(name + " is not JSON")
    for line in open(path, encoding="utf-8"):
        print(json.dumps(list(json.loads(line, parse_constant=refuse))))
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A Python that has what the document's code imports.
fn python() -> Option<PathBuf> {
    sr_testing::python(&["msgpack", "zstandard", "numpy"])
}

/// The document's Python blocks, and the driver.
fn script(folder: &Path) -> PathBuf {
    let document = fs::read_to_string(root().join("docs/formats.md")).expect("the document");
    let blocks = document.split("```python\n").skip(1).map(|rest| rest.split("```").next().expect("a block's end"));
    // Its example opens a file of that name.
    let blocks: Vec<&str> =
        blocks.map(|block| block.split("\nheader, *records = values(").next().expect("text")).collect();
    assert!(blocks.len() >= 4, "{} blocks", blocks.len());
    let path = folder.join("read.py");
    fs::write(&path, blocks.join("\n") + DRIVER).expect("written");
    path
}

/// What Python reads.
fn lines(python: &Path, folder: &Path, kind: &str, file: &str) -> Vec<Value> {
    let output =
        Command::new(python).arg(script(folder)).args([kind, file]).current_dir(folder).output().expect("Python");
    assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn words(nodes: &[Node]) -> Value {
    let word = |node: &Node| match node {
        Node::Var(index) => json!(format!("x{index}")),
        Node::Const(value) => json!(value.to_bits()),
        Node::Op(op) => json!(op.name()),
    };
    nodes.iter().map(word).collect()
}

fn prefix(expr: &Expr) -> Value {
    words(&expr.to_prefix())
}

fn float(value: f32) -> u64 {
    f64::from(value).to_bits()
}

fn problem_lines(path: &Path) -> Vec<Value> {
    let set = ProblemSet::read(path).expect("problems");
    let line = |problem: &sr_problems::Problem| {
        let shape = [problem.x.n_rows(), problem.x.n_columns()];
        let rows = (0..shape[0]).flat_map(|row| (0..shape[1]).map(move |column| (row, column)));
        let x: Vec<u64> = rows.map(|(row, column)| problem.x.column(column)[row].to_bits()).collect();
        let y: Vec<u64> = problem.y.iter().map(|y| y.to_bits()).collect();
        json!([problem.id, problem.source.as_ref().map(ToString::to_string), x, shape, y])
    };
    set.problems.iter().map(line).collect()
}

fn trace_lines(path: &Path) -> Vec<Value> {
    let line = |trajectory: sr_trace::Trajectory| {
        let generation = |record: sr_trace::GenerationRecord<'_>| -> Value {
            record.individuals().map(|i| json!([words(i.expr.nodes()), float(i.fitness)])).collect()
        };
        let generations: Value = trajectory.generations.iter().map(generation).collect();
        json!([trajectory.problem_id, trajectory.seed, generations])
    };
    TraceReader::open(path).expect("a trace").map(|t| line(t.expect("whole"))).collect()
}

fn corpus_lines(path: &Path) -> Vec<Value> {
    let lines = |example: Example| -> Vec<Value> {
        match example {
            Example::Direct(direct) => vec![json!([direct.problem.id, [prefix(&direct.target)]])],
            Example::Autoregressive(state) => {
                let targets: Value = state.targets.iter().map(|target| prefix(&target.expr)).collect();
                vec![json!([state.problem.id, state.generation, targets])]
            }
            Example::OneStep(state) => {
                let population: Value =
                    state.population.iter().map(|i| json!([prefix(&i.expr), float(i.fitness)])).collect();
                let line = |target: &sr_corpus::Target| {
                    json!([state.problem.id, state.generation, population, prefix(&target.expr)])
                };
                state.targets.iter().map(line).collect()
            }
        }
    };
    Corpus::open(path).expect("a corpus").flat_map(|example| lines(example.expect("whole"))).collect()
}

/// `problems.sr` with all operators and free constants, and `trace.sr`.
fn make(folder: &Path) -> PathBuf {
    let mut params = RandomParams::e2e(vec![1.0, 2.5], 4);
    params.points = Some(20);
    let set = Generator::new(params).expect("settings").generate(6, || ()).expect("problems");
    set.write(folder.join("problems.sr")).expect("written");
    let config = SearchConfig { generations: 12, early_stop_mse: None, ..SearchConfig::basic() };
    let mut writer = None;
    for problem in &set.problems {
        let instance = Arc::new(problem.instance().expect("an instance"));
        let writer = writer.get_or_insert_with(|| {
            let header = TraceHeader::of_expert("problems.sr", instance.primitives(), &config, "basic", 3);
            TraceWriter::create(folder.join("trace.sr"), &header).expect("created")
        });
        let mut search = [Search::new(instance, config.clone(), 3).expect("a search")];
        let mut recorders = [Recorder::new(3)];
        let outcome = run(&mut search, &mut Expert, &mut recorders).expect("the expert never fails").remove(0);
        let [recorder] = recorders;
        writer.append(&recorder.finish(&outcome).expect("recorded")).expect("written");
    }
    writer.expect("there are problems").finish().expect("finished");
    folder.join("trace.sr")
}

#[test]
fn the_documents_python_reads_every_kind_of_file() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let trace = make(folder.path());
    let path = |name: &str| folder.path().join(name);
    let read = |kind: &str, file: &str| lines(&python, folder.path(), kind, file);
    assert_eq!(read("problems", "problems.sr"), problem_lines(&path("problems.sr")));
    assert_eq!(read("trace", "trace.sr"), trace_lines(&trace));
    let fixture = root().join("fixtures/traces/v2-labelled.sr");
    assert_eq!(read("trace", &fixture.display().to_string()), trace_lines(&fixture));
    for version in ["v1", "v2"] {
        let fixture = root().join(format!("fixtures/problems/{version}.sr"));
        assert_eq!(read("problems", &fixture.display().to_string()), problem_lines(&fixture), "{version}");
    }

    let set = Problems::open(path("problems.sr")).expect("a problem set");
    let options = Options { jsonl: true, val_fraction: 0.0, ..Options::default() };
    let whole = Options { shape: Shape::WholeGeneration { fitness: true }, ..options.clone() };
    convert_trace(&trace, &set, &options, &path("one-step"), || {}).expect("converted");
    convert_trace(&trace, &set, &whole, &path("autoregressive"), || {}).expect("converted");
    convert_problems(&set, &options, &path("direct"), || {}).expect("converted");
    for kind in ["one-step", "autoregressive", "direct"] {
        let ours = corpus_lines(&path(kind).join("train.sr"));
        assert!(!ours.is_empty());
        assert_eq!(read(kind, &format!("{kind}/train.sr")), ours, "{kind}");
        let fields = match kind {
            "direct" => json!(["X_data", "y_data", "target", "expression_id", "metadata"]),
            _ => json!(["context", "population", "target", "expression_id", "metadata"]),
        };
        let exported = read("jsonl", &format!("{kind}/train.jsonl"));
        assert_eq!(exported.len(), ours.len());
        assert!(exported.iter().all(|line| *line == fields), "{kind}");
    }
}
