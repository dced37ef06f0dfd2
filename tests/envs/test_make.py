"""Environments by id."""

from __future__ import annotations

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector.utils import batch_space
from suites import slow_but

import memrl.envs
from memrl.envs import GymnasiumAdapter, Previous, TensorVectorEnv, envs, family_of, make
from memrl.envs.make import TENSOR_FAMILIES
from memrl.envs.minigrid import GRID_IDS, GridEnv, MemoryEnv
from memrl.envs.minigrid.families import FAMILIES
from memrl.envs.probes import PROBES, Recall
from memrl.envs.registration import exported_id

TENSOR_IDS = [id for family in TENSOR_FAMILIES.values() for id in family.ids]
KINDS_OF_GRIDS = [ids[-1] for ids in FAMILIES.values()]
ONE_OF_EACH = [
    id for id in TENSOR_IDS if "Easy" in id or "S7" in id or id in (*KINDS_OF_GRIDS, *PROBES)
]

# MiniGrid has ids with a newer version, and so have ours; Gymnasium says so.
outdated = pytest.mark.filterwarnings("ignore:.*is out of date:DeprecationWarning")


def few_levels(id):
    return {"bank_size": 4} if id in GRID_IDS else {}


def sampled(env, steps):
    """Actions of every copy: int64 [steps, B] or [steps, B, D]."""
    space = batch_space(env.action_space, env.num_envs)
    space.seed(0)
    return torch.stack([torch.as_tensor(space.sample()) for _ in range(steps)])


@pytest.mark.parametrize("id", slow_but(ONE_OF_EACH, TENSOR_IDS))
def test_every_tensor_environment_keeps_the_protocol(id):
    env = make(id, 3, seed=1, **few_levels(id))
    assert (env.num_envs, env.device) == (3, torch.device("cpu"))
    obs = env.reset()
    actions = sampled(env, 7)
    for action in actions:
        after = env.step(action)
        assert set(obs) == set(after.obs) == set(env.observation_space.keys())
        assert set(after.metrics) == set(env.metric_names)
        assert all(value.shape == (3,) for value in after.metrics.values())
        assert all(value.dtype == torch.float32 for value in after.metrics.values())
        assert after.reward.shape == after.terminated.shape == after.truncated.shape == (3,)
        assert after.reward.dtype == torch.float32
        assert after.terminated.dtype == after.truncated.dtype == torch.bool
        assert after.valid is None
        for key, part in env.observation_space.items():
            assert all(part.contains(row.numpy().astype(part.dtype)[()]) for row in after.obs[key])
            assert torch.equal(after.final_obs[key][~after.ended], after.obs[key][~after.ended])


@pytest.mark.parametrize("id", slow_but(ONE_OF_EACH, TENSOR_IDS))
def test_every_tensor_environment_resumes_bit_for_bit(id):
    env, other = (make(id, 5, seed=seed, **few_levels(id)) for seed in (1, None))
    env.reset()
    actions = sampled(env, 23)
    for action in actions[:8]:  # not in step with the five copies
        obs = env.step(action).obs
    assert env.exact_resume
    loaded = other.load_state_dict(env.state_dict())
    assert all(torch.equal(loaded[key], obs[key]) for key in obs)
    for action in actions[8:]:
        one, two = env.step(action), other.step(action)
        assert all(torch.equal(one.obs[key], two.obs[key]) for key in obs)
        assert torch.equal(one.reward, two.reward)


