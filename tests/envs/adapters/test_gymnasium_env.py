"""Gymnasium tasks as batched environments."""

from __future__ import annotations

from functools import partial

import gymnasium
import minigrid  # noqa: F401 (registers its ids)
import numpy as np
import pytest
import torch
from counting import Counting
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from memrl.envs.adapters.checked_env import CheckedEnv
from memrl.envs.adapters.gymnasium_env import GymnasiumAdapter
from memrl.envs.adapters.vectorization import vector_env
from memrl.envs.wrappers import Previous

SAME, NEXT = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP


def counting(num=3, mode=SAME, **options):
    copies = [partial(Counting, **options) for _ in range(num)]
    return GymnasiumAdapter(SyncVectorEnv(copies, autoreset_mode=mode), name="Counting")


def guarded(faulty, num=3, cls=SyncVectorEnv, **options):
    """``num`` copies behind guards, of which one has a fault."""

    def copy(index):
        env = Counting(**(options if index == faulty else {}))
        return CheckedEnv(env, name="Counting", index=index)

    return GymnasiumAdapter(
        cls([partial(copy, i) for i in range(num)], autoreset_mode=SAME), name="Counting"
    )


def episodes(env, steps, seed=7):
    """Valid steps of every copy, plainly: rows of (observation, action, reward, ends, last)."""
    generator = torch.Generator().manual_seed(0)
    plans = torch.randint(
        int(env.action_space.n), (env.num_envs, steps), generator=generator
    )  # by valid step
    taken = [0] * env.num_envs
    rows = [[] for _ in range(env.num_envs)]
    obs = env.reset(seed)
    for _ in range(steps):
        action = torch.tensor([int(plans[b, taken[b]]) for b in range(env.num_envs)])
        after = env.step(action)
        for b in range(env.num_envs):
            if after.valid is not None and not after.valid[b]:
                assert after.reward[b] == 0
                assert not after.ended[b]
                continue
            taken[b] += 1
            rows[b].append(
                (
                    {k: v[b].tolist() for k, v in obs.items()},
                    int(action[b]),
                    float(after.reward[b]),
                    bool(after.terminated[b]),
                    bool(after.truncated[b]),
                    {k: v[b].tolist() for k, v in after.final_obs.items()},
                    str(after.metrics["success"][b].item()) if after.ended[b] else None,
                )
            )
        obs = after.obs
    return rows


def test_a_rollout_is_what_the_task_does():
    env = counting(masks=False)
    obs = env.reset(seed=3)
    assert obs["count"].dtype == torch.float32
    assert obs["deep.parity"].dtype == torch.int64
    lengths = obs["count"][:, 1].clone()
    for t in range(1, 5):
        after = env.step(torch.tensor([0, 1, 2]))
        first = t <= lengths
        torch.testing.assert_close(after.reward[first], (t + torch.tensor([-0.1, 0.0, 0.1]))[first])
        ends = lengths == t
        assert torch.equal(after.ended[first], ends[first])
        assert torch.equal((after.truncated & ends), ends & (lengths % 2 == 0))
        assert (after.final_obs["count"][ends] == torch.stack([lengths, lengths], 1)[ends]).all()
        assert (after.obs["count"][ends, 0] == 0).all()
    assert after.valid is None


def test_both_autoreset_modes_give_the_same_rollout_once_invalid_rows_are_dropped():
    """Trap: a reset in the next step slips a step that never happened into every episode."""
    wrap = partial(Previous, action=True, reward=True)
    same = episodes(wrap(counting(mode=SAME)), 40)
    later = episodes(wrap(counting(mode=NEXT)), 40)
    for a, b in zip(same, later, strict=True):
        assert len(b) < len(a) == 40
        assert a[: len(b)] == b


