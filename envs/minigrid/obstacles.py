"""MiniGrid-Dynamic-Obstacles: balls that move at random, which the agent must avoid."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from memrl.envs.minigrid.cells import BALL, BLUE, EMPTY, GOAL, GREEN, pack
from memrl.envs.minigrid.engine import FORWARD, GridEngine, GridState
from memrl.envs.minigrid.task_rules import StepInfo, StepResult, TaskRules, place

_BALL: Final = pack(BALL, BLUE)
_GOAL: Final = pack(GOAL, GREEN)
_AROUND: Final = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if (x, y) != (0, 0)]
_RANDOM_BITS, _SCALE_BITS = 31, 28  # of two factors; with n ≤ 8 their product has below 63 bits
_GATHER_BITS: Final = sum(1 << 56 - 7 * flag for flag in range(8))
_OCCUPIED: Final = 128  # marks the agent's cell, which is empty but not free
_TRIES: Final = 101  # after so many occupied cells, the package does not move the ball


def _read_facts(env: Any) -> list[int]:
    """The balls' cells in the order of their moves, then a slot for the code ahead of the agent."""
    return [*(place(env, ball.cur_pos) for ball in env.obstacles), EMPTY]


def _move_balls(facts: Tensor, state: GridState, bits: Tensor, engine: GridEngine) -> Tensor:
    """Move every ball in turn to a free cell around it; the agent's cell is not free.

    The package draws from all nine cells until one is free, and gives up after 101 draws. A ball
    with n free cells therefore stays with probability (1 - n / 9)^101.
    """
    table = _table(engine.height, str(facts.device))
    ahead = state.cells.gather(1, engine.front(state).unsqueeze(1))
    # All grids as one row, because index_select on a row is faster than gather on a table.
    row = state.cells.view(-1)
    begins = torch.arange(len(facts), device=facts.device) * state.cells.shape[1]
    agent = begins + state.cell
    row.index_copy_(0, agent, row.index_select(0, agent) | _OCCUPIED)
    random = (bits >> 63 - _RANDOM_BITS).T.contiguous()  # one row per ball
    places = facts[:, :-1].T.contiguous() + begins
    for i, here in enumerate(places.unbind(0)):
        around = row.index_select(0, (here.unsqueeze(1) + table.around).view(-1))
        free = _pattern((around == EMPTY).view(-1, 8))
        chosen = random[i] * table.scale.index_select(0, free) >> _RANDOM_BITS + _SCALE_BITS
        there = here + table.step.index_select(0, (free << 3) + chosen)
        row.index_fill_(0, here, EMPTY).index_fill_(0, there, _BALL)
        places[i] = there
    row.index_copy_(0, agent, row.index_select(0, agent) & _OCCUPIED - 1)
    return torch.cat([(places - begins).T, ahead], 1)


def _pattern(flags: Bool[Tensor, "B 8"]) -> Int[Tensor, " B"]:
    """Eight flags as a number, 0 to 255; a product moves each byte (0 or 1) into the top one."""
    return (flags.view(torch.int64).squeeze(1) * _GATHER_BITS >> 56) & 255


def _result(step: StepInfo) -> StepResult:
    """Moving towards an object that was ahead before the balls moved is a crash."""
    ahead = step.facts[:, -1]
    crash = (step.action == FORWARD) & (ahead != EMPTY) & (ahead != _GOAL)
    return StepResult(step.events.goal & ~crash, step.events.goal | crash, crash)


class _Table(NamedTuple):
    """The possible moves of a ball, by the pattern of free cells around it.

    A ball stays with probability g. With u uniform in [0, 1) it moves to the free cell with index
    ⌊u n / (1 - g)⌋ of n, and stays if this index is n or more.
    """

    around: Tensor  # int64 [8]: offsets from the ball's cell to those around it
    step: Tensor  # int64 [256 · 8]: offsets to the first, second … free cell; then 0
    scale: Tensor  # int64 [256]: n / (1 - g), in units of 1 / 2^28


@cache
def _table(height: int, device: str) -> _Table:
    around = torch.tensor([x * height + y for x, y in _AROUND])
    step, scale = torch.zeros(256, 8, dtype=torch.int64), torch.zeros(256, dtype=torch.int64)
    flags = torch.cartesian_prod(*[torch.tensor([False, True])] * 8)
    for pattern, free in zip(_pattern(flags).tolist(), flags, strict=True):
        if n := int(free.sum()):
            step[pattern, :n] = around[free]
            scale[pattern] = round(n / (1 - (1 - n / 9) ** _TRIES) * 2**_SCALE_BITS)
    return _Table(*(leaf.to(device) for leaf in (around, step.view(-1), scale)))


OBSTACLES = TaskRules(_read_facts, _result, _move_balls, num_actions=FORWARD + 1)
