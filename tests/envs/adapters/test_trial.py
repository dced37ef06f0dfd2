"""Trials of Gymnasium environments: episodes from one seed, played as one."""

from __future__ import annotations

from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from counting import Counting
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from memrl.agents.sb3 import MemoryPPO
from memrl.envs import GymnasiumAdapter, Trial, make
from memrl.errors import EnvError, EnvOutputError


class Unseeded(gymnasium.Env):
    """Observations that no seed repeats; with ``old`` the interface of old Gym."""

    observation_space = spaces.Box(0.0, 1.0, (2,))
    action_space = spaces.Discrete(2)

    def __init__(self, old: bool = False) -> None:
        if old:
            self.reset = lambda: (self.reset_(), {})

    def reset_(self):
        return np.random.default_rng().random(2).astype(np.float32)

    def reset(self, *, seed=None, options=None):
        return self.reset_(), {}

    def step(self, action):
        return self.reset_(), 0.0, True, False, {}


def test_a_trial_repeats_its_level_and_hides_the_ends_of_its_episodes():
    env, rng = Trial(Counting(), episodes=3), np.random.default_rng(1)
    lengths, ends = set(), set()
    for trial in range(40):
        obs, _ = env.reset(seed=7 if trial == 0 else None)
        length, earned = int(obs["count"][1]), []
        assert (obs["prev_done"], obs["prev_action"], float(obs["prev_reward"][0])) == (0, 3, 0)
        for episode in range(3):
            earned.append(0.0)
            for t in range(1, length + 1):
                action = int(rng.integers(-1, 2))
                obs, reward, terminated, truncated, info = env.step(action)
                assert reward == pytest.approx(t + action / 10)
                earned[-1] += reward
                last = t == length
                assert int(obs["prev_action"]) == action + 1
                assert float(obs["prev_reward"][0]) == pytest.approx(reward)
                assert int(obs["prev_done"]) == (last and episode < 2)
                assert terminated == (last and episode == 2)
                assert not truncated
                assert obs["count"].tolist() == [0 if last and episode < 2 else t, length]
                assert env.observation_space["prev_action"].contains(obs["prev_action"])
        assert info["first_return"] == pytest.approx(earned[0])
        assert info["last_return"] == pytest.approx(earned[2])
        assert info["is_success"] == (length % 2 == 1)
        lengths.add(length)
        ends.add(bool(length % 2))
    assert lengths == {2, 3, 4}
    assert ends == {True, False}  # of the inner episodes


def test_a_seed_makes_all_later_trials_repeatable_and_trials_differ():
    firsts = []
    for _ in range(2):
        env = Trial(gymnasium.make("CartPole-v1"), episodes=2)
        firsts.append([env.reset(seed=3)[0]["obs"], env.reset()[0]["obs"], env.reset()[0]["obs"]])
    assert np.array_equal(firsts[0], firsts[1])
    assert not np.array_equal(firsts[0][0], firsts[0][1])
    assert not np.array_equal(firsts[0][1], firsts[0][2])


@pytest.mark.filterwarnings(
    "ignore:.*is different from the unwrapped version:UserWarning",
    "ignore:.*(minimum|maximum) value is -?infinity:UserWarning",
)
@pytest.mark.parametrize("previous", [True, False])
def test_a_trial_is_a_gymnasium_environment(previous):
    env = Trial(gymnasium.make("CartPole-v1"), episodes=2, previous=previous)
    check_env(env, skip_render_check=True)
    keys = {"obs", "prev_done"} | ({"prev_action", "prev_reward"} if previous else set())
    assert set(env.observation_space.keys()) == keys


def test_a_previous_action_of_a_box_is_clipped():
    env = Trial(gymnasium.make("Pendulum-v1"), episodes=2)
    obs, _ = env.reset(seed=0)
    assert obs["prev_action"].tolist() == [0.0]
    env.unwrapped.step = lambda action: (np.zeros(3, np.float32), 0.0, False, False, {})
    assert env.step(np.array([9.0]))[0]["prev_action"].tolist() == [2.0]