def tensors(value):
    """Every tensor of a nested value."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [
        leaf for part in parts if isinstance(part, dict | torch.Tensor) for leaf in tensors(part)
    ]


def scribble(value):
    for leaf in tensors(value):
        leaf.zero_()


@pytest.mark.parametrize("id", ONE_OF_EACH)
def test_an_environment_does_not_go_on_from_what_it_gave_out(id):
    options = few_levels(id) | {"prev_action": True, "prev_reward": True, "antialias": True}
    env, spoilt = (make(id, 5, seed=1, **options) for _ in "ab")
    env.reset()
    scribble(spoilt.reset())
    for action in sampled(env, 20):
        one, two = env.step(action), spoilt.step(action)
        torch.testing.assert_close(tensors(two), tensors(one), rtol=0, atol=0, equal_nan=True)
        scribble(two)
        state = spoilt.state_dict()
        scribble({**state["env"], **state["previous"], "generator": torch.zeros(1)})


@pytest.mark.parametrize("id", ONE_OF_EACH)
def test_no_two_results_of_a_step_share_memory(id):
    env = make(id, 5, seed=1, prev_reward=True, **few_levels(id))
    env.reset()
    for action in sampled(env, 3):
        results = tensors(env.step(action))
        places = {leaf.untyped_storage().data_ptr() for leaf in results}
        assert len(places) == len(results)


def test_a_seed_makes_the_first_unseeded_reset_repeatable():
    one, two = (make("probe/Recall-v0", 31, seed=5).reset()["obs"] for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, make("probe/Recall-v0", 31, seed=6).reset()["obs"])


EACH_KIND = ["probe/Recall-v0", "MiniGrid-MemoryS7-v0", "MiniGrid-DoorKey-5x5-v0", "CartPole-v1"]


@pytest.mark.parametrize("id", EACH_KIND)
def test_a_reset_takes_numpys_seeds_and_says_what_is_none(id):
    env = make(id, 3, **few_levels(id))
    for leaf, other in zip(*(env.reset(seed).values() for seed in (5, np.int64(5))), strict=True):
        assert torch.equal(leaf, other)
    for wrong in ("5", 5.0, -1):
        with pytest.raises(ValueError, match=f"seed is {wrong!r}, allowed: "):
            env.reset(wrong)


def test_families_of_ids():
    assert family_of("MiniGrid-MemoryS13-v0") == "minigrid_memory"
    assert family_of("MiniGrid-DoorKey-5x5-v0") == "minigrid"
    assert family_of("MiniGrid-WFC-MazeSimple-v0") == "gymnasium"
    assert family_of("probe/Recall-v0") == "probe"
    assert family_of("popgym-RepeatFirstEasy-v0") == "popgym"
    assert family_of("CartPole-v1") == "gymnasium"
    assert family_of("no such thing") == "gymnasium"


def test_an_id_with_a_tensor_implementation_gets_it():
    assert isinstance(make("MiniGrid-MemoryS7-v0"), MemoryEnv)
    assert isinstance(make("MiniGrid-DoorKey-5x5-v0", bank_size=4), GridEnv)
    assert isinstance(make("probe/Recall-v0"), Recall)
    assert isinstance(make("CartPole-v1"), GymnasiumAdapter)


def test_the_original_of_a_tensor_environment_is_made_on_request():
    env = make("MiniGrid-MemoryS7-v0", 2, family="gymnasium")
    assert isinstance(env, GymnasiumAdapter)
    assert env.reset(seed=0)["image"].shape == (2, 7, 7, 3)


def test_options_reach_the_environment():
    env = make("probe/Recall-v0", 2, cues=7, delay=1)
    assert env.action_space.n == 7
    image = make("MiniGrid-MemoryS7-v0", agent_view_size=3).observation_space["image"]
    assert image.shape == (3, 3, 3)
    assert make("CartPole-v1", render_mode="rgb_array", seed=0).render().ndim == 3


def test_options_may_be_numpys_numbers():
    assert make("probe/Recall-v0", 2, cues=np.int64(7)).action_space.n == 7
    assert make("popgym-PositionOnlyCartPoleEasy-v0", noise=np.float32(0.5)).noise == 0.5
    with pytest.raises(ValueError, match=r"cues=(np\.float32\()?4\.5"):
        make("probe/Recall-v0", cues=np.float32(4.5))


def test_previous_action_and_reward_on_request():
    env = make("probe/Recall-v0", 2, prev_action=True)
    assert isinstance(env, Previous)
    assert sorted(env.observation_space.keys()) == ["obs", "prev_action"]
    assert "prev_reward" in make("CartPole-v1", prev_reward=True).observation_space.keys()
    assert "is_t0" in make("CartPole-v1", antialias=True).observation_space.keys()


@pytest.mark.parametrize(
    ("id", "near"),
    [
        ("probe/Recal-v0", "probe/Recall-v0"),
        ("MiniGrid-MemoryS14-v0", "MiniGrid-MemoryS11-v0 or MiniGrid-MemoryS13-v0"),
        ("CartPole-v9", "CartPole-v1"),
        ("zzzzzzzz", "memrl envs"),
    ],
)
def test_an_unknown_id_is_refused_with_the_nearest_ones(id, near):
    with pytest.raises(ValueError, match=f"{id}' is unknown") as error:
        make(id)
    assert all(word in str(error.value) for word in near.split(" or "))


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:x"])
def test_a_device_that_cannot_be_used_is_refused(device):
    with pytest.raises(ValueError, match=f"the device '{device}' cannot be used"):
        make("probe/Recall-v0", device=device)


def test_impossible_requests_are_refused():
    with pytest.raises(ValueError, match="num is 0"):
        make("probe/Recall-v0", 0)
    with pytest.raises(
        ValueError, match="no option 'cue', allowed: cues, delay; did you mean cues"
    ):
        make("probe/Recall-v0", cue=2)
    with pytest.raises(ValueError, match="family is 'atari', allowed: minigrid_memory, minigrid,"):
        make("Pong", family="atari")
    with pytest.raises(ValueError, match="'CartPole-v1' is unknown"):
        make("CartPole-v1", family="probe")
    with pytest.raises(ValueError, match=r"'probe/Recall-v0' has no original.* family 'probe'"):
        make("probe/Recall-v0", family="gymnasium")
    with pytest.raises(ValueError, match="no_such_module:A-v0: there is no module 'no_such_mod"):
        make("no_such_module:A-v0")
    for way in ("sync", "vector_entry_point"):
        with pytest.raises(ValueError, match=r"CartPole-v1 cannot be made: .*'colour'"):
            make("CartPole-v1", vectorization=way, colour=1)


@pytest.mark.parametrize(
    ("id", "option", "said"),
    [
        ("probe/Recall-v0", {"cues": 4.5}, "cues=4.5: input should be a valid integer"),
        ("popgym-RepeatFirstEasy-v0", {"decks": "2"}, "decks='2': input should be a valid integer"),
        ("popgym-PositionOnlyCartPoleEasy-v0", {"seen": 1}, "seen=1: .* valid string"),
        ("MiniGrid-MemoryS7-v0", {"tile_size": True}, "tile_size=True: .* valid integer"),
    ],
)
def test_an_option_of_another_type_is_refused_by_name(id, option, said):
    with pytest.raises(ValueError, match=f"{id}: {said}"):
        make(id, **option)


def test_whole_numbers_serve_where_any_number_does():
    assert make("popgym-PositionOnlyCartPoleEasy-v0", noise=1).noise == 1


@pytest.mark.slow
def test_the_list_of_environments_says_what_kind_each_is():
    kinds = {entry["id"]: entry["kind"] for entry in envs()}
    assert kinds["probe/Recall-v0"] == kinds["MiniGrid-MemoryS13-v0"] == "tensor"
    assert kinds["CartPole-v1"] == "adapter"
    assert len(kinds) == len(envs())
    assert not any(id.startswith("memrl/") for id in kinds)


# POPGym's spaces are kept as they are: velocities without bounds, torques of ±2.
@pytest.mark.filterwarnings(r"ignore:.*Box observation space m..imum value is -?infinity")
@pytest.mark.filterwarnings("ignore:.*recommend using a symmetric and normalized space")
@outdated
@pytest.mark.parametrize("id", slow_but(ONE_OF_EACH, TENSOR_IDS))
def test_every_tensor_environment_is_registered_and_passes_gymnasiums_checker(id):
    env = gymnasium.make(exported_id(id), **few_levels(id))
    assert env.spec.id == exported_id(id)
    check_env(env.unwrapped)


@outdated
@pytest.mark.parametrize("id", slow_but(ONE_OF_EACH, TENSOR_IDS))
def test_every_tensor_environment_has_a_vector_entry_point(id):
    mode = "vector_entry_point"
    env = gymnasium.make_vec(exported_id(id), 3, vectorization_mode=mode, **few_levels(id))
    assert isinstance(env, TensorVectorEnv)
    obs, _ = env.reset(seed=0)
    assert env.observation_space.contains(obs)
    env.close()


def test_options_reach_an_exported_environment():
    env = gymnasium.make_vec("memrl/Recall-v0", 2, cues=9, prev_action=True, tensors=True)
    obs, _ = env.reset(seed=0)
    assert obs["prev_action"].tolist() == [9, 9]
    assert gymnasium.make("memrl/Recall-v0", cues=9).action_space.n == 9


def test_registering_twice_is_harmless():
    before = dict(gymnasium.registry)
    memrl.envs.register()
    assert gymnasium.registry == before


def test_the_import_brings_neither_minigrid_nor_stable_baselines():
    heavy = "{'minigrid', 'pygame', 'stable_baselines3', 'matplotlib'}"
    code = f"import sys, memrl.envs; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize("error", [gymnasium.error.DependencyNotInstalled, ModuleNotFoundError])
def test_a_package_that_an_id_needs_is_named(monkeypatch, error):
    def without_it(*_args, **_kwargs):
        raise error("no Box2D: pip install gymnasium[box2d]")

    monkeypatch.setattr(gymnasium, "make", without_it)
    with pytest.raises(ValueError, match="CartPole-v1 cannot be made: no Box2D: pip install"):
        make("CartPole-v1")


@pytest.mark.parametrize("options", [{"agent_view_size": 4}, {"observation": "rgbfull"}])
def test_a_wrong_view_is_told_before_a_bank_is_drawn(monkeypatch, options):
    monkeypatch.setattr("memrl.envs.minigrid.grid_env.load_bank", lambda *_: pytest.fail("drawn"))
    with pytest.raises(ValueError, match=next(iter(options))):
        make("MiniGrid-DoorKey-5x5-v0", **options)
