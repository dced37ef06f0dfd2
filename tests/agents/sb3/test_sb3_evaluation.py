"""Evaluation obeys the masks of the environments that it plays in."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from small_models import BOX, STEPS, Sampled, copies, make_model
from stable_baselines3.common import evaluation
from stable_baselines3.common.callbacks import StopTrainingOnRewardThreshold
from stable_baselines3.common.monitor import Monitor

from memrl.agents.sb3 import EvalCallback, evaluate_policy


class OneAllowed(Sampled):
    """One of five actions is allowed, another one each step; the reward says whether it was."""

    def __init__(self):
        super().__init__(BOX, spaces.Discrete(5))

    def step(self, action):
        obs, _, *rest = super().step(action)
        return (obs, float(action == (self.t - 1) % 5), *rest)

    def action_masks(self):
        return np.arange(5) == self.t % 5


@pytest.mark.parametrize("deterministic", [True, False])
def test_masks_of_the_environments_are_obeyed(deterministic):
    model = make_model(copies(OneAllowed))
    for env in (copies(OneAllowed, B=3), Monitor(OneAllowed())):
        mean, _ = evaluate_policy(model, env, 6, deterministic=deterministic)
        assert mean == 5


def test_environments_without_masks_are_evaluated_as_by_sb3():
    model = make_model()
    mine = evaluate_policy(model, copies(), 4, return_episode_rewards=True)
    assert mine == evaluation.evaluate_policy(model, copies(), 4, return_episode_rewards=True)


def test_sb3s_own_evaluation_warns():
    model = make_model(copies(OneAllowed))
    with pytest.warns(UserWarning, match="without action_masks"):
        evaluation.evaluate_policy(model, copies(OneAllowed), 2)


def test_the_callback_obeys_masks_and_keeps_the_best(tmp_path):
    model = make_model(copies(OneAllowed))
    callback = EvalCallback(
        copies(OneAllowed),
        eval_freq=STEPS,
        verbose=0,
        best_model_save_path=str(tmp_path),
        callback_on_new_best=StopTrainingOnRewardThreshold(99),
    )
    model.learn(4 * STEPS, callback=callback)
    assert callback.last_mean_reward == 5
    assert (tmp_path / "best_model.zip").is_file()
