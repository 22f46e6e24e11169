"""What a fit finds and keeps."""

import builtins
import pickle
import signal
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import sr
from sr import SymbolicRegressor


def stone():
    """The way that a stone falls in a time."""
    frame = pd.DataFrame({"seconds": np.linspace(0.5, 10, 40), "colour": np.cos(np.arange(40.0))})
    return frame, (4.905 * frame["seconds"] ** 2).rename("metres")


def noisy(rows=50):
    """A table without an exact formula."""
    rng = np.random.default_rng(1)
    X = rng.uniform(1, 3, (rows, 3))
    return X, np.sin(X[:, 0]) * X[:, 1] + 0.1 * rng.normal(size=rows)


def test_columns_of_a_frame_have_their_names_in_formulas():
    X, y = stone()
    model = SymbolicRegressor(max_work=1e8).fit(X, y)
    assert model.formula_ == "(4.905 * pow2(seconds))"
    assert model.expression_ == "(4.905 * pow2(x0))"
    assert list(model.feature_names_in_) == ["seconds", "colour"] and model.n_features_in_ == 2
    assert model.latex() == r"4.905 \cdot \mathrm{seconds}^{2}"
    assert str(model.sympy()) == "4.905*seconds**2"
    assert "def f(seconds, colour)" in model.export("numpy")
    np.testing.assert_allclose(model.predict(X), y, rtol=1e-12)
    assert model.score(X, y) == 1


def test_columns_of_an_array_have_numbers():
    X, y = stone()
    assert SymbolicRegressor(max_work=1e8).fit(X.to_numpy(), y.to_numpy()).formula_ == "(4.905 * pow2(x0))"


def test_equations_are_a_frame_and_others_than_the_chosen_can_be_had():
    X, y = noisy()
    model = SymbolicRegressor(max_work=1e8).fit(X, y)
    equations = model.equations_
    assert list(equations.columns[:4]) == ["size", "loss", "rmse", "r2"]
    assert equations["chosen"].sum() == 1
    assert equations.loc[equations["chosen"], "formula"].item() == model.formula_
    assert equations["size"].is_monotonic_increasing and equations["loss"].is_monotonic_decreasing
    smallest = equations.iloc[0]
    np.testing.assert_allclose(model.predict(X, size=smallest["size"]), float(smallest["formula"]))
    for row in equations.itertuples():
        np.testing.assert_allclose(np.mean((model.predict(X, size=row.size) - y) ** 2), row.loss, rtol=1e-6)
    with pytest.raises(ValueError, match="size=0: the smallest formula has a size of 1"):
        model.predict(X, size=0)


def test_the_same_again_and_with_any_number_of_threads():
    X, y = noisy()
    first = SymbolicRegressor(max_work=1e8).fit(X, y)
    second = SymbolicRegressor(max_work=1e8, n_jobs=2).fit(X, y)
    assert first.result_ == second.result_ and first.state_ == second.state_
    other = SymbolicRegressor(max_work=1e8, random_state=1).fit(X, y)
    assert other.result_ != first.result_


def test_warm_start_goes_on_as_if_nothing_had_been():
    X, y = noisy()
    model = SymbolicRegressor(epochs=2, max_work=1e12, warm_start=True).fit(X, y)
    assert model.result_["epochs"] == 2
    model.set_params(epochs=4).fit(X, y)
    whole = SymbolicRegressor(epochs=4, max_work=1e12).fit(X, y)
    assert model.result_ == whole.result_ and whole.result_["epochs"] == 4
    with pytest.raises(ValueError, match="warm_start: the earlier fit had other data"):
        model.fit(X[:40], y[:40])
    with pytest.raises(ValueError, match="warm_start: the earlier fit had other max_size"):
        model.set_params(max_size=20).fit(X, y)
    with pytest.raises(ValueError, match="4 epochs are done already, more than the 3 that are asked for"):
        model.set_params(max_size=30, epochs=3).fit(X, y)


def test_a_pickle_is_as_good_as_the_estimator():
    X, y = noisy()
    model = SymbolicRegressor(epochs=1, warm_start=True).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    assert copy.result_ == model.result_
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    assert copy.set_params(epochs=2).fit(X, y).result_ == model.set_params(epochs=2).fit(X, y).result_
    assert all(isinstance(value, (str, dict, int, np.ndarray)) for name, value in vars(model).items() if name[-1] == "_")


