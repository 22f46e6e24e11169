"""Packages that only some functions need."""

import importlib


def needed(package, by):
    """Returns the package, or raises an error that says who needs it and how to get it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"{by} needs {package}: pip install {package}") from error
