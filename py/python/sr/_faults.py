"""What is wrong with a table, by the names of its columns."""

import contextlib
import reprlib
import warnings

import numpy as np


@contextlib.contextmanager
def faults_are_named(X, y=None):
    """Adds to an error of scikit-learn about a table which of its columns are meant, and what can be done.

    The error keeps its type and its own text, which scikit-learn's checks look for.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        told = _faults(X, y)
        if not told:
            raise
        text = str(error)
        if text.startswith("Input "):
            # What follows tells of other estimators.
            text = text.splitlines()[0]
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{' '.join(told)} ({text})") from error


def _faults(X, y):
    """Returns what is wrong with the columns, or with the target if nothing is with them."""
    no_numbers, missing, infinite = [], [], []
    for name, column in _columns(X):
        value, n_missing, n_infinite, rows = _check(column)
        if value is not None:
            no_numbers.append(f"{name} (such as {value})")
        if n_missing:
            missing.append(f"{name} ({n_missing} of {rows} rows)")
        if n_infinite:
            infinite.append(f"{name} ({n_infinite} of {rows} rows)")
    told = []
    if no_numbers:
        told.append(
            f"X has columns that are no numbers: {', '.join(no_numbers)}. Drop them, or encode them as numbers, for example "
            "with pandas.get_dummies."
        )
    leave_out = "Leave these rows out" if y is None else "Leave these rows out, also of y"
    if missing:
        told.append(
            f"X has missing values in the columns {', '.join(missing)}. {leave_out}, or fill them, for example with "
            "sklearn.impute.SimpleImputer."
        )
    if infinite:
        told.append(f"X has infinite values in the columns {', '.join(infinite)}. {leave_out}.")
    return told or _faults_of_target(y)


def _faults_of_target(y):
    """Returns what is wrong with the target."""
    if y is None or np.ndim(y) == 0:
        return []
    name = getattr(y, "name", None)
    target = f"The target {name!r}" if isinstance(name, str) else "The target"
    value, n_missing, n_infinite, rows = _check(np.ravel(np.asarray(y)))
    told = []
    if value is not None:
        told.append(f"{target} is no number (such as {value}). Two classes can be written as 0 and 1, with loss='logistic'.")
    for count, what in [(n_missing, "missing"), (n_infinite, "infinite")]:
        if count:
            told.append(f"{target} has {what} values ({count} of {rows} rows). Leave these rows out, also of X.")
    return told


def _columns(X):
    """Gives the columns of a table with their names, which are x0, x1, … if it has none."""
    names = getattr(X, "column_names", getattr(X, "columns", None))
    if names is not None and hasattr(X, "iloc"):
        # Two columns may have one name.
        for index, name in enumerate(names):
            yield _quoted(name), X.iloc[:, index]
    elif isinstance(names, list):
        # Frames of Polars and tables of Arrow are asked for a column by its name.
        for name in names:
            yield _quoted(name), X[name]
    else:
        try:
            X = np.asarray(X)
        except (TypeError, ValueError):
            return
        if X.ndim == 2:
            for index, column in enumerate(X.T):
                yield f"x{index}", column


def _quoted(name):
    """Returns the name of a column as messages have it."""
    return repr(str(name)) if isinstance(name, str) else str(name)


def _check(column):
    """Returns the first value that is no number, as text, or None; how many values are missing and infinite; and the rows."""
    column = np.asarray(column)
    if column.dtype.kind in "mM":
        return str(column[0]) if len(column) else None, 0, 0, len(column)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = column.astype(np.float64)
    except (TypeError, ValueError):
        values = np.full(len(column), np.nan)
        for index, value in enumerate(column.astype(object)):
            # pandas has a missing value of its own for numbers and texts, and one for times.
            if value is None or type(value).__name__ in ("NAType", "NaTType"):
                continue
            try:
                values[index] = float(value)
            except (TypeError, ValueError):
                return reprlib.repr(value), 0, 0, len(column)
    return None, int(np.isnan(values).sum()), int(np.isinf(values).sum()), len(column)
