"""Collecting: bootstraps, starts and episode sums at every kind of episode end."""

from __future__ import annotations

import gymnasium
import pytest
import torch
from gymnasium import spaces

from memrl.envs.adapters.gymnasium_env import GymnasiumAdapter
from memrl.policies.actor_critic import build_policy
from memrl.policies.backbone import PolicyConfig
from memrl.rollout.collect import Collector
from memrl.rollout.env import BatchedEnv, Transition


class Ends(BatchedEnv):
    """Row 0 terminates, row 1 is truncated, row 2 both, each after three steps; row 3 goes on."""

    exact_resume = True

    def __init__(self):
        self.num_envs, self.device = 4, torch.device("cpu")
        self.observation_space = spaces.Dict({"obs": spaces.Box(-9, 99, (2,))})
        self.action_space = spaces.Discrete(2)

    def reset(self, seed=None):
        self.t = torch.zeros(4)
        return self._obs(self.t)

    def step(self, action):
        t = self.t + 1
        end = t == 3
        row = torch.arange(4)
        terminated, truncated = end & ((row == 0) | (row == 2)), end & ((row == 1) | (row == 2))
        final = self._obs(t)
        self.t = torch.where(terminated | truncated, 0.0, t)
        return Transition(self._obs(self.t), t.clone(), terminated, truncated, final, {})

    def state_dict(self):
        return {"t": self.t}

    def load_state_dict(self, state):
        self.t = state["t"]
        return self._obs(self.t)

    def _obs(self, t):
        return {"obs": torch.stack([t, torch.arange(4.0)], dim=1)}


def collected(env, steps=7, memory="gru"):
    torch.manual_seed(0)
    policy = build_policy(
        env.observation_space, env.action_space, {"name": memory}, PolicyConfig(encoder_dim=5)
    )
    collector = Collector(env, policy, torch.Generator().manual_seed(1), seed=2)
    rollout = collector.rollout(steps=steps, bptt=steps, burn_in=0)
    collector.collect(rollout)
    return policy, collector, rollout


def test_a_truncated_row_bootstraps_from_the_final_observation_and_the_state_before_the_reset():
    env = Ends()
    policy, _, rollout = collected(env)
    state = policy.initial_state(4)
    going = torch.zeros(4, dtype=torch.bool)
    for t in range(3):
        obs = {"obs": rollout.obs["obs"][t]}
        state = policy.step(obs, state, torch.ones_like(going) if t == 0 else going).state
    final = {"obs": torch.tensor([[3.0, row] for row in range(4)])}
    with torch.no_grad():
        want = policy.step(final, state, going).value
    torch.testing.assert_close(rollout.bootstrap[2, 1], want[1])
    assert rollout.bootstrap[2, [0, 2, 3]].tolist() == [0.0, 0.0, 0.0]
    assert rollout.bootstrap[[0, 1, 3, 4]].abs().sum() == 0


def test_starts_follow_ends_and_the_episode_sums_begin_anew():
    _, _, rollout = collected(Ends())
    assert rollout.start[:, 0].tolist() == [True, False, False, True, False, False, True]
    assert rollout.start[:, 3].tolist() == [True] + [False] * 6
    assert rollout.episode_return[:, 1].tolist() == [1, 3, 6, 1, 3, 6, 1]
    assert rollout.episode_length[:, 3].tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_two_short_rollouts_are_one_long_one():
    _, _, long = collected(Ends(), steps=8)
    _, collector, short = collected(Ends(), steps=4)
    first = short.action.clone(), short.value.clone()
    collector.collect(short)
    assert torch.equal(long.action, torch.cat([first[0], short.action]))
    torch.testing.assert_close(long.value, torch.cat([first[1], short.value]))


@pytest.mark.parametrize("mode", ["SAME_STEP", "NEXT_STEP"])
def test_rows_of_a_reset_are_not_steps(mode):
    mode = getattr(gymnasium.vector.AutoresetMode, mode)
    make_one = lambda: gymnasium.wrappers.TimeLimit(gymnasium.make("CartPole-v1").unwrapped, 5)  # noqa: E731
    vector = gymnasium.vector.SyncVectorEnv([make_one] * 3, autoreset_mode=mode)
    _, _, rollout = collected(GymnasiumAdapter(vector), steps=13)
    lengths = rollout.episode_length[rollout.terminated | rollout.truncated]
    assert lengths.eq(5).all()
    assert len(lengths) >= 6
    expected = 13 if mode == gymnasium.vector.AutoresetMode.SAME_STEP else 11
    assert rollout.valid.sum(0).eq(expected).all()
    opens = rollout.start & rollout.valid
    assert opens.sum(0).eq(3).all()
