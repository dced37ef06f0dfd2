"""SB3's callbacks in the combinations that its users make of them, around `MemoryPPO`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_models import STEPS, Sampled, Watch, copies, logged, make_model
from stable_baselines3.common import callbacks as sb3
from stable_baselines3.common.logger import HParam
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from suites import slow

from memrl.agents.sb3 import EvalCallback, MemoryPPO

PER = 2 * STEPS
BOTH = pytest.mark.parametrize("kind", [slow(sb3.EvalCallback), EvalCallback])


class Wins(Sampled):
    """Every second episode ends in success."""

    def step(self, action):
        *answer, info = super().step(action)
        return (*answer, info | ({"is_success": self.resets % 2 == 0} if self.t == 5 else {}))


def quiet(kind, env, **given):
    return kind(env, **{"eval_freq": STEPS, "n_eval_episodes": 2, "verbose": 0} | given)


def test_checkpoints_are_written_by_step_and_by_event_and_can_be_loaded(tmp_path):
    env = VecNormalize(copies())
    by_step = sb3.CheckpointCallback(4, str(tmp_path), save_vecnormalize=True)
    by_event = sb3.EveryNTimesteps(
        10, sb3.CheckpointCallback(1, str(tmp_path / "e"), name_prefix="event")
    )
    model = make_model(env).learn(PER, callback=[by_step, by_event])
    names = {path.name for path in tmp_path.rglob("*.*")}
    assert names == {
        *("rl_model_8_steps.zip", "rl_model_16_steps.zip", "event_10_steps.zip"),
        *("rl_model_vecnormalize_8_steps.pkl", "rl_model_vecnormalize_16_steps.pkl"),
    }
    loaded = MemoryPPO.load(tmp_path / "rl_model_16_steps", copies())
    assert loaded.num_timesteps == model.num_timesteps == PER
    assert loaded.get_vec_normalize_env().obs_rms.count == env.obs_rms.count
    again = VecNormalize.load(str(tmp_path / "rl_model_vecnormalize_16_steps.pkl"), copies())
    assert np.array_equal(again.obs_rms.mean, env.obs_rms.mean)


def test_a_checkpoint_taken_in_mid_rollout_goes_on(tmp_path):
    make_model().learn(PER, callback=sb3.CheckpointCallback(3, str(tmp_path)))
    loaded = MemoryPPO.load(tmp_path / "rl_model_6_steps", copies())
    assert loaded.learn(PER, reset_num_timesteps=False).num_timesteps == 6 + PER


@BOTH
def test_all_callbacks_together_see_the_same_step(kind, tmp_path):
    checkpoint = sb3.CheckpointCallback(8, str(tmp_path))
    on_event = sb3.CheckpointCallback(1, str(tmp_path), name_prefix="event")
    event = sb3.EveryNTimesteps(6, on_event)
    evaluation = quiet(
        kind,
        copies(),
        best_model_save_path=str(tmp_path),
        log_path=str(tmp_path),
        callback_on_new_best=sb3.StopTrainingOnRewardThreshold(99),
        callback_after_eval=sb3.StopTrainingOnNoModelImprovement(2, min_evals=1),
    )
    most = sb3.StopTrainingOnMaxEpisodes(99)
    both = sb3.CallbackList([checkpoint, evaluation, event, sb3.LogEveryNTimesteps(6), most])
    model = make_model().learn(PER, callback=both)
    assert model.observation_space.contains(both.locals["new_obs"][0])
    for child in (checkpoint, event, on_event, most):
        assert child.locals["new_obs"] is both.locals["new_obs"]
    assert event.num_timesteps == model.num_timesteps == PER
    assert event.n_calls == model.num_timesteps // 2
    assert (tmp_path / "best_model.zip").is_file()
    model.learn(PER, callback=None)
    model.learn(PER, callback=[checkpoint, evaluation])
    assert model.learn(PER, callback=lambda local, outer: True).num_timesteps == PER


def test_logging_may_follow_steps_instead_of_rollouts():
    model = make_model()
    rows = logged(model)
    model.learn(2 * PER, log_interval=None, callback=sb3.LogEveryNTimesteps(10))
    assert [row["time/total_timesteps"] for row in rows] == [10, 20, 30]
    assert "train/loss" in rows[1]


@pytest.mark.parametrize("no", [slow(False), np.bool_(0), torch.tensor(False)], ids=str)
def test_any_false_ends_learning_at_the_first_step(no):
    class Refuses(sb3.BaseCallback):
        def _on_step(self):
            return no

    refuses = Refuses()
    make_model(n_steps=1, batch_size=2, stats_window_size=1).learn(PER, callback=refuses)
    assert refuses.n_calls == 1


@BOTH
def test_successes_of_the_evaluation_are_counted_and_kept(kind, tmp_path):
    callback = quiet(kind, copies(Wins), n_eval_episodes=4, log_path=str(tmp_path))
    model = make_model()
    rows = logged(model)
    model.learn(PER, callback=callback)
    assert sum(callback._is_success_buffer) == 2
    assert np.load(tmp_path / "evaluations.npz")["successes"].shape == (1, 4)
    assert rows[0]["eval/success_rate"] == 0.5


def test_tensorboard_has_evaluations_at_their_steps(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model = make_model(tensorboard_log=str(tmp_path))
    model.learn(3 * PER, callback=quiet(sb3.EvalCallback, copies(), eval_freq=5))
    found = events.EventAccumulator(str(tmp_path / "MemoryPPO_1"))
    found.Reload()
    assert [event.step for event in found.scalars.Items("eval/mean_reward")] == [10, 20, 30, 40]


@BOTH
def test_an_evaluation_environment_without_the_normalisation_is_refused(kind):
    model = make_model(VecNormalize(copies()))
    with (
        pytest.warns(UserWarning, match="not of the same type"),
        pytest.raises(AssertionError, match="wrapped the same way"),
    ):
        model.learn(PER, callback=quiet(kind, copies()))


@BOTH
def test_callbacks_within_an_evaluation_know_it(kind):
    seen = []

    class Looks(sb3.BaseCallback):
        def _on_step(self):
            seen.append((self.parent, self.parent.best_mean_reward, self.model.num_timesteps))
            return True

    stop = sb3.StopTrainingOnRewardThreshold(99)
    callback = quiet(
        kind,
        DummyVecEnv([Sampled] * 3),
        warn=False,
        callback_on_new_best=sb3.CallbackList([Looks(), stop]),
        callback_after_eval=sb3.CallbackList([Looks()]),
    )
    make_model().learn(PER, callback=callback)
    assert seen == [(callback, 15, PER)] * 2


def test_options_are_written_for_tensorboards_table(tmp_path):
    class Writes(Watch):
        def _on_training_start(self):
            model = self.model
            options = {"algorithm": type(model).__name__, "gamma": model.gamma}
            options["learning rate"] = model.learning_rate
            table = HParam(options, {"rollout/ep_len_mean": 0.0})
            self.logger.record("hparams", table, exclude=("stdout", "log", "json", "csv"))

    writes = Writes(lambda callback: True)
    model = make_model(tensorboard_log=str(tmp_path)).learn(PER, callback=writes)
    model.learn(PER, reset_num_timesteps=False)
    assert [path.name for path in tmp_path.iterdir()] == ["MemoryPPO_1"]
    for _ in range(2):
        model.learn(PER, tb_log_name="again")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"MemoryPPO_1", "again_1", "again_2"}
