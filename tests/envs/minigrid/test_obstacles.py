"""Balls that wander move as the package's do, in distribution."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from minigrid.core.world_object import Ball
from minigrid.minigrid_env import MiniGridEnv
from minigrid_package import engine_for, package_env
from suites import slow
from torch import Tensor

from memrl.envs.minigrid.automaton import rows
from memrl.envs.minigrid.obstacles import OBSTACLES
from memrl.envs.minigrid.translate import from_package

DRAWS = 6000
STIR = OBSTACLES.move_objects
assert STIR is not None


def room(*balls: tuple[int, int], agent: tuple[int, int] = (1, 1)) -> MiniGridEnv:
    """A 5 × 5 room with a goal at (3, 3) and balls where they are wanted."""
    env = package_env("MiniGrid-Dynamic-Obstacles-5x5-v0")
    env.reset(seed=0)
    for ball in env.obstacles:
        env.grid.set(*ball.cur_pos, None)
    env.obstacles = [Ball() for _ in balls]
    for ball, cell in zip(env.obstacles, balls, strict=True):
        env.put_obj(ball, *cell)
    env.agent_pos, env.agent_dir = agent, 0
    return env


def stirred(env: MiniGridEnv, draws: int = DRAWS, bits: Tensor | None = None) -> Tensor:
    """Where the balls are after one step, many times over: cells [draws, balls]."""
    state = rows(from_package([env]), torch.zeros(draws, dtype=torch.int64))
    facts = torch.tensor([OBSTACLES.read_facts(env)]).repeat(draws, 1)
    if bits is None:
        bits = torch.empty_like(facts).random_(generator=torch.Generator().manual_seed(1))
    before = state.cells.clone()
    moved = STIR(facts, state, bits, engine_for(env))
    for row in range(0, draws, 97):
        emptied = before[row].scatter(0, facts[row, :-1], 1)
        assert torch.equal(state.cells[row], emptied.scatter(0, moved[row, :-1], 6 | 2 << 4))
    return moved[:, :-1]


def packages_moves(env: MiniGridEnv, draws: int) -> Counter[tuple[int, ...]]:
    """Where the package's balls are after one step, many times over."""
    start = [ball.cur_pos for ball in env.obstacles]
    seen: Counter[tuple[int, ...]] = Counter()
    for _ in range(draws):
        env.step(0)
        seen[tuple(OBSTACLES.read_facts(env)[:-1])] += 1
        for ball in env.obstacles:
            env.grid.set(*ball.cur_pos, None)
        for ball, cell in zip(env.obstacles, start, strict=True):
            env.put_obj(ball, *cell)
        env.agent_dir = 0
    return seen


def chi2(seen: Counter[tuple[int, ...]], other: Counter[tuple[int, ...]]) -> tuple[float, int]:
    """Two samples of one size: their distance, and how many outcomes there were."""
    every = set(seen) | set(other)
    return sum((seen[k] - other[k]) ** 2 / (seen[k] + other[k]) for k in every), len(every)


@pytest.mark.parametrize(
    ("balls", "agent"),
    [(((2, 2),), (1, 1)), (((1, 2), (2, 2)), (1, 1)), slow(((3, 1), (2, 1), (3, 2)), (2, 2))],
)
def test_moves_follow_the_package_s_distribution(balls, agent):
    """In turn, to a free cell around, the agent's excluded; five standard deviations wide."""
    env = room(*balls, agent=agent)
    ours = Counter(map(tuple, stirred(env, 1500).tolist()))
    distance, outcomes = chi2(ours, packages_moves(env, 1500))
    assert outcomes > 3
    assert abs(distance - (outcomes - 1)) < 5 * (2 * outcomes) ** 0.5


def test_free_cells_around_a_ball_are_drawn_evenly():
    free = [1 * 5 + 2, 1 * 5 + 3, 2 * 5 + 1, 2 * 5 + 3, 3 * 5 + 1, 3 * 5 + 2]
    counts = torch.bincount(stirred(room((2, 2))).flatten(), minlength=25)
    assert counts.sum() == counts[free].sum() == DRAWS
    distance = float(((counts[free] - DRAWS / 6) ** 2 / (DRAWS / 6)).sum())
    assert distance < 5 + 5 * 10**0.5


def test_a_ball_with_no_free_cell_stays():
    env = room((1, 1), (1, 2), (2, 1), agent=(2, 2))
    env.grid.set(2, 2, None)
    first = stirred(env)[:, 0]
    assert (first == 1 * 5 + 1).all()


def test_a_ball_gives_up_as_rarely_as_a_hundred_and_one_draws_fail():
    env = room((1, 1), (1, 2), agent=(2, 2))  # the first ball has one free cell
    last = int((1 - (8 / 9) ** 101) * 2**31)  # of the numbers of 31 bits that move it
    for luck, cell in ((last - 8, (2, 1)), (last + 8, (1, 1))):
        bits = torch.full((1, 3), luck << 32)
        assert stirred(env, 1, bits)[0, 0] == cell[0] * 5 + cell[1]


def test_the_balls_of_a_copy_are_where_its_cells_say():
    moved = stirred(room((2, 2), (1, 3), (3, 1)))
    pairs = torch.combinations(torch.arange(3))
    assert all((moved[:, a] != moved[:, b]).all() for a, b in pairs.tolist())
