"""Checkpoints of several ranks: shares, the commit of rank 0, kills, another number of ranks."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
import torch

from memrl.checkpoint import folder as folder_module
from memrl.checkpoint.folder import Checkpoints
from memrl.errors import CheckpointError, RunError
from tests.support.threads_as_ranks import Killed, ThreadRanks

COMMON = {"run", "agent.policy"}


def state_of(rank, steps):
    return {
        "run": {"seconds": float(steps)},
        "agent": {"policy": torch.full((5,), float(steps)), "env": torch.tensor([rank, steps])},
    }


def save(checkpoints, rank, steps, score=None):
    return checkpoints.save(state_of(rank, steps), experience=steps, score=score, common=COMMON)


@pytest.fixture
def two(monkeypatch):
    return ThreadRanks(2).stand_in(monkeypatch, folder_module)


def saved(ranks, place, *steps, score=None):
    for count in steps:
        ranks.run(lambda rank, n=count: save(Checkpoints(place), rank, n, score))


def names(place):
    return sorted(path.name for path in place.iterdir())


def resumed(ranks, place, said=None):
    warn = (lambda _: None) if said is None else said.append
    return ranks.run(lambda rank: Checkpoints(place, warn=warn).resumable())


def test_every_rank_gets_back_its_own_state(two, tmp_path):
    saved(two, tmp_path, 7)
    assert names(tmp_path) == ["steps-000000000007.rank-1.safetensors",
                               "steps-000000000007.safetensors"]  # fmt: skip
    for rank, found in enumerate(resumed(two, tmp_path)):
        assert (found.experience, found.ranks) == (7, 2)
        assert found.state["run"] == {"seconds": 7.0}
        assert torch.equal(found.state["agent"]["policy"], torch.full((5,), 7.0))
        assert found.state["agent"]["env"].tolist() == [rank, 7]


def test_a_share_holds_nothing_that_is_common(two, tmp_path):
    saved(two, tmp_path, 7)
    share = folder_module.checkpoint.load(tmp_path / "steps-000000000007.rank-1.safetensors")
    assert set(share["own"]["agent"]) == {"env"}
    assert "run" not in share["own"]


def test_shares_go_with_their_checkpoint(two, tmp_path):
    saved(two, tmp_path, 7, 14, 21, 28)
    assert [name.count("rank-1") for name in names(tmp_path)] == [1, 0] * 2
    assert names(tmp_path)[0].startswith("steps-000000000021")


def test_one_process_writes_one_file_as_ever(tmp_path):
    save(Checkpoints(tmp_path), 0, 7)
    assert names(tmp_path) == ["steps-000000000007.safetensors"]
    header = folder_module.checkpoint.read_header(tmp_path / names(tmp_path)[0])
    assert header.shares == []
    assert Checkpoints(tmp_path).resumable().ranks == 1


@pytest.mark.parametrize("others", [1, 3])
def test_another_number_of_ranks_gets_what_rank_0_saved(two, monkeypatch, tmp_path, others):
    saved(two, tmp_path, 7)
    several = ThreadRanks(others).stand_in(monkeypatch, folder_module)
    for found in resumed(several, tmp_path):
        assert found.ranks == 2
        assert found.state["agent"]["env"].tolist() == [0, 7]


def test_an_evaluation_needs_rank_0s_file_alone(two, tmp_path):
    saved(two, tmp_path, 7, score=0.5)
    (tmp_path / "steps-000000000007.rank-1.safetensors").unlink()
    assert Checkpoints(tmp_path).last().experience == 7
    assert Checkpoints(tmp_path).best().experience == 7


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize("damage", [cut, Path.unlink])
def test_a_damaged_share_is_a_damaged_checkpoint_for_every_rank(two, tmp_path, damage):
    said = []
    saved(two, tmp_path, 7, 14)
    damage(tmp_path / "steps-000000000014.rank-1.safetensors")
    assert [found.experience for found in resumed(two, tmp_path, said)] == [7, 7]
    assert all("rank-1" in sentence for sentence in said)
    assert said[0].endswith("the checkpoint before it is used")


def test_a_share_of_another_save_is_not_taken(two, tmp_path):
    saved(two, tmp_path, 7, 14)
    old = (tmp_path / "steps-000000000007.rank-1.safetensors").read_bytes()
    (tmp_path / "steps-000000000014.rank-1.safetensors").write_bytes(old)
    assert [found.experience for found in resumed(two, tmp_path)] == [7, 7]


def test_when_no_share_is_intact_every_rank_says_so(two, tmp_path):
    saved(two, tmp_path, 7)
    cut(tmp_path / "steps-000000000007.rank-1.safetensors")
    for found in resumed(two, tmp_path):
        assert isinstance(found, CheckpointError)
        assert f"no checkpoint in {tmp_path} is intact" in str(found)


def test_before_the_first_checkpoint_there_is_none(two, tmp_path):
    assert resumed(two, tmp_path / "none") == [None, None]


def test_ranks_that_write_to_different_disks_are_told_before_anything_counts(two, tmp_path):
    places = [tmp_path / "one", tmp_path / "two"]
    error, _ = two.run(lambda rank: save(Checkpoints(places[rank]), rank, 7))
    assert isinstance(error, RunError)
    assert "rank 1 has written steps-000000000007.rank-1.safetensors where rank 0 does not" in str(
        error
    )
    assert not places[0].exists()


@pytest.mark.parametrize(("victim", "after"), [(0, False), (0, True), (1, False), (1, True)])
def test_a_kill_at_any_moment_of_any_rank_leaves_a_whole_checkpoint(
    two, tmp_path, monkeypatch, victim, after
):
    """Every change of a file, before and after it, is such a moment."""
    moments = reached = 0
    for moment in itertools.count():
        place = tmp_path / str(moment)
        saved(two, place, 7, 14, 21)
        reached = 0

        def deadly(change, moment=moment):
            def changed(*arguments, **options):
                nonlocal reached
                if two.rank() == victim:
                    reached += 1
                    if reached == moment + 1:
                        if after:
                            change(*arguments, **options)
                        raise Killed
                return change(*arguments, **options)

            return changed

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", deadly(os.replace))
            patched.setattr(Path, "unlink", deadly(Path.unlink))
            saved(two, place, 28)
        found = resumed(two, place)
        assert found[0].experience == found[1].experience in (21, 28)
        assert [one.state["agent"]["env"].tolist()[0] for one in found] == [0, 1]
        saved(two, place, 28)  # the ranks that go on from it
        assert {one.experience for one in resumed(two, place)} == {28}
        moments += 1
        if reached <= moment:
            break
    assert moments > (2 if victim == 0 else 1)
