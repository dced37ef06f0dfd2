"""R2D2 relabels the goals of Gymnasium's goal environments."""

from __future__ import annotations

import pytest
import torch
from odd_runs import learned, odd_config

from memrl.pipeline.build import make_agent, make_env

LINE = "goal_environments:goals/Line-v0"


def hindsight(name, *words, kind="future"):
    return odd_config(name, f"agent.hindsight.kind={kind}", *words, agent="r2d2")


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("name", [LINE, LINE.replace("Line", "Numbered")])
def test_a_goal_environment_of_gymnasium_trains_with_hindsight(name, how):
    result = learned(hindsight(name, f"+env.vectorization={how}"))
    assert result.episodes == 3
    assert result.success is not None


@pytest.mark.parametrize("kind", ["future", "final", "episode"])
def test_relabelled_steps_have_the_reward_of_their_goals(kind):
    config = hindsight(LINE, "agent.hindsight.share=1.0", "agent.batch=16", kind=kind)
    env = make_env(config)
    agent = make_agent(config, env)
    agent.learn(64, lambda metrics: None)
    batch = agent.replay.draw(beta=1.0)
    achieved = batch.steps["achieved_after"]
    reward, reached = env.goal_reward(achieved, batch.obs["desired_goal"])
    valid = batch.steps["valid"]
    assert torch.equal(batch.steps["reward"][valid], reward[valid])
    assert torch.equal(batch.steps["terminated"][valid], reached[valid])
    assert (reward[valid] == 0).any()


def test_a_reward_that_is_not_that_of_its_goals_is_told_at_the_first_step():
    with pytest.raises(ValueError, match=r"rewarded -0\.1, but its compute_reward says -1 for"):
        learned(hindsight(LINE, "+env.scale=0.1"))


def test_an_environment_without_goals_is_told_what_is_missing():
    with pytest.raises(ValueError, match=r"achieved_goal and desired_goal .*\(compute_reward\)"):
        learned(hindsight("Plain"))
