"""ε-greedy choices, and the tally of what came of them."""

from __future__ import annotations

import math

import pytest
import torch
from memrl.agents.epsilon import epsilon_greedy, ladder

from memrl.agents.tally import EpisodeTally
from memrl.envs.make import make
from memrl.rollout.env import Transition

CPU = torch.device("cpu")


def generator():
    return torch.Generator().manual_seed(3)


def test_the_ladder_goes_from_explorers_to_players():
    want = [0.4 ** (1 + 7 * i / 4) for i in range(5)]
    torch.testing.assert_close(ladder(0.4, 7.0, 5, CPU), torch.tensor(want))


def test_a_single_copy_stands_at_the_foot_of_the_ladder():
    assert ladder(0.4, 7.0, 1, CPU).tolist() == pytest.approx([0.4])


def test_without_epsilon_the_best_action_is_taken():
    q = torch.randn(50, 7, generator=generator())
    assert torch.equal(epsilon_greedy(q, {}, 0.0, generator()), q.argmax(-1))


def test_exploring_takes_all_allowed_actions_alike_and_no_other():
    mask = torch.tensor([True, False, True, True]).expand(6000, 4)
    q = torch.tensor([0.0, 9.0, 1.0, 2.0]).expand(6000, 4)
    counts = epsilon_greedy(q, {"action_mask": mask}, 1.0, generator()).bincount(minlength=4)
    assert counts[1] == 0
    assert (counts[[0, 2, 3]] / 2000).tolist() == pytest.approx([1.0] * 3, abs=0.1)


def test_each_row_explores_by_its_own_epsilon():
    q = torch.tensor([1.0, 0.0]).expand(8000, 2)
    epsilon = torch.tensor([0.0, 0.5]).repeat_interleave(4000)
    others = epsilon_greedy(q, {}, epsilon, generator()).view(2, 4000).float().mean(1)
    assert others.tolist() == pytest.approx([0.0, 0.25], abs=0.03)


def transition(reward, terminated, success):
    flags = torch.tensor(terminated)
    metrics = {"success": torch.tensor(success)}
    return Transition({}, torch.tensor(reward), flags, torch.zeros_like(flags), {}, metrics)


def test_the_tally_speaks_of_the_episodes_that_ended():
    tally = EpisodeTally(make("probe/Recall-v0", 2))
    valid = torch.tensor([True, True])
    tally.add(transition([1.0, 2.0], [False, True], [math.nan, 1.0]), valid)
    tally.add(transition([3.0, 4.0], [False, False], [0.5, 0.5]), valid)
    taken = {name: float(value) for name, value in tally.take().items()}
    assert taken == {
        "episode/count": 1, "episode/return": 2, "episode/length": 1, "episode/success": 1
    }  # fmt: skip
    assert math.isnan(tally.take()["episode/return"])
    tally.add(transition([5.0, 6.0], [True, True], [0.0, 1.0]), valid)
    taken = {name: float(value) for name, value in tally.take().items()}
    assert taken == {
        "episode/count": 2, "episode/return": 9.5, "episode/length": 2.5, "episode/success": 0.5
    }  # fmt: skip


def test_rows_that_are_no_steps_are_not_counted():
    tally = EpisodeTally(make("probe/Recall-v0", 2))
    tally.add(transition([1.0, 1.0], [True, True], [1.0, 0.0]), torch.tensor([True, False]))
    assert float(tally.take()["episode/count"]) == 1
    assert tally.take_steps() == 1
    assert tally.take_steps() == 0
