#!/usr/bin/env bash
# Makes the models of models/ anew. BIN is the folder of the binaries, SEED that of everything, OUT the folder to work in.
# What is there already is kept, so that an interrupted call is gone on with by the same call.
set -euo pipefail
: "${BIN:=target/release}" "${SEED:=1}" "${OUT:=runs/default-$SEED}"
mkdir -p "$OUT"

say() { echo "== $*"; }
# make FILE COMMAND…: runs the command unless its file is there
make() { local file=$1; shift; [ -e "$file" ] || "$@"; }

# Whose formula labels lead to: that of the problem, or the one that the search found
formula=given

# examples PROBLEMS TRACE STATES OF_TARGET [FLAGS]: labels of three kinds and examples of so many states of each search, and of
# so many where the label is the formula; the flags are those of the best of many children
examples() {
    local problems=$1 trace=$2 of_path=$3 of_target=$4 labels states flags; shift 4
    for labels in top-k path target; do
        states=$of_path && [ "$labels" != target ] || states=$of_target
        flags=("$@") && [ "$labels" = top-k ] || flags=(--formula "$formula")
        make "$OUT/$trace-$labels.sr" "$BIN/sr-relabel" --traces "$OUT/$trace.sr" --problems "$OUT/$problems.sr" --labels $labels "${flags[@]}" --seed $((2 + SEED)) --out "$OUT/$trace-$labels.sr"
        make "$OUT/corpus-$trace-$labels/train.sr" "$BIN/sr-convert" --traces "$OUT/$trace-$labels.sr" --problems "$OUT/$problems.sr" --dagger --states-per-search "$states" --seed "$SEED" --out "$OUT/corpus-$trace-$labels"
    done
}

# No formula of a suite is learned from.
suites="harder ultra-simple simple nguyen livermore keijzer r"

say "1/18 80,000 problems of + - * and the constant 1, in up to three variables"
make "$OUT/train.sr" "$BIN/sr-generate" random --operators arith --constants 1.0 --complexity 0.5 --max-variables 3 --points 50 --exclude $suites --count 80000 --seed $((4241 + SEED)) --out "$OUT/train.sr"

say "2/18 the expert searches them: no expression twice, the best of parents and children live on"
make "$OUT/plus.sr" "$BIN/sr-search" --problems "$OUT/train.sr" --generations 20 --extra-generations 0 --survival plus --unique --seed $((5 + SEED)) --out "$OUT/plus.sr"

say "3/18 labels: the best of many children; a step towards the formula; the formula"
for labels in top-k path target; do
    make "$OUT/$labels.sr" "$BIN/sr-relabel" --traces "$OUT/plus.sr" --problems "$OUT/train.sr" --labels $labels --seed $((2 + SEED)) --out "$OUT/$labels.sr"
done

say "4/18 examples of two states of each search, of one with the formula as label"
make "$OUT/corpus-top-k/train.sr" "$BIN/sr-convert" --traces "$OUT/top-k.sr" --problems "$OUT/train.sr" --dagger --states-per-search 2 --seed "$SEED" --out "$OUT/corpus-top-k"
make "$OUT/corpus-path/train.sr" "$BIN/sr-convert" --traces "$OUT/path.sr" --problems "$OUT/train.sr" --dagger --states-per-search 2 --seed "$SEED" --out "$OUT/corpus-path"
make "$OUT/corpus-target/train.sr" "$BIN/sr-convert" --traces "$OUT/target.sr" --problems "$OUT/train.sr" --dagger --states-per-search 1 --seed "$SEED" --out "$OUT/corpus-target"

train() { # FOLDER, then flags of sr-train
    local out=$1; shift
    "$BIN/sr-train" --problems "$OUT/train.sr" --out "$out" --resume "$@"
}

say "5/18 labels of the expert alone, from random weights"
train "$OUT/model-expert-only" --config configs/arithmetic-expert-only-first.toml --train "$OUT/corpus-top-k/train.sr" --val "$OUT/corpus-top-k/val.sr" --seed "$SEED"
"$BIN/sr-train" export "$OUT/model-expert-only/best" --out "$OUT/first-expert-only" --condition GAIN_4 --force

