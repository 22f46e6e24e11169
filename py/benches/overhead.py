"""Compares Python with sr-fit: a table of 100,000 rows is read and fitted, to the same formulas. Seconds are those of the
processor, which other programs on the machine hardly change.

    SR_FIT=target/release/sr-fit python py/benches/overhead.py
"""

import csv
import os
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import pandas as pd

from sr import SymbolicRegressor

ROWS, WORK, TIMES = 100_000, 2_000_000_000, 5


def main():
    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.uniform(1, 3, (ROWS, 5)).round(6), columns=list("abcde"))
    y = (np.sin(X["a"]) * X["b"] + np.exp(X["c"]) / X["d"] + 0.1 * rng.normal(size=ROWS)).round(6).rename("y")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        X.assign(y=y).to_csv(folder / "rows.csv", index=False)
        command = [os.environ["SR_FIT"], folder / "rows.csv", "--target", "y", "--max-work", str(WORK), "--threads", "1"]
        command += ["--force", "--out", folder / "fit"]
        ours, theirs = [], []
        for _ in range(TIMES):
            before = os.times()
            subprocess.run(command, capture_output=True, check=True)
            after = os.times()
            theirs.append(after.children_user + after.children_system - before.children_user - before.children_system)
            started = time.process_time()
            table = pd.read_csv(folder / "rows.csv")
            model = SymbolicRegressor(name="rows", max_work=WORK, n_jobs=1).fit(table.drop(columns="y"), table["y"])
            ours.append(time.process_time() - started)
            print(f"sr-fit {theirs[-1]:.2f} s, Python {ours[-1]:.2f} s", flush=True)
        expected = [row["expression"] for row in csv.DictReader(open(folder / "fit/front.csv"))]
    assert model.equations_["expression"].tolist() == expected
    print(f"least of {TIMES}: sr-fit {min(theirs):.2f} s, Python {min(ours):.2f} s, {min(ours) / min(theirs) - 1:+.1%}")


main()