def test_what_was_asked_for_is_kept():
    X, y = stone()
    model = SymbolicRegressor(
        epochs=1,
        operators=["+", "*"],
        guesses="2*seconds*seconds",
        units={"seconds": "s", "colour": "1", "metres": "m"},
        unit_constants=True,
        complexity={"constant": 2},
        nesting={"*:+": 0},
        max_constants=1,
        max_depth=4,
        loss="mae",
    ).fit(X, y)
    assert model.formula_ in ("((4.905 * seconds) * seconds)", "(seconds * (4.905 * seconds))", "(4.905 * (seconds * seconds))")
    assert model.result_["loss"] == "mae" and model.equations_.query("chosen")["size"].item() == 6


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"operators": "+,sinh"}, "operators: unknown operator \"sinh\""),
        ({"operators": ["+"], "guesses": "sin(seconds)"}, "guess \"sin.*operator sin is not among those of the search"),
        ({"guesses": "sin(minutes)"}, "unknown name 'minutes'"),
        ({"loss": "square"}, "loss: .*square"),
        ({"max_size": 0}, "max_size=0: expected a whole number from 1 to 1000"),
        ({"max_work": 1.5}, "max_work=1.5: expected a whole number"),
        ({"time_limit": -1}, "time_limit=-1: expected a number of seconds above 0"),
        ({"units": {"seconds": "s"}}, "units: none is given for 'colour'"),
        ({"units": {"hour": "s"}}, "units: there is no column 'hour'; the target is 'metres'"),
        ({"units": {"seconds": "s", "colour": "blue", "metres": "m"}}, "\"blue\" is no unit"),
        ({"complexity": {"seconds": 0}}, "complexity: seconds=0: expected a whole number from 1 to 1000"),
        ({"nesting": {"sin": 0}}, "nesting: sin: expected outer:inner"),
        ({"complexity": "sin=2"}, "complexity='sin=2': expected a dictionary"),
    ],
)
def test_a_wrong_parameter_is_one_clear_line(parameters, message):
    with pytest.raises(ValueError, match=message) as caught:
        SymbolicRegressor(**parameters).fit(*stone())
    assert "\n" not in str(caught.value)


def test_wrong_data_are_a_value_error():
    X, y = stone()
    with pytest.raises(ValueError, match="sample_weight: the weight of row 3 is -1.0"):
        SymbolicRegressor().fit(X, y, np.where(np.arange(40) == 3, -1, 1))
    with pytest.raises(ValueError, match="every weight is 0|at least one non-zero"):
        SymbolicRegressor().fit(X, y, np.zeros(40))
    # Of some of these scikit-learn says it, depending on its version.
    with pytest.raises(ValueError, match="NaN"):
        SymbolicRegressor().fit(X.assign(colour=np.nan), y)
    with pytest.raises(ValueError, match="more than one column 'a'|unique column names"):
        SymbolicRegressor().fit(X.set_axis(["a", "a"], axis=1), y)
    with pytest.raises(NotFittedError):
        SymbolicRegressor().predict(X)
    with pytest.raises(NotFittedError):
        SymbolicRegressor().equations_
    with pytest.raises(ValueError, match="target \"fortran\": expected one of latex"):
        SymbolicRegressor(epochs=0).fit(X, y).export("fortran")


def text_and_gaps():
    """A table of which two columns are text, one that of a number with a gap, and two others have missing values."""
    X, y = stone()
    return X.assign(
        sex=["f", "m"] * 20,
        mass=np.where(np.arange(40) < 3, np.nan, 1.0),
        town=pd.Categorical(["Bern", "Chur"] * 20),
        depth=pd.array([1, None, 3, 4] * 10, dtype="Int64"),
        height=[1.5, "n/a", None, "2"] * 10,
    ), y


NO_NUMBERS = "X has columns that are no numbers: 'sex' (such as 'f'), 'town' (such as 'Bern'), 'height' (such as 'n/a'). "
GAPS = "X has missing values in the columns 'mass' (3 of 40 rows), 'depth' (10 of 40 rows). "


