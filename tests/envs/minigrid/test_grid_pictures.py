"""Pictures are those of the package's RGB wrappers, pixel for pixel."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from minigrid.minigrid_env import MiniGridEnv
from minigrid.wrappers import RGBImgObsWrapper, RGBImgPartialObsWrapper
from minigrid_package import engine_for, package_env
from suites import slow_but
from test_engine import cluttered
from test_memory_package import follow

from memrl.config.composition import compose
from memrl.envs.minigrid import GridState, MemoryEnv
from memrl.envs.minigrid.cells import EMPTY, GREY, KEY, RED, WALL, pack
from memrl.envs.minigrid.observer import Observer
from memrl.envs.minigrid.tiles import EVERY_CODE, NORTH, draw_tiles, tile_key
from memrl.envs.minigrid.translate import from_package
from memrl.pipeline.env_card import draw_view, references

WRAPPERS = {"rgb": RGBImgPartialObsWrapper, "rgb_full": RGBImgObsWrapper}

PLAYED = [  # id, view size
    ("MiniGrid-DoorKey-6x6-v0", 7),
    ("MiniGrid-ObstructedMaze-1Dlhb-v0", 7),
    ("MiniGrid-BlockedUnlockPickup-v0", 5),  # 11 by 6 cells
    ("MiniGrid-MemoryS11-v0", 3),
    ("MiniGrid-Fetch-5x5-N2-v0", 7),  # sees through walls
    ("MiniGrid-LockedRoom-v0", 7),
    ("MiniGrid-LavaGapS5-v0", 7),
]


def assert_pictures_agree(env: MiniGridEnv, tile_size: int = 11) -> None:
    for kind, wrapper in WRAPPERS.items():
        theirs = wrapper(env, tile_size=tile_size)
        observer = Observer(engine_for(env), kind, tile_size=tile_size)
        ours = observer(from_package([env]))
        np.testing.assert_array_equal(ours[0].numpy(), theirs.observation({})["image"])
        assert observer.space == theirs.observation_space["image"]


@pytest.mark.parametrize(("id", "view_size"), slow_but(PLAYED[3:4], PLAYED))
def test_pictures_of_played_steps_are_the_package_s(id: str, view_size: int):
    env, rng = package_env(id, agent_view_size=view_size), np.random.default_rng(2)
    env.reset(seed=2)
    for _ in range(40):
        action = int(rng.choice(7, p=[0.15, 0.15, 0.34, 0.12, 0.06, 0.15, 0.03]))
        _, _, terminated, truncated, _ = env.step(action)
        assert_pictures_agree(env)
        if terminated or truncated:
            env.reset()


@pytest.mark.slow
def test_pictures_among_all_kinds_of_objects_are_the_package_s():
    """The agent stands on goals, lava, floors and in open doors, and carries all that it can."""
    under: Counter[str] = Counter()
    for seed in range(40):
        env, rng = cluttered(seed), np.random.default_rng(seed)
        for _ in range(12):
            MiniGridEnv.step(env, int(rng.choice(7, p=[0.1, 0.2, 0.4, 0.12, 0.03, 0.15, 0.0])))
            below = env.grid.get(*env.agent_pos)
            under["on nothing" if below is None else f"on {below.type}"] += 1
            if env.carrying is not None:
                under[f"with {env.carrying.type}"] += 1
        assert_pictures_agree(env, tile_size=8)
    assert {"on goal", "on lava", "on floor", "on door", "with box", "with key"} <= set(under)


@pytest.mark.parametrize("kind", WRAPPERS)
def test_rows_of_a_batch_of_pictures_do_not_mix(kind: str):
    states = [from_package([cluttered(seed)]) for seed in range(3)]
    batch = GridState(*(torch.cat(leaf) for leaf in zip(*states, strict=True)))
    observer = Observer(engine_for(cluttered(0)), kind)
    together = observer(batch)
    for row, state in enumerate(states):
        assert torch.equal(together[row], observer(state)[0])
    assert not torch.equal(together[0], together[1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRAPPERS)
def test_memory_tasks_can_be_shown_as_the_package_s_pictures(kind: str):
    package = package_env("MiniGrid-MemoryS7-v0")
    wrapped = WRAPPERS[kind](package)
    env = MemoryEnv("MiniGrid-MemoryS7-v0", 1, observation=kind)
    rng, ends = np.random.default_rng(7), 0
    wrapped.reset(seed=7)
    follow_shown(env, package)
    for _ in range(250):
        action = int(rng.choice(7, p=[0.2, 0.2, 0.48, 0.03, 0.03, 0.03, 0.03]))
        obs, _, terminated, truncated, _ = wrapped.step(action)
        last = env.step(torch.tensor([action])).final_obs["image"]
        assert env.observation_space["image"].contains(last[0].numpy())
        np.testing.assert_array_equal(last[0].numpy(), obs["image"])
        if terminated or truncated:
            ends += 1
            wrapped.reset()
            follow_shown(env, package)
    assert ends > 1


def follow_shown(env: MemoryEnv, package: MiniGridEnv) -> None:
    symbolic = MemoryEnv(env.id, 1)  # the state does not know how it is shown
    follow(symbolic, package)
    env.load_state_dict(symbolic.state_dict())


def test_the_whole_grid_always_shows_the_cue():
    env = MemoryEnv("MiniGrid-MemoryS13-v0", 5, observation="rgb_full")
    assert env.step(torch.zeros(5, dtype=torch.int64)).metrics["cue_seen"].all()


def test_a_run_that_sees_the_whole_grid_is_held_against_no_memory_levels():
    words = ["env=MiniGrid-MemoryS13-v0"]
    seen = {kind: compose([*words, f"+env.observation={kind}"]) for kind in ("rgb", "rgb_full")}
    assert "memoryless" in references(seen["rgb"], success=True)
    assert "memoryless" not in references(seen["rgb_full"], success=True)


def test_recordings_show_the_pictures_that_the_agent_sees():
    env = MemoryEnv("MiniGrid-MemoryS7-v0", 2, observation="rgb")
    obs = env.reset(seed=1)
    np.testing.assert_array_equal(draw_view(obs), obs["image"][0].numpy())
    assert draw_view(MemoryEnv("MiniGrid-MemoryS7-v0", 2).reset(seed=1)).shape == (224, 224, 3)


def test_tiles_that_look_alike_are_kept_once():
    tile_set = draw_tiles(8)
    assert len(tile_set.tiles.flatten(1).unique(dim=0)) == len(tile_set.tiles)


def test_what_no_grid_shows_is_drawn_as_an_empty_cell():
    tile_set = draw_tiles(8, (pack(WALL, GREY),))
    key, lit, agent = torch.tensor(pack(KEY, RED)), torch.tensor(1), torch.tensor(NORTH + 1)
    empty = torch.tensor(EMPTY)
    got = tile_set.number[tile_key(key, agent, lit)]
    assert got == tile_set.number[tile_key(empty, agent, lit)]
    full = draw_tiles(8, EVERY_CODE)
    assert full.number[tile_key(key, agent, lit)] != full.number[tile_key(empty, agent, lit)]


def test_an_unknown_observation_is_answered_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"'rbg', allowed: symbolic, rgb, rgb_full; did you mean rgb\?"
    ):
        MemoryEnv("MiniGrid-MemoryS7-v0", 2, observation="rbg")


def test_pictures_that_a_policy_would_take_for_symbols_are_refused():
    with pytest.raises(
        ValueError, match=r"tile_size is 8, allowed: at least 11, so that images have at least 32"
    ):
        MemoryEnv("MiniGrid-MemoryS7-v0", 2, agent_view_size=3, observation="rgb")


def test_a_tile_of_one_pixel_is_refused():
    with pytest.raises(ValueError, match="tile_size is 1, allowed: at least 2"):
        draw_tiles(1)