def test_a_next_step_reset_marks_exactly_the_row_after_an_end():
    env = counting(mode=NEXT)
    env.reset(seed=1)
    ended = torch.zeros(3, dtype=torch.bool)
    seen = 0
    for _ in range(20):
        after = env.step(torch.ones(3, dtype=torch.int64))
        assert torch.equal(after.valid, ~ended)
        ended = after.ended
        seen += int(ended.sum())
    assert seen > 9


def test_the_disabled_autoreset_mode_is_refused():
    vector = SyncVectorEnv([Counting], autoreset_mode=AutoresetMode.DISABLED)
    with pytest.raises(ValueError, match=r"DISABLED, allowed: AutoresetMode\.SAME_STEP"):
        GymnasiumAdapter(vector)


def test_a_vector_environment_without_an_autoreset_mode_is_refused():
    vector = SyncVectorEnv([Counting])
    del vector.metadata["autoreset_mode"]
    with pytest.raises(ValueError, match="is missing"):
        GymnasiumAdapter(vector)


def test_gymnasiums_own_vector_environments_serve_too():
    env = GymnasiumAdapter(vector_env("CartPole-v1", 3, vectorization="vector_entry_point"))
    assert env.name == "CartPole-v1"
    env.reset(seed=0)
    valid = [env.step(torch.zeros(3, dtype=torch.int64)).valid for _ in range(15)]
    assert not torch.stack(valid).all()
    env.close()


def test_copies_in_processes_do_what_copies_in_this_process_do():
    sync, processes = (
        GymnasiumAdapter(vector_env("CartPole-v1", 2, vectorization=how), name="CartPole-v1")
        for how in ("sync", "async")
    )
    try:
        assert episodes(sync, 25) == episodes(processes, 25)
    finally:
        processes.close()


def test_an_unknown_vectorization_is_refused():
    with pytest.raises(ValueError, match="'threads', allowed: sync, async"):
        vector_env("CartPole-v1", 2, vectorization="threads")


@pytest.fixture
def vector_only():
    """An id that exists as a vector environment only, as EnvPool's do."""
    id = "vectors/CartPole-v0"
    entry = "gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv"
    gymnasium.register(id, vector_entry_point=entry)
    yield id
    del gymnasium.registry[id]


@pytest.mark.parametrize("how", [None, "vector_entry_point"])
def test_an_id_that_has_nothing_else_is_made_as_its_own_vector_environment(vector_only, how):
    env = vector_env(vector_only, 3, vectorization=how)
    assert (type(env.unwrapped).__name__, env.num_envs) == ("CartPoleVectorEnv", 3)
    env.close()


@pytest.mark.parametrize("how", ["sync", "async"])
def test_single_environments_of_an_id_with_only_a_vector_environment_are_refused(vector_only, how):
    with pytest.raises(
        ValueError, match=f"'{how}', allowed: vector_entry_point, because {vector_only}"
    ):
        vector_env(vector_only, 3, vectorization=how)


def test_the_last_observation_survives_a_task_that_reuses_its_buffer():
    plain, reusing = (guarded(0, num=1, reuse=reuse) for reuse in (False, True))
    assert episodes(plain, 20) == episodes(reusing, 20)


