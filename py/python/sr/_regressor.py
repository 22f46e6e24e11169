"""The scikit-learn estimator."""

import hashlib
import json
import numbers
import warnings

import joblib
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from . import _native
from ._faults import faults_are_named
from ._optional import needed
from ._progress import progress

DEFAULT_WORK = 300_000_000
"""The budget of a search that is given none, in values: about a second of one core."""

MOST_REPEATED = 10_000
"""The number of rows up to which whole weights always become repetitions; beyond, up to four times the rows."""

COLUMNS = ["size", "loss", "rmse", "r2", "loss_held_out", "r2_held_out", "exact", "chosen", "method", "formula", "expression"]
"""The columns of `equations_`."""


class SymbolicRegressor(RegressorMixin, BaseEstimator):
    """Finds the formula behind a table.

    Closed forms and small expressions are looked for first, then larger formulas evolve with fitted constants.
    Among the best formulas of each size one is chosen: the smallest that is exact, or the one that takes the fewest words
    to tell together with its errors. Of tables of 60 rows and more one row in five is held out to judge by.

    The parameters mean what the flags of ``sr-fit`` mean. Flags for files and tables have none, nor have ``--group``,
    ``--validation``, ``--learner``, ``--trace`` and ``--replay``. Instead of ``--weights`` and ``--sigma`` there is
    ``sample_weight``, and instead of ``--pick`` the ``size`` of the methods.

    The same table, ``name``, seed and budget of work or epochs give the same formulas on any machine, with any number of
    threads, and as ``sr-fit`` does. The default budget is smaller than that of ``sr-fit``: ``max_work=3e8``, about a
    second, and one thread. ``time_limit=20, n_jobs=-1`` are the defaults of ``sr-fit``.

    Parameters
    ----------
    operators : str or list of str, default=None
        The operators of formulas: "arith", "full" or a list such as ["+", "*", "sin"] or "+,*,sin". None stands for
        + - * / neg exp log sqrt sin cos inv pow2 pow3. They have their plain meaning: log(-1) is no number.
    max_size : int, default=30
        The most nodes of a formula that evolution looks at.
    time_limit : float, default=None
        The seconds that a fit may take. Results then depend on the speed of the machine.
    epochs : int, default=None
        The most epochs of evolution; 0 looks for closed forms alone.
    max_work : int or float, default=None
        The budget in values, one node of a formula in one row: 1e9 are about a second of one core, and some seconds for
        small tables. It is exceeded by an epoch at most, and by what it takes to finish the formulas. None stands for
        3e8, or for no limit if there is another one. A search that the default ends gives a ConvergenceWarning.
    memory : int, default=512
        The megabytes that a fit may take beside four copies of the table; results depend on it.
    loss : str, default="mse"
        What an error costs: "mse", "mae", "huber", "huber:DELTA", "relative", or "logistic", for which y is 0 or 1 and
        predictions are log-odds.
    guesses : str or list of str, default=None
        Formulas to begin with, of the names of columns or x0, x1, …; their constants are fitted.
    units : dict, default=None
        The units of all columns and of the target, such as {"distance": "m", "time": "s", "speed": "m/s"}. The target has
        the name of y if it is a series with one, otherwise "y". Formulas without its unit are refused.
    unit_constants : bool, default=False
        Whether numbers in formulas may have any unit.
    complexity : dict, default=None
        What operators, columns and "constant" count in the size of a formula, such as {"sin": 3}; 1 by default.
    nesting : dict, default=None
        How often an operator may occur inside of another, such as {"sin:sin": 0}.
    max_depth : int, default=None
        The most operators on a path from the root of a formula to a number or column.
    max_constants : int, default=None
        The most numbers in a formula.
    name : str, default="table"
        The name of the table, by which the random streams are keyed: that of the file without its ending gives the
        formulas of ``sr-fit FILE``.
    random_state : int, RandomState or None, default=0
        The seed of all random draws. None draws a new one for each fit.
    n_jobs : int, default=None
        The number of threads; -1 for all processors, None for 1. Results do not depend on it.
    warm_start : bool, default=False
        Whether a fit goes on from the previous one of the same data and settings, up to a larger budget. Work and epochs
        are counted from the beginning, the time from when it goes on.
    verbose : int or bool, default=0
        Whether progress is shown: as a bar if tqdm is installed, otherwise as lines on standard error.

    Attributes
    ----------
    formula_ : str
        The chosen formula, with the names of columns.
    expression_ : str
        The same with x0, x1, …
    equations_ : pandas.DataFrame
        All formulas, the smallest first, each better than all before it.
    result_ : dict
        Everything that was found, by the names of ``sr-fit --json``: ``front``, ``mean``, ``linear``, ``reason``,
        ``stop``, ``epochs``, ``work`` and others.
    state_ : str
        What ``warm_start`` goes on from.
    n_features_in_ : int
        The number of columns.
    feature_names_in_ : ndarray of str
        The names of columns, if X had some.

    Examples
    --------
    >>> import numpy as np
    >>> from sr import SymbolicRegressor
    >>> x = np.linspace(1, 10, 40).reshape(-1, 1)
    >>> model = SymbolicRegressor().fit(x, 4.905 * x[:, 0] ** 2)
    >>> model.formula_
    '(4.905 * pow2(x0))'
    """

    def __init__(
        self,
        *,
        operators=None,
        max_size=30,
        time_limit=None,
        epochs=None,
        max_work=None,
        memory=512,
        loss="mse",
        guesses=None,
        units=None,
        unit_constants=False,
        complexity=None,
        nesting=None,
        max_depth=None,
        max_constants=None,
        name="table",
        random_state=0,
        n_jobs=None,
        warm_start=False,
        verbose=0,
    ):
        self.operators = operators
        self.max_size = max_size
        self.time_limit = time_limit
        self.epochs = epochs
        self.max_work = max_work
        self.memory = memory
        self.loss = loss
        self.guesses = guesses
        self.units = units
        self.unit_constants = unit_constants
        self.complexity = complexity
        self.nesting = nesting
        self.max_depth = max_depth
        self.max_constants = max_constants
        self.name = name
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.verbose = verbose

    def fit(self, X, y, sample_weight=None):
        """Looks for the formula of y.

        Ctrl-C raises KeyboardInterrupt, and the estimator is fitted with what was found until then.

        Parameters
        ----------
        X : array-like or data frame of shape (rows, columns)
            The columns.
        y : array-like of shape (rows,)
            The target.
        sample_weight : array-like of shape (rows,), default=None
            What rows count. A whole number is the same as so many rows, unless these would be very many; rows of
            weight 0 are left out.

        Returns
        -------
        self : SymbolicRegressor
            The fitted estimator.
        """
        target = getattr(y, "name", None)
        with faults_are_named(X, y):
            X, y = validate_data(self, X, y, dtype=np.float64, order="F", y_numeric=True, ensure_min_samples=2)
        y = np.asarray(y, dtype=np.float64)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=np.float64)
        X, y, weights = _rows(X, y, weights)
        settings = self._settings(target if isinstance(target, str) and target else "y")
        data = (np.asfortranarray(X).tobytes("F"), y.tobytes(), None if weights is None else weights.tobytes())
        state, goes_on = None, self.warm_start and hasattr(self, "state_")
        if goes_on and not isinstance(self.random_state, numbers.Integral):
            # A seed that was drawn stays.
            settings["seed"] = self._key["seed"]
        key = _key(settings, data)
        if goes_on:
            _check_same(self._key, key)
            state = self.state_
        bar = progress() if self.verbose else None
        try:
            found, state, raised = _native.search(*data, settings, state, bar)
            self._key, self.state_ = key, state
            self.result_ = json.loads(found)
            chosen = self._chosen()
            self.formula_, self.expression_ = chosen["formula"], chosen["expression"]
            if raised is not None:
                raise raised
            if bar is not None:
                bar.done()
        finally:
            if bar is not None:
                bar.close()
        if self.result_["stop"] == "work" and self._has_no_budget():
            warnings.warn(
                "the search ended because the default budget, max_work=3e8, was spent. A larger one may find better formulas: "
                "sr-fit has time_limit=20, n_jobs=-1. Any budget that is given ends this warning",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def predict(self, X, size=None):
        """Computes the chosen formula for other rows. Where it has no value, the prediction is NaN.

        Parameters
        ----------
        X : array-like or data frame of shape (rows, columns)
            The columns.
        size : int, default=None
            The largest formula of no more than this size is taken instead of the chosen one.

        Returns
        -------
        y : ndarray of shape (rows,)
            The predictions.
        """
        check_is_fitted(self)
        with faults_are_named(X):
            X = validate_data(self, X, dtype=np.float64, order="F", reset=False)
        formula = self._chosen(size)
        values = np.frombuffer(_native.predict(formula["expression"], X.tobytes("F"), X.shape[0]))
        missing = int(np.isnan(values).sum())
        if missing:
            warnings.warn(f"the formula has no value in {missing} of {len(values)} rows", RuntimeWarning, stacklevel=2)
        return values

    @property
    def equations_(self):
        """The formulas as a data frame, the smallest first, each better than all before it."""
        check_is_fitted(self)
        pandas = needed("pandas", "equations_")
        chosen = self.result_["chosen"]
        rows = [formula | {"chosen": index == chosen} for index, formula in enumerate(self.result_["front"])]
        frame = pandas.DataFrame(rows, columns=COLUMNS)
        numbers_ = ["loss", "rmse", "r2", "loss_held_out", "r2_held_out"]
        return frame.astype({name: np.float64 for name in numbers_})

    def sympy(self, size=None):
        """Returns the chosen formula, or the largest of no more than ``size``, as an expression of SymPy."""
        sympy = needed("sympy", "sympy()")
        # What follows is a comment that says which symbol is which column.
        return sympy.sympify(self.export("sympy", size).split("  # ")[0])

    def latex(self, size=None):
        """Returns the chosen formula, or the largest of no more than ``size``, as LaTeX without dollar signs."""
        return self.export("latex", size)

    def export(self, target, size=None):
        """Returns the chosen formula, or the largest of no more than ``size``, as text of another system: latex, sympy,
        numpy, rust, c and others, as ``sr-fit --export`` does."""
        check_is_fitted(self)
        return _native.export(self._chosen(size)["expression"], self._variables(), target)

    def _chosen(self, size=None):
        """Returns the chosen formula, or the largest of a size of no more than this."""
        front = self.result_["front"]
        if size is None:
            return front[self.result_["chosen"]]
        found = [formula for formula in front if formula["size"] <= size]
        if not found:
            raise ValueError(f"size={size}: the smallest formula has a size of {front[0]['size']}")
        return found[-1]

    def _variables(self):
        """Returns the names of the columns."""
        names = getattr(self, "feature_names_in_", None)
        return [f"x{index}" for index in range(self.n_features_in_)] if names is None else [str(name) for name in names]

    def _has_no_budget(self):
        """Returns whether the default budget is the one that counts."""
        return self.max_work is None and self.time_limit is None and self.epochs is None

    def _settings(self, target):
        """Returns the parameters as the search takes them, and checks those that it does not."""
        variables = self._variables()
        twice = {name for name in variables if variables.count(name) > 1} if len(set(variables)) < len(variables) else ()
        if twice:
            raise ValueError(f"there is more than one column {min(twice)!r}")
        max_work = self.max_work
        if self._has_no_budget():
            max_work = DEFAULT_WORK
        if isinstance(self.random_state, numbers.Integral):
            seed = _whole("random_state", self.random_state, 0, 2**64 - 1)
        else:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        operators = self.operators
        if operators is not None and not isinstance(operators, str):
            operators = ",".join(operators)
        guesses = [self.guesses] if isinstance(self.guesses, str) else list(self.guesses or ())
        time_limit = self.time_limit
        if time_limit is not None and not (isinstance(time_limit, numbers.Real) and 0 < time_limit < 1e9):
            raise ValueError(f"time_limit={time_limit!r}: expected a number of seconds above 0")
        return {
            "name": str(self.name),
            "variables": variables,
            "has_names": hasattr(self, "feature_names_in_"),
            "operators": operators,
            "max_size": _whole("max_size", self.max_size, 1, 1000),
            "time_limit": None if time_limit is None else float(time_limit),
            "epochs": _whole("epochs", self.epochs, 0, 2**32 - 1),
            "max_work": _whole("max_work", max_work, 1, 10**18),
            "memory": _whole("memory", self.memory, 16, 2**20),
            "loss": str(self.loss),
            "guesses": guesses,
            "units": self._units(variables, target),
            "unit_constants": bool(self.unit_constants),
            "complexity": _pairs("complexity", self.complexity),
            "nesting": _pairs("nesting", self.nesting),
            "max_depth": _whole("max_depth", self.max_depth, 0, 2**32),
            "max_constants": _whole("max_constants", self.max_constants, 0, 2**32),
            "seed": seed,
            "threads": joblib.effective_n_jobs(self.n_jobs),
        }

    def _units(self, variables, target):
        """Returns the units of the columns and that of the target."""
        if self.units is None:
            return None
        unknown = [name for name in self.units if name != target and name not in variables]
        if unknown:
            raise ValueError(f"units: there is no column {unknown[0]!r}; the target is {target!r}")
        missing = [name for name in [*variables, target] if name not in self.units]
        if missing:
            raise ValueError(f"units: none is given for {missing[0]!r}; a column without a unit has the unit '1'")
        return [str(self.units[name]) for name in variables], str(self.units[target])


def _whole(name, value, least, most):
    """Returns a whole number, which may be written as 1e9, or None."""
    if value is None:
        return None
    is_whole = isinstance(value, numbers.Real) and value == value and abs(value) < float("inf") and int(value) == value
    if not (is_whole and least <= value <= most):
        raise ValueError(f"{name}={value!r}: expected a whole number from {least} to {most}")
    return int(value)


def _pairs(name, pairs):
    """Returns the pairs of a dictionary as text."""
    if pairs is None:
        return None
    if not hasattr(pairs, "items"):
        raise ValueError(f"{name}={pairs!r}: expected a dictionary")
    return ",".join(f"{key}={value}" for key, value in pairs.items()) or None


def _rows(X, y, weights):
    """Returns the rows and weights that are searched.

    A weight of k and k equal rows have to be the same, so that whole weights become repetitions, as far as memory
    allows, and equal rows stand side by side in an order that their places in the table have no part in. A table
    without weights and without equal rows stays as it is.
    """
    if weights is not None:
        negative = np.flatnonzero(weights < 0)
        if len(negative):
            raise ValueError(f"sample_weight: the weight of row {negative[0]} is {weights[negative[0]]}, not 0 or more")
        if not weights.any():
            raise ValueError("sample_weight: every weight is 0")
        kept = weights > 0
        if not kept.all():
            X, y, weights = X[kept], y[kept], weights[kept]
        total = weights.sum()
        if total <= max(MOST_REPEATED, 4 * len(y)) and (weights == np.floor(weights)).all():
            repeats = weights.astype(np.int64)
            X, y, weights = X.repeat(repeats, axis=0), y.repeat(repeats), None
    order = _order(X, y)
    if order is None:
        return X, y, weights
    return X[order], y[order], None if weights is None else weights[order]


def _order(X, y):
    """Returns the order of the rows by y and then by X, or None if no two rows are equal."""
    order = np.argsort(y, kind="stable")
    equal = y[order][1:] == y[order][:-1]
    if not equal.any():
        return None
    order = np.lexsort([*X.T[::-1], y])
    equal = y[order][1:] == y[order][:-1]
    for column in X.T:
        equal &= column[order][1:] == column[order][:-1]
        if not equal.any():
            return None
    return order


def _key(settings, data):
    """Returns what two fits have to have in common if one goes on from the other."""
    digest = hashlib.blake2b(digest_size=16)
    for part in data:
        digest.update(b"" if part is None else part)
    budgets = {"time_limit", "epochs", "max_work", "threads"}
    return {name: value for name, value in settings.items() if name not in budgets} | {"data": digest.hexdigest()}


def _check_same(earlier, now):
    """Raises an error that names the first difference between an earlier fit and this one."""
    for name, value in now.items():
        if earlier[name] != value:
            what = "data" if name == "data" else f"{name} ({earlier[name]!r}, now {value!r})"
            raise ValueError(f"warm_start: the earlier fit had other {what}; warm_start=False begins anew")
