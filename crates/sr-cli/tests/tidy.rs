//! Tests of house rules: paths in the documents exist, and dependencies follow ARCHITECTURE.md.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the names of the folders in a folder of the project.
fn folders(of: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(of)).expect(of);
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect(of).file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Collects every Rust file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns the paths of README.md and of all pages of the book.
fn documents() -> Vec<String> {
    fn collect(folder: &str, found: &mut Vec<String>) {
        for name in folders(folder) {
            let path = format!("{folder}/{name}");
            if root().join(&path).is_dir() {
                collect(&path, found);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    let mut found = vec!["README.md".to_owned()];
    collect("docs", &mut found);
    found
}

/// Returns what a document links to: the line, and the text in the parentheses.
fn links(document: &str) -> Vec<(usize, String)> {
    let (mut found, mut is_code) = (Vec::new(), false);
    for (number, line) in document.lines().enumerate() {
        is_code ^= line.trim_start().starts_with("```");
        // What stands in backticks is no link.
        let text: String = line.split('`').step_by(2).collect();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(targets.filter(|_| !is_code).map(|target| (number + 1, target.to_owned())));
    }
    found
}

/// Returns the anchors of a page's headings, as mdBook and GitHub make them.
fn anchors(document: &str) -> Vec<String> {
    let mut is_code = false;
    let headings = document.lines().filter(|line| {
        is_code ^= line.starts_with("```");
        !is_code && line.starts_with('#')
    });
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn the_book_has_every_page_and_no_link_leads_nowhere() {
    let contents = links(&read("docs/SUMMARY.md"));
    for page in documents().iter().filter_map(|page| page.strip_prefix("docs/")).filter(|page| *page != "SUMMARY.md") {
        let times = contents.iter().filter(|(_, target)| target == page).count();
        assert_eq!(times, 1, "docs/SUMMARY.md names {page} {times} times");
    }
    for document in documents() {
        let folder = Path::new(&document).parent().expect("a folder").to_owned();
        for (line, target) in links(&read(&document)) {
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = if path.is_empty() { PathBuf::from(&document) } else { folder.join(path) };
            assert!(root().join(&path).exists(), "{document}:{line}: {target} does not exist");
            let is_there = anchor.is_empty() || anchors(&read(&path)).iter().any(|known| known == anchor);
            assert!(is_there, "{document}:{line}: {} has no heading #{anchor}", path.display());
            // mdBook copies nothing that is outside of its folder.
            let (whole, book) = (root().join(&path).canonicalize().expect("it exists"), root().join("docs"));
            let is_page = whole.starts_with(book.canonicalize().expect("it exists"));
            assert!(!document.starts_with("docs/") || is_page, "{document}:{line}: {target} is outside of the book");
        }
    }
}

#[test]
fn blocks_of_commands_say_whether_a_test_runs_them() {
    let programs = ["sr-", "just ", "cargo "];
    for document in documents().into_iter().chain(["slurm/README.md".to_owned()]) {
        let text = read(&document);
        let lines: Vec<&str> = text.lines().collect();
        let mut is_open = false;
        for (number, line) in lines.iter().enumerate() {
            let Some(info) = line.strip_prefix("```") else { continue };
            is_open = !is_open;
            if !is_open {
                continue;
            }
            let at = format!("{document}:{}", number + 1);
            let is_said = info == "sh run" || info.strip_prefix("sh no-run: ").is_some_and(|why| !why.is_empty());
            assert!(!info.starts_with("sh") || is_said, "{at}: expected `sh run`, or `sh no-run: ` and the reason");
            let first = lines.get(number + 1).unwrap_or(&"");
            let is_command = programs.iter().any(|name| first.starts_with(name)) && !document.ends_with("flags.md");
            assert!(info != "text" || !is_command, "{at}: commands are blocks of sh");
        }
    }
}

#[test]
fn paths_in_the_documents_exist() {
    let mut documents = documents();
    documents.extend(["ARCHITECTURE.md".to_owned(), "slurm/README.md".to_owned()]);
    // These name files of other projects, or files that a run writes.
    documents.retain(|document| document != "docs/reference/flags.md");
    let tops =
        ["crates/", "bins/", "benches/", "configs/", "docs/", "examples/", "fixtures/", "slurm/", "vendor/", ".ci/"];
    for document in documents {
        for quoted in read(&document).split('`').skip(1).step_by(2) {
            let is_path = tops.iter().any(|top| quoted.starts_with(top)) && !quoted.contains(['*', ' ', '{', '<']);
            assert!(!is_path || root().join(quoted).exists(), "{document} names {quoted}, which does not exist");
        }
    }
}

#[test]
fn every_crate_is_in_the_architecture_and_every_binary_has_a_recipe() {
    let (architecture, justfile) = (read("ARCHITECTURE.md"), read("justfile"));
    for name in folders("crates") {
        assert!(architecture.contains(&format!("**`{name}`**")), "ARCHITECTURE.md does not tell what {name} is");
    }
    for package in folders("bins") {
        let name = package.trim_end_matches("-bin");
        assert!(justfile.contains(&format!("/{name} ")), "no recipe runs {name}");
    }
}

#[test]
fn only_the_crates_below_the_line_name_burn_and_only_one_file_chooses_a_backend() {
    let allowed = ["sr-model", "sr-neural", "sr-train"];
    for name in folders("crates").iter().filter(|name| !allowed.contains(&name.as_str())) {
        assert!(!read(format!("crates/{name}/Cargo.toml")).contains("burn"), "{name} depends on burn");
    }
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    sources(&root().join("bins"), &mut files);
    for file in files.iter().filter(|file| !file.ends_with("sr-model/src/device.rs")) {
        let text = std::fs::read_to_string(file).expect("a source file");
        let chooses =
            ["cuda", "ndarray", "fusion"].iter().any(|f| text.contains(&format!("#[cfg(feature = \"{f}\")]")));
        assert!(!chooses, "{} has a backend cfg", file.display());
    }
}

#[test]
fn the_engine_brings_no_files_flags_or_tensors() {
    for name in ["sr-expr", "sr-engine"] {
        let manifest = read(format!("crates/{name}/Cargo.toml"));
        let dependencies = manifest.split("[dependencies]\n").nth(1).and_then(|rest| rest.split("\n[").next());
        let always: Vec<&str> =
            dependencies.expect("dependencies").lines().filter(|line| !line.contains("optional = true")).collect();
        let manifest = always.join("\n");
        for heavy in ["burn", "clap", "serde", "csv", "zstd", "sr-codec"] {
            assert!(!manifest.contains(heavy), "{name} depends on {heavy}");
        }
    }
}

/// Words that only this project uses, where the field has others.
const PRIVATE_WORDS: [&str; 13] = [
    "brood", "broods", "form", "forms", "member", "members", "heritage", "known", "taken", "made", "told", "apart",
    "teacher",
];

/// Returns the names of items, fields and variants that other crates see, with their line numbers.
fn public_names(source: &str) -> Vec<(usize, String)> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let name_of = |text: &str| text.split(|c: char| !is_name(c)).next().unwrap_or_default().to_owned();
    let (mut names, mut in_enum) = (Vec::new(), false);
    for (number, line) in source.lines().enumerate().take_while(|(_, line)| !line.starts_with("#[cfg(test)]")) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("pub") if line.starts_with("pub use") => {
                names.extend(line.split(|c: char| !is_name(c)).map(|name| (number + 1, name.to_owned())));
            }
            Some("pub") => {
                let kinds = ["fn", "struct", "enum", "trait", "type", "mod", "const", "static", "unsafe", "async"];
                let name = words.find(|word| !kinds.contains(word)).unwrap_or_default();
                names.push((number + 1, name_of(name)));
            }
            Some(variant) if in_enum && variant.starts_with(|c: char| c.is_ascii_uppercase()) => {
                names.push((number + 1, name_of(variant)));
            }
            _ => {}
        }
        in_enum = (in_enum || line.starts_with("pub enum")) && !line.starts_with('}');
    }
    names
}

/// Returns the words of a name, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_ascii_uppercase() {
            words.push(String::new());
        }
        words.last_mut().expect("there is one").extend(c.to_lowercase().filter(|&c| c != '_'));
    }
    words
}

