# Recipes call the binaries; `just` alone lists them. Everything a recipe writes goes to runs/.

set shell := ["bash", "-euo", "pipefail", "-c"]

# SR_PROFILE=dev takes the binaries that the tests have built
profile := env("SR_PROFILE", "release")
bin := env("CARGO_TARGET_DIR", "target") / if profile == "dev" { "debug" } else { profile }
# With the whole workspace and its tests the features of the dependencies are the ones that the tests were built with:
# without them a dev build compiles the tensor framework a second time.
packages := if profile == "dev" { "--workspace --tests" } else { "" }

# List the recipes
default:
    @just --list --unsorted

# Build the binaries, optimised
[group('build')]
build:
    cargo build --profile {{profile}} --locked {{packages}} --bins

# The book of docs/ in target/book, to browse; needs mdbook (`cargo install mdbook --locked`)
[group('build')]
book:
    mdbook build docs

# The page of all flags, docs/reference/flags.md, from what the programs say; a test compares it
[group('build')]
flags:
    cargo build --locked --workspace --bins
    UPDATE_EXPECT=1 cargo test --locked -p sr-cli --test book flags

# Man pages, and completions for bash, zsh and fish, of all programs, in target/man
[group('build')]
man: build
    mkdir -p target/man
    for name in $(sed -n '/\[\[bin\]\]/,/name/s/^name = "\(.*\)"/\1/p' bins/*/Cargo.toml); do \
        {{bin}}/$name --generate man > target/man/$name.1; \
        {{bin}}/$name --generate complete-bash > target/man/$name.bash; \
        {{bin}}/$name --generate complete-zsh > target/man/_$name; \
        {{bin}}/$name --generate complete-fish > target/man/$name.fish; \
    done

# The whole loop on a CPU in minutes: problems, expert traces, labels, training, learner search, DAgger, table of fresh problems. SEED for another run
[group('loop')]
demo seed="1": build
    @just _loop runs/demo {{seed}} 6000 100 600 configs/demo.toml ""

# The same loop in under a minute, for CI: too short to learn anything
[group('loop')]
demo-smoke: build
    @just _loop runs/demo-smoke 1 60 8 20 configs/demo.toml "--max-steps 6"

# Folder, seed; problems to learn from, problems to judge on, problems that the learner searches; training config and
# extra flags of it. The expert's children have 25 nodes at most, and the learner's too.
_loop dir seed count fresh learner_count config train_flags search="--unique --survival plus --extra-generations 0 --max-size 25":
    rm -rf {{dir}} && mkdir -p {{dir}}
    @echo "== 1/10 problems to judge on, and others to learn from"
    {{bin}}/sr-generate random --operators arith --constants 1.0 --complexity 0.5 --max-variables 3 --points 50 --exclude harder --count {{fresh}} --seed 90{{seed}} --out {{dir}}/fresh.sr
    {{bin}}/sr-generate random --operators arith --constants 1.0 --complexity 0.5 --max-variables 3 --points 50 --exclude harder {{dir}}/fresh.sr --count {{count}} --seed {{seed}} --out {{dir}}/problems.sr
    @echo "== 2/10 the expert searches them"
    {{bin}}/sr-search --problems {{dir}}/problems.sr --generations 20 {{search}} --seed {{seed}} --out {{dir}}/expert.sr
    @echo "== 3/10 labels: the best of many children of the expert in each state"
    {{bin}}/sr-relabel --traces {{dir}}/expert.sr --problems {{dir}}/problems.sr --labels top-k --seed {{seed}}
    @echo "== 4/10 training examples of two states of each search"
    {{bin}}/sr-convert --traces {{dir}}/expert.sr --mode one-step --dagger --states-per-search 2 --seed {{seed}} --out {{dir}}/corpus-bc
    @echo "== 5/10 behaviour cloning, from random weights"
    {{bin}}/sr-train --config {{config}} --train {{dir}}/corpus-bc/train.sr --val {{dir}}/corpus-bc/val.sr --problems {{dir}}/problems.sr --seed {{seed}} --out {{dir}}/model-bc {{train_flags}}
    @echo "== 6/10 the learner searches"
    {{bin}}/sr-search --problems {{dir}}/problems.sr --policy neural --checkpoint {{dir}}/model-bc/best --max-problems {{learner_count}} --generations 20 {{search}} --max-child-size 25 --condition GAIN_4 --seed {{seed}} --out {{dir}}/learner.sr
    @echo "== 7/10 the expert labels the states that the learner visited"
    {{bin}}/sr-relabel --traces {{dir}}/learner.sr --problems {{dir}}/problems.sr --labels top-k --seed {{seed}}
    @echo "== 8/10 training examples from them"
    {{bin}}/sr-convert --traces {{dir}}/learner.sr --mode one-step --dagger --states-per-search 3 --seed {{seed}} --out {{dir}}/corpus-dagger
    @echo "== 9/10 one DAgger round: training goes on, on both"
    {{bin}}/sr-train --config {{config}} --train {{dir}}/corpus-bc/train.sr {{dir}}/corpus-dagger/train.sr --val {{dir}}/corpus-bc/val.sr --problems {{dir}}/problems.sr --init {{dir}}/model-bc/best --seed 2{{seed}} --out {{dir}}/model-dagger {{train_flags}}
    @echo "== 10/10 the reference engine, the expert of these settings and the two learners on {{fresh}} fresh problems, at equal evaluations"
    {{bin}}/sr-evaluate --problems {{dir}}/fresh.sr --methods basic,expert,cloned=neural:{{dir}}/model-bc/best,dagger=neural:{{dir}}/model-dagger/best --max-evaluations 1901 --generations 1000 {{search}} --max-child-size 25 --condition GAIN_4 --seeds 1 --seed {{seed}} --out {{dir}}/evaluation.json
    @echo "files: {{dir}}  (sr-inspect opens each of them: just inspect FILE)"

# Every mode with every point embedder, one-step with both languages of actions: a minute of training each on what `just demo` made, and searches
[group('loop')]
demo-modes: build
    [ -f runs/demo/expert.sr ] || just demo
    rm -rf runs/demo-modes
    just _mode one-step e2e && just _mode one-step set
    just _mode one-step e2e edit && just _mode one-step set edit
    just _mode autoregressive e2e && just _mode autoregressive set
    just _mode direct e2e && just _mode direct set
    {{bin}}/sr-evaluate direct --checkpoint runs/demo-modes/direct-e2e-expression/best --suite simple --samples 64 --max-child-size 31 --seed 1

_mode mode points actions="expression" name=(mode + "-" + points + "-" + actions):
    mkdir -p runs/demo-modes
    sed -e 's/^mode = .*/mode = "{{mode}}"/' -e 's/^n_points = .*/points = "{{points}}"/' configs/modes.toml > runs/demo-modes/{{name}}.toml
    printf '\n[language]\nactions = "{{actions}}"\n' >> runs/demo-modes/{{name}}.toml
    [ -d runs/demo-modes/corpus-{{mode}} ] || {{bin}}/sr-convert --mode {{mode}} --seed 1 --out runs/demo-modes/corpus-{{mode}} {{ if mode == "direct" { "--problems runs/demo/problems.sr" } else { "--traces runs/demo/expert.sr --sample-fraction 0.05" } }}
    {{bin}}/sr-train --config runs/demo-modes/{{name}}.toml --train runs/demo-modes/corpus-{{mode}}/train.sr --val runs/demo-modes/corpus-{{mode}}/val.sr --problems runs/demo/problems.sr --max-minutes 1 --seed 1 --out runs/demo-modes/{{name}}
    {{bin}}/sr-search --problems runs/demo/problems.sr --policy neural --mode {{mode}} --checkpoint runs/demo-modes/{{name}}/best --max-problems 40 --generations 20 --max-child-size 31 --seed 2 --out runs/demo-modes/{{name}}-trace.sr

# DAgger by itself: three rounds over two milestones, results, recordings and plots in runs/dagger-demo; minutes on two cores
[group('loop')]
dagger-demo: build
    rm -rf runs/dagger-demo
    {{bin}}/sr-dagger --config configs/dagger-demo.toml --out runs/dagger-demo --seed 1 --track

# DAgger over milestones: just dagger --settings quick --out runs/mine
[group('loop')]
dagger *flags: build
    {{bin}}/sr-dagger {{flags}}

# The shipped learner on the suite `harder`, ten seeds, beside the reference engine and the expert of the same settings, at equal evaluations (those of 100 generations) and equal seconds, and beside the original's figures
[group('loop')]
compare seconds="4" *flags="": build
    mkdir -p runs/compare
    {{bin}}/sr-evaluate --suite harder --methods basic,expert,tuned,learner=neural,hybrid=hybrid@p=0.8 --unique --survival plus --equal evaluations,seconds --max-evaluations 1901 --time-limit {{seconds}} --seeds 10 --seed 1 --max-child-size 25 --beside fixtures/published/original-harder.json --out runs/compare/evaluation.json --force {{flags}}

# Make the shipped models anew, from random weights: problems, searches, labels, three trainings; long. SEED for other problems and weights
[group('loop')]
train-default seed="1": build
    BIN={{bin}} SEED={{seed}} OUT=runs/default-{{seed}} scripts/train-default.sh

# What one setting of a training is worth: just ablate base points-none marks-none; each arm is 10 million tokens and 1,600 searches, an hour of one core, and is gone on with by the same call (scripts/ablate.sh has all arms)
[group('loop')]
ablate *arms: build
    BIN={{bin}} scripts/ablate.sh {{arms}}

# The table of the README: the shipped learners and the experts on 1,600 problems that nothing was chosen on; a quarter of an hour on two cores
[group('loop')]
reproduce-headline: build
    mkdir -p runs/headline
    {{bin}}/sr-generate random --operators arith --constants 1.0 --complexity 0.5 --max-variables 3 --points 50 --exclude harder ultra-simple simple nguyen livermore keijzer r --seed 20261206 --count 1600 --out runs/headline/test.sr --force
    sha256sum runs/headline/test.sr | grep -q ^1cff1f39108a14cceccca698574f4f211614e087a52fef770161dc35076a8fe5
    {{bin}}/sr-evaluate --problems runs/headline/test.sr --methods basic,expert,tuned,random,enumeration,learner=neural,hybrid=hybrid@p=0.8,learner-expert-only=neural:arithmetic-expert-only,hybrid-expert-only=hybrid:arithmetic-expert-only@p=0.8 --unique --survival plus --max-evaluations 1901 --generations 1000 --extra-generations 0 --seeds 1 --seed 1 --max-child-size 25 --against expert --out runs/headline/evaluation.json --force

# DAgger on vectorised point control beside behaviour cloning, which drifts: under two minutes on a CPU, with episodes to watch
[group('loop')]
point-control: build
    rm -rf runs/point-control
    {{bin}}/sr-dagger --config configs/point-control.toml --beta constant:1 --seed 1 --out runs/point-control/cloning
    {{bin}}/sr-dagger --config configs/point-control.toml --seed 1 --out runs/point-control/dagger

# Two reports of sr-evaluate, or expert and learner on one problem: just compare-with A.json B.json
[group('loop')]
compare-with *flags: build
    {{bin}}/sr-compare {{flags}}

# Show a problem set, trace, corpus or checkpoint
[group('loop')]
inspect file *flags: build
    {{bin}}/sr-inspect {{file}} {{flags}}

# Results as one page: just report runs/planets-fit runs/demo/evaluation.json --out runs/report.html
[group('loop')]
report *flags: build
    {{bin}}/sr-report {{flags}}

# Random problems: just generate --count 1000 --operators full --out problems.sr
[group('steps')]
generate *flags: build
    {{bin}}/sr-generate random {{flags}}

# The formula of a table: just fit fixtures/tables/planets.csv --target period
[group('steps')]
fit *flags: build
    {{bin}}/sr-fit {{flags}}

# Search problems and record traces
[group('steps')]
search *flags: build
    {{bin}}/sr-search {{flags}}

# Traces to training examples
[group('steps')]
convert *flags: build
    {{bin}}/sr-convert {{flags}}

# Problems, traces and corpus in one go: just dataset configs/dataset-demo.toml --out runs/dataset-demo
[group('steps')]
dataset config *flags: build
    {{bin}}/sr-dataset build {{config}} {{flags}}

# Check a data set again: hashes, every record, references, the split, excluded formulas
[group('steps')]
dataset-validate dir *flags: build
    {{bin}}/sr-dataset validate {{dir}} {{flags}}

# Join the shards of a trace, given in order: just merge 1-of-2.sr 2-of-2.sr --out trace.sr
[group('steps')]
merge *flags: build
    {{bin}}/sr-dataset merge {{flags}}

# Train a model on a corpus
[group('steps')]
train *flags: build
    {{bin}}/sr-train {{flags}}

# Let the expert label the states of a trace
[group('steps')]
relabel *flags: build
    {{bin}}/sr-relabel {{flags}}

# Compare methods on problems over seeds
[group('steps')]
evaluate *flags: build
    {{bin}}/sr-evaluate {{flags}}

# Search settings of the expert for the method `tuned` of sr-evaluate, into configs/tuned.toml
[group('steps')]
tune: build
    mkdir -p runs/tune
    {{bin}}/sr-generate random --count 60 --operators "+,-,*,/,sin,cos,exp,log" --complexity 0.5 --exclude ultra-simple simple harder nguyen keijzer livermore vladislavleva jin korns r constant feynman feynman-bonus --seed 11 --out runs/tune/tune.sr --force
    {{bin}}/sr-evaluate tune --problems runs/tune/tune.sr --trials 60 --finalists 8 --seeds 4 --max-evaluations 4000 --seed 1 --out configs/tuned.toml --force

# An array job of search, relabel or train, and the merge after it: just slurm-submit search --shards 8 --problems p.sr --out t.sr
[group('steps')]
slurm-submit step *flags: build
    SR_BIN={{bin}} slurm/submit {{step}} {{flags}}

# The searches of the five reference configurations, 1,000 and 10,000 generations each, as array jobs: just slurm-traces --shards 50
[group('steps')]
slurm-traces *flags: build
    SR_BIN={{bin}} slurm/traces {{flags}}

# Embed the engine in a program of your own
[group('steps')]
embed:
    cargo run --release --locked --manifest-path examples/embed/Cargo.toml

# Use the whole project as a library: problems, traces, DAgger and a comparison, in runs/lab
[group('steps')]
lab:
    cargo run --release --locked --manifest-path examples/lab/Cargo.toml -- runs/lab

# The Python package of py/: its wheel, in an environment of its own, and its tests, beside sr-fit; skipped where Python's packages or the crates cannot be had. FLAGS are those of pytest
[group('check')]
python *flags: build
    SR_FIT="$(realpath {{bin}}/sr-fit)" py/test.sh {{flags}}

# Unit, property and command line tests (nextest if it is installed), then the examples in the documentation
[group('check')]
test:
    if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --workspace --locked; else cargo test --workspace --locked --lib --bins --tests; fi
    cargo test --workspace --locked --doc

# The property tests with SEEDS seeds drawn at random: other inputs than those of `just test`, whose seed is in .cargo/config.toml
[group('check')]
properties seeds="5":
    #!/usr/bin/env bash
    set -euo pipefail
    with=$(grep -rl 'proptest! {' crates --include='*.rs')
    packages=$(sed -n 's|crates/\([^/]*\)/.*|\1|p' <<<"$with" | sort -u | sed 's/^/-p /')
    tests=$(sed -n 's|.*/tests/\([^/.]*\).*|\1|p' <<<"$with" | sort -u | sed 's/^/--test /')
    for _ in $(seq {{seeds}}); do
        export PROPTEST_RNG_SEED=$((RANDOM * 32768 + RANDOM))
        echo "PROPTEST_RNG_SEED=$PROPTEST_RNG_SEED"
        cargo test --quiet --locked $packages --lib $tests
    done

# Python for the tests that read files with the code of docs/formats.md and with TensorBoard, in runs/; without it they are skipped, in CI they fail
[group('check')]
interop-python:
    cmp -s bins/sr-inspect/tests/requirements.txt runs/interop-venv/installed.txt || just _interop-venv || just _skipped python "the packages of bins/sr-inspect/tests/requirements.txt could not be installed"

# Tells what is skipped and why. In CI that is a failure, but for what SR_CI_WITHOUT names.
_skipped what why:
    #!/usr/bin/env bash
    case ",${SR_CI_WITHOUT:-}," in *,{{what}},*) known=yes ;; *) known= ;; esac
    case "${CI:-}" in "" | 0 | false) known=yes ;; esac
    echo "SKIPPED: {{what}}: {{why}}" >&2
    [ -n "$known" ]

