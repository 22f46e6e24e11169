#!/usr/bin/env bash
# Runs a program for MINUTES and tells its memory by sixths of the time: soak.sh sr-fit|sr-dagger [MINUTES]. What a program that
# leaks has in the last sixths is more than in those before. BIN is the folder of the binaries, OUT that to work in.
set -euo pipefail
program=$1 minutes=${2:-60}
: "${BIN:=target/release}" "${OUT:=runs/soak}"
run=$OUT/$program
rm -rf "$run"
mkdir -p "$run"
case $program in
sr-fit)
    # 400 rows of a law with noise that the search does not find out about in an hour.
    awk 'BEGIN { srand(1); print "a,b,c,y"; for (i = 0; i < 400; i++) {
        a = 1 + 4 * rand(); b = 0.5 + 2 * rand(); c = 2 * rand()
        noise = rand() + rand() + rand() + rand() - 2
        printf "%.6g,%.6g,%.6g,%.6g\n", a, b, c, sin(a * b) + a * exp(-c * c) / (b + 0.3 * c) + 0.09 * noise } }' >"$run/table.csv"
    command=("$BIN/sr-fit" "$run/table.csv" --target y --time-limit $((minutes * 60)) --threads 1 --out "$run/fit") ;;
sr-dagger)
    # Short rounds without end. The buffer is full after the first four, so that what is learned from grows no more.
    command=("$BIN/sr-dagger" --milestone polynomials-2 --dagger-iterations 10000 --no-record --max-buffer-size 3000
        --episodes-per-iter 20 --eval-episodes 10 --train-steps-per-iter 10 --batch-size 8 --threads 1 --seed 1 --out "$run/dagger") ;;
*) echo "soak.sh: $program is neither sr-fit nor sr-dagger" >&2; exit 2 ;;
esac
echo "${command[*]}"
"${command[@]}" >"$run/log" 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null || true' EXIT
begun=$SECONDS
while [ $((SECONDS - begun)) -lt $((minutes * 60)) ] && kill -0 "$pid" 2>/dev/null; do
    sleep $((minutes * 60 / 180 + 1))
    kb=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null) files=$(ls "/proc/$pid/fd" 2>/dev/null | wc -l)
    [ -z "$kb" ] || echo $((SECONDS - begun)) "$kb" "$files" >>"$run/memory"
done
kill -INT "$pid" 2>/dev/null || true
wait "$pid" && code=0 || code=$?
trap - EXIT
# 0 of a fit whose time was over, 130 of what was interrupted; anything else is a fault.
[ "$code" = 0 ] || [ "$code" = 130 ] || { tail -5 "$run/log" >&2; echo "$program ended with $code" >&2; exit 1; }
sort -k1,1n "$run/memory" | awk -v all=$((minutes * 60)) '
    { part = int(6 * $1 / (all + 1)); n[part]++; mb[part, n[part]] = $2 / 1024; if ($3 > files[part]) files[part] = $3 }
    END {
        printf "%-12s %10s %10s %6s\n", "minutes", "median MB", "most MB", "files"
        for (p = 0; p < 6; p++) if (n[p]) {
            for (i = 2; i <= n[p]; i++) for (j = i; j > 1 && mb[p, j - 1] > mb[p, j]; j--) { t = mb[p, j]; mb[p, j] = mb[p, j - 1]; mb[p, j - 1] = t }
            printf "%-12s %10.0f %10.0f %6d\n", sprintf("%g to %g", p * all / 360, (p + 1) * all / 360), mb[p, int((n[p] + 1) / 2)], mb[p, n[p]], files[p]
        }
    }'