say "6/18 all three kinds of labels, going on from there"
train "$OUT/model" --config configs/arithmetic-first.toml --train "$OUT/corpus-path/train.sr" "$OUT/corpus-top-k/train.sr" "$OUT/corpus-target/train.sr" --val "$OUT/corpus-path/val.sr" --init "$OUT/model-expert-only/best" --seed $((1 + SEED))
"$BIN/sr-train" export "$OUT/model/best" --out "$OUT/first" --condition GAIN_4:8,PATH:8,TARGET:3 --force

say "7/18 40,000 more problems: the expert searches all of them, that learner 3,500"
make "$OUT/train2.sr" "$BIN/sr-generate" random --operators arith --constants 1.0 --complexity 0.5 --max-variables 3 --points 50 --exclude $suites --count 40000 --seed $((4342 + SEED)) --out "$OUT/train2.sr"
make "$OUT/plus2.sr" "$BIN/sr-search" --problems "$OUT/train2.sr" --generations 20 --extra-generations 0 --survival plus --unique --seed $((21 + SEED)) --out "$OUT/plus2.sr"
make "$OUT/roll.sr" "$BIN/sr-search" --problems "$OUT/train2.sr" --policy neural --checkpoint "$OUT/first" --max-problems 3500 --generations 30 --extra-generations 0 --survival plus --unique --max-child-size 25 --batch-size 128 --seed $((20 + SEED)) --out "$OUT/roll.sr"

say "8/18 labels and examples of both: one DAgger round"
examples train2 plus2 2 1
examples train2 roll 6 4

say "9/18 all of it, going on from the model of step 6"
"$BIN/sr-train" --config configs/arithmetic-second.toml --train "$OUT"/corpus-plus2-{path,top-k,target}/train.sr "$OUT"/corpus-roll-{path,top-k,target}/train.sr "$OUT/corpus-path/train.sr" "$OUT/corpus-top-k/train.sr" --val "$OUT/corpus-path/val.sr" --problems "$OUT/train.sr" "$OUT/train2.sr" --init "$OUT/model/best" --seed $((2 + SEED)) --out "$OUT/model-2" --resume
"$BIN/sr-train" export "$OUT/model-2/best" --out "$OUT/second" --condition GAIN_4:8,PATH:8,TARGET:3 --force

say "10/18 80,000 more problems: the expert searches all of them, that learner 4,000, to the end"
make "$OUT/train3.sr" "$BIN/sr-generate" random --operators arith --constants 1.0 --complexity 0.5 --max-variables 3 --points 50 --exclude $suites --count 80000 --seed $((4442 + SEED)) --out "$OUT/train3.sr"
make "$OUT/plus3.sr" "$BIN/sr-search" --problems "$OUT/train3.sr" --generations 20 --extra-generations 0 --survival plus --unique --seed $((30 + SEED)) --out "$OUT/plus3.sr"
make "$OUT/roll3.sr" "$BIN/sr-search" --problems "$OUT/train3.sr" --policy neural --checkpoint "$OUT/second" --max-problems 4000 --generations 95 --extra-generations 0 --survival plus --unique --max-child-size 25 --batch-size 128 --seed $((29 + SEED)) --out "$OUT/roll3.sr"

say "11/18 labels and examples of both: another DAgger round"
examples train3 plus3 2 1
examples train3 roll3 8 4

say "12/18 arithmetic: with these and those of step 8, the second half of the schedule shortened"
corpora=("$OUT"/corpus-{plus3,roll3,plus2,roll}-{path,top-k,target}/train.sr --val "$OUT/corpus-plus2-path/val.sr" --problems "$OUT/train3.sr" "$OUT/train2.sr")
"$BIN/sr-train" --config configs/arithmetic-third.toml --train "${corpora[@]}" --init "$OUT/model-2/best" --max-steps 1500 --seed $((3 + SEED)) --out "$OUT/model-3" --resume
"$BIN/sr-train" --config configs/arithmetic.toml --train "${corpora[@]}" --init "$OUT/model-3/last" --seed $((4 + SEED)) --out "$OUT/model-4" --resume
"$BIN/sr-train" export "$OUT/model-4/best" --out "$OUT/arithmetic" --condition GAIN_4:8,PATH:8,TARGET:3 --force

