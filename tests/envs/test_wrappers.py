"""The previous action and reward in the observation."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from counting import Counting
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from memrl.envs.adapters.gymnasium_env import GymnasiumAdapter
from memrl.envs.adapters.vectorization import vector_env
from memrl.envs.probes import Masked, OneStep, Recall
from memrl.envs.wrappers import Previous
from memrl.rollout.env import BatchedEnv, Transition


class Actions(BatchedEnv):
    """Three copies of a task of any action space; every second step ends an episode."""

    def __init__(self, action_space):
        self.num_envs, self.device = 3, torch.device("cpu")
        self.observation_space = spaces.Dict({"obs": spaces.Discrete(2)})
        self.action_space = action_space
        self.t = 0

    def reset(self, seed=None):
        self.t = 0
        return {"obs": torch.zeros(3, dtype=torch.int64)}

    def step(self, action):
        self.t += 1
        ended = torch.full((3,), self.t % 2 == 0)
        obs = {"obs": torch.full((3,), self.t % 2)}
        return Transition(obs, torch.arange(3.0), ended, torch.zeros(3).bool(), obs, {})

    def state_dict(self):
        return {"t": self.t}

    def load_state_dict(self, state):
        self.t = state["t"]
        return {"obs": torch.full((3,), self.t % 2)}


@pytest.mark.parametrize(
    ("space", "action", "none", "shown", "sample"),
    [
        (spaces.Discrete(5), torch.tensor([0, 4, 2]), 5, [0, 4, 2], spaces.Discrete(6)),
        (
            spaces.MultiDiscrete([2, 7]),
            torch.tensor([[1, 6], [0, 0], [1, 3]]),
            [2, 7],
            [[1, 6], [0, 0], [1, 3]],
            spaces.MultiDiscrete([3, 8]),
        ),
        (
            spaces.MultiBinary(2),
            torch.tensor([[1, 0], [0, 0], [1, 1]]),
            [2, 2],
            [[1, 0], [0, 0], [1, 1]],
            spaces.MultiDiscrete([3, 3]),
        ),
        (
            spaces.Box(1.0, 4.0, (2,)),
            torch.tensor([[1.5, 9.0], [-3.0, 2.0], [4.0, 1.0]]),
            [0.0, 0.0],
            [[1.5, 4.0], [1.0, 2.0], [4.0, 1.0]],
            spaces.Box(0.0, 4.0, (2,)),
        ),
    ],
)
def test_each_action_space_has_a_value_for_none_yet(space, action, none, shown, sample):
    env = Previous(Actions(space))
    assert env.observation_space["prev_action"] == sample
    first = env.reset()
    assert first["prev_action"].tolist() == [none] * 3
    assert first["prev_reward"].tolist() == [[0.0]] * 3
    middle = env.step(action)
    assert middle.obs["prev_action"].tolist() == shown
    assert middle.obs["prev_reward"].tolist() == [[0.0], [1.0], [2.0]]
    end = env.step(action)
    assert end.final_obs["prev_action"].tolist() == shown
    assert end.final_obs["prev_reward"].tolist() == [[0.0], [1.0], [2.0]]
    assert end.obs["prev_action"].tolist() == [none] * 3
    assert end.obs["prev_reward"].tolist() == [[0.0]] * 3
    for obs in (first, middle.obs, end.obs):
        for key, value in obs.items():
            part = env.observation_space[key]
            assert all(part.contains(row.numpy()[()]) for row in value)


@pytest.mark.parametrize("space", [spaces.Discrete(5), spaces.MultiDiscrete([2, 7])])
def test_an_antialiased_first_observation_has_a_flag_instead_of_a_symbol(space):
    env = Previous(Actions(space), reward=False, antialias=True)
    assert env.observation_space["prev_action"] == space
    assert env.observation_space["is_t0"] == spaces.Discrete(2)
    action = torch.ones((3, *space.shape), dtype=torch.int64)
    first, middle, end = env.reset(), env.step(action), env.step(action)
    for obs, flag in (
        (first, 1),
        (middle.obs, 0),
        (middle.final_obs, 0),
        (end.final_obs, 0),
        (end.obs, 1),
    ):
        assert obs["is_t0"].tolist() == [flag] * 3
        assert (obs["prev_action"] == 1 - flag).all()


def test_the_flag_needs_no_previous_action():
    env = Previous(Recall(2), action=False, reward=False, antialias=True)
    assert sorted(env.observation_space.keys()) == ["is_t0", "obs"]


def test_the_agent_may_overwrite_its_action_tensor():
    env = Previous(Recall(3))
    env.reset(0)
    action = torch.tensor([0, 1, 2])
    obs = env.step(action).obs
    action.zero_()
    assert obs["prev_action"].tolist() == [0, 1, 2]


def test_one_step_episodes_never_show_a_previous_action_to_choose_from():
    env = Previous(OneStep(3))
    env.reset(0)
    after = env.step(torch.tensor([0, 1, 2]))
    assert after.obs["prev_action"].tolist() == [3, 3, 3]
    assert after.final_obs["prev_action"].tolist() == [0, 1, 2]


def test_only_what_was_asked_for_is_added():
    assert "prev_reward" not in Previous(Recall(2), reward=False).observation_space.keys()
    assert "prev_action" not in Previous(Recall(2), action=False).observation_space.keys()


def test_the_rest_passes_through():
    env = Previous(Masked(3, length=2))
    obs = env.reset(4)
    assert obs["action_mask"].dtype == torch.bool
    env.step(torch.zeros(3, dtype=torch.int64))
    after = env.step(torch.zeros(3, dtype=torch.int64))
    assert after.truncated.all()
    assert set(after.metrics) == {"success"}
    assert env.metric_names == ("success",)
    assert env.exact_resume


def test_a_reset_shows_none_again():
    env = Previous(Recall(2))
    env.reset(0)
    env.step(torch.tensor([1, 1]))
    assert env.reset()["prev_action"].tolist() == [4, 4]


def test_saving_and_loading_continues_exactly():
    env, other = Previous(Recall(5, delay=1)), Previous(Recall(5, delay=1))
    env.reset(0)
    actions = torch.randint(4, (9, 5), generator=torch.Generator().manual_seed(1))
    for action in actions[:4]:
        given = env.step(action).obs
    state = env.state_dict()
    loaded = other.load_state_dict(state)
    assert all(torch.equal(given[key], loaded[key]) for key in given)
    for action in actions[4:]:
        one, two = env.step(action), other.step(action)
        assert all(torch.equal(one.obs[key], two.obs[key]) for key in given)
        assert torch.equal(one.reward, two.reward)


def test_where_loading_begins_new_episodes_there_is_no_previous_action():
    env = Previous(GymnasiumAdapter(vector_env("CartPole-v1", 2)))
    env.reset(0)
    env.step(torch.tensor([1, 0]))
    assert env.load_state_dict(env.state_dict())["prev_action"].tolist() == [2, 2]


def test_a_reset_row_of_the_next_step_mode_shows_none():
    vector = SyncVectorEnv([partial(Counting)] * 3, autoreset_mode=AutoresetMode.NEXT_STEP)
    env = Previous(GymnasiumAdapter(vector))
    env.reset(seed=0)
    resets = 0
    for _ in range(12):
        after = env.step(torch.ones(3, dtype=torch.int64))
        rows = after.obs["count"][:, 0] == 0
        assert torch.equal(rows, ~after.valid)
        assert (after.obs["prev_action"][rows] == 3).all()
        assert (after.obs["prev_reward"][rows] == 0).all()
        resets += int(rows.sum())
    assert resets > 5


def test_a_key_that_exists_already_is_refused():
    with pytest.raises(ValueError, match="already has the key 'prev_action'"):
        Previous(Previous(Recall(2)))
