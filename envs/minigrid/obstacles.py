"""MiniGrid-Dynamic-Obstacles: balls that wander, and an agent that must not run into them."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any, Final

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
_TRIES: Final = 101  # after so many cells that are taken, the package leaves a ball where it is


def _read(env: Any) -> list[int]:
    """The balls' cells in the order of their moves, then room for what is ahead of the agent."""
    return [*(place(env, ball.cur_pos) for ball in env.obstacles), EMPTY]


def _stir(facts: Tensor, state: GridState, bits: Tensor, engine: GridEngine) -> Tensor:
    """Every ball in its turn moves to one of the free cells around it; the agent's is not free.

    The package draws from all nine cells until one is free and gives up after 101 draws, so that a
    ball with n free cells stays where it is with probability (1 - n / 9)^101.
    """
    ahead = state.cells.gather(1, engine.front(state).unsqueeze(1))
    offsets, weights, chosen, gives_up = _tables(engine.height, str(facts.device))
    where = []
    for here, number in zip(facts[:, :-1].unbind(1), bits.unbind(1), strict=False):
        around = here.unsqueeze(1) + offsets[:-1]  # [B, 8]
        free = (state.cells.gather(1, around) == EMPTY) & (around != state.cell.unsqueeze(1))
        free_bits = (free * weights).sum(1)
        moves = number // _SHARES >= gives_up.index_select(0, free_bits)
        step = chosen.index_select(0, free_bits * _SHARES + number % _SHARES)
        there = here + offsets.index_select(0, step) * moves
        move_ball(state, here, there)
        where.append(there)
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


@cache
def _tables(height: int, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Offsets of the eight cells around and of staying [9], and what to draw from them.

    By which of the eight are free, as bits: ``chosen`` [256 · 840] is an offset's number, and a
    random number below ``gives_up`` [256] leaves the ball where it is.
    """
    offsets = torch.tensor([x * height + y for x, y in _AROUND] + [0])
    weights = 1 << torch.arange(8)
    chosen, gives_up = [], []
    for bits in range(256):
        free = [i for i in range(8) if bits >> i & 1]
        chosen.append([free[share % len(free)] if free else 8 for share in range(_SHARES)])
        stays = (1 - Fraction(len(free), 9)) ** _TRIES
        gives_up.append(int(stays * (2**63 // _SHARES)))
    tables = (offsets, weights, torch.tensor(chosen).flatten(), torch.tensor(gives_up))
    return tuple(table.to(device) for table in tables)  # type: ignore[return-value]


OBSTACLES = Overlay(_read, _judge, _stir, num_actions=FORWARD + 1)
