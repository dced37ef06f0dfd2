"""Ranks are killed at random moments: their launcher starts them anew, and nothing is lost."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from memrl.tracking.metrics_file import is_time
from tests.support import killed_ranks


def rows(folder):
    """The metrics of the only run in a folder, without the columns that measure the clock."""
    (run,) = (folder / "runs").iterdir()
    with (run / "metrics.csv").open() as file:
        table = [
            {name: cell for name, cell in row.items() if not is_time(name)}
            for row in csv.DictReader(file)
        ]
    assert len(table) == killed_ranks.ITERATIONS
    return table


def all_end_as_the_undisturbed_run(place, kills, seed):
    file = Path(killed_ranks.__file__)
    command = [sys.executable, str(file), str(place), str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    want = rows(place / "whole")
    for number in range(kills):
        killed = (place / str(number) / "killed").read_text()
        assert rows(place / str(number)) == want, killed
        assert [*(place / str(number)).glob("runs/*/summary.json")], killed


@pytest.mark.slow
def test_four_killed_ranks_change_nothing(tmp_path):
    all_end_as_the_undisturbed_run(tmp_path, 4, seed=3)


@pytest.mark.nightly
def test_forty_killed_ranks_change_nothing(tmp_path):
    all_end_as_the_undisturbed_run(tmp_path, 40, seed=5)
