"""Setups drawn ahead of time: every episode gets a new one, whenever environments end."""

from __future__ import annotations

import pytest
import torch
from gymnasium import spaces

from memrl.envs.episodic_env import EpisodicEnv, Outcome
from memrl.envs.setups import Setups, draw_setups

B = 11


class Serial(EpisodicEnv):
    """Episodes carry a serial number; action 1 ends one, but not before ``min_length`` steps."""

    metric_names = ("length",)
    observation_space = spaces.Dict({"obs": spaces.Discrete(10**6), "t": spaces.Discrete(100)})
    action_space = spaces.Discrete(3)
    drawn = 0

    def _draw(self, num):
        numbers = torch.arange(self.drawn, self.drawn + num)
        self.drawn += num
        return {"pair": torch.stack([numbers, numbers + 10**6], 1)}

    def _initial_state(self, setups):
        return {"doubled": 2 * setups["pair"][:, 0]}

    def _observe(self, setups, state):
        return {"obs": setups["pair"][:, 0], "t": state["t"]}

    def _step(self, setups, state, action):
        assert torch.equal(state["doubled"], 2 * setups["pair"][:, 0])
        late = state["t"] + 1 >= self.min_length
        length = state["t"].float() + 1
        return Outcome(
            state, length, late & (action == 1), late & (action == 2), {"length": length}
        )


@pytest.mark.parametrize("min_length", [1, 2, 3, 5, 13, 40])
@pytest.mark.parametrize("eager", [True, False])
def test_no_setup_is_used_twice(min_length, eager):
    env = Serial(B, min_length=min_length)
    generator = torch.Generator().manual_seed(0)
    played = list(env.reset(0)["obs"].tolist())
    for _ in range(120):
        action = torch.randint(3, (B,), generator=generator)
        after = env.step(torch.ones_like(action) if eager else action)
        played += after.obs["obs"][after.ended].tolist()
        assert (after.obs["t"][after.ended] == 0).all()
    assert len(played) == len(set(played)) > B


def test_each_environment_ends_on_its_own_and_says_how():
    env = Serial(3)
    first = env.reset(0)
    after = env.step(torch.tensor([0, 1, 2]))
    assert after.terminated.tolist() == [False, True, False]
    assert after.truncated.tolist() == [False, False, True]
    assert torch.equal(after.final_obs["obs"], first["obs"])
    assert (after.obs["obs"] == first["obs"]).tolist() == [True, False, False]
    assert after.obs["t"].tolist() == [1, 0, 0]
    assert env.step(torch.tensor([1, 1, 1])).metrics["length"].tolist() == [2, 1, 1]


def test_longer_episodes_cost_fewer_draws():
    env = Serial(10, min_length=20)
    env.reset(0)
    assert env.drawn == 20
    for _ in range(20):
        env.step(torch.zeros(10, dtype=torch.int64))
    assert env.drawn == 20 + 20  # one per step instead of ten


def test_an_item_of_a_setup_is_that_of_its_environment():
    env = Serial(3)
    setups = draw_setups(env._draw, 3, torch.device("cpu")).advance(
        torch.tensor([False, True, False])
    )
    assert setups.at("pair", torch.tensor([0, 1, 1])).tolist() == [0, 10**6 + 4, 10**6 + 2]
    assert setups["pair"][:, 0].tolist() == [0, 4, 2]


def test_later_draws_do_not_change_a_current_setup():
    setups = Setups({"x": torch.zeros(4)}, torch.arange(2), torch.tensor(1))
    seen = setups["x"]
    setups = setups.refresh(lambda num: {"x": torch.ones(num)}, 2)
    assert seen.tolist() == setups["x"].tolist() == [0, 0]
    assert setups.advance(torch.tensor([True, True]))["x"].tolist() == [1, 1]


@pytest.mark.parametrize("wrong", [-1, 3])
def test_an_action_out_of_range_is_refused(wrong):
    env = Serial(2)
    env.reset(0)
    with pytest.raises(ValueError, match=r"outside Discrete\(3\)"):
        env.step(torch.tensor([0, wrong]))


@pytest.mark.parametrize("wrong", [torch.zeros(3, dtype=torch.int64), torch.zeros(2)])
def test_actions_of_another_shape_or_dtype_are_refused(wrong):
    env = Serial(2)
    env.reset(0)
    with pytest.raises(ValueError, match=r"int64 \[2\]"):
        env.step(wrong)


def test_a_state_of_another_number_of_environments_is_refused():
    env, other = Serial(2), Serial(3)
    env.reset(0)
    with pytest.raises(ValueError, match="num_envs of the saved state is 2, allowed: 3"):
        other.load_state_dict(env.state_dict())


def test_at_least_one_environment_and_one_step():
    with pytest.raises(ValueError, match="at least 1"):
        Serial(0)
    with pytest.raises(ValueError, match="at least 1"):
        Serial(1, min_length=0)