def test_columns_that_are_no_numbers_are_named():
    X, y = text_and_gaps()
    with pytest.raises(ValueError) as caught:
        SymbolicRegressor().fit(X, y)
    assert str(caught.value).startswith(
        NO_NUMBERS + "Drop them, or encode them as numbers, for example with pandas.get_dummies. " + GAPS
    )
    assert "could not convert string to float: 'f'" in str(caught.value)
    with pytest.raises(TypeError, match=r"X has columns that are no numbers: 'day' \(such as 2020-01-01"):
        SymbolicRegressor().fit(stone()[0].assign(day=pd.date_range("2020-01-01", periods=40)), y)
    # Without names columns are called as in formulas.
    with pytest.raises(ValueError, match=r"no numbers: x1 \(such as 'a'\)\. Drop .*could not convert string to float: 'a'"):
        SymbolicRegressor().fit([[1, "a"], [2, "b"]], [1, 2])
    with pytest.raises(TypeError, match=r"no numbers: x0 \(such as \{'foo': 'bar'\}\)\. .*argument must be a string or"):
        SymbolicRegressor().fit(np.array([[{"foo": "bar"}, 1.0]] * 3, dtype=object), [1, 2, 3])
    with pytest.raises(ValueError, match=r"The target 'survived' is no number \(such as 'yes'\)\. .*could not convert"):
        SymbolicRegressor().fit(stone()[0], pd.Series(["yes", "no"] * 20, name="survived"))


def test_columns_with_missing_values_are_named():
    X, y = text_and_gaps()
    X = X.drop(columns=["sex", "town", "height"])
    with pytest.raises(ValueError) as caught:
        SymbolicRegressor().fit(X, y)
    assert str(caught.value) == (
        GAPS + "Leave these rows out, also of y, or fill them, for example with sklearn.impute.SimpleImputer. "
        "(Input X contains NaN.)"
    )
    with pytest.raises(TypeError, match=r"in the columns 'mass' \(2 of 4 rows\)\. .*argument must be a string or a real number"):
        SymbolicRegressor().fit(pd.DataFrame({"mass": pd.Series([1, pd.NA] * 2, dtype=object)}), [1, 2, 3, 4])
    with pytest.raises(ValueError, match=r"infinite values in the columns x1 \(1 of 2 rows\)\. .*Input X contains infinity"):
        SymbolicRegressor().fit([[1, np.inf], [2, 3]], [1, 2])
    with pytest.raises(ValueError, match=r"The target 'metres' has missing values \(1 of 40 rows\)\. .*Input y contains NaN"):
        SymbolicRegressor().fit(stone()[0], y.where(y.index != 7))


def test_columns_are_named_for_predictions_too():
    X, y = stone()
    model = SymbolicRegressor(epochs=0).fit(X, y)
    with pytest.raises(ValueError, match=r"no numbers: 'colour' \(such as 'red'\)\. .*could not convert"):
        model.predict(X.assign(colour="red"))
    with pytest.raises(ValueError, match=r"in the columns 'colour' \(40 of 40 rows\)\. Leave these rows out, or fill them"):
        model.predict(X.assign(colour=np.nan))
    # What is no fault of a column is told as before.
    with pytest.raises(ValueError, match="^The feature names should match"):
        model.predict(X.rename(columns={"colour": "color"}))
    with pytest.raises(ValueError, match="^X has 1 features, but SymbolicRegressor is expecting 2"):
        SymbolicRegressor(epochs=0).fit(X.to_numpy(), y).predict([[1.0]])


def test_a_search_that_the_default_budget_ends_is_told(recwarn):
    X, y = noisy()
    SymbolicRegressor(max_work=1e7).fit(X, y)
    SymbolicRegressor(epochs=0).fit(X, y)
    SymbolicRegressor().fit(*stone())
    assert not recwarn.list
    with pytest.warns(ConvergenceWarning, match="the default budget, max_work=3e8, was spent.*time_limit=20, n_jobs=-1"):
        model = SymbolicRegressor().fit(X, y)
    assert model.result_["stop"] == "work"
    assert model.result_ == SymbolicRegressor(max_work=3e8).fit(X, y).result_


def test_whole_weights_are_repetitions_and_others_weigh():
    X, y = noisy()
    rng = np.random.default_rng(2)
    weights = rng.integers(0, 3, len(y))
    order = rng.permutation(len(y))
    weighted = SymbolicRegressor(max_work=1e8).fit(X[order], y[order], weights[order])
    repeated = SymbolicRegressor(max_work=1e8).fit(X.repeat(weights, axis=0), y.repeat(weights))
    assert weighted.result_ == repeated.result_
    plain = SymbolicRegressor(max_work=1e8).fit(X, y)
    assert SymbolicRegressor(max_work=1e8).fit(X, y, np.ones(len(y))).result_ == plain.result_
    errors = 1 / rng.uniform(1, 2, len(y)) ** 2
    assert SymbolicRegressor(max_work=1e8).fit(X, y, errors).result_ != plain.result_


