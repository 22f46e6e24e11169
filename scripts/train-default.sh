#!/usr/bin/env bash
# Makes the models of models/ anew. BIN is the folder of the binaries, SEED that of everything, OUT the folder to work in.
# What is there already is kept, so that an interrupted call is gone on with by the same call.
set -euo pipefail
: "${BIN:=target/release}" "${SEED:=1}" "${OUT:=runs/default-$SEED}"
mkdir -p "$OUT"

say() { echo "== $*"; }
# make FILE COMMAND…: runs the command unless its file is there
make() { local file=$1; shift; [ -e "$file" ] || "$@"; }

# No formula of a suite is learned from.
suites="harder ultra-simple simple nguyen livermore keijzer r"

say "1/6 80,000 problems of + - * and the constant 1, in up to three variables"
make "$OUT/train.sr" "$BIN/sr-generate" random --operators arith --constants 1.0 --complexity 0.5 --max-variables 3 --points 50 --exclude $suites --count 80000 --seed $((4241 + SEED)) --out "$OUT/train.sr"

say "2/6 the expert searches them: no expression twice, the best of parents and children live on"
make "$OUT/plus.sr" "$BIN/sr-search" --problems "$OUT/train.sr" --generations 20 --extra-generations 0 --survival plus --unique --seed $((5 + SEED)) --out "$OUT/plus.sr"

say "3/6 labels: the best of many children; a step towards the formula; the formula"
for labels in top-k path target; do
    make "$OUT/$labels.sr" "$BIN/sr-relabel" --traces "$OUT/plus.sr" --problems "$OUT/train.sr" --labels $labels --seed $((2 + SEED)) --out "$OUT/$labels.sr"
done

say "4/6 examples of two states of each search, of one with the formula as label"
make "$OUT/corpus-top-k/train.sr" "$BIN/sr-convert" --traces "$OUT/top-k.sr" --problems "$OUT/train.sr" --dagger --states-per-search 2 --seed "$SEED" --out "$OUT/corpus-top-k"
make "$OUT/corpus-path/train.sr" "$BIN/sr-convert" --traces "$OUT/path.sr" --problems "$OUT/train.sr" --dagger --states-per-search 2 --seed "$SEED" --out "$OUT/corpus-path"
make "$OUT/corpus-target/train.sr" "$BIN/sr-convert" --traces "$OUT/target.sr" --problems "$OUT/train.sr" --dagger --states-per-search 1 --seed "$SEED" --out "$OUT/corpus-target"

train() { # FOLDER, then flags of sr-train
    local out=$1; shift
    "$BIN/sr-train" --problems "$OUT/train.sr" --out "$out" --resume "$@"
}

say "5/6 arithmetic-expert-only: labels of the expert alone, from random weights"
train "$OUT/model-expert-only" --config configs/arithmetic-expert-only.toml --train "$OUT/corpus-top-k/train.sr" --val "$OUT/corpus-top-k/val.sr" --seed "$SEED"
"$BIN/sr-train" export "$OUT/model-expert-only/best" --out "$OUT/arithmetic-expert-only" --condition GAIN_4 --force

say "6/6 arithmetic: all three kinds of labels, going on from there"
train "$OUT/model" --config configs/arithmetic.toml --train "$OUT/corpus-path/train.sr" "$OUT/corpus-top-k/train.sr" "$OUT/corpus-target/train.sr" --val "$OUT/corpus-path/val.sr" --init "$OUT/model-expert-only/best" --seed $((1 + SEED))
"$BIN/sr-train" export "$OUT/model/best" --out "$OUT/arithmetic" --condition GAIN_4:8,PATH:8,TARGET:3 --force

say "done: $OUT/arithmetic-expert-only and $OUT/arithmetic; to ship them, copy them to models/"
