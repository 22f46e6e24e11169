"""Every block of Python in README.md runs, in order and in one folder, and shows what it says."""

import contextlib
import io
import os
import pathlib
import re

import pytest

README = pathlib.Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)


@pytest.fixture
def folder(fixtures, tmp_path, monkeypatch):
    """A folder in which the fixtures lie as they do in the repository."""
    (tmp_path / "fixtures").symlink_to(fixtures)
    monkeypatch.chdir(tmp_path)


def test_blocks(folder):
    names = {}
    blocks = list(BLOCK.finditer(README.read_text()))
    assert len(blocks) >= 5
    for block in blocks:
        code, expected = block.groups()
        line = README.read_text()[: block.start()].count("\n") + 1
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * line + code, str(README), "exec"), names)
        if expected is not None:
            assert printed.getvalue().strip() == expected.strip(), f"{README}:{line}"
