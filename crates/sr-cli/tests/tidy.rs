//! House rules: what the documents name exists, and dependencies go the way that ARCHITECTURE.md says.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of the folders in a folder of the project.
fn folders(of: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(of)).expect(of);
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect(of).file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Every Rust file below a folder.
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

#[test]
fn paths_in_the_documents_exist() {
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "docs/formats.md",
        "docs/prompt.md",
        "docs/training.md",
        "docs/datasets.md",
        "docs/comparison.md",
        "docs/algorithms/dagger.md",
        "docs/algorithms/evaluation.md",
        "docs/algorithms/expert.md",
        "docs/algorithms/model.md",
        "docs/algorithms/traces.md",
        "slurm/README.md",
    ];
    let tops =
        ["crates/", "bins/", "benches/", "configs/", "docs/", "examples/", "fixtures/", "slurm/", "vendor/", ".ci/"];
    for document in documents {
        for quoted in read(document).split('`').skip(1).step_by(2) {
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
        for heavy in ["burn", "clap", "serde", "csv", "zstd", "sr-codec"] {
            assert!(!manifest.contains(heavy), "{name} depends on {heavy}");
        }
    }
}
