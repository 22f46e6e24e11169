#!/usr/bin/env bash
# What one setting of a training is worth: ablate.sh ARM… trains each arm from random weights on the same examples, as many
# steps each, and searches the same validation problems with it. `base` is the shipped configuration; every other arm changes
# one thing of it. What is there already is kept. BIN is the folder of the binaries, OUT that to work in.
set -euo pipefail
: "${BIN:=target/release}" "${OUT:=runs/ablation}" "${STEPS:=2600}" "${THREADS:=1}"
mkdir -p "$OUT"

make() { local file=$1; shift; [ -e "$file" ] || "$@"; }
random() { "$BIN/sr-generate" random --operators arith --constants 1.0 --complexity 0.5 --max-variables 3 --points 50 --exclude harder ultra-simple simple nguyen livermore keijzer r "$@"; }

# 40,000 problems, two states of each search of the expert, three kinds of labels: more examples than an arm takes.
make "$OUT/train.sr" random --count 40000 --seed 4642 --out "$OUT/train.sr"
make "$OUT/valid.sr" random --count 1600 --seed 902 --out "$OUT/valid.sr"
make "$OUT/search.sr" "$BIN/sr-search" --problems "$OUT/train.sr" --generations 20 --extra-generations 0 --survival plus --unique --seed 45 --out "$OUT/search.sr"
for labels in top-k path target all pooled; do
    make "$OUT/$labels.sr" "$BIN/sr-relabel" --traces "$OUT/search.sr" --problems "$OUT/train.sr" --labels $labels --seed 3 --out "$OUT/$labels.sr"
    states=2 && [ $labels != target ] || states=1
    make "$OUT/corpus-$labels/train.sr" "$BIN/sr-convert" --traces "$OUT/$labels.sr" --problems "$OUT/train.sr" --dagger --states-per-search $states --seed 1 --out "$OUT/corpus-$labels"
done

for arm in "$@"; do
    labels="path top-k target" condition=GAIN_4:8,PATH:8,TARGET:3 change= seed=1 preset=
    case $arm in
    base) ;;
    base-seed-[0-9]*) seed=${arm#base-seed-} ;;
    points-none) change='/^points = /d; /^n_queries/d; /^channels/d; /^n_variables/d; s/^n_points.*/n_points = 0/' ;;
    points-e2e) change='s/^points = .*/points = "e2e"/; /^n_queries/d; /^channels/d' ;;
    points-basic) change='s/^channels = .*/channels = ["x", "y"]/' ;;
    marks-none) change='/^marks = /d' ;;
    data-none) change='/^marks = /d; /^points = /d; /^n_queries/d; /^channels/d; /^n_variables/d; s/^n_points.*/n_points = 0/' ;;
    expressions) change='s/^actions = .*/actions = "expression"/' ;;
    parameters) change='s/^preset = .*/preset = "tiny"/' ;;
    labels-path) labels=path condition=PATH ;;
    labels-top-k) labels=top-k condition=GAIN_4 ;;
    labels-all) labels=all condition=ALL ;;
    labels-pooled) labels=pooled condition=GAIN_4 ;;
    *) echo "ablate.sh: no arm $arm" >&2; exit 2 ;;
    esac
    # Shares are of the kinds of labels, so an arm with one kind has none.
    case $labels in *" "*) ;; *) change="/^shares/d" ;; esac
    sed -e "s/^steps = .*/steps = $STEPS/; s/^learning_rate = .*/learning_rate = 2.0e-3/; s/^warmup_steps.*/warmup_steps = 100/; s/^eval_every.*/eval_every = 650/; s/^save_every.*/save_every = 650/; $change" configs/arithmetic.toml >"$OUT/$arm.toml"
    train=() && for kind in $labels; do train+=("$OUT/corpus-$kind/train.sr"); done
    "$BIN/sr-train" --config "$OUT/$arm.toml" --train "${train[@]}" --val "$OUT/corpus-${labels%% *}/val.sr" --problems "$OUT/train.sr" --seed $seed --threads "$THREADS" --out "$OUT/$arm" --resume
    make "$OUT/$arm.json" "$BIN/sr-evaluate" --problems "$OUT/valid.sr" --methods expert,learner=neural:"$OUT/$arm/best" --condition $condition --unique --survival plus --max-evaluations 1901 --generations 1000 --extra-generations 0 --seeds 1 --seed 1 --max-child-size 25 --against expert --threads "$THREADS" --out "$OUT/$arm.json"
done
