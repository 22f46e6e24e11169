#!/bin/sh
# A wrapper of rustc (RUSTC_WRAPPER) that adds the counters of libFuzzer to the crates of this project alone: others would
# be slower, and what they do with arbitrary bytes is theirs to test. Generic code of theirs counts where it is used.
case "$CARGO_MANIFEST_DIR" in
"" | */registry/* | */git/checkouts/*) exec "$@" ;;
esac
case " $* " in
*" --crate-type proc-macro "* | *" build_script_build "*) exec "$@" ;;
esac
exec "$@" --cfg fuzzing -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares -C llvm-args=-simplifycfg-branch-fold-threshold=0
