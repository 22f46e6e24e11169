"""Symbolic regression: the formula of a table, and the records of searches, in Python.

`SymbolicRegressor` is a scikit-learn estimator.
`read_trace` and `read_problems` read the files of the project as pandas data frames.
"""

from ._regressor import SymbolicRegressor
from ._files import iter_trace, read_problems, read_trace

__all__ = ["SymbolicRegressor", "iter_trace", "read_problems", "read_trace"]
__version__ = "0.2.0"
