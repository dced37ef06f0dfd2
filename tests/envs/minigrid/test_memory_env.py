"""MemoryEnv as a batch of environments: ends, metrics, seeds, saved states, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from minigrid_package import package_env
from test_memory_package import follow
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from memrl.envs.minigrid import MEMORY_IDS, MemoryEnv, render_view
from memrl.envs.minigrid.engine import DONE, FORWARD, LEFT
from memrl.envs.minigrid.memory_task import memory_task
from memrl.envs.minigrid.observer import OBSERVATIONS
from memrl.rollout.env import Transition

S7 = "MiniGrid-MemoryS7-v0"


def assert_equal(a: Any, b: Any) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def played(env: MemoryEnv, steps: int, seed: int = 3) -> Iterator[Transition]:
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.tensor([0.2, 0.2, 0.5, 0.025, 0.025, 0.025, 0.025])
    for _ in range(steps):
        action = torch.multinomial(probabilities, env.num_envs, True, generator=generator)
        yield env.step(action)


def where(env: MemoryEnv, state: Tensor, t: int = 0) -> None:
    """Put every copy into given states."""
    saved = env.state_dict() | {"state": state, "t": torch.full_like(state, t)}
    seen = memory_task(env.id, env.observation_space["image"].shape[0]).cue_visible[state]
    env.load_state_dict(saved | {"cue_seen": seen})


def before(success: bool) -> tuple[Tensor, Tensor]:
    """A state of S7 and the action that ends it well or badly."""
    task = memory_task(S7)
    leads = (task.success if success else task.failure)[task.automaton.next_state]
    leads &= ~(task.success | task.failure)[:, None]
    state, action = leads.nonzero()[0]
    return state[None], action[None]


def test_spaces_hold_what_is_given_out():
    env = MemoryEnv("MiniGrid-MemoryS9-v0", 3, agent_view_size=5)
    obs = env.reset(seed=1)
    assert obs["image"].shape == (3, 5, 5, 3)
    assert obs["image"].dtype == torch.uint8
    assert env.action_space.n == 7
    for copy in range(3):
        one = {"image": obs["image"][copy].numpy(), "direction": obs["direction"][copy].item()}
        assert env.observation_space.contains(one | {"direction": np.int64(one["direction"])})


def test_an_end_gives_the_last_and_the_next_first_observation():
    env = MemoryEnv("MiniGrid-MemoryS13-v0", 31)
    env.reset(seed=2)
    ends = 0
    for step in played(env, 300):
        same = (step.obs["image"] == step.final_obs["image"]).flatten(1).all(1)
        assert same[~step.ended].all()
        ends += int(step.ended.sum())
        opened = env.state_dict()["state"][step.ended]
        assert (opened < 40).all()  # starts are numbered first: 10 places, 2 cues, 2 layouts
        assert_equal(step.obs["image"][step.ended], memory_task(env.id).image[opened])
    assert ends > 20


def test_the_last_observation_of_a_choice_is_beside_the_object():
    env = MemoryEnv(S7, 1)
    for success in (True, False):
        state, action = before(success)
        where(env, state)
        step = env.step(action)
        task = memory_task(S7)
        after = task.automaton.next_state[state, action]
        assert_equal(step.final_obs["image"], task.image[after])
        assert step.terminated.all()
        assert not step.truncated.any()
        assert step.metrics["success"].item() == float(success)
        assert step.reward.item() == (np.float32(1 - 0.9 * (1 / 245)) if success else 0)


@pytest.mark.parametrize("success", [True, False])
def test_a_choice_at_the_last_moment_is_terminated_and_truncated(success: bool):
    env = MemoryEnv(S7, 1)
    state, action = before(success)
    where(env, state, t=244)
    step = env.step(action)
    assert step.terminated.all()
    assert step.truncated.all()
    assert step.reward.item() == (np.float32(1 - 0.9 * (245 / 245)) if success else 0)


def test_idling_is_cut_at_max_steps_without_success():
    env = MemoryEnv(S7, 5)
    env.reset(seed=4)
    for t in range(1, 2 * 245 + 1):
        step = env.step(torch.full((5,), DONE))
        assert step.truncated.tolist() == [t % 245 == 0] * 5
        assert not step.terminated.any()
        if t % 245 == 0:
            assert step.metrics["success"].tolist() == [0] * 5
            assert step.metrics["length"].tolist() == [245] * 5
            assert not step.reward.any()


def test_pickup_takes_nothing_and_only_three_actions_matter():
    task = memory_task("MiniGrid-MemoryS11-v0")
    own = torch.arange(len(task.success))
    for idle in (3, 4, 5, 6):
        assert_equal(task.automaton.next_state[:, idle], own)


@pytest.mark.slow
def test_cue_seen_says_whether_any_observation_showed_the_cue():
    """The package's own answer to what its agent sees; (1, 5) is the cue's cell in S13."""
    env = MemoryEnv("MiniGrid-MemoryS13-v0", 1)
    package = package_env(env.id)
    rng = np.random.default_rng(0)
    values = []
    for seed in range(25):
        package.reset(seed=seed)
        follow(env, package)
        seen, done = package.agent_sees(1, 5), False
        while not done:
            action = int(rng.choice([0, 1, 2, 2]))
            _, _, terminated, truncated, _ = package.step(action)
            step = env.step(torch.tensor([action]))
            seen, done = seen or package.agent_sees(1, 5), terminated or truncated
            assert step.metrics["cue_seen"].item() == float(seen)
        values.append(seen)
    assert len(set(values)) == 2, "every episode was alike: the test shows nothing"


def test_cue_seen_is_forgotten_when_an_episode_ends():
    env = MemoryEnv("MiniGrid-MemoryS13-v0", 211)
    env.reset(seed=0)
    task = memory_task(env.id)
    for step in played(env, 400):
        opened = step.ended
        saved = env.state_dict()
        assert_equal(saved["cue_seen"][opened], task.cue_visible[saved["state"]][opened])
        assert (saved["t"][opened] == 0).all()


def test_a_seed_repeats_everything_and_another_does_not():
    runs = []
    for seed in (5, 5, 6):
        env = MemoryEnv("MiniGrid-MemoryS17Random-v0", 13)
        env.reset(seed=seed)
        runs.append(torch.stack([step.obs["image"] for step in played(env, 120)]))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_reset_without_a_seed_goes_on_with_the_stream():
    a, b = MemoryEnv(S7, 64), MemoryEnv(S7, 64)
    first, again = a.reset(seed=1), b.reset(seed=1)
    assert_equal(first, again)
    assert_equal(a.reset(), b.reset())
    assert not torch.equal(a.state_dict()["state"], MemoryEnv(S7, 64).state_dict()["state"])


def test_a_saved_state_continues_bit_for_bit():
    env = MemoryEnv("MiniGrid-MemoryS13Random-v0", 17)
    env.reset(seed=8)
    last = list(played(env, 53))[-1]
    saved = env.state_dict()
    want = list(played(env, 200, seed=9))
    other = MemoryEnv(env.id, 17)
    assert_equal(other.load_state_dict(saved), last.obs)
    for got, wanted in zip(played(other, 200, seed=9), want, strict=True):
        assert_equal(got[:-1], wanted[:-1])
    assert_equal(other.load_state_dict(saved), last.obs)  # stepping did not write into it


def test_a_state_of_another_task_is_refused():
    saved = MemoryEnv(S7, 3).state_dict()
    for other in (MemoryEnv(S7, 5), MemoryEnv(S7, 3, agent_view_size=3)):
        with pytest.raises(ValueError, match=r"num_envs\) of the saved state is .*, allowed: "):
            other.load_state_dict(saved)


def test_what_was_given_out_is_never_written_again():
    env = MemoryEnv(S7, 7)
    obs = env.reset(seed=0)
    kept = [(obs, {k: v.clone() for k, v in obs.items()})]
    for step in played(env, 100):
        kept.append((step.obs, {k: v.clone() for k, v in step.obs.items()}))
    for given, copy in kept:
        assert_equal(given, copy)


class NoWaiting(TorchDispatchMode):
    """Raises where a tensor's values would have to reach the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "item", "is_nonzero"), name
        assert "unique" not in name
        assert "masked_select" not in name
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_a_step_waits_for_nothing(observation: str):
    env = MemoryEnv("MiniGrid-MemoryS17Random-v0", 11, observation=observation)
    env.reset(seed=0)
    with NoWaiting():
        for action in (LEFT, FORWARD, DONE):
            env.step(torch.full((11,), action))
    with NoWaiting(), pytest.raises(AssertionError):  # the guard itself bites
        bool(torch.ones(()))


