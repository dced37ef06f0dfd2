"""MemoryEnv and the package, step by step and start by start."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from minigrid_package import package_env
from suites import slow_but

from memrl.envs.minigrid import MEMORY_IDS, MemoryEnv
from memrl.envs.minigrid.automaton import locate, rows
from memrl.envs.minigrid.memory_task import memory_task
from memrl.envs.minigrid.reference import start_probabilities
from memrl.envs.minigrid.translate import from_package

KEPT = {"MiniGrid-MemoryS7-v0", "MiniGrid-MemoryS17Random-v0"}


@pytest.mark.parametrize("view_size", slow_but([7], [3, 5, 7]))
@pytest.mark.parametrize("id", slow_but(KEPT, MEMORY_IDS))
def test_steps_are_the_package_s(id: str, view_size: int):
    """1,200 steps each, 21,600 in all; every episode starts where the package's does."""
    package = package_env(id, agent_view_size=view_size)
    env, task = MemoryEnv(id, 1, agent_view_size=view_size), memory_task(id, view_size)
    rng = np.random.default_rng(view_size)
    obs, _ = package.reset(seed=view_size)
    follow(env, package)
    ends: Counter[tuple[bool, bool, bool]] = Counter()
    for _ in range(1200):
        action = int(rng.choice(7, p=[0.16, 0.16, 0.56, 0.03, 0.03, 0.03, 0.03]))
        obs, reward, terminated, truncated, _ = package.step(action)
        ours = env.step(torch.tensor([action]))
        np.testing.assert_array_equal(ours.final_obs["image"][0].numpy(), obs["image"])
        assert ours.final_obs["direction"].item() == obs["direction"]
        assert ours.reward.item() == np.float32(reward)
        assert (ours.terminated.item(), ours.truncated.item()) == (terminated, truncated)
        if terminated or truncated:
            assert ours.metrics["success"].item() == (reward > 0)
            assert ours.metrics["length"].item() == package.step_count
            ends[terminated, truncated, reward > 0] += 1
            package.reset()
            follow(env, package)
    assert ends, "no episode ended"
    assert int(task.success.sum()) > 0


def follow(env: MemoryEnv, package: object) -> None:
    """Put our only copy into the state of a package's environment that has just been reset."""
    task = memory_task(env.id, env.observation_space["image"].shape[0])
    state = locate(task.automaton, from_package([package]))  # type: ignore[list-item]
    saved = env.state_dict()
    saved |= {"state": state, "t": torch.zeros(1, dtype=torch.int64)}
    saved["cue_seen"] = task.cue_visible[state]
    env.load_state_dict(saved)


@pytest.mark.parametrize("id", slow_but(KEPT, ["MiniGrid-MemoryS7-v0", "MiniGrid-MemoryS13-v0"]))
def test_every_state_and_action_leads_where_the_package_goes(id: str):
    package, task = package_env(id), memory_task(id)
    package.reset(seed=0)
    size = package.width
    levels = {}
    for seed in range(200):  # the package's own grids, one for each level
        package.reset(seed=seed)
        key = from_package([package]).cells[0].numpy().tobytes()
        levels.setdefault(key, (package.grid, package.success_pos, package.failure_pos))
    assert len(levels) == 4
    for s in range(len(task.success)):
        if task.success[s] or task.failure[s]:
            continue
        state = rows(task.automaton.states, torch.tensor([s]))
        grid, success, failure = levels[state.cells[0].numpy().tobytes()]
        for action in range(7):
            package.grid, package.success_pos, package.failure_pos = grid, success, failure
            cell = int(state.cell)
            package.agent_pos, package.agent_dir = divmod(cell, size), int(state.direction)
            package.step_count = 0
            obs, reward, terminated, _, _ = package.step(action)
            after = int(task.automaton.next_state[s, action])
            np.testing.assert_array_equal(task.image[after].numpy(), obs["image"])
            assert bool(task.success[after]) == (reward > 0)
            assert bool(task.success[after] | task.failure[after]) == terminated
            assert torch.equal(
                locate(task.automaton, from_package([package])), torch.tensor([after])
            )


@pytest.mark.parametrize("id", slow_but(KEPT, MEMORY_IDS))
def test_starts_are_exactly_those_of_the_package(id: str):
    package, task = package_env(id), memory_task(id)
    package.reset(seed=7)
    starts = int(task.starts.poses.sum())
    draws, seen = 400, []
    for _ in range(draws):
        package.reset()
        seen.append(from_package([package]))
    found = torch.cat([locate(task.automaton, state) for state in seen])
    assert int(found.max()) < starts
    # χ² of the package's own draws under the claimed distribution, five standard deviations wide
    # (the second term of the spread is for small expected counts).
    chance = start_probabilities(task)[:starts]
    counts = torch.bincount(found, minlength=starts)
    chi2 = float(((counts - draws * chance) ** 2 / (draws * chance)).sum())
    spread = (2 * (starts - 1) + float((1 / chance).sum() / draws)) ** 0.5
    assert abs(chi2 - (starts - 1)) < 5 * spread


@pytest.mark.parametrize("id", MEMORY_IDS)
def test_draws_follow_the_package_s_distribution(id: str):
    task, draws = memory_task(id), 200_000
    chance = start_probabilities(task)
    starts = int(task.starts.poses.sum())
    number = task.starts.draw(draws, torch.Generator().manual_seed(5))
    counts = torch.bincount(number, minlength=starts)
    expected = draws * chance[:starts]
    chi2 = float(((counts - expected) ** 2 / expected).sum())
    assert abs(chi2 - (starts - 1)) < 5 * (2 * (starts - 1)) ** 0.5
    # he is uniform, then x is uniform over 1 … he: every pose of a level has the same chance
    levels = len(task.starts.first)
    for first, poses in zip(*task.starts, strict=True):
        torch.testing.assert_close(
            chance[first : first + poses],
            torch.full((int(poses),), 1 / (levels * int(poses)), dtype=torch.float64),
        )


@pytest.mark.parametrize(
    ("id", "states"),
    [("MiniGrid-MemoryS7-v0", 192), ("MiniGrid-MemoryS17Random-v0", 2992)],
)
def test_the_number_of_states_is_known(id: str, states: int):
    task = memory_task(id)
    ends = task.success | task.failure
    # Published counts let an agent turn on after the end; here each end is reached one way only.
    assert int((~ends).sum()) + 4 * int(ends.sum()) == states
