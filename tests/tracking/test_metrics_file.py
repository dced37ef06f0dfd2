from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memrl.errors import RunError
from memrl.tracking.metrics_file import MetricsFile, is_time, read_metrics


def rows(path, count, first=1):
    file = MetricsFile(path)
    for i in range(first, first + count):
        file.append({"env_steps": 7 * i, "wall_seconds": i / 3, "train/loss": i / 7})
    return file


@settings(max_examples=60, deadline=None)
@given(value=st.floats())
def test_a_float_is_written_with_all_its_bits(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("metrics") / "metrics.csv"
    MetricsFile(path).append({"env_steps": 1, "x": value})
    read = read_metrics(path)["x"][0]
    assert (
        math.isnan(read) if math.isnan(value) else struct.pack("d", read) == struct.pack("d", value)
    )


def test_a_name_that_appears_later_becomes_the_last_column(tmp_path):
    path = tmp_path / "metrics.csv"
    file = rows(path, 2)
    file.append({"env_steps": 21, "wall_seconds": 1.0, "train/loss": 0.5, "new": 2.0})
    file.append({"env_steps": 28, "wall_seconds": 1.0})
    assert path.read_text().splitlines()[0] == "env_steps,wall_seconds,train/loss,new"
    columns = read_metrics(path)
    np.testing.assert_array_equal(columns["new"], [math.nan, math.nan, 2.0, math.nan])
    np.testing.assert_array_equal(columns["train/loss"], [1 / 7, 2 / 7, 0.5, math.nan])


def test_a_reopened_file_goes_on(tmp_path):
    rows(tmp_path / "m.csv", 2)
    rows(tmp_path / "m.csv", 3, first=3)
    assert read_metrics(tmp_path / "m.csv")["env_steps"].tolist() == [7, 14, 21, 28, 35]


def test_a_cut_keeps_the_rows_up_to_the_checkpoint_and_sets_the_others_aside(tmp_path):
    file = rows(tmp_path / "metrics.csv", 5)
    whole = (tmp_path / "metrics.csv").read_text().splitlines()
    aside = file.cut(14)
    assert aside == tmp_path / "metrics.cut-1.csv"
    assert (tmp_path / "metrics.csv").read_text().splitlines() == whole[:3]
    assert aside.read_text().splitlines() == [whole[0], *whole[3:]]
    assert file.cut(7) == tmp_path / "metrics.cut-2.csv"


def test_nothing_to_cut_leaves_no_file(tmp_path):
    assert MetricsFile(tmp_path / "metrics.csv").cut(0) is None
    assert rows(tmp_path / "metrics.csv", 2).cut(14) is None
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_cut_to_the_beginning_lets_the_columns_start_anew(tmp_path):
    rows(tmp_path / "metrics.csv", 2).cut(0)
    file = MetricsFile(tmp_path / "metrics.csv")
    file.append({"env_steps": 7, "other": 1.0})
    assert list(read_metrics(tmp_path / "metrics.csv")) == ["env_steps", "other"]


@pytest.mark.parametrize("torn", ["21,0.3", "2", "21,0.33,0.1"])
def test_a_line_torn_by_a_kill_is_cut_even_if_it_looks_whole(tmp_path, torn):
    rows(tmp_path / "metrics.csv", 2)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write(torn)
    aside = MetricsFile(tmp_path / "metrics.csv").cut(100)
    assert aside.read_text().endswith(torn)
    rows(tmp_path / "metrics.csv", 1, first=3)
    assert read_metrics(tmp_path / "metrics.csv")["env_steps"].tolist() == [7, 14, 21]


def test_reading_before_the_first_row_says_so(tmp_path):
    with pytest.raises(RunError, match="has not finished an iteration yet"):
        read_metrics(tmp_path / "metrics.csv")


def test_only_clocks_count_as_time():
    assert is_time("wall_seconds")
    assert is_time("time/env_steps_per_s")
    assert not is_time("train/timeouts")
