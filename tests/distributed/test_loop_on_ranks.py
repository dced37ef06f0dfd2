"""The training loop on two ranks: they stop and save together, and report their means."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from ranks import on_ranks
from run_fakes import Clock, WalkAgent

from memrl.checkpoint.folder import Checkpoints
from memrl.distributed.collectives import rank
from memrl.errors import Interrupted
from memrl.run.directory import RunDirectory
from memrl.run.loop import fit
from memrl.run.progress import SilentProgress
from memrl.tracking.metrics_file import read_metrics
from memrl.tracking.tracker import SilentTracker, Tracker

pytestmark = pytest.mark.slow


class Reporter(WalkAgent):
    """Reports the number of its rank, and NaN where rank 1 has none."""

    def learn(self, total_steps, on_iteration):
        def report(metrics):
            on_iteration({"train/rank": float(rank()), "train/nan": float("nan")})

        super().learn(total_steps, report)


def fitted(path, signum, total):
    """The end of a run that rank 1 is asked to stop at its third iteration."""
    agent, directory = Reporter(seed=rank()), RunDirectory(path)

    def ask():
        if rank() == 1 and agent.env_steps == 21 and signum is not None:
            os.kill(os.getpid(), signum)

    agent.in_iteration = ask
    clock = Clock()
    clock.now = 1000.0 * rank()  # ranks' clocks differ; that of rank 0 counts
    silent = SilentTracker()
    tracker = silent if rank() else Tracker(directory, {}, tensorboard=False, say=lambda _: None)
    try:
        result = fit(
            agent,
            directory,
            Checkpoints(directory.checkpoints),
            total=total,
            tracker=tracker,
            progress=SilentProgress(lambda _: None),
            checkpoint_seconds=4.5,
            clock=clock,
        )
    except Interrupted as error:
        return str(error), error.exit_code
    return result.experience, str(result.checkpoint)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_one_rank_stops_all_after_the_same_iteration(tmp_path, signum):
    run = RunDirectory.create(tmp_path / "run", "a: 1\n")
    said = f"stopped after 21 env steps; continue with: memrl train --resume {run}"
    assert on_ranks(fitted, run.path, signum, 70) == [(said, 128 + signum)] * 2
    assert [file.name for file in run.checkpoints.glob("steps-*21.safetensors")]


def test_metrics_are_means_over_ranks_and_rank_0_writes(tmp_path):
    run = RunDirectory.create(tmp_path / "run", "a: 1\n")
    first, second = on_ranks(fitted, run.path, None, 70)
    assert first == second
    columns = read_metrics(run.metrics)
    np.testing.assert_array_equal(columns["train/rank"], 0.5)
    assert np.isnan(columns["train/nan"]).all()
    assert len(columns["env_steps"]) == 10