def test_a_formula_without_a_value_is_told():
    model = SymbolicRegressor(operators="log", epochs=0).fit(np.arange(1.0, 30).reshape(-1, 1), np.log(np.arange(1.0, 30)))
    with pytest.warns(RuntimeWarning, match="no value in 1 of 2 rows"):
        assert np.isnan(model.predict([[-1.0], [1.0]])).tolist() == [True, False]


def test_other_threads_run_during_a_search():
    X, y = noisy(100)
    ticks, over = [], threading.Event()

    def tick():
        while not over.wait(0.01):
            ticks.append(None)

    thread = threading.Thread(target=tick)
    thread.start()
    SymbolicRegressor(time_limit=2).fit(X, y)
    over.set()
    thread.join()
    assert len(ticks) > 20


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
def test_ctrl_c_ends_a_search_and_keeps_what_was_found():
    X, y = noisy(100)
    model = SymbolicRegressor(time_limit=300, epochs=10**6, warm_start=True)
    threading.Timer(2, lambda: signal.raise_signal(signal.SIGINT)).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert time.monotonic() - started < 60
    assert model.result_["stop"] == "interrupted"
    assert np.isfinite(model.predict(X)).all() and len(model.equations_) >= 1
    epochs = model.result_["epochs"]
    assert model.set_params(time_limit=None, epochs=epochs + 1).fit(X, y).result_["epochs"] == epochs + 1


def test_progress_is_a_bar_or_lines(monkeypatch, capsys):
    X, y = noisy(100)
    SymbolicRegressor(time_limit=1.5, verbose=1).fit(X, y)
    bar = capsys.readouterr().err
    assert "1 - R²" in bar and last(bar).startswith("100%")
    hide(monkeypatch, "tqdm")
    monkeypatch.setattr(sr._progress, "LINE_EVERY", 0.0)
    SymbolicRegressor(time_limit=1.5, verbose=1).fit(X, y)
    lines = capsys.readouterr().err.splitlines()
    assert "% 1 - R² " in lines[0] and lines[-1].startswith("100% 1 - R² ")


def last(bar):
    """The last state of a bar, of which each is written over the one before it."""
    return bar.rstrip().split("\r")[-1]


def test_a_bar_is_full_where_a_formula_is_exact(capsys):
    model = SymbolicRegressor(time_limit=300, verbose=1).fit(*stone())
    assert model.result_["stop"] == "exact"
    assert last(capsys.readouterr().err).startswith("100%")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
def test_a_bar_stays_where_ctrl_c_ends_a_search(capsys):
    threading.Timer(1, lambda: signal.raise_signal(signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        SymbolicRegressor(time_limit=300, epochs=10**6, verbose=1).fit(*noisy(100))
    assert int(last(capsys.readouterr().err).split("%")[0]) < 90


def test_a_bar_of_notebooks_is_full_and_green_or_stays_and_is_red(capsys):
    pytest.importorskip("ipywidgets")
    notebook = pytest.importorskip("tqdm.notebook")
    for ends, expected in [(True, (1000, "success", "100%")), (False, (967, "danger", " 97%"))]:
        bar = sr._progress.Bar(notebook.tqdm)
        shown = []
        bar.shown = type("Handle", (), {"update": lambda _, what: shown.append(repr(what))})()
        bar(0.967, "x0", 0.1)
        if ends:
            bar.done()
        bar.close()
        (value, style, text), widget = expected, bar.bar.container.children[1]
        assert (widget.value, widget.bar_style) == (value, style)
        assert len(shown) == 1 and shown[0].startswith(text) and shown[0].endswith("1 - R² 0.1: x0")


def test_an_error_in_progress_ends_the_search():
    X, y = noisy(100)

    def fails(*_):
        raise OSError("closed")

    fails.close = lambda: None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sr._regressor, "progress", lambda: fails)
        with pytest.raises(OSError, match="closed"):
            SymbolicRegressor(time_limit=60, verbose=1).fit(X, y)


def test_a_missing_package_is_named(monkeypatch):
    model = SymbolicRegressor(epochs=0).fit(*stone())
    for package, use in [("pandas", lambda: model.equations_), ("sympy", model.sympy)]:
        hide(monkeypatch, package)
        with pytest.raises(ImportError, match=f"needs {package}: pip install {package}"):
            use()


def hide(monkeypatch, package):
    """Makes imports of a package fail."""
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest, **named)

    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setitem(sys.modules, package, None)


def test_a_clone_is_not_fitted():
    model = SymbolicRegressor(epochs=0, name="stone").fit(*stone())
    assert clone(model).get_params() == model.get_params() and not hasattr(clone(model), "formula_")
