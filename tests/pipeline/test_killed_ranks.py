"""Ranks are killed at random moments: their launcher starts them anew, and nothing is lost."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
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


@pytest.mark.slow
def test_a_killed_rank_of_workers_is_told_with_the_command_that_goes_on(tmp_path):
    memrl = [sys.executable, "-m", "memrl", "train"]
    words = [*killed_ranks.WORDS, "workers=2", f"run.root={tmp_path / 'runs'}"]
    process = subprocess.Popen(
        [*memrl, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while killed_ranks.rows_so_far(tmp_path) < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[1]), signal.SIGKILL)
    said, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGKILL
    assert errors.splitlines()[-1] == "memrl: rank 1 was ended by SIGKILL, and the others with it"
    (run,) = (tmp_path / "runs").iterdir()
    assert f"memrl train --resume {run}" in said
    subprocess.run([*memrl, "--resume", str(run)], check=True, capture_output=True)
    assert [int(row["env_steps"]) for row in rows(tmp_path)] == [*range(256, 2561, 256)]


@pytest.mark.nightly
def test_forty_killed_ranks_change_nothing(tmp_path):
    all_end_as_the_undisturbed_run(tmp_path, 40, seed=5)