_interop-venv:
    rm -rf runs/interop-venv
    python3 -m venv runs/interop-venv
    runs/interop-venv/bin/pip install --quiet --disable-pip-version-check -r bins/sr-inspect/tests/requirements.txt
    cp bins/sr-inspect/tests/requirements.txt runs/interop-venv/installed.txt

# Formatting
[group('check')]
fmt:
    cargo fmt --all --check

# Lints; warnings are errors
[group('check')]
lint:
    cargo clippy --workspace --locked --all-targets -- -D warnings

# API documentation; warnings are errors
[group('check')]
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --locked --no-deps

# Licences, sources, and who may depend on what; skipped where cargo-deny is not installed
[group('check')]
deny:
    if cargo deny --version >/dev/null 2>&1; then cargo deny --locked check bans licenses sources; else just _skipped cargo-deny "it is not installed"; fi

# The optional backends compile, and embedding the engine brings neither burn nor clap
[group('check')]
backends:
    cargo check --locked -p sr-train-bin --features ndarray
    CUDARC_CUDA_VERSION=13000 cargo check --locked -p sr-train-bin --features cuda
    tree=$(cargo tree --locked --manifest-path examples/embed/Cargo.toml) && if echo "$tree" | grep -E ' (burn|clap)'; then exit 1; fi