say "13/18 64,000 more problems: the expert searches a quarter of them, the learner of step 5 searches 6,000"
make "$OUT/train4.sr" "$BIN/sr-generate" random --operators arith --constants 1.0 --complexity 0.5 --max-variables 3 --points 50 --exclude $suites --count 64000 --seed $((4541 + SEED)) --out "$OUT/train4.sr"
make "$OUT/plus4.sr" "$BIN/sr-search" --problems "$OUT/train4.sr" --generations 20 --extra-generations 0 --survival plus --unique --shard 1/4 --seed $((37 + SEED)) --out "$OUT/plus4.sr"
make "$OUT/roll4.sr" "$BIN/sr-search" --problems "$OUT/train4.sr" --policy neural --checkpoint "$OUT/first-expert-only" --max-problems 2000 --generations 60 --extra-generations 0 --survival plus --unique --max-child-size 25 --batch-size 128 --seed $((38 + SEED)) --out "$OUT/roll4.sr"
make "$OUT/roll5.sr" "$BIN/sr-search" --problems "$OUT/train4.sr" --policy neural --checkpoint "$OUT/first-expert-only" --shard 2/16 --generations 60 --extra-generations 0 --survival plus --unique --max-child-size 25 --batch-size 128 --seed $((39 + SEED)) --out "$OUT/roll5.sr"

say "14/18 labels that lead to what these searches found, and examples"
formula=found
examples train4 plus4 2 1
examples train4 roll4 10 5
examples train4 roll5 10 5
formula=given

say "15/18 arithmetic-expert-only: nobody has to know a formula"
"$BIN/sr-train" --config configs/arithmetic-expert-only.toml --train "$OUT"/corpus-{plus4,roll4,roll5}-{path,top-k,target}/train.sr --val "$OUT/corpus-plus4-path/val.sr" --problems "$OUT/train4.sr" --init "$OUT/model-expert-only/best" --seed $((2 + SEED)) --out "$OUT/model-expert-only-2" --resume
"$BIN/sr-train" export "$OUT/model-expert-only-2/best" --out "$OUT/arithmetic-expert-only" --condition GAIN_4:8,PATH:8,TARGET:3 --force

# Formulas with constants that searches fit: half of the problems have eight operators, half all that sr-fit takes by default.
eight="+,-,*,/,sin,cos,exp,log"
all="+,-,*,/,neg,exp,log,sqrt,sin,cos,inv,pow2,pow3"
say "16/18 30,000 problems with numbers in their formulas, and searches of them that fit constants"
make "$OUT/eight.sr" "$BIN/sr-generate" random --preset e2e --operators "$eight" --max-variables 3 --points 100 --exclude $suites --count 16000 --seed $((5000 + SEED)) --out "$OUT/eight.sr"
make "$OUT/all.sr" "$BIN/sr-generate" random --preset e2e --operators "$all" --max-variables 5 --points 100 --exclude $suites --count 14000 --seed $((5001 + SEED)) --out "$OUT/all.sr"
for of in eight all; do
    make "$OUT/$of-search.sr" "$BIN/sr-search" --problems "$OUT/$of.sr" --preset default --population-size 20 --generations 16 --extra-generations 0 --seed $((40 + SEED)) --out "$OUT/$of-search.sr"
done

say "17/18 labels and examples of three states of each search, of two with the formula as label"
for of in eight all; do
    examples $of $of-search 3 2 --samples 64 --keep 4
done

say "18/18 functions: from random weights, the second half of the schedule shortened"
corpora=("$OUT"/corpus-{all,eight}-search-{path,target,top-k}/train.sr --val "$OUT/corpus-eight-search-path/val.sr" --problems "$OUT/eight.sr" "$OUT/all.sr")
"$BIN/sr-train" --config configs/functions-first.toml --train "${corpora[@]}" --max-steps 2500 --seed "$SEED" --out "$OUT/functions-first" --resume
"$BIN/sr-train" --config configs/functions.toml --train "${corpora[@]}" --init "$OUT/functions-first/last" --seed $((1 + SEED)) --out "$OUT/model-functions" --resume
"$BIN/sr-train" export "$OUT/model-functions/best" --out "$OUT/functions" --condition GAIN_4:8,PATH:8,TARGET:4 --force

say "done: $OUT/arithmetic-expert-only, $OUT/arithmetic and $OUT/functions; to ship them, copy them to models/"
