"""Paths of the repository, and its command-line program."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="session")
def fixtures():
    """The files of fixed data."""
    return ROOT / "fixtures"


@pytest.fixture(scope="session")
def sr_fit():
    """Returns a function that runs sr-fit, whose path is in SR_FIT."""
    program = os.environ.get("SR_FIT")
    if not program:
        pytest.skip("SR_FIT does not name the program sr-fit")

    def run(*flags):
        done = subprocess.run([program, *map(str, flags)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    return run
