"""Goal environments of Gymnasium compute the reward of any goal, for batches."""

from __future__ import annotations

import pytest
import torch
from goal_environments import CELLS

from memrl.envs import make
from memrl.errors import EnvError, EnvOutputError


def goals(name, how="sync", num=3, **options):
    return make(f"goal_environments:goals/{name}-v0", num, vectorization=how, **options)


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("name", ["Line", "ContinuingLine", "Numbered"])
def test_the_reward_of_its_goals_is_what_a_step_returns(name, how):
    env = goals(name, how)
    assert env.has_goals
    env.reset(seed=3)
    steps = [env.step(torch.randint(2, (3,))) for _ in range(11)]
    achieved, desired = (
        torch.stack([step.final_obs[key] for step in steps])
        for key in ("achieved_goal", "desired_goal")
    )
    reward, ends = env.goal_reward(achieved, desired)  # [T, B]
    env.close()
    assert torch.equal(reward, torch.stack([step.reward for step in steps]))
    assert torch.equal(ends, torch.stack([step.terminated for step in steps]))


def test_goals_that_were_never_asked_for_have_a_reward():
    env = goals("Line")
    cells = torch.arange(CELLS).float().unsqueeze(1)
    reward, ends = env.goal_reward(cells.expand(2, CELLS, 1), cells.flip(0).expand(2, CELLS, 1))
    assert reward.tolist() == 2 * [[-1, -1, -1, 0, -1, -1, -1]]
    assert torch.equal(ends, reward == 0)


def test_previous_actions_leave_the_goals_alone():
    env = goals("Line", prev_action=True)
    assert env.has_goals
    assert env.goal_reward(torch.zeros(2, 1), torch.zeros(2, 1))[0].tolist() == [0, 0]


def test_an_environment_that_computes_one_reward_at_a_time_is_told():
    env = goals("OneAtATime")
    with pytest.raises(EnvOutputError, match=r"OneAtATime-v0: compute_reward returned .* \(5,\)"):
        env.goal_reward(torch.zeros(5, 1), torch.zeros(5, 1))


def test_an_error_of_compute_reward_is_named():
    env = goals("Breaks")
    with pytest.raises(EnvError, match="Breaks-v0: compute_reward raised KeyError: 'distance'"):
        env.goal_reward(torch.zeros(5, 1), torch.zeros(5, 1))


@pytest.mark.parametrize("id", ["CartPole-v1", "odd_environments:odd/Plain-v0"])
def test_an_environment_without_goals_has_none(id):
    assert not make(id, 1).has_goals
