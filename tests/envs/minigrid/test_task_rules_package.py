"""What random play hardly ever meets: every state of two doors, every place beside a target."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import torch
from minigrid_package import package_env
from test_grid_package import assert_same_step, state_of

from memrl.envs.minigrid import GridEnv
from memrl.envs.minigrid.engine import DROP, FORWARD, TOGGLE

RED_BLUE, PUT_NEAR = "MiniGrid-RedBlueDoors-6x6-v0", "MiniGrid-PutNear-6x6-N2-v0"


def compare(packages: list[Any], actions: list[int]) -> Counter[str]:
    """One step of every package's environment and of ours, from the same states."""
    env = GridEnv(packages[0].spec.id, len(packages), bank_size=2)
    env.load_state_dict(env.state_dict() | {"play": state_of(packages, env)})
    theirs = [package.step(action) for package, action in zip(packages, actions, strict=True)]
    happened = Counter[str]()
    assert_same_step(env, torch.tensor(actions), theirs, happened)
    return happened


def test_doors_are_judged_by_what_they_were_and_what_they_became():
    packages, actions = [], []
    states = itertools.product((False, True), (False, True), (0, 1), (TOGGLE, FORWARD))
    for red, blue, faced, action in states:
        package = package_env(RED_BLUE)
        package.reset(seed=1)
        doors = [package.red_door, package.blue_door]
        for door, is_open in zip(doors, (red, blue), strict=True):
            door.is_open = is_open
        number = next(i for i, thing in enumerate(package.grid.grid) if thing is doors[faced])
        x, y = number % package.width, number // package.width
        package.agent_pos, package.agent_dir = (
            (x + 1, y) if faced == 0 else (x - 1, y),
            2 - 2 * faced,
        )
        packages.append(package)
        actions.append(action)
    happened = compare(packages, actions)
    assert happened["success"] == 4  # red open, and then blue: opened, or open and left so
    assert happened["terminated"] > happened["success"]


def test_what_is_dropped_counts_around_the_target_corners_included():
    packages = []
    for x, y, direction in itertools.product(range(1, 5), range(1, 5), range(4)):
        package = package_env(PUT_NEAR)
        package.reset(seed=0)
        package.carrying = package.grid.get(*package.move_pos)
        package.grid.set(*package.move_pos, None)
        package.agent_pos, package.agent_dir = (x, y), direction
        if package.grid.get(x, y) is None:
            packages.append(package)
    straight = sum(float(abs(p.front_pos - p.target_pos).sum()) == 1 for p in packages)
    happened = compare(packages, [DROP] * len(packages))
    assert happened["terminated"] == len(packages)
    assert straight < happened["success"] < len(packages)