# Every bench compiles and gives right answers
[group('check')]
bench-test:
    cargo bench --profile {{profile}} --workspace --locked --bench all --bench ci -- --test

# The error of the f32 functions for every argument there is (a quarter of an hour); `just ulp-exhaustive 101` takes every 101st
[group('check')]
ulp-exhaustive stride="1":
    cargo run --release --locked -p sr-expr --example ulp-exhaustive -- {{stride}}

# What slurm/submit and slurm/traces submit, then the array jobs on a SLURM of this machine, started for the test; that is skipped where it cannot be had, in CI a failure
[group('check')]
slurm-test: build
    slurm/test/submitted {{bin}}
    slurm/test/run {{bin}}

# Pages of sr-report in a headless Chromium: nothing is fetched, no error is told, tables sort, points are told; pictures in runs/report-check
[group('check')]
report-check: build
    #!/usr/bin/env bash
    set -euo pipefail
    [ -z "${CI:-}" ] || [ "$(id -u)" != 0 ] || command -v chromium >/dev/null || { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } >/dev/null 2>&1 || true
    chromium=$(command -v "${CHROMIUM:-chromium}" || command -v chromium-browser || command -v google-chrome) && command -v npm >/dev/null ||
        { just _skipped chromium "Chromium and Node.js are needed to open pages"; exit; }
    out=runs/report-check
    rm -rf $out && mkdir -p $out
    npm install --silent --no-save --prefix $out playwright-core@1.65.1
    {{bin}}/sr-fit fixtures/tables/planets.csv --target period --max-work 1e8 --out $out/planets
    {{bin}}/sr-evaluate --suite simple --methods basic,expert --seeds 2 --max-evaluations 500 --out $out/evaluation.json
    others=$(ls -d runs/demo/model-bc runs/dagger-demo 2>/dev/null || true)
    {{bin}}/sr-report $out/planets $out/evaluation.json $others --out $out/report.html
    CHROMIUM=$chromium NODE_PATH=$out/node_modules node scripts/report-check.mjs $out/pictures $out/planets/report.html $out/report.html

