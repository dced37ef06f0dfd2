"""GridEnv and the package, step by step and level by level."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from biased_play import nudge
from minigrid_package import package_env
from suites import slow_but
from torch import Tensor

from memrl.envs.minigrid import GRID_IDS, GridEngine, GridEnv, GridState
from memrl.envs.minigrid.cells import BALL, BLUE, EMPTY, pack
from memrl.envs.minigrid.families import FAMILIES, rules_of
from memrl.envs.minigrid.grid_episodes import GridEpisodes, advance
from memrl.envs.minigrid.task_rules import TaskRules
from memrl.envs.minigrid.translate import from_package
from memrl.envs.missions import encode_one

COPIES, ROUNDS = 8, 25
# The first of each family.
KEPT = {next(id for id in GRID_IDS if id in ids) for ids in FAMILIES.values()}
ACTIONS = [0.12, 0.12, 0.3, 0.15, 0.08, 0.15, 0.08]


@pytest.mark.parametrize("id", slow_but(KEPT, GRID_IDS))
def test_steps_are_the_package_s(id: str):
    """200 steps each, 14,000 in all, every one of them from the package's own state."""
    happened = compare(id, COPIES, ROUNDS, seed=3)
    print(f"{id}: {happened['steps']} steps compared, {dict(happened)}")
    assert happened["truncated"] > 0
    assert (happened["success"] > 0) == (id != "MiniGrid-Playground-v0")  # which has no end
    assert (happened["penalty"] > 0) == (id in FAMILIES["obstacles"])


@pytest.mark.nightly
@pytest.mark.parametrize("view_size", [3, 5])
@pytest.mark.parametrize("id", GRID_IDS)
def test_steps_are_the_package_s_at_every_view_size(id: str, view_size: int):
    """1,000 steps each."""
    assert compare(id, 20, 50, seed=view_size, view_size=view_size)["steps"] == 1000


def compare(id: str, copies: int, rounds: int, seed: int, view_size: int = 7) -> Counter[str]:
    """Step both sides from the package's states; returns how often things happened."""
    packages = [package_env(id, agent_view_size=view_size) for _ in range(copies)]
    for i, package in enumerate(packages):
        package.reset(seed=1000 * seed + i)
    env = GridEnv(id, copies, agent_view_size=view_size, bank_size=2)
    rng, happened = np.random.default_rng(seed), Counter[str]()
    chance = np.array(ACTIONS[: env.action_space.n])
    for _ in range(rounds):
        for package in packages:
            nudge(package, rng)
        before = state_of(packages, env)
        action = rng.choice(len(chance), size=copies, p=chance / chance.sum())
        theirs = [package.step(int(a)) for package, a in zip(packages, action, strict=True)]
        task_rules = with_moves_of(packages, rules_of(id))
        assert_same_state(env, task_rules, before, torch.from_numpy(action), packages)
        env._task_rules = task_rules
        env.load_state_dict(env.state_dict() | {"play": before})
        assert_same_step(env, torch.from_numpy(action), theirs, happened)
        for package, (_, _, terminated, truncated, _) in zip(packages, theirs, strict=True):
            if terminated or truncated:
                package.reset()
    return happened


def state_of(packages: list[Any], env: GridEnv) -> dict[str, Any]:
    """The package's states as a ``state_dict`` holds them."""
    words = env.observation_space.spaces.get("mission")
    missions = [encode_one(p.mission, words.shape[0]) if words else [] for p in packages]
    return {
        "grid": from_package(packages)._asdict(),
        "facts": torch.tensor(
            [rules_of(env.id).read_facts(p) for p in packages], dtype=torch.int64
        ),
        "mission": torch.tensor(missions, dtype=torch.int64),
        "t": torch.tensor([package.step_count for package in packages]),
    }


def with_moves_of(packages: list[Any], task_rules: TaskRules) -> TaskRules:
    """The rules, with obstacles that move as those of the package have just moved."""
    if task_rules.move_objects is None:
        return task_rules
    moved = torch.tensor([task_rules.read_facts(package) for package in packages])

    def move(facts: Tensor, state: GridState, bits: Tensor, engine: GridEngine) -> Tensor:
        ahead = state.cells.gather(1, engine.front(state).unsqueeze(1))
        for i in range(moved.shape[1] - 1):
            state.cells.scatter_(1, facts[:, i : i + 1], EMPTY)
            state.cells.scatter_(1, moved[:, i : i + 1], pack(BALL, BLUE))
        return torch.cat([moved[:, :-1], ahead], 1)

    return task_rules._replace(move_objects=move)


def assert_same_state(
    env: GridEnv, task_rules: TaskRules, before: dict[str, Any], action: Tensor, packages: list[Any]
) -> None:
    """Cells, contents, position, direction, what is carried, facts, time."""
    grid = GridState(**{name: leaf.clone() for name, leaf in before["grid"].items()})
    play = GridEpisodes(**before | {"grid": grid, "level": torch.zeros_like(before["t"])})
    after, _ = advance(env._engine, task_rules, play, action, torch.Generator())
    want = state_of(packages, env)
    for name, leaf in want["grid"].items():
        assert torch.equal(getattr(after.grid, name), leaf), name
    # The last fact of obstacles is what was ahead before they moved.
    known = -1 if task_rules.move_objects else None
    assert torch.equal(after.facts[:, :known], want["facts"][:, :known])
    assert torch.equal(after.t, want["t"])


def assert_same_step(
    env: GridEnv, action: Tensor, theirs: list[Any], happened: Counter[str]
) -> None:
    """Observations, rewards and both flags, bit for bit."""
    ours = env.step(action)
    for copy, (obs, reward, terminated, truncated, _) in enumerate(theirs):
        np.testing.assert_array_equal(ours.final_obs["image"][copy].numpy(), obs["image"])
        assert ours.final_obs["direction"][copy].item() == obs["direction"]
        if "mission" in ours.final_obs:
            said = encode_one(obs["mission"], ours.final_obs["mission"].shape[1])
            assert ours.final_obs["mission"][copy].tolist() == said
        assert ours.reward[copy].item() == np.float32(reward)
        assert ours.terminated[copy].item() == terminated
        assert ours.truncated[copy].item() == truncated
        assert ours.metrics["success"][copy].item() == (reward > 0)
        happened.update(
            steps=1,
            success=reward > 0,
            penalty=reward < 0,
            terminated=terminated,
            truncated=truncated,
        )


@pytest.mark.parametrize("id", GRID_IDS)
def test_levels_of_a_bank_are_the_package_s(id: str):
    """What an agent sees first, and everything behind it."""
    env, package = GridEnv(id, 3, bank=5, bank_size=3), package_env(id)
    for level in range(3):
        package.reset(seed=5 if level == 0 else None)
        env._draw = lambda level=level: torch.full((3,), level)  # type: ignore[method-assign]
        obs = env.reset()
        want, play = state_of([package] * 3, env), env.state_dict()["play"]
        for name, leaf in want["grid"].items():
            assert torch.equal(play["grid"][name], leaf), name
        for name in ("facts", "mission", "t"):
            assert torch.equal(play[name], want[name]), name
        assert torch.equal(obs["image"][0], torch.from_numpy(package.gen_obs()["image"]))
