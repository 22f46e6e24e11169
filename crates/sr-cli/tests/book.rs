//! Tests of what the documents show: commands that are said to run do run and print what stands below them, and the
//! page of flags is that of the programs.
//!
//! A block of commands begins with `sh run`, or with `sh no-run: ` and the reason (`tidy.rs` refuses others). The
//! blocks of a document run in its order, in one empty folder that has the project's fixtures, configurations and models,
//! with the programs on the search path. A block `text output` is what the block before it prints to stdout; a line `…`
//! in it stands for any lines.
//!
//! The programs are the ones beside this test in the target folder, as `just test` builds them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use expect_test::expect_file;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the project")
}

/// The names of the programs, and the folder that they are in; `None` where one of them was not built.
fn programs() -> Option<(Vec<String>, PathBuf)> {
    let mut names = Vec::new();
    for package in fs::read_dir(root().join("bins")).expect("bins") {
        let manifest = package.expect("a package").path().join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else { continue };
        let name = text.split("[[bin]]").nth(1).and_then(|of_bin| of_bin.split('"').nth(1));
        names.push(name.unwrap_or_else(|| panic!("{}: no [[bin]] with a name", manifest.display())).to_owned());
    }
    names.sort();
    let test = env::current_exe().expect("this test");
    let folder = test.parent().and_then(Path::parent).expect("the target folder").to_owned();
    let missing = names.iter().find(|name| !folder.join(name).exists());
    match missing {
        None => Some((names, folder)),
        Some(missing) => {
            let variable = |name: &str| env::var(name).unwrap_or_default();
            let is_ci = !matches!(&*variable("CI"), "" | "0" | "false");
            assert!(!is_ci, "{missing} is not in {}", folder.display());
            // `eprintln` is not used, because the test harness hides its output when a test passes.
            writeln!(std::io::stderr(), "SKIPPED: programs: {missing} was not built; `just test` builds all of them")
                .ok();
            None
        }
    }
}

/// A fenced block: its line, what stands behind the backticks, and its text.
struct Block<'a> {
    line: usize,
    info: &'a str,
    text: String,
}

fn blocks(document: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (number, line) in document.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(info), None) => open = Some(Block { line: number + 1, info: info.trim(), text: String::new() }),
            (None, Some(block)) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    blocks
}

/// Every document with blocks, by its path from the root.
fn documents() -> Vec<PathBuf> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(root().join(folder)).expect("a folder") {
            let path = folder.join(entry.expect("an entry").file_name());
            if root().join(&path).is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let mut found = vec![PathBuf::from("README.md")];
    collect(Path::new("docs"), &mut found);
    found.sort();
    found
}

/// Whether the lines of `shown` are those of `printed`, where a line `…` stands for any lines.
fn is_shown(shown: &str, printed: &str) -> bool {
    fn matches(shown: &[&str], printed: &[&str]) -> bool {
        match shown {
            [] => printed.is_empty(),
            ["…", rest @ ..] => (0..=printed.len()).any(|from| matches(rest, &printed[from..])),
            [line, rest @ ..] => printed.first() == Some(line) && matches(rest, &printed[1..]),
        }
    }
    let lines = |text| str::lines(text).map(str::trim_end).collect::<Vec<&str>>();
    matches(&lines(shown), &lines(printed))
}

#[test]
fn commands_of_the_documents_run_and_print_what_is_shown() {
    let Some((_, bin)) = programs() else { return };
    let path =
        env::join_paths(std::iter::once(bin.clone()).chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())));
    let path = path.expect("a search path");
    let mut n_run = 0;
    for document in documents() {
        let text = fs::read_to_string(root().join(&document)).expect("a document");
        let folder = tempfile::tempdir().expect("a folder");
        for part in ["fixtures", "configs", "models"] {
            #[cfg(unix)]
            std::os::unix::fs::symlink(root().join(part), folder.path().join(part)).expect("a link");
        }
        let mut printed: Option<String> = None;
        for Block { line, info, text } in blocks(&text) {
            let at = format!("{}:{line}", document.display());
            match info {
                "sh run" => {
                    let mut command = Command::new("bash");
                    command.args(["-euo", "pipefail", "-c", &text]).current_dir(folder.path()).env("PATH", &path);
                    let output = command.env("TERM", "dumb").env_remove("RUST_LOG").output().expect("bash");
                    let told = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "{at}: {}\n{text}{told}", output.status);
                    printed = Some(String::from_utf8_lossy(&output.stdout).into_owned());
                    n_run += 1;
                }
                "text output" => {
                    let printed = printed.take().unwrap_or_else(|| panic!("{at}: no block before it was run"));
                    assert!(is_shown(&text, &printed), "{at}: it prints\n{printed}\nand not\n{text}");
                }
                _ => {}
            }
        }
    }
    assert!(n_run > 10, "{n_run} blocks were run");
}

#[test]
fn a_line_of_dots_stands_for_any_lines() {
    let printed = "a\nb\nc  \nd\n";
    for shown in ["a\nb\nc\nd\n", "…\nd\n", "a\n…\n", "a\n…\nc\n…\n", "…\nb\nc\n…\n", "a\nb\n…\nc\nd"] {
        assert!(is_shown(shown, printed), "{shown}");
    }
    for shown in ["a\nb\nc\n", "b\n…\n", "…\nc\n", "a\n…\nb\nd\n…\n"] {
        assert!(!is_shown(shown, printed), "{shown}");
    }
}

/// The page of all flags. `just flags` writes it again.
#[test]
fn the_page_of_flags_is_that_of_the_programs() {
    let Some((names, bin)) = programs() else { return };
    let mut page = format!(
        "# All flags\n\n\
        <!-- Written by `just flags` from what the programs say themselves; a test compares it. -->\n\n\
        Flags of every program:\n\n{}\n\
        `--help` prints the same beside the program, and `-h` a line for each flag.\n\
        A flag that would have no effect beside the others is an error.\n\n",
        sr_cli::common_flags()
    );
    for name in names {
        let output = Command::new(bin.join(&name)).args(["--generate", "flags"]).output().expect("it runs");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        page += &String::from_utf8(output.stdout).expect("text");
    }
    let page = format!("{}\n", page.trim_end());
    expect_file![root().join("docs/reference/flags.md")].assert_eq(&page);
}

#[test]
fn every_program_prints_a_man_page_and_completions() {
    let Some((names, bin)) = programs() else { return };
    for name in names {
        let parts = [
            ("man", ".TH ".to_owned()),
            ("complete-bash", format!(" {name}\n")),
            ("complete-zsh", format!("#compdef {name}")),
            ("complete-fish", format!("complete -c {name}")),
        ];
        for (what, part) in parts {
            let output = Command::new(bin.join(&name)).args(["--generate", what]).output().expect("it runs");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("seed"), "{name} --generate {what}");
            assert!(text.contains(&part), "{name} --generate {what}: no {part}");
        }
    }
}
