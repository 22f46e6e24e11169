"""Traces and problem sets as pandas data frames."""

import json
import os

import numpy as np

from . import _native
from ._optional import needed

COLUMNS = {
    "search": np.uint32,
    "problem": "text",
    "seed": np.uint64,
    "generation": np.uint32,
    "index": np.uint32,
    "expression": "text",
    "size": np.uint16,
    "mse": np.float64,
    "fitness": np.float32,
    "origin": "text",
    "parent_1": np.int32,
    "parent_2": np.int32,
    "log_prob": np.float32,
    "best": np.bool_,
}
"""The columns of a trace and their types."""

AT_ONCE = 64
"""The number of searches that are read between two looks at Ctrl-C."""


def read_trace(path, columns=None):
    """Reads a trace as a data frame with one row for each individual of each generation.

    Each search is read once and in order, and columns are handed to pandas without a second copy of the whole.

    Parameters
    ----------
    path : str or path
        The trace, as ``sr-search`` writes it.
    columns : list of str, default=None
        The columns to keep, all by default.

    Returns
    -------
    frame : pandas.DataFrame
        - search: the number of the search in the file; problem and seed: what was searched, and with which seed
        - generation: 0 is the initial population; index: the place in it
        - expression: the formula, a category; size: its nodes. Of a search that fits constants, as the preset default
          does, it is the f of a + b * f: the error is that of the whole, and ``sr-inspect --best`` tells a and b
        - mse: the mean squared error in the square of the target's units, infinite where it has none
        - fitness: higher is better; best: whether it is the fittest of its generation
        - origin: the operator or policy that made it; parent_1, parent_2: the places of its parents in the previous
          generation, -1 for none
        - log_prob: the log-probability under the policy that proposed it, NaN for none

        ``frame.attrs["header"]`` has what all searches have in common, such as the settings.
    """
    reader = _open(_native.Trace, path)
    while reader.read(AT_ONCE):
        pass
    return _frame(reader, columns)


def iter_trace(path, columns=None, searches=1):
    """Reads a trace as data frames of so many searches each, for files that are larger than the memory.

    Parameters and columns are those of `read_trace`.
    """
    reader = _open(_native.Trace, path)
    while reader.read(searches):
        yield _frame(reader, columns)


def read_problems(path, long=False):
    """Reads a problem set as a data frame.

    Parameters
    ----------
    path : str or path
        The problem set, as ``sr-generate`` writes it.
    long : bool, default=False
        Whether there is one row for each point, instead of one for each problem.

    Returns
    -------
    frame : pandas.DataFrame
        One row for each problem, with the columns

        - id, and formula, which is None if it is not known
        - variables and rows: the shape of x, an array of shape (rows, variables); y and weights: arrays of shape
          (rows,), weights None if all rows count the same
        - operators and constants: lists of what a search may use; seed: that of the points

        If long, one row for each point, with the columns problem, row, x0, x1, … and y; variables that a problem does
        not have are NaN.

        ``frame.attrs["header"]`` has what all problems have in common.
    """
    pandas = needed("pandas", "read_problems")
    problems = _open(_native.Problems, path)
    rows = [_problem(problems.problem(index)) for index in range(len(problems))]
    frame = _points(pandas, rows) if long else pandas.DataFrame(rows, columns=list(rows[0]) if rows else None)
    frame.attrs["header"] = json.loads(problems.header())
    return frame


def _open(reader, path):
    """Opens a file. Files that cannot be opened are errors of the operating system, others are a ValueError."""
    with open(path, "rb"):
        pass
    return reader(os.fspath(path))


def _frame(reader, columns):
    """Returns what was read since the last frame."""
    pandas = needed("pandas", "read_trace")
    unknown = [name for name in columns or () if name not in COLUMNS]
    if unknown:
        raise ValueError(f"a trace has no column {unknown[0]!r}; there are {', '.join(COLUMNS)}")
    found = {}
    for name, kind in COLUMNS.items():
        values = np.frombuffer(reader.take(name), dtype=np.uint32 if kind == "text" else kind)
        texts = reader.take_texts(name) if kind == "text" else None
        if columns is None or name in columns:
            found[name] = values if texts is None else pandas.Categorical.from_codes(values, texts)
    frame = pandas.DataFrame(found, columns=columns, copy=False)
    frame.attrs["header"] = json.loads(reader.header())
    return frame


def _problem(found):
    """Returns a problem with its arrays."""
    shape = (found["rows"], found["variables"])
    found["x"] = np.frombuffer(found["x"]).reshape(shape, order="F")
    found["y"] = np.frombuffer(found["y"])
    if found["weights"] is not None:
        found["weights"] = np.frombuffer(found["weights"])
    return found


def _points(pandas, problems):
    """Returns the points of all problems in one frame."""
    most = max((problem["variables"] for problem in problems), default=0)
    counts = [problem["rows"] for problem in problems]
    total = sum(counts)
    x = np.full((total, most), np.nan, order="F")
    start = 0
    for problem in problems:
        end = start + problem["rows"]
        x[start:end, : problem["variables"]] = problem["x"]
        start = end
    codes = np.repeat(np.arange(len(problems)), counts)
    found = {
        "problem": pandas.Categorical.from_codes(codes, [problem["id"] for problem in problems]),
        "row": np.concatenate([np.arange(count) for count in counts] or [np.zeros(0, int)]),
    }
    found |= {f"x{index}": x[:, index] for index in range(most)}
    found["y"] = np.concatenate([problem["y"] for problem in problems] or [np.zeros(0)])
    return pandas.DataFrame(found)
