#!/usr/bin/env bash
# Builds the wheel in an environment of its own, py/.venv, and runs the tests with it. `just python` calls it.
# SR_PROFILE is the cargo profile, and SR_FIT the program sr-fit that formulas are compared with.
set -euo pipefail
cd "$(dirname "$0")"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../target}

# Where packages cannot be had there is nothing to test. In CI that is a failure, unless nobody can be asked for them.
skip() {
    echo "skipped: $1"
    if [ -n "${CI:-}" ] && python3 -m pip index versions pip >/dev/null 2>&1; then exit 1; fi
    exit 0
}

install() {
    rm -rf .venv
    python3 -m venv .venv && .venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt || return
    cp tests/requirements.txt .venv/installed.txt
}

if ! cmp -s tests/requirements.txt .venv/installed.txt; then
    install >.venv.log 2>&1 || skip "the packages of py/tests/requirements.txt could not be installed: $(tail -n 1 .venv.log)"
fi
cargo fetch --quiet --locked 2>/dev/null || cargo fetch --quiet --locked --offline 2>/dev/null ||
    skip "the crates of py/Cargo.lock could not be fetched"
rm -rf dist
.venv/bin/maturin build --quiet --locked --profile "${SR_PROFILE:-release}" --out dist
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall dist/*.whl
.venv/bin/pytest --quiet "$@"
