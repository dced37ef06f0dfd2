"""MiniGrid-Dynamic-Obstacles: balls that wander, and an agent that must not run into them."""

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
_LUCK, _ODDS = 31, 28  # bits of two factors; with n ≤ 8 their product has less than 63
_GATHER_BITS: Final = sum(1 << 56 - 7 * flag for flag in range(8))
_OCCUPIED: Final = 128  # marks the agent's cell, which holds nothing but is not free either
_TRIES: Final = 101  # after so many cells that are taken, the package leaves a ball where it is


def _read(env: Any) -> list[int]:
    """The balls' cells in the order of their moves, then room for what is ahead of the agent."""
    return [*(place(env, ball.cur_pos) for ball in env.obstacles), EMPTY]


def _stir(facts: Tensor, state: GridState, bits: Tensor, engine: GridEngine) -> Tensor:
    """Every ball in its turn moves to one of the free cells around it; the agent's is not free.

    The package draws from all nine cells until one is free and gives up after 101 draws, so that a
    ball with n free cells stays where it is with probability (1 - n / 9)^101.
    """
    table = _table(engine.height, str(facts.device))
    ahead = state.cells.gather(1, engine.front(state).unsqueeze(1))
    # All grids as one row, since to select from a row is faster than to gather from a table.
    row = state.cells.view(-1)
    begins = torch.arange(len(facts), device=facts.device) * state.cells.shape[1]
    agent = begins + state.cell
    row.index_copy_(0, agent, row.index_select(0, agent) | _OCCUPIED)
    luck = (bits >> 63 - _LUCK).T.contiguous()  # a ball of every copy after the other
    places = facts[:, :-1].T.contiguous() + begins
    for i, here in enumerate(places.unbind(0)):
        around = row.index_select(0, (here.unsqueeze(1) + table.around).view(-1))
        free = _pattern((around == EMPTY).view(-1, 8))
        chosen = luck[i] * table.odds.index_select(0, free) >> _LUCK + _ODDS
        there = here + table.step.index_select(0, (free << 3) + chosen)
        row.index_fill_(0, here, EMPTY).index_fill_(0, there, _BALL)
        places[i] = there
    row.index_copy_(0, agent, row.index_select(0, agent) & _OCCUPIED - 1)
    return torch.cat([(places - begins).T, ahead], 1)


def _pattern(flags: Bool[Tensor, "B 8"]) -> Int[Tensor, " B"]:
    """Eight flags as a number from 0 to 255: each byte, 0 or 1, is multiplied into the top one."""
    return (flags.view(torch.int64).squeeze(1) * _GATHER_BITS >> 56) & 255


def _result(step: StepInfo) -> StepResult:
    """A step towards what stood ahead before the balls moved is a crash, even if it has left."""
    ahead = step.facts[:, -1]
    crash = (step.action == FORWARD) & (ahead != EMPTY) & (ahead != _GOAL)
    return StepResult(step.events.goal & ~crash, step.events.goal | crash, crash)


class _Table(NamedTuple):
    """What a ball may do, by the pattern of free cells around it.

    Of n free cells the one with number ⌊u n / (1 - g)⌋ is chosen, u from 0 to 1; what lies beyond
    the last of them is the probability g to stay.
    """

    around: Tensor  # int64 [8]: from the ball's cell to those around it
    step: Tensor  # int64 [256 · 8]: to the first, second … free cell; 0 beyond the last one
    odds: Tensor  # int64 [256]: n / (1 - g), in units of 1 / 2^28


@cache
def _table(height: int, device: str) -> _Table:
    around = torch.tensor([x * height + y for x, y in _AROUND])
    step, odds = torch.zeros(256, 8, dtype=torch.int64), torch.zeros(256, dtype=torch.int64)
    flags = torch.cartesian_prod(*[torch.tensor([False, True])] * 8)
    for pattern, free in zip(_pattern(flags).tolist(), flags, strict=True):
        if n := int(free.sum()):
            step[pattern, :n] = around[free]
            odds[pattern] = round(n / (1 - (1 - n / 9) ** _TRIES) * 2**_ODDS)
    return _Table(*(leaf.to(device) for leaf in (around, step.view(-1), odds)))


OBSTACLES = TaskRules(_read, _result, _stir, num_actions=FORWARD + 1)
