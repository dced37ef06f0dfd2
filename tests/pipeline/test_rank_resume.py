"""Runs of several ranks go on where they stopped, also with another number of ranks."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

import memrl
from memrl.checkpoint import file as checkpoint
from memrl.checkpoint.tree import Encoder
from memrl.distributed import group
from memrl.distributed.collectives import rank, ranks, sum_over_ranks
from memrl.errors import RunError
from memrl.run.directory import RunDirectory
from memrl.tracking.metrics_file import is_time
from tests.support.ranks import HOST, on_ranks

SMALL = ["env=probe/Recall-v0", "env.num=3", "threads=1", "evaluate.episodes=2", "track=off",
         "run.pictures=false"]  # fmt: skip
PPO = [*SMALL, "memory=framestack", "agent.steps=8", "agent.bptt=8", "agent.minibatches=3",
       "agent.epochs=1", "agent.lr=0.001", "agent.lr_end=0.001", "agent.normalise_returns=true",
       "agent.bonus.kind=elliptical", "agent.self_imitation.kind=episodes",
       "agent.self_imitation.longest=16", "agent.auxiliary.kind=recall",
       "agent.auxiliary.distance=3"]  # fmt: skip
R2D2 = [*SMALL, "memory=none", "agent=r2d2", "agent.steps=16", "agent.burn_in=0",
        "agent.unroll=4", "agent.replay.capacity=600", "agent.replay.fill=30",
        "agent.replay.beta=1.0", "agent.batch=3"]  # fmt: skip


def train(words, place, *, resume=False):
    """What a rank says while it trains."""
    said = []
    target = RunDirectory.open(place) if resume else Path(place)
    memrl.train(memrl.compose(words), target, style="quiet", say=said.append)
    return said


def rows(place):
    with (place / "metrics.csv").open() as file:
        return [
            {name: cell for name, cell in row.items() if not is_time(name)}
            for row in csv.DictReader(file)
        ]


def states(place):
    """The files of the last checkpoint: plain values and tensors, without times."""
    last = max(place.glob("checkpoints/steps-????????????.safetensors"))
    found = {}
    for file in place.glob(f"checkpoints/{last.stem}*"):
        state = checkpoint.load(file)
        state.get("run", {}).pop("wall_seconds", None)
        encoder = Encoder()
        found[file.name] = encoder.encode(state, ""), encoder.tensors
    return found


@pytest.mark.slow
@pytest.mark.parametrize("words", [PPO, R2D2], ids=["ppo", "r2d2"])
def test_ranks_that_stop_and_go_on_are_those_that_never_stopped(words, tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    on_ranks(train, [*words, "total_steps=288"], whole)
    on_ranks(train, [*words, "total_steps=144"], parted)
    on_ranks(go_on, [*words, "total_steps=288"], parted)
    assert rows(parted) == rows(whole)
    here, there = states(parted), states(whole)
    assert set(here) == set(there)
    assert len(here) == 2
    for name, (values, tensors) in here.items():
        assert values == there[name][0]
        for path, tensor in tensors.items():
            assert torch.equal(tensor, there[name][1][path]), path


def go_on(words, place):
    return train(words, place, resume=True)


@pytest.mark.slow
@pytest.mark.parametrize(("before", "now"), [(2, 1), (1, 2), (2, 3)])
def test_another_number_of_ranks_goes_on_with_what_was_learned(before, now, tmp_path):
    place = tmp_path / "run"
    on_ranks(train, [*PPO, "total_steps=96"], place, ranks=before)
    (first, *_) = on_ranks(weights_before_and_after, place, ranks=now)
    learned = checkpoint.load(min(place.glob("checkpoints/steps-????????????.safetensors")))
    for name, weight in learned["agent"]["policy"].items():
        assert torch.equal(weight, first["policy"][name]), name
    assert first["env_steps"] >= 96
    assert rows(place)[-1]["env_steps"] == str(first["env_steps"] + now * 3 * 8)
    names = {1: "one process", 2: "2 ranks", 3: "3 ranks"}
    assert f"saved by {names[before]}, continued by {names[now]}" in first["said"]


def weights_before_and_after(place):
    """The agent as it went on, and what was said."""
    from memrl.run import loop

    seen, said = {}, []
    begin = loop._Training.run

    def begun(self, total):
        state = self.learner.state_dict()
        seen.update(policy={k: v.clone() for k, v in state["policy"].items()},
                    env_steps=state["env_steps"])  # fmt: skip
        self.progress.say = said.append
        return begin(self, total)

    restore = loop._Training.restore

    def restored(self, found):
        self.progress.say = said.append
        restore(self, found)

    loop._Training.run, loop._Training.restore = begun, restored
    target = RunDirectory.open(place)
    steps = int(rows(place)[-1]["env_steps"]) + 1
    memrl.train(memrl.compose([*PPO, f"total_steps={steps}"]), target, style="quiet", say=len)
    return {**seen, "said": "\n".join(said)}


@pytest.mark.slow
def test_a_folder_that_is_not_shared_is_told_before_anything_is_learned(tmp_path):
    for sentence in on_ranks(train_on_a_disk_of_its_own, tmp_path):
        assert sentence == (
            "rank 1 does not see run, where rank 0 writes: let run.dir or run.root lie on a disk "
            "that all ranks share"
        )
    assert not (tmp_path / "0" / "run" / "metrics.csv").exists()


def train_on_a_disk_of_its_own(folder):
    own = folder / str(rank())
    own.mkdir()
    os.chdir(own)
    try:
        train([*PPO, "total_steps=96"], "run")
    except RunError as error:
        return str(error)


@pytest.mark.slow
def test_a_rank_that_stays_silent_is_not_waited_for_without_end():
    store = dist.TCPStore(HOST, 0, is_master=True, wait_for_workers=False)
    waited, silent = on_ranks(wait_for_a_silent_rank, store.port)
    assert waited.startswith("rank 0 has waited in vain for another rank, which hangs or cannot be")
    assert silent is None


def wait_for_a_silent_rank(port):
    from datetime import timedelta

    told = {"RANK": rank(), "WORLD_SIZE": ranks(), "MASTER_ADDR": HOST, "MASTER_PORT": port,
            "TORCHELASTIC_USE_AGENT_STORE": True}  # fmt: skip
    os.environ.update({name: str(value) for name, value in told.items()})
    dist.destroy_process_group()
    group.TIME_LIMIT = timedelta(seconds=2)
    with group.joined("cpu"):
        sum_over_ranks(torch.ones(1))
        if rank():
            time.sleep(5)
            return None
        try:
            sum_over_ranks(torch.ones(1))
        except RunError as error:
            return str(error)
    return "nothing was said"