def test_observations_given_out_do_not_change_later():
    env = counting(reuse=True)
    obs = env.reset(seed=0)
    kept = obs["count"].clone()
    env.step(torch.zeros(3, dtype=torch.int64))
    assert torch.equal(obs["count"], kept)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise", r"env 2 of Counting: step raised KeyError: 'lost key'"),
        ("shape", r"env 2 of Counting: step returned 'count' of shape \(1,\), allowed: "),
        ("nan", r"Counting: 'count' of env 2 is NaN"),
        ("range", r"Counting: 'deep.parity' of env 2 is 9, outside Discrete"),
        ("reward", r"the reward of env 2 of Counting is nan, allowed: finite"),
        ("no reward", r"env 2 of Counting: step returned the reward None, allowed: a number"),
        ("two rewards", r"env 2 of Counting: step returned the reward array.*, allowed: a number"),
        ("ended maybe", r"env 2 .*: step returned terminated 'False', allowed: true or false"),
        ("four", r"env 2 of Counting: step returned 4 values, allowed: 5, .*GymV21Compat"),
        ("nothing", r"env 2 of Counting: step returned 'count' outside its space: 'NoneType'"),
        ("no count", r"env 2 of Counting: step returned 'count' outside its space: 'count'"),
        ("words", r"env 2 .* returned 'mission' outside its space: 'count!' has the letter '!'"),
        ("half", r"env 2 .* returned 'deep.parity' of dtype float64, allowed: int64"),
        ("text", r"env 2 of Counting: step returned 'count' of dtype <U1, allowed: float64"),
        ("ragged", r"env 2 of Counting: step returned 'count' outside its space: setting an array"),
        ("300", r"env 2 .* returned 'shade' with 300, allowed: 0 … 255 \(uint8\)"),
    ],
)
def test_a_faulty_environment_is_named(fault, words):
    env = guarded(2, fault=fault, at=1)
    env.reset(seed=0)
    with pytest.raises((ValueError, RuntimeError), match=words):
        env.step(torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("fault", ["nan", "range"])
def test_a_faulty_last_observation_is_named_too(fault):
    env = guarded(2, fault=fault, at=2)
    lengths = (env.reset(seed)["count"][2, 1] for seed in range(50))
    assert 2 in lengths  # stops at a seed that gives env 2 an episode of two steps
    env.step(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"the final '.*' of env 2 is"):
        env.step(torch.zeros(3, dtype=torch.int64))


# Gymnasium reports a worker's error as a warning before it raises it.
@pytest.mark.filterwarnings("ignore:.*ERROR:UserWarning")
def test_an_environment_that_fails_in_its_own_process_is_named():
    env = guarded(1, num=2, cls=AsyncVectorEnv, fault="raise", at=1)
    env.reset(seed=0)
    with pytest.raises(RuntimeError, match="env 1 of Counting: step raised KeyError"):
        env.step(torch.zeros(2, dtype=torch.int64))
    env.close()


class Incomplete(Counting):
    """Finds out at its first reset that something is missing."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def reset(self, *, seed=None, options=None):
        raise self.error


@pytest.mark.parametrize(
    "error", [gymnasium.error.DependencyNotInstalled("no snake"), ImportError("no snake")]
)
def test_what_is_not_installed_is_the_users_to_install(error):
    with pytest.raises(
        ValueError, match=r"^Odd-v0 needs a package that is not installed: no snake$"
    ):
        CheckedEnv(Incomplete(error), name="Odd-v0", index=0).reset()


@pytest.mark.parametrize("error", [ImportError("no tokenizer"), FileNotFoundError("no picture")])
def test_what_no_installation_brings_is_said(error):
    with pytest.raises(ValueError, match=r"no (tokenizer|picture) \(no wheel of minigrid holds"):
        CheckedEnv(Incomplete(error), name="MiniGrid-WFC-MazeSimple-v0", index=0).reset()


def test_a_mask_in_the_info_becomes_part_of_the_observation():
    env = counting(masks=True)
    assert env.observation_space["action_mask"] == spaces.MultiBinary(3)
    obs = env.reset(seed=0)
    assert obs["action_mask"].tolist() == [[True, False, False]] * 3
    ends = 0
    for _ in range(9):
        after = env.step(torch.zeros(3, dtype=torch.int64))
        for name in ("obs", "final_obs"):
            part = getattr(after, name)
            odd = part["count"][:, 0] % 2 == 1
            assert torch.equal(part["action_mask"][:, 1], odd)
            assert part["action_mask"][:, 0].all()
        ends += int(after.ended.sum())
    assert ends > 0


def test_success_is_what_the_info_says_at_the_end():
    for rows in episodes(counting(), 30):
        said = [(last["count"][1], success) for *_, last, success in rows if success is not None]
        assert said
        assert all(float(success) == length % 2 for length, success in said)


def test_minigrid_tasks_succeed_when_they_end_with_a_reward():
    env = GymnasiumAdapter(vector_env("MiniGrid-Empty-5x5-v0", 2))
    assert sorted(env.observation_space.keys()) == ["direction", "image"]
    obs = env.reset(seed=0)
    assert obs["image"].shape == (2, 7, 7, 3)
    assert obs["image"].dtype == torch.uint8
    for action in (2, 2, 1, 2, 2):  # forward, forward, right, forward, forward: the goal
        after = env.step(torch.tensor([action, 0]))
    assert after.terminated.tolist() == [True, False]
    assert after.metrics["success"][0] == 1


def test_a_task_that_says_nothing_of_success_has_nan():
    env = GymnasiumAdapter(vector_env("CartPole-v1", 2))
    env.reset(seed=0)
    assert env.step(torch.tensor([0, 1])).metrics["success"].isnan().all()


def test_a_box_action_reaches_the_task_within_its_bounds():
    env = GymnasiumAdapter(vector_env("Pendulum-v1", 3))
    env.reset(seed=0)
    inside = env.step(torch.full((3, 1), 2.0))
    env.reset(seed=0)
    outside = env.step(torch.full((3, 1), 50.0))
    assert torch.equal(inside.obs["obs"], outside.obs["obs"])


def test_loading_begins_new_episodes_that_are_repeatable_and_not_those_of_the_seed():
    env, other, third = counting(num=11), counting(num=11), counting(num=11)
    first = env.reset(seed=5)
    for _ in range(3):
        env.step(torch.zeros(11, dtype=torch.int64))
    state = env.state_dict()
    assert not env.exact_resume
    obs = other.load_state_dict(state)
    assert (obs["count"][:, 0] == 0).all()
    assert torch.equal(obs["count"], third.load_state_dict(state)["count"])
    assert not torch.equal(obs["count"], first["count"])
    assert other.state_dict() == state


def test_pictures_come_from_the_task():
    env = GymnasiumAdapter(vector_env("MiniGrid-Empty-5x5-v0", 2, render_mode="rgb_array"))
    env.reset(seed=0)
    assert env.render(1).dtype == np.uint8
    assert GymnasiumAdapter(vector_env("CartPole-v1", 1)).render() is None


def test_a_vector_environment_with_final_observations_as_one_batch_is_understood():
    class Batched(gymnasium.vector.VectorWrapper):
        def step(self, actions):
            obs, reward, terminated, truncated, info = self.env.step(actions)
            if "final_obs" in info:
                rows = [
                    final if final is not None else {k: v[i] for k, v in obs.items()}
                    for i, final in enumerate(info["final_obs"])
                ]
                info["final_obs"] = {k: np.stack([r[k] for r in rows]) for k in obs}
            return obs, reward, terminated, truncated, info

    def vector():
        fns = [partial(CheckedEnv, Counting(), name="Counting", index=i) for i in range(3)]
        return SyncVectorEnv(fns, autoreset_mode=SAME)

    assert episodes(GymnasiumAdapter(Batched(vector())), 20) == episodes(
        GymnasiumAdapter(vector()), 20
    )


def test_an_end_without_a_final_observation_is_an_error():
    class Silent(gymnasium.vector.VectorWrapper):
        def step(self, actions):
            return (*self.env.step(actions)[:-1], {})

    env = GymnasiumAdapter(Silent(SyncVectorEnv([Counting], autoreset_mode=SAME)), name="Silent")
    length = int(env.reset(seed=0)["count"][0, 1])
    for _ in range(length - 1):
        env.step(torch.zeros(1, dtype=torch.int64))
    with pytest.raises(
        ValueError, match='Silent: the info of an ended episode lacks the key "final_obs"'
    ):
        env.step(torch.zeros(1, dtype=torch.int64))
