"""MiniGrid-Dynamic-Obstacles: balls that wander, and an agent that must not run into them."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from memrl.envs.minigrid.cells import BALL, BLUE, EMPTY, GOAL, GREEN, pack
from memrl.envs.minigrid.engine import FORWARD, GridEngine, GridState
from memrl.envs.minigrid.overlay import Overlay, Scene, Verdict, place

_BALL: Final = pack(BALL, BLUE)
_GOAL: Final = pack(GOAL, GREEN)
_AROUND: Final = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if (x, y) != (0, 0)]
_SHARES: Final = 840  # divides by 1 … 8: a number below it picks one of n cells exactly evenly
_HALF: Final = 2**31 - 1
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
    share = (bits & _HALF) * _SHARES >> 31  # 0 … 839
    luck = bits >> 31  # 0 … 2^32 - 1
    agent = state.cell.unsqueeze(1)
    state.cells.scatter_(1, agent, state.cells.gather(1, agent) | _OCCUPIED)
    where = []
    for i, here in enumerate(facts[:, :-1].unbind(1)):
        around = state.cells.gather(1, here.unsqueeze(1) + table.around)  # [B, 8]
        free = ((around == EMPTY).float() @ table.weights).long()
        step = table.step.index_select(0, free * _SHARES + share[:, i])
        moves = luck[:, i] >= table.gives_up.index_select(0, free)
        there = here + step * moves
        move_ball(state, here, there)
        where.append(there)
    state.cells.scatter_(1, agent, state.cells.gather(1, agent) & _OCCUPIED - 1)
    return torch.cat([torch.stack(where, 1), ahead], 1)


def move_ball(state: GridState, here: Int[Tensor, " B"], there: Int[Tensor, " B"]) -> None:
    """Put one ball of every grid elsewhere, in place; ``there`` may be ``here``."""
    state.cells.scatter_(1, here.unsqueeze(1), EMPTY)
    state.cells.scatter_(1, there.unsqueeze(1), _BALL)


def _judge(scene: Scene) -> Verdict:
    """A step towards what stood ahead before the balls moved is a crash, even if it has left."""
    ahead = scene.facts[:, -1]
    crash = (scene.action == FORWARD) & (ahead != EMPTY) & (ahead != _GOAL)
    return Verdict(scene.events.goal & ~crash, scene.events.goal | crash, crash)


class _Table(NamedTuple):
    """What a ball may do, by which of the eight cells around it are free, as bits."""

    around: Tensor  # int64 [8]: from the ball's cell to those around it
    weights: Tensor  # float32 [8]: bits
    step: Tensor  # int64 [256 · 840]: where to, by a number from 0 to 839
    gives_up: Tensor  # int64 [256]: a number of 32 bits below it leaves the ball where it is


@cache
def _table(height: int, device: str) -> _Table:
    around = [x * height + y for x, y in _AROUND]
    steps, gives_up = [], []
    for bits in range(256):
        free = [cell for i, cell in enumerate(around) if bits >> i & 1]
        steps += [free[share % len(free)] if free else 0 for share in range(_SHARES)]
        gives_up.append(round((1 - len(free) / 9) ** _TRIES * 2**32))
    weights = 2.0 ** torch.arange(8)
    table = _Table(*map(torch.tensor, (around, weights.tolist(), steps, gives_up)))
    return _Table(*(leaf.to(device) for leaf in table))


OBSTACLES = Overlay(_read, _judge, _stir, num_actions=FORWARD + 1)
