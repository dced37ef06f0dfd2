"""A reporter asks for checkpoints, hears of each, and may end training."""

from __future__ import annotations

import pytest
from run_fakes import Clock, WalkAgent

from memrl.checkpoint.folder import Checkpoints
from memrl.run.directory import RunDirectory
from memrl.run.loop import fit
from memrl.run.reporter import NoReporter, Reporter
from memrl.tracking.tracker import Tracker


class Heard:
    """Wants a checkpoint at each multiple of 20."""

    def __init__(self):
        self.checkpoints = []

    def is_due(self, before, now):
        return now // 20 > before // 20

    def saved(self, checkpoint):
        self.checkpoints.append(checkpoint)


def train(path, reporter):
    directory = RunDirectory.create(path, "a: 1\n")
    with Tracker(directory, {}, tensorboard=False, say=lambda _: None) as tracker:
        fit(
            WalkAgent(), directory, Checkpoints(directory.checkpoints), total=70,
            tracker=tracker, reporter=reporter, clock=Clock(),
        )  # fmt: skip
    return directory


def test_a_reporter_asks_for_checkpoints_and_hears_of_the_last(tmp_path):
    heard = Heard()
    train(tmp_path / "run", heard)
    assert isinstance(heard, Reporter)
    assert [each.experience for each in heard.checkpoints] == [21, 42, 63, 70]
    assert [each.row["env_steps"] for each in heard.checkpoints] == [21, 42, 63, 70]


def test_a_reporter_that_ends_training_leaves_the_checkpoint_that_it_heard_of(tmp_path):
    class Ends(Heard):
        def saved(self, checkpoint):
            raise SystemExit

    with pytest.raises(SystemExit):
        train(tmp_path / "run", Ends())
    assert Checkpoints(tmp_path / "run" / "checkpoints").last().experience == 21


def test_without_a_reporter_checkpoints_are_written_at_the_end(tmp_path):
    assert isinstance(NoReporter(), Reporter)
    directory = train(tmp_path / "run", None)
    assert len([*directory.checkpoints.iterdir()]) == 1
