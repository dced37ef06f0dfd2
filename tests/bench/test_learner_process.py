"""Processes of peers end with the measurement, however it ends."""

from __future__ import annotations

import subprocess
import sys

import pytest
from suites import slow

from memrl.bench.cartpole import bench_cartpole
from memrl.bench.sb3 import bench_sb3
from memrl.bench.train import bench_train

REFUSES = """
for line in iter(input, None):
    print('{"error": "it cannot be built"}', flush=True)
"""


@pytest.fixture
def children(monkeypatch):
    """Processes that answer every request with an error, and go on waiting."""
    pytest.importorskip("sb3_contrib")
    started, popen = [], subprocess.Popen

    def start(command, **options):
        started.append(popen([sys.executable, "-c", REFUSES], **options))
        return started[-1]

    monkeypatch.setattr("memrl.bench.learner_process.subprocess.Popen", start)
    yield started
    for process in started:
        process.kill()


@pytest.mark.parametrize(
    ("measure", "options", "number"),
    [
        (bench_cartpole, {"learners": "none", "seeds": 1}, 1),
        slow(bench_train, {"memory": "none", "hidden_dim": 3, "num": 4, "windows": 1}, 2),
        (bench_sb3, {"memories": "none"}, 2),
    ],
    ids=["cartpole", "train", "sb3"],
)
def test_no_process_of_a_peer_outlives_an_error(children, measure, options, number):
    with pytest.raises(ValueError, match="it cannot be built"):
        measure(**options)
    assert len(children) == number
    assert all(process.poll() is not None for process in children)
