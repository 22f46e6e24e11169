//! Kills and other settings: a comparison is gone on with to the rows of an undisturbed run.

use std::fs;
use std::path::Path;
use std::process::Command;

use sr_testing::{Victim, fails, succeeds};

fn evaluate(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sr-evaluate"));
    command.current_dir(folder).args([
        "--suite",
        "simple",
        "--methods",
        "expert,random,cheat:best-of-4",
        "--seeds",
        "3",
    ]);
    command
        .args(["--generations", "20", "--batch-size", "4", "--threads", "2", "--curve", "--out", "r.json"])
        .args(more);
    command
}

/// The result without times and what is made of them.
fn result(path: &Path) -> serde_json::Value {
    let mut result: serde_json::Value = serde_json::from_slice(&fs::read(path).expect("read")).expect("JSON");
    fn clear(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.retain(|name, _| !name.contains("seconds") && name != "children_per_second");
                if let Some(steps) = fields.get_mut("progress").and_then(|steps| steps.as_array_mut()) {
                    steps.iter_mut().for_each(|step| step[1] = 0.into());
                }
                fields.values_mut().for_each(clear);
            }
            serde_json::Value::Array(values) => values.iter_mut().for_each(clear),
            _ => {}
        }
    }
    clear(&mut result);
    result
}

#[test]
fn kills_at_random_moments_change_no_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("r.json");
    let victim = Victim {
        start: &|| evaluate(folder.path(), &[]),
        go_on: &|| evaluate(folder.path(), &["--resume"]),
        growing: folder.path().join("r.json.rows"),
        result: &|| result(&out).to_string().into_bytes(),
        clear: &|| {
            for name in ["r.json", "r.json.rows", "r.json.run.json", "r.json.partial"] {
                fs::remove_file(folder.path().join(name)).ok();
            }
        },
        check: &|| {
            if out.exists() {
                result(&out); // whole
            }
        },
    };
    victim.survives(12, 5);
}

#[test]
fn other_settings_are_told_and_a_whole_result_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    succeeds(&mut evaluate(folder.path(), &["--resume"])); // there is nothing to go on from
    let bytes = fs::read(folder.path().join("r.json")).expect("read");
    assert!(!folder.path().join("r.json.rows").exists());
    let output = succeeds(&mut evaluate(folder.path(), &["--resume"]));
    assert!(String::from_utf8_lossy(&output.stdout).contains("is complete"), "{output:?}");
    assert_eq!(fs::read(folder.path().join("r.json")).expect("read"), bytes);
    let text = fails(&mut evaluate(folder.path(), &["--resume", "--seed", "7"]));
    assert!(text.contains("seed was 0 and is now 7") || text.contains("problems was"), "{text}");
    let text = fails(&mut evaluate(folder.path(), &["--resume", "--max-size", "7"]));
    assert!(text.contains("max-size was 25 and is now 7"), "{text}");
}

#[test]
fn a_finished_result_gives_its_plots_and_its_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = succeeds(&mut evaluate(folder.path(), &["--plot", "a.svg", "--json"]));
    let read = |name: &str| fs::read(folder.path().join(name)).expect(name);
    let mut printed: serde_json::Value = serde_json::from_slice(&run.stdout).expect("JSON");
    let out = read("r.json");
    let again = succeeds(&mut evaluate(folder.path(), &["--resume", "--plot", "b.svg", "--json"]));
    let mut result: serde_json::Value = serde_json::from_slice(&again.stdout).expect("JSON");
    printed["seconds"].take();
    result["seconds"].take();
    assert_eq!(result, printed, "the whole result, as the run had it");
    assert_eq!((read("b.svg"), read("b-mse.svg"), read("r.json")), (read("a.svg"), read("a-mse.svg"), out));
    // What is there is kept, and is no error if it is the plot.
    succeeds(&mut evaluate(folder.path(), &["--resume", "--plot", "b.svg"]));
    for name in ["b.svg", "c-mse.svg"] {
        fs::write(folder.path().join(name), "MINE").expect("written");
    }
    for plot in ["b.svg", "c.svg"] {
        let text = fails(&mut evaluate(folder.path(), &["--resume", "--plot", plot]));
        assert!(text.contains("is there already, and is another plot; choose another name"), "{text}");
    }
    assert_eq!((read("b.svg"), read("c-mse.svg")), (b"MINE".to_vec(), b"MINE".to_vec()));
    assert!(!folder.path().join("c.svg").exists(), "all of them are looked at before one is written");
    succeeds(&mut evaluate(folder.path(), &["--force", "--plot", "b.svg"]));
    assert!(read("b.svg").starts_with(b"<svg"));
    // Where searches are left to do, no plot is replaced either.
    fs::remove_file(folder.path().join("r.json")).expect("removed");
    let text = fails(&mut evaluate(folder.path(), &["--resume", "--plot", "b.svg"]));
    assert!(text.contains("b.svg is there already"), "{text}");
}
