"""Traces and problem sets as data frames."""

import re

import numpy as np
import pandas as pd
import pytest

import sr


INDIVIDUAL = re.compile(r"^    (.+) ([-+.\dinfe]+) ([-+.\dinfe]+) ([A-Z][a-z]+) (None|One\(\d+\)|Two\(\d+, \d+\)) .*$")


def told(text):
    """Reads the individuals of the text that the Rust library prints of a trace."""
    search, generation, is_label = -1, -1, False
    for line in text.splitlines()[2:]:
        if " seed " in line and not line.startswith(" "):
            search, is_label = search + 1, False
        elif line.startswith("  generation "):
            generation, index = int(line.split()[1].strip(",")), 0
            best = int(line.split()[3].strip(","))
        elif line.startswith("  labels"):
            is_label = True
        elif (found := INDIVIDUAL.match(line)) and not is_label:
            expression, mse, fitness, origin, parents = found.groups()
            parents = [int(parent) for parent in re.findall(r"\d+", parents)] + [-1, -1]
            yield search, generation, index, expression, float(mse), float(fitness), origin.lower(), *parents[:2], index == best
            index += 1


def test_a_trace_has_a_row_for_each_individual(fixtures):
    frame = sr.read_trace(fixtures / "traces/v2-labelled.sr")
    assert frame.attrs["header"]["policy"] == "expert"
    columns = ["search", "generation", "index", "expression", "mse", "fitness", "origin", "parent_1", "parent_2", "best"]
    rows = told((fixtures / "traces/v2-labelled.txt").read_text())
    expected = pd.DataFrame(list(rows), columns=columns)
    texts = {"expression": str, "origin": str}
    found, expected = frame[columns].astype(texts), expected.astype(texts)
    # The text shows operators without their guards.
    is_guarded = found["expression"].str.contains(r"\bp[a-z]+\(")
    assert found["expression"][is_guarded].iloc[0] == "pdiv((x0 + x0), (x0 - x0))" and is_guarded.sum() == 3
    expected["expression"] = expected["expression"].where(~is_guarded, found["expression"])
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-6)
    assert frame["size"][:5].tolist() == [1, 1, 3, 3, 3]
    assert isinstance(frame["expression"].dtype, pd.CategoricalDtype)
    assert frame["mse"].dtype == np.float64


def test_a_trace_in_pieces_is_the_same(fixtures):
    path = fixtures / "traces/v2-labelled.sr"
    whole = sr.read_trace(path, columns=["problem", "generation", "expression", "mse"])
    pieces = list(sr.iter_trace(path, columns=["problem", "generation", "expression", "mse"]))
    assert len(pieces) == 3
    texts = {"problem": str, "expression": str}
    joined = pd.concat([piece.astype(texts) for piece in pieces], ignore_index=True)
    pd.testing.assert_frame_equal(joined, whole.astype(texts))
    with pytest.raises(ValueError, match="a trace has no column 'size_'; there are search, problem"):
        sr.read_trace(path, columns=["size_"])


def test_problems_are_rows_with_arrays_or_points(fixtures):
    path = fixtures / "problems/v1.sr"
    problems = sr.read_problems(path)
    assert problems["id"].tolist()[:2] == ["quadratic", "cubic"]
    first = problems.iloc[0]
    assert first["formula"] == "((x0 * x0) + 1.0)"
    assert first["x"].shape == (first["rows"], first["variables"])
    np.testing.assert_allclose(first["x"][:, 0] ** 2 + 1, first["y"], rtol=1e-6)
    points = sr.read_problems(path, long=True)
    assert len(points) == problems["rows"].sum()
    mine = points[points["problem"] == "quadratic"]
    np.testing.assert_array_equal(mine["x0"], first["x"][:, 0])
    np.testing.assert_array_equal(mine["y"], first["y"])
    assert problems.attrs["header"]["seed"] == 3


def test_two_problems_of_a_weighted_file(fixtures):
    problems = sr.read_problems(fixtures / "problems/v2.sr")
    assert problems["weights"].isna().tolist() == [True, False]
    assert problems["weights"][1].shape == (problems["rows"][1],)


def test_files_that_are_not_there_or_no_trace_are_named(fixtures, tmp_path):
    with pytest.raises(FileNotFoundError):
        sr.read_trace(tmp_path / "none.sr")
    with pytest.raises(IsADirectoryError):
        sr.read_problems(tmp_path)
    path = fixtures / "problems/v1.sr"
    with pytest.raises(ValueError, match="v1.sr.*trace") as caught:
        sr.read_trace(path)
    assert "\n" not in str(caught.value)
    cut = tmp_path / "cut.sr"
    cut.write_bytes((fixtures / "traces/v2-labelled.sr").read_bytes()[:-300])
    with pytest.raises(ValueError, match="cut.sr"):
        sr.read_trace(cut)
