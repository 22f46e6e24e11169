#!/bin/sh
# Builds a target of fuzz/ and runs it with so many inputs from a fixed seed, in one thread. The inputs that it keeps lie in
# runs/fuzz/TARGET, those that fail beside it; the last line is one for a record. `just fuzz` calls it.
set -eu
target=$1 inputs=${2:-10000000} seed=${3:-1}
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$root/runs/fuzz
# The longest input: formulas and texts of tokens need few bytes to say much, records and weights more.
case $target in
expression) longest=256 ;;
tokenizer) longest=512 ;;
csv | toml) longest=2048 ;;
*) longest=4096 ;;
esac
features=
case $target in toml | safetensors) features=learner ;; esac
RUSTC_WRAPPER=$root/fuzz/rustc.sh cargo build --release --locked --manifest-path "$root/fuzz/Cargo.toml" \
    --features "$features" --bin "$target"
rm -rf "$folder/$target"
mkdir -p "$folder/$target"
begun=$(date +%s)
SR_FUZZ_SEEDS=$folder/$target "${CARGO_TARGET_DIR:-$root/fuzz/target}/release/$target" "$folder/$target" \
    -runs="$inputs" -seed="$seed" -max_len="$longest" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$folder/$target-" >"$folder/$target.log" 2>&1 && fault=0 || fault=$?
seconds=$(($(date +%s) - begun))
if [ "$fault" -ne 0 ]; then
    grep -E 'panicked at|ERROR: libFuzzer|Test unit written' -A 1 "$folder/$target.log" || true
    echo "$target: failed after $seconds s; the input is $folder/$target-*, the log $folder/$target.log" >&2
    exit 1
fi
# `#10000000 DONE cov: 1742 ft: 4548 corp: 970/81Kb …`
done=$(grep -o 'DONE .*corp: [^ ]*' "$folder/$target.log" | sed 's/DONE *//')
rss=$(sed -n 's/^stat::peak_rss_mb: *//p' "$folder/$target.log")
echo "$target: $inputs inputs in $seconds s, seed $seed, $done, $rss MB"