# Fuzz what reads strangers' texts and files, guided by coverage: just fuzz csv 1000000; the targets are expression, csv, toml, records, safetensors, tokenizer, and what a run says belongs in benches/record/. Beside Rust it takes a C++ compiler, for libFuzzer; no nightly, no cargo-fuzz. toml and safetensors compile the tensor framework, which takes minutes
[group('check')]
fuzz target inputs="10000000":
    fuzz/run.sh {{target}} {{inputs}}

# A program for MINUTES, and its memory by sixths of them: just soak sr-fit, just soak sr-dagger 10
[group('check')]
soak program minutes="60": build
    BIN={{bin}} scripts/soak.sh {{program}} {{minutes}}

# Package the crates that can be published, and compile what was packaged; nothing is uploaded
[group('release')]
publish-check:
    cargo publish --dry-run --workspace --locked

# The public API of the crates that can be published beside that of a commit, which says whether a version has to be a new one: just semver v0.2.0; needs cargo-semver-checks
[group('release')]
semver baseline:
    cargo semver-checks --workspace --baseline-rev {{baseline}}

# The engine's crates on other machines, as far as this one can: tests on ARM under qemu, the programs compiled for Windows, the crates without C for macOS. Needs rustup's targets and Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user and gcc-mingw-w64-x86-64
[group('release')]
cross:
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu" \
        cargo test --locked --target aarch64-unknown-linux-gnu -p sr-simd -p sr-expr -p sr-engine -p sr-trace
    cargo check --locked --target x86_64-pc-windows-gnu --workspace --bins
    cargo check --locked --target aarch64-apple-darwin -p sr-simd -p sr-expr -p sr-engine -p sr-enumerate -p sr-cpu