#[test]
fn public_names_are_words_of_the_field() {
    let mut files = Vec::new();
    for name in folders("crates") {
        sources(&root().join("crates").join(name).join("src"), &mut files);
    }
    let mut found = Vec::new();
    for file in files {
        // The expert of point control is a controller that teaches, for which the field says teacher.
        let is_point_control = file.components().any(|part| part.as_os_str() == "point");
        let text = std::fs::read_to_string(&file).expect("a source file");
        for (line, name) in public_names(&text) {
            let words: Vec<String> = words(&name).into_iter().filter(|word| !word.is_empty()).collect();
            let is_private = |at: &usize| {
                // A closed form is what mathematics calls it.
                let is_closed_form = *at > 0 && words[at - 1] == "closed" && words[*at].starts_with("form");
                PRIVATE_WORDS.contains(&words[*at].as_str()) && !is_closed_form
            };
            let word = (0..words.len()).find(is_private).map(|at| words[at].clone());
            if let Some(word) = word.filter(|word| !(is_point_control && word == "teacher")) {
                found.push(format!("{}:{line}: {name} ({word})", file.display()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(words("IndividualRef"), ["", "individual", "ref"]);
    assert_eq!(public_names("pub(crate) fn form() {}\npub fn form() {}\npub enum A {\n    Apart,\n}\n").len(), 3);
}

#[test]
fn binaries_are_flags_and_printing_above_the_library() {
    // Crates of this project, those of every command line, and those that print or read settings.
    let ours = ["sr-lab", "sr-cli", "sr-args"];
    let others =
        ["anyhow", "clap", "serde_json", "mimalloc", "comfy-table", "console", "tracing", "serde", "toml", "strsim"];
    for package in folders("bins") {
        let manifest = read(format!("bins/{package}/Cargo.toml"));
        let dependencies = manifest.split("[dependencies]").nth(1).expect("dependencies");
        for line in dependencies.lines().skip(1).take_while(|line| !line.starts_with('[')) {
            let name = line.split(['.', ' ']).next().unwrap_or_default();
            let is_allowed = name.is_empty() || ours.contains(&name) || others.contains(&name);
            assert!(is_allowed, "{package} depends on {name}: what it computes belongs into sr-lab");
        }
    }
    let lab = read("crates/sr-lab/Cargo.toml");
    for above in ["sr-cli", "sr-args", "clap", "indicatif"] {
        assert!(!lab.contains(above), "sr-lab depends on {above}");
    }
    let cli = read("crates/sr-cli/Cargo.toml");
    let dependencies = cli.split("[dependencies]").nth(1).expect("dependencies");
    assert!(!dependencies.contains("sr-"), "sr-cli knows a crate of the project");
}