@pytest.mark.cuda
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: run the suite on a machine with one"
)
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_cuda_plays_the_same_game(observation: str):
    actions = torch.randint(7, (300, 19), generator=torch.Generator().manual_seed(0))
    cpu, gpu = (
        MemoryEnv(S7, 19, observation=observation, device=device) for device in ("cpu", "cuda")
    )
    for action in actions:
        saved = cpu.state_dict() | {"generator": gpu.state_dict()["generator"]}
        gpu.load_state_dict(saved)
        a, b = cpu.step(action), gpu.step(action.cuda())
        for name in ("reward", "terminated", "truncated", "final_obs", "metrics"):
            torch.testing.assert_close(getattr(b, name), getattr(a, name), check_device=False)


def test_an_unknown_id_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean MiniGrid-MemoryS13-v0"):
        MemoryEnv("MiniGrid-MemoryS13-v1", 1)


def test_wrong_actions_and_sizes_are_refused():
    env = MemoryEnv(S7, 3)
    for wrong, said in (([0, 7, 0], "an action is 7"), ([0, 0, -1], "an action is -1")):
        with pytest.raises(ValueError, match=said):
            env.step(torch.tensor(wrong))
    with pytest.raises(ValueError, match=r"allowed: int64 \[3\]"):
        env.step(torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"actions are float32"):
        env.step(torch.zeros(3))
    with pytest.raises(ValueError, match="agent_view_size is 4"):
        MemoryEnv(S7, 3, agent_view_size=4)
    with pytest.raises(ValueError, match="num_envs is 0"):
        MemoryEnv(S7, 0)


@pytest.mark.parametrize("id", [S7, "MiniGrid-MemoryS13Random-v0"])
def test_pictures_are_the_package_s(id: str):
    package, env = package_env(id, render_mode="rgb_array"), MemoryEnv(id, 1)
    rng = np.random.default_rng(1)
    package.reset(seed=1)
    follow(env, package)
    for _ in range(12):
        np.testing.assert_array_equal(env.render(0), package.get_frame())
        view = render_view(env.load_state_dict(env.state_dict())["image"][0])
        np.testing.assert_array_equal(view, package.get_frame(agent_pov=True))
        action = int(rng.choice([0, 1, 2]))
        _, _, terminated, _, _ = package.step(action)
        env.step(torch.tensor([action]))
        if terminated:
            package.reset()
            follow(env, package)


def test_there_are_six_memory_tasks():
    assert len(MEMORY_IDS) == 6
