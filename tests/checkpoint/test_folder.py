from __future__ import annotations

import errno
import os

import pytest
import torch

from memrl.checkpoint.folder import Checkpoints
from memrl.errors import CheckpointError, RunError


def filled(folder, scores, **kwargs):
    checkpoints = Checkpoints(folder, **kwargs)
    for i, score in enumerate(scores):
        checkpoints.save({"agent": {"i": i, "w": torch.ones(50)}}, experience=10 * i, score=score)
    return checkpoints


def steps(folder):
    return sorted(int(p.stem.split("-")[1]) for p in folder.glob("steps-*"))


def cut(folder, experience):
    path = folder / f"steps-{experience:012d}.safetensors"
    path.write_bytes(path.read_bytes()[:-30])


def test_the_last_two_and_the_best_are_kept(tmp_path):
    checkpoints = filled(tmp_path, [0.2, 0.9, 0.3, 0.4, None, 0.5])
    assert steps(tmp_path) == [10, 40, 50]
    assert checkpoints.last().experience == 50
    assert (checkpoints.best().experience, checkpoints.best().score) == (10, 0.9)


def test_the_best_of_equals_is_the_later_one(tmp_path):
    assert filled(tmp_path, [1.0, 1.0, 0.0, 0.0]).best().experience == 10


def test_negative_returns_have_a_best_too(tmp_path):
    assert filled(tmp_path, [-3.0, -1.0, -2.0]).best().score == -1.0


def test_before_the_first_checkpoint_there_is_none(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.last() is None
    assert checkpoints.best() is None
    assert filled(tmp_path, [None]).best() is None


def test_names_order_by_number_not_by_letters(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for count in (9, 10, 100):
        checkpoints.save({}, experience=count, score=None)
    assert checkpoints.last().experience == 100


def test_a_damaged_newest_file_is_named_and_the_one_before_it_used(tmp_path):
    said = []
    checkpoints = filled(tmp_path, [0.1, 0.2, 0.3], warn=said.append)
    cut(tmp_path, 20)
    assert checkpoints.last().state["agent"]["i"] == 1
    assert len(said) == 1
    assert "truncated" in said[0]
    assert "steps-000000000020" in said[0]


def test_when_no_file_is_intact_nothing_is_made_up(tmp_path):
    checkpoints = filled(tmp_path, [0.1, 0.2], warn=lambda _: None)
    cut(tmp_path, 0)
    cut(tmp_path, 10)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is intact"):
        checkpoints.last()


def test_another_configuration_is_an_error_not_a_reason_to_go_back(tmp_path):
    filled(tmp_path, [0.1, 0.2], fingerprint={"lr": 0.1})
    with pytest.raises(CheckpointError, match=r"lr \(0.1 there, 0.2 here\)"):
        Checkpoints(tmp_path, fingerprint={"lr": 0.2}).last()


def test_a_future_that_a_resume_gave_up_is_dropped(tmp_path):
    checkpoints = filled(tmp_path, [0.1, 0.2, 0.9], warn=lambda _: None)
    cut(tmp_path, 20)
    checkpoints.save({}, experience=15, score=0.3)
    assert steps(tmp_path) == [10, 15]
    assert checkpoints.last().experience == 15


def test_a_diverged_state_is_kept_but_never_resumed_from(tmp_path):
    checkpoints = filled(tmp_path, [0.1])
    kept = checkpoints.save_failed({"agent": {}}, experience=77)
    assert kept.name == "failed-000000000077.safetensors"
    assert checkpoints.last().experience == 0
    checkpoints.save({}, experience=80, score=None)
    assert kept.exists()


def test_half_written_files_of_a_kill_are_swept_away(tmp_path):
    (tmp_path / ".steps-000000000003.safetensors.12.tmp").write_bytes(b"half")
    filled(tmp_path, [0.1])
    assert [p.name for p in tmp_path.iterdir()] == ["steps-000000000000.safetensors"]


def test_a_full_disk_costs_no_older_checkpoint(tmp_path, monkeypatch):
    checkpoints = filled(tmp_path, [0.1, 0.2, 0.3])
    before = steps(tmp_path)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="disk is full"):
        checkpoints.save({}, experience=99, score=1.0)
    monkeypatch.undo()
    assert steps(tmp_path) == before
    assert checkpoints.last().experience == 20