# Undefined behaviour in the portable code of sr-simd and sr-expr, by Miri: needs the nightly toolchain with miri
[group('release')]
miri:
    PROPTEST_CASES=2 MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test --locked -p sr-simd -p sr-expr --lib -- --skip any_depth

# Memory errors in the tests of the crates with unsafe code, on AVX2 (valgrind knows no AVX-512)
[group('release')]
valgrind:
    SR_SIMD=avx2 PROPTEST_CASES=8 CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind --quiet --error-exitcode=1" \
        cargo test --locked -p sr-simd -p sr-expr -p sr-engine -p sr-enumerate -p sr-cpu --lib

# All that CI runs, the quickest first; dependencies are optimised in the tests' profile too, so one is enough
[group('check')]
ci: fmt lint docs deny interop-python test backends
    SR_PROFILE=dev just bench-test demo-smoke slurm-test report-check python

_bench-tool:
    cargo build --profile {{profile}} --locked -p benches --bin bench-ci

# All benches
[group('bench')]
bench *flags:
    cargo bench --workspace --locked --bench all -- {{flags}}

# All benches, and their results as CSV: just bench-record benches/record/2026-01-31-machine.csv
[group('bench')]
bench-record file *flags: _bench-tool
    rm -rf {{bin}}/../criterion
    cargo bench --workspace --locked --bench all -- {{flags}}
    {{bin}}/bench-ci --criterion {{bin}}/../criterion --csv {{file}}

