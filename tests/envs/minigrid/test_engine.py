"""The engine's rules are the package's, on tasks with every kind of object."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from minigrid.core.world_object import Ball, Box, Door, Floor, Goal, Key, Lava
from minigrid.minigrid_env import MiniGridEnv
from minigrid_package import assert_same, engine_for, package_env
from suites import slow_but

from memrl.envs.minigrid import GridEngine, GridState
from memrl.envs.minigrid.engine import DROP, FORWARD, LEFT, PICKUP, RIGHT, TOGGLE
from memrl.envs.minigrid.translate import from_package

BASE_STEP = [  # tasks that play the base step and no more, or add only an ending to it
    ("MiniGrid-DoorKey-8x8-v0", 7),
    ("MiniGrid-DoorKey-5x5-v0", 3),
    ("MiniGrid-KeyCorridorS3R2-v0", 7),
    ("MiniGrid-Unlock-v0", 5),
    ("MiniGrid-BlockedUnlockPickup-v0", 7),
    ("MiniGrid-ObstructedMaze-1Dlhb-v0", 7),
    ("MiniGrid-LavaGapS7-v0", 7),
    ("MiniGrid-LavaCrossingS9N2-v0", 5),
    ("MiniGrid-Empty-Random-6x6-v0", 7),
    ("MiniGrid-MultiRoom-N2-S4-v0", 7),
    ("MiniGrid-Playground-v0", 7),
]
# Doors, keys, boxes, lava and a larger step between them.
FAST = {BASE_STEP[i] for i in (1, 5, 7, 10)}


def play(env: MiniGridEnv, steps: int, seed: int) -> dict[str, int]:
    """Step engine and package from the package's state; returns how often things happened."""
    engine, rng = engine_for(env), np.random.default_rng(seed)
    env.reset(seed=seed)
    happened = {"goal": 0, "lava": 0, "changed": 0, "carried": 0}
    for _ in range(steps):
        before = from_package([env])
        action = int(rng.choice(7, p=[0.15, 0.15, 0.3, 0.12, 0.08, 0.15, 0.05]))
        state, events = engine.step(before, torch.tensor([action]))
        obs, _, terminated, truncated, _ = MiniGridEnv.step(env, action)  # without the task's own
        assert_same(state, env)
        np.testing.assert_array_equal(engine.observe(state)[0].numpy(), obs["image"])
        assert bool(events.goal | events.lava) == terminated
        happened["goal"] += int(events.goal)
        happened["lava"] += int(events.lava)
        happened["changed"] += not torch.equal(state.cells, before.cells)
        happened["carried"] += int(state.carried != 1)
        if terminated or truncated:
            env.reset()
    return happened


@pytest.mark.parametrize(("id", "view_size"), slow_but(FAST, BASE_STEP))
def test_random_play_is_the_package_s(id: str, view_size: int):
    play(package_env(id, agent_view_size=view_size), steps=200, seed=11)


@pytest.mark.slow
def test_random_play_among_all_kinds_of_objects_is_the_package_s():
    totals: Counter[str] = Counter()
    for seed in range(40):
        env = cluttered(seed)
        env.reset = lambda **_: None  # type: ignore[method-assign]  # the clutter stays as it is
        totals.update(play(env, steps=30, seed=seed))
    assert min(totals.values()) > 5, totals  # every rule was really used


def cluttered(seed: int) -> MiniGridEnv:
    """A room full of random things; boxes hold things, some doors are locked."""
    rng = np.random.default_rng(seed)
    env = package_env("MiniGrid-Empty-8x8-v0", max_steps=10**6)
    env.reset(seed=seed)
    env.see_through_walls = False
    colours = ["red", "green", "yellow"]
    for x in range(1, 7):
        for y in range(1, 7):
            colour, inner = rng.choice(colours, 2)
            things = [
                *[None] * 9,
                Key(colour),
                Key(inner),
                Ball(colour),
                Box(colour),
                Box(colour, contains=Key(inner)),
                Door(colour, is_open=True),
                Door(colour),
                Door(colour, is_locked=True),
                Goal(),
                Lava(),
                Floor(colour),
            ]
            env.grid.set(x, y, things[rng.integers(len(things))])
    env.agent_pos, env.agent_dir = (3, 3), 0
    env.grid.set(3, 3, None)
    return env


def test_see_through_walls_shows_everything():
    env = package_env("MiniGrid-GoToDoor-8x8-v0")
    assert env.see_through_walls
    for seed in range(5):
        obs, _ = env.reset(seed=seed)
        image = engine_for(env).observe(from_package([env]))[0]
        np.testing.assert_array_equal(image.numpy(), obs["image"])


def test_rows_of_a_batch_do_not_mix():
    env = cluttered(5)
    engine = engine_for(env)
    single, rng = [], np.random.default_rng(5)
    for _ in range(7):
        x, y = rng.integers(1, 7, 2)
        env.agent_pos, env.agent_dir = (int(x), int(y)), int(rng.integers(4))
        single.append(from_package([env]))
    batch = GridState(*(torch.cat(leaf) for leaf in zip(*single, strict=True)))
    action = torch.arange(7)
    together, _ = engine.step(batch, action)
    for i, one in enumerate(single):
        alone, _ = engine.step(one, action[i : i + 1])
        for got, want in zip(together, alone, strict=True):
            assert torch.equal(got[i : i + 1], want)


def test_the_given_state_stays_valid():
    env = cluttered(3)
    before = from_package([env])
    copies = [leaf.clone() for leaf in before]
    for action in (LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE):
        engine_for(env).step(before, torch.tensor([action]))
    for leaf, copy in zip(before, copies, strict=True):
        assert torch.equal(leaf, copy)


def test_a_box_taken_up_keeps_what_it_holds():
    env = package_env("MiniGrid-Empty-8x8-v0")
    env.reset(seed=0)
    env.grid.set(2, 1, Box("red", contains=Key("blue")))
    engine, state = engine_for(env), from_package([env])
    for action in (PICKUP, RIGHT, DROP, TOGGLE, PICKUP):
        state, _ = engine.step(state, torch.tensor([action]))
        MiniGridEnv.step(env, action)
        assert_same(state, env)
    assert isinstance(env.carrying, Key)


def test_a_box_in_a_box_in_a_box_is_refused():
    env = package_env("MiniGrid-Empty-8x8-v0")
    env.reset(seed=0)
    env.grid.set(3, 3, Box("red", contains=Box("blue", contains=Key("red"))))
    with pytest.raises(ValueError, match="a box contains a box that is not empty"):
        from_package([env])


def test_a_view_size_that_has_no_table_is_refused():
    with pytest.raises(ValueError, match="agent_view_size is 9"):
        GridEngine(8, 8, view_size=9)