@pytest.mark.parametrize("vectorization", ["sync", pytest.param("async", marks=pytest.mark.slow)])
def test_made_trials_learn_their_returns_from_the_info(vectorization):
    env = make("CartPole-v1", 3, seed=1, trial=2, vectorization=vectorization)
    assert env.metric_names == ("success", "first_return", "last_return")
    obs, task = env.reset(), []
    assert set(obs) == {"obs", "prev_action", "prev_done", "prev_reward"}
    task = obs["obs"].clone()
    counts, ended = torch.zeros(3, 2), torch.zeros(3, dtype=torch.bool)
    episode = torch.zeros(3, dtype=torch.long)
    while not ended.all():
        after = env.step(torch.tensor([0, 1, 1]))
        counts[torch.arange(3), episode] += (~ended).float()
        for b in after.obs["prev_done"].nonzero().flatten().tolist():
            assert torch.equal(after.obs["obs"][b], task[b])
            assert float(after.obs["prev_reward"][b]) == 1
        new = after.terminated & ~ended
        assert torch.equal(after.metrics["first_return"][new], counts[new, 0])
        assert torch.equal(after.metrics["last_return"][new], counts[new, 1])
        assert (after.obs["prev_action"][after.terminated] == 2).all()
        assert not after.truncated.any()
        episode = (episode + after.obs["prev_done"]).clamp(max=1)
        ended |= after.terminated
    assert torch.equal(counts[:, 0], counts[:, 1])  # the same pushes from the same state
    env.close()


def test_given_vector_environments_of_trials_have_their_returns():
    fns = [partial(Trial, Counting(), episodes=2)] * 2
    vector = SyncVectorEnv(fns[:1], autoreset_mode=AutoresetMode.SAME_STEP)
    env = GymnasiumAdapter(vector, name="Counting")
    env.reset(seed=0)
    for _ in range(9):
        after = env.step(torch.ones(1, dtype=torch.long))
        if after.ended:
            break
    assert after.terminated
    assert after.metrics["first_return"] == after.metrics["last_return"] > 0
    assert env.observation_space.keys() >= {"prev_action", "prev_done", "prev_reward"}


def test_an_environment_without_seeds_is_refused_in_one_sentence():
    env = Trial(Unseeded(), episodes=2)
    with pytest.raises(
        EnvOutputError, match=r"without seeds: two resets of Unseeded with one seed give different"
    ):
        env.reset(seed=1)
    with pytest.raises(EnvOutputError, match=r"without seeds: Unseeded takes none"):
        Trial(Unseeded(old=True), episodes=2).reset()


def test_an_environment_without_seeds_is_refused_by_make_too():
    gymnasium.register("Unseeded-v0", entry_point=Unseeded)
    try:
        with pytest.raises(EnvOutputError, match="two resets of Unseeded-v0 with one seed"):
            make("Unseeded-v0", 2, trial=2)
        with pytest.raises(EnvError, match=r"env 0 of Unseeded-v0: reset raised .*seed"):
            make("Unseeded-v0", 2, trial=2, old=True)
    finally:
        del gymnasium.registry["Unseeded-v0"]


def test_what_cannot_be_a_trial_is_refused():
    with pytest.raises(ValueError, match="episodes is 0, allowed: at least 1"):
        Trial(Counting(), episodes=0)
    with pytest.raises(ValueError, match="already has the key 'prev_done'"):
        Trial(Trial(Counting(), episodes=2), episodes=2)
    with pytest.raises(ValueError, match="trial is 2 with vectorization=vector_entry_point"):
        make("CartPole-v1", 2, trial=2, vectorization="vector_entry_point")


def test_memory_ppo_learns_in_a_vec_env_of_trials():
    vec = DummyVecEnv([lambda: Trial(gymnasium.make("CartPole-v1"), episodes=2)] * 2)
    model = MemoryPPO(
        "MultiInputPolicy",
        vec,
        policy_kwargs={"memory": "gru", "memory_kwargs": {"hidden_dim": 5}},
        n_steps=16,
        batch_size=16,
        n_epochs=1,
        bptt=8,
        seed=1,
    )
    model.learn(64)
    assert model.num_timesteps == 64
    starts = np.asarray(model.rollout_buffer.episode_starts)
    assert starts.mean() < 0.2  # trials of about 40 steps