# The short tracked set against the recorded baseline of this kind of machine; --accept makes this run the baseline
[group('bench')]
bench-ci *flags: _bench-tool
    rm -rf {{bin}}/../criterion
    cargo bench --workspace --locked --bench ci
    {{bin}}/bench-ci --criterion {{bin}}/../criterion {{flags}}

# Node·rows/s on a file of trees, every result checked first; JSON lines: just bench-eval benches/peers/trees/math.txt --rows 50
[group('bench')]
bench-eval trees *flags:
    cargo build --release --locked -p bench-peers
    {{bin}}/bench-eval {{trees}} {{flags}}

# Side by side with other systems, which are built in runs/ on first use: just bench-peers --out benches/record/2026-01-31-peers
[group('bench')]
bench-peers *flags: _peers-rust _peers-python
    cargo build --release --locked -p bench-peers
    {{bin}}/bench-peers {{flags}}

# Who finds the law, ours and other systems on the same rows and seconds, resumable: just bench-accuracy nguyen --seconds 5
[group('bench')]
bench-accuracy suite *flags: _peers-rust _peers-python
    cargo build --release --locked -p bench-peers --bin bench-accuracy
    {{bin}}/bench-accuracy {{suite}} {{flags}}

# Training and children a second, beside PyTorch if `just torch-venv` installed it: just bench-learner --out benches/record/2026-01-31-learner
[group('bench')]
bench-learner *flags:
    cargo build --release --locked -p benches
    {{bin}}/bench-learner {{flags}}

# Losses and gradients beside the CPU's, training and children a second on a GPU; needs NVRTC and the CUDA headers: just gpu-bench --name H200 --out benches/record/2026-01-31-h200-gpu
[group('bench')]
gpu-bench *flags:
    CUDARC_CUDA_VERSION=${CUDARC_CUDA_VERSION:-13000} cargo build --release --locked -p benches --bin bench-gpu --features cuda
    {{bin}}/bench-gpu {{flags}}

# PyTorch and transformers for bench-learner, in runs/torch-venv: some gigabytes
[group('bench')]
torch-venv:
    python3.11 -m venv runs/torch-venv
    runs/torch-venv/bin/pip install --quiet --disable-pip-version-check -r benches/peers/python/requirements-torch.txt

# Trace files beside the original's pickles: bytes, reading, the cost of recording: just bench-traces --out benches/record/2026-01-31-traces
[group('bench')]
bench-traces *flags: build _peers-python
    {{bin}}/bench-traces --bin {{bin}} {{flags}}

# Neither of the two has to succeed: what is not there is named in the tables and left out.
_peers-rust:
    RUSTFLAGS="-C target-cpu=native" cargo build --release --locked --manifest-path benches/peers/rust/Cargo.toml --target-dir runs/peers-rust || echo "the Rust peers were not built"

_peers-python:
    cmp -s benches/peers/python/requirements.txt runs/peers-venv/installed.txt || just _peers-venv || echo "the Python peers were not installed"

_peers-venv:
    rm -rf runs/peers-venv
    python3.11 -m venv runs/peers-venv
    runs/peers-venv/bin/pip install --quiet --disable-pip-version-check -r benches/peers/python/requirements.txt
    cp benches/peers/python/requirements.txt runs/peers-venv/installed.txt
