"""The package and sr-fit find the same formulas."""

import csv

import numpy as np
import pandas as pd
import pytest

from sr import SymbolicRegressor


def table(rows, noise, seed):
    """Returns a table whose numbers have few digits, so that a text has all of them."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (rows, 3)).round(4)
    y = X[:, 0] * np.exp(X[:, 1]) + 1.5 * X[:, 2] + noise * rng.normal(size=rows)
    return pd.DataFrame({"force": X[:, 0], "flow rate": X[:, 1], "x7": X[:, 2], "y": y.round(4)})


@pytest.mark.parametrize(
    ("frame", "parameters", "flags"),
    [
        (table(30, 0, 1), {}, []),
        (table(200, 0.1, 2), {"random_state": 7}, ["--seed", "7"]),
        (
            table(5000, 0.5, 3),
            {"operators": ["+", "*", "exp"], "max_size": 15, "loss": "mae", "guesses": ["force*exp(`flow rate`)"]},
            ["--operators", "+,*,exp", "--max-size", "15", "--loss", "mae", "--guess", "force*exp(`flow rate`)"],
        ),
    ],
)
def test_the_same_formulas_as_sr_fit(sr_fit, tmp_path, frame, parameters, flags):
    path = tmp_path / "mine.csv"
    frame.to_csv(path, index=False)
    sr_fit(path, "--target", "y", "--max-work", "1e8", "--out", tmp_path / "fit", *flags)
    with open(tmp_path / "fit/front.csv") as file:
        expected = list(csv.DictReader(file))
    model = SymbolicRegressor(name="mine", max_work=1e8, **parameters).fit(frame.drop(columns="y"), frame["y"])
    found = model.equations_
    assert found["expression"].tolist() == [row["expression"] for row in expected]
    assert found["formula"].tolist() == [row["formula"] for row in expected]
    assert found["rmse"].tolist() == [float(row["rmse"]) for row in expected]
    assert found["chosen"].tolist() == [row["marked"] == "true" for row in expected]


def test_errors_of_measurement_are_weights(sr_fit, tmp_path):
    frame = table(60, 0.1, 4)
    sigma = np.random.default_rng(5).uniform(0.1, 0.3, 60).round(4)
    frame.assign(sigma=sigma).to_csv(tmp_path / "mine.csv", index=False)
    flags = ["--target", "y", "--sigma", "sigma", "--max-work", "1e8", "--out", tmp_path / "fit"]
    sr_fit(tmp_path / "mine.csv", *flags)
    with open(tmp_path / "fit/front.csv") as file:
        expected = [row["expression"] for row in csv.DictReader(file)]
    weights = (sigma.min() / sigma) ** 2
    model = SymbolicRegressor(name="mine", max_work=1e8).fit(frame.drop(columns="y"), frame["y"], weights)
    assert model.equations_["expression"].tolist() == expected


def test_kepler(sr_fit, fixtures, tmp_path):
    planets = pd.read_csv(fixtures / "tables/planets.csv", comment="#")
    path = fixtures / "tables/planets.csv"
    done = sr_fit(path, "--target", "period", "--max-work", "1e8", "--out", tmp_path / "fit", "--export", "latex")
    model = SymbolicRegressor(name="planets", max_work=1e8).fit(planets[["a"]], planets["period"])
    assert model.latex() == done.stdout.strip()
