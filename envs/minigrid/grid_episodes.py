"""How an episode on the grid engine begins and goes on, for B copies at once and any task_rules."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from memrl.envs.minigrid.bank import Bank
from memrl.envs.minigrid.cells import EMPTY
from memrl.envs.minigrid.engine import GridEngine, GridState
from memrl.envs.minigrid.task_rules import StepInfo, StepResult, TaskRules


class EpisodeState(NamedTuple):
    """B episodes that are under way."""

    grid: GridState  # [B]
    facts: Tensor  # int64 [B, K]: of the task_rules
    mission: Tensor  # int64 [B, L]
    t: Tensor  # int64 [B]: env steps taken


def begin(bank: Bank, level: Int[Tensor, " B"]) -> EpisodeState:
    """The first states of levels, by number."""
    cells = bank.cells.index_select(0, level)
    contents = torch.full_like(cells, EMPTY)
    if bank.contents.shape[1]:
        contents = bank.contents.index_select(0, level)
    nothing = torch.full_like(cells[:, 0], EMPTY)
    small = (bank.cell, bank.direction, bank.facts, bank.mission)
    cell, direction, facts, mission = (leaf.index_select(0, level).long() for leaf in small)
    grid = GridState(cells, contents, cell, direction, nothing, nothing)
    return EpisodeState(grid, facts, mission, torch.zeros_like(cell))


def advance(
    engine: GridEngine,
    task_rules: TaskRules,
    play: EpisodeState,
    action: Int[Tensor, " B"],
    generator: torch.Generator,
) -> tuple[EpisodeState, StepResult]:
    """One step of every copy. The grids of the given play are used up: they are written in place.

    ``generator`` is drawn from only where the task_rules moves things by itself.
    """
    facts = play.facts
    if task_rules.move_objects is not None:
        bits = torch.empty_like(facts).random_(generator=generator)  # 63 random bits each
        facts = task_rules.move_objects(facts, play.grid, bits, engine)
    grid, events = engine.step(play.grid, action, in_place=True)
    result = task_rules.result(StepInfo(facts, action, grid, events, engine.height))
    return EpisodeState(grid, facts, play.mission, play.t + 1), result


def autoreset(
    play: EpisodeState,
    image: Shaped[Tensor, "B ..."],
    ended: Bool[Tensor, " B"],
    bank: Bank,
    first: Shaped[Tensor, "M ..."],
    level: Int[Tensor, " B"],
) -> tuple[EpisodeState, Shaped[Tensor, "B ..."]]:
    """Begin ``level`` in the rows that ended: what follows there, and what the agents see of it.

    The grids of ``play`` are used up. What observations show of a state is never written to: those
    leaves are new tensors. ``first`` holds what is seen at the start of every level.
    """
    # To count rows is to wait for the device, unless it is the host itself.
    renew = autoreset_by_index if ended.device.type == "cpu" else autoreset_by_mask
    return renew(play, image, ended, bank, first, level)


def autoreset_by_index(
    play: EpisodeState, image: Tensor, ended: Tensor, bank: Bank, first: Tensor, level: Tensor
) -> tuple[EpisodeState, Tensor]:
    """`autoreset` that touches the grids only of the rows that ended."""
    rows = ended.nonzero().squeeze(1)
    level = level.index_select(0, rows)
    fresh = begin(bank, level)
    grids = zip(play.grid[:2], fresh.grid[:2], strict=True)
    pairs = zip(_small(play, image), _small(fresh, first.index_select(0, level)), strict=True)
    return _play(
        [old.index_copy_(0, rows, new) for old, new in grids],
        [old.index_copy(0, rows, new) for old, new in pairs],
    )


def autoreset_by_mask(
    play: EpisodeState, image: Tensor, ended: Tensor, bank: Bank, first: Tensor, level: Tensor
) -> tuple[EpisodeState, Tensor]:
    """`autoreset` that selects in every row, and so waits for nothing."""
    fresh = begin(bank, level)
    old = [*play.grid[:2], *_small(play, image)]
    new = [*fresh.grid[:2], *_small(fresh, first.index_select(0, level))]
    leaves = [
        torch.where(ended.view(-1, *[1] * (after.dim() - 1)), after, before)
        for before, after in zip(old, new, strict=True)
    ]
    return _play(leaves[:2], leaves[2:])


def _small(play: EpisodeState, image: Tensor) -> list[Tensor]:
    """Every leaf but the grids: cells and contents."""
    return [*play.grid[2:], play.facts, play.mission, play.t, image]


def _play(grids: list[Tensor], small: list[Tensor]) -> tuple[EpisodeState, Tensor]:
    *rest, facts, mission, t, image = small
    return EpisodeState(GridState(*grids, *rest), facts, mission, t), image
