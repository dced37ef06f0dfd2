"""Runs as SB3's users start, log and evaluate them."""

from __future__ import annotations

import time
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from small_models import BOX, STEPS, Sampled, copies, logged, make_model
from stable_baselines3.common import logger as logs
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv
from suites import slow, slow_but

from memrl.agents.sb3 import evaluate_policy

PER = 2 * STEPS


def test_one_step_a_rollout_has_no_advantage_to_normalise():
    for given in ({"n_steps": 1, "batch_size": 64}, {"n_steps": 1, "batch_size": None}):
        with pytest.raises(ValueError, match="a rollout of 1 env step with normalize_advantage=Tr"):
            make_model(Sampled(), **given)
    model = make_model(Sampled(), n_steps=1, batch_size=1, normalize_advantage=False)
    assert model.learn(4).num_timesteps == 4
    assert make_model(copies(), n_steps=1, batch_size=None).learn(4).num_timesteps == 4


def test_an_option_that_leaves_one_step_a_rollout_is_refused_later_too():
    model = make_model(Sampled(), n_steps=2, batch_size=2)
    with pytest.raises(ValueError, match="a rollout of 1 env step with normalize_advantage=True"):
        model.n_steps = 1
    assert model.n_steps == 2


def test_a_last_minibatch_of_one_step_is_warned_of_and_learned_from():
    with pytest.warns(UserWarning, match="the last minibatch of an epoch has 1"):
        model = make_model(Sampled(), n_steps=8, batch_size=7)
    rows = logged(model)
    model.learn(16)
    assert np.isfinite(rows[-1]["train/loss"])
    assert rows[-1]["train/value_loss"] > 0


@pytest.mark.parametrize(
    ("clip", "space"),
    [
        (None, spaces.Discrete(3)),
        slow(None, spaces.Box(-1, 1, (2,))),
        slow(0.2, spaces.Discrete(3)),
        (0.2, spaces.Box(-1, 1, (2,))),
    ],
    ids=str,
)
def test_values_are_clipped_if_asked(clip, space):
    model = make_model(copies(lambda: Sampled(BOX, space)), clip_range_vf=clip)
    rows = logged(model)
    model.learn(2 * PER)
    assert rows[-1].get("train/clip_range_vf") == clip


@pytest.mark.parametrize("window", [1, 42])
def test_statistics_are_over_the_window(window):
    model = make_model(stats_window_size=window).learn(PER)
    assert model.ep_info_buffer.maxlen == model.ep_success_buffer.maxlen == window


def test_the_rate_of_success_is_that_of_the_last_episodes():
    wins = iter([1, 0, 0, 0] * 2 + [1, 1, 1, 0] * 2)

    class Wins(Sampled):
        def step(self, action):
            *answer, info = super().step(action)
            return (*answer, {"is_success": bool(next(wins))} if self.t == 4 else info)

    env = Monitor(Wins(length=4), info_keywords=("is_success",))
    model = make_model(env, n_steps=16, batch_size=16, stats_window_size=4)
    rows = logged(model)
    model.learn(64)
    assert [row["rollout/success_rate"] for row in rows] == [0.25, 0.25, 0.75, 0.75]


def test_outputs_follow_verbosity_and_folders(tmp_path, monkeypatch):
    model = make_model().learn(PER)
    assert model.logger.output_formats == []
    folder = str(tmp_path / "tb")
    model = make_model(verbose=1, tensorboard_log=folder).learn(PER)
    kinds = [logs.HumanOutputFormat, logs.TensorBoardOutputFormat]
    assert [type(each) for each in model.logger.output_formats] == kinds
    assert folder in model.logger.dir
    own = logs.configure(str(tmp_path), ["stdout", "csv"])
    model.set_logger(own)
    assert model.learn(PER).logger is own
    own.close()
    monkeypatch.setenv("SB3_LOGDIR", str(tmp_path / "elsewhere"))
    assert make_model().learn(PER).logger.dir == str(tmp_path / "elsewhere")


def test_speed_is_counted_anew_in_every_learn():
    class Slow(Sampled):
        def step(self, action):
            time.sleep(0.002)
            return super().step(action)

    model = make_model(copies(Slow))
    rows = logged(model)
    model.learn(2 * PER)
    model.num_timesteps = 20_000
    model.learn(2 * PER, reset_num_timesteps=False)
    assert all(0 < row["time/fps"] <= 500 for row in rows)


def test_a_clock_that_stands_still_divides_nothing_by_zero(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 42.0)
    monkeypatch.setattr(time, "time_ns", lambda: 42)
    make_model().learn(2 * PER)


@pytest.mark.parametrize("part", [slow("model"), "policy"])
def test_the_model_or_its_policy_is_evaluated(part):
    model = make_model()
    player, steps = model if part == "model" else model.policy, []

    def look(local, outer):
        assert not np.allclose(local["observations"], local["new_observations"])
        steps.append(local["current_lengths"].sum())

    returns, lengths = evaluate_policy(
        player, model.get_env(), 2, callback=look, return_episode_rewards=True
    )
    assert returns == [15, 15]
    assert sum(lengths) == len(steps) == 10
    with pytest.raises(AssertionError, match="below threshold"):
        evaluate_policy(player, model.get_env(), 2, reward_threshold=16.0)


@pytest.mark.parametrize("n_envs", slow_but({5}, [1, 2, 5, 7]))
def test_as_many_episodes_are_evaluated_as_asked(n_envs):
    model, ends = make_model(), []

    def look(local, outer):
        ends.append(bool(local["done"]))

    evaluate_policy(model, copies(B=n_envs), 6, callback=look)
    assert sum(ends) == 6


class Cheats(gymnasium.Wrapper):
    """Pays nothing and ends every episode after a step."""

    def step(self, action):
        obs, _, _, _, info = super().step(action)
        return obs, 0.0, True, False, info


FORKED = partial(SubprocVecEnv, start_method="fork")


@pytest.mark.parametrize("kind", [None, slow(DummyVecEnv), slow(FORKED)])
def test_what_a_monitor_saw_is_what_counts(kind):
    """A monitor's episode goes on beyond the wrapper's resets, and is counted when it ends."""

    class Continues(Monitor):
        def reset(self, **kwargs):
            if getattr(self, "running", False):
                return self.last, {}
            self.running = True
            return super().reset(**kwargs)

        def step(self, action):
            self.last, reward, terminated, truncated, info = super().step(action)
            self.running = not (terminated or truncated)
            return self.last, reward, terminated, truncated, info

    def make(monitored):
        def env():
            return Cheats(Continues(Sampled()) if monitored else Sampled())

        return env() if kind is None else kind([env] * 2)

    model, with_one, without = make_model(), make(True), make(False)
    returns, lengths = evaluate_policy(model, with_one, 2, return_episode_rewards=True)
    assert (returns, lengths) == ([15, 15], [5, 5])
    with pytest.warns(UserWarning, match="not wrapped with a ``Monitor``"):
        returns, lengths = evaluate_policy(model, without, 2, return_episode_rewards=True)
    assert (returns, lengths) == ([0, 0], [1, 1])
    with_one.close()
    without.close()


def test_training_and_acting_repeat_from_a_seed():
    def played():
        model = make_model(make_vec_env("Pendulum-v1", 1), seed=0).learn(STEPS)
        env = model.get_env()
        obs, state, start, seen = env.reset(), None, None, []
        for _ in range(20):
            action, state = model.predict(obs, state, start)
            obs, reward, start, _ = env.step(action)
            seen.append((float(action.sum()), float(reward[0])))
        return seen

    assert played() == played()
