"""Choosing by action_values: masks, ties, actions that nobody tried."""

from __future__ import annotations

import pytest
import torch
from gymnasium import spaces

from memrl.agents.epsilon_greedy import (
    ActionValues,
    all_estimated,
    allowed_actions,
    best_value,
    epsilon_greedy_action,
    greedy_action,
    number_of_actions,
)
from memrl.agents.r2d2.collector import epsilon_per_env
from memrl.envs.make import make

ROWS = 4000


def action_values(q, known=None):
    table = torch.tensor([q], dtype=torch.float32).expand(ROWS, -1)
    return ActionValues(table, torch.tensor(known or [True] * len(q)))


def mask(*allowed):
    return torch.tensor([allowed]).expand(ROWS, -1).bool()


def shares(action_values, mask, epsilon):
    taken = epsilon_greedy_action(action_values, mask, epsilon, torch.Generator().manual_seed(0))
    return torch.bincount(taken, minlength=action_values.q.shape[1]) / ROWS


def test_a_random_action_is_uniform_over_those_that_are_allowed():
    got = shares(action_values([5, 9, 1, 2]), mask(1, 0, 1, 1), 1.0)
    assert got[1] == 0
    torch.testing.assert_close(got[[0, 2, 3]], torch.full((3,), 1 / 3), rtol=0, atol=0.03)


def test_the_best_is_taken_but_for_epsilon():
    got = shares(action_values([5, 9, 1, 2]), mask(1, 1, 1, 1), 0.2)
    assert got[1] == pytest.approx(0.85, abs=0.03)


def test_equals_share():
    got = shares(action_values([3, 1, 3]), mask(1, 1, 1), 0.0)
    torch.testing.assert_close(got, torch.tensor([0.5, 0.0, 0.5]), rtol=0, atol=0.03)


def test_the_best_that_is_forbidden_is_not_taken():
    assert shares(action_values([5, 9, 1]), mask(1, 0, 1), 0.0).tolist() == [1, 0, 0]
    assert set(greedy_action(action_values([5, 9, 1]), mask(1, 0, 1)).tolist()) == {0}


def test_an_action_that_nobody_tried_is_tried_first():
    assert shares(action_values([5, 0, 1], [True, False, True]), mask(1, 1, 1), 0.0).tolist() == [
        0,
        1,
        0,
    ]


def test_an_evaluation_leaves_it_alone():
    assert set(
        greedy_action(action_values([-5, 0, -1], [True, False, True]), mask(1, 1, 1)).tolist()
    ) == {2}


def test_the_value_is_of_what_is_known_and_allowed():
    q, known = [-5, 0, -1, 7], [True, False, True, True]
    assert set(best_value(action_values(q, known), mask(1, 1, 1, 0)).tolist()) == {-1}
    assert set(best_value(action_values(q, [False] * 4), mask(1, 1, 1, 1)).tolist()) == {0}


def test_what_is_no_choice_among_few_is_refused():
    env = make("Pendulum-v1", 1)
    assert not isinstance(env.action_space, spaces.Discrete)
    with pytest.raises(ValueError, match=r"agent=nec chooses among Discrete actions, not in Box"):
        number_of_actions(env, "nec")


def test_each_row_explores_by_its_own_epsilon():
    q = torch.tensor([1.0, 0.0]).expand(8000, 2)
    epsilon = torch.tensor([0.0, 0.5]).repeat_interleave(4000)
    drawn = torch.Generator().manual_seed(3)
    others = epsilon_greedy_action(all_estimated(q), allowed_actions({}, q), epsilon, drawn).view(
        2, 4000
    )
    assert others.float().mean(1).tolist() == pytest.approx([0.0, 0.25], abs=0.03)


def test_a_mask_that_forbids_everything_forbids_nothing():
    q = torch.zeros(2, 3)
    mask = torch.tensor([[0, 0, 0], [0, 1, 0]])
    assert allowed_actions({"action_mask": mask}, q).tolist() == [[True] * 3, [False, True, False]]


def test_the_ladder_goes_from_explorers_to_players():
    want = [0.4 ** (1 + 7 * i / 4) for i in range(5)]
    torch.testing.assert_close(
        epsilon_per_env(0.4, 7.0, 5, torch.device("cpu")), torch.tensor(want)
    )


def test_a_single_copy_stands_at_the_foot_of_the_ladder():
    assert epsilon_per_env(0.4, 7.0, 1, torch.device("cpu")).tolist() == pytest.approx([0.4])
