"""Start, step and autoreset of B episodes on the grid engine, for any task rules."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from memrl.envs.minigrid.bank import Bank
from memrl.envs.minigrid.cells import EMPTY
from memrl.envs.minigrid.engine import GridEngine, GridState
from memrl.envs.minigrid.task_rules import StepInfo, StepResult, TaskRules
from memrl.envs.rows import where_rows


class GridEpisodes(NamedTuple):
    """The state of B episodes."""

    grid: GridState  # [B]
    facts: Tensor  # int64 [B, K]: of the task rules
    mission: Tensor  # int64 [B, L]
    level: Tensor  # int64 [B]: where the episode started
    t: Tensor  # int64 [B]: env steps taken


def start_episodes(bank: Bank, level: Int[Tensor, " B"]) -> GridEpisodes:
    """Start episodes in the levels with the given indices."""
    cells = bank.cells.index_select(0, level)
    contents = torch.full_like(cells, EMPTY)
    if bank.contents.shape[1]:
        contents = bank.contents.index_select(0, level)
    nothing = torch.full_like(cells[:, 0], EMPTY)
    small = (bank.cell, bank.direction, bank.facts, bank.mission)
    cell, direction, facts, mission = (leaf.index_select(0, level).long() for leaf in small)
    grid = GridState(cells, contents, cell, direction, nothing, nothing)
    return GridEpisodes(grid, facts, mission, level.clone(), torch.zeros_like(cell))


def advance(
    engine: GridEngine,
    task_rules: TaskRules,
    episodes: GridEpisodes,
    action: Int[Tensor, " B"],
    generator: torch.Generator,
) -> tuple[GridEpisodes, StepResult]:
    """Step every episode; this overwrites the grids of the given episodes in place.

    Only task rules that move objects draw from ``generator``.
    """
    facts = episodes.facts
    if task_rules.move_objects is not None:
        bits = torch.empty_like(facts).random_(generator=generator)  # 63 random bits each
        facts = task_rules.move_objects(facts, episodes.grid, bits, engine)
    grid, events = engine.step(episodes.grid, action, in_place=True)
    result = task_rules.result(StepInfo(facts, action, grid, events, engine.height))
    return episodes._replace(grid=grid, facts=facts, t=episodes.t + 1), result


def autoreset(
    episodes: GridEpisodes,
    image: Shaped[Tensor, "B ..."],
    ended: Bool[Tensor, " B"],
    bank: Bank,
    first: Shaped[Tensor, "M ..."],
    level: Int[Tensor, " B"],
) -> tuple[GridEpisodes, Shaped[Tensor, "B ..."]]:
    """Start new episodes in the rows that ended; returns all episodes and their encoded images.

    Args:
        episodes: after a step; their grids are overwritten in place, all other leaves are kept.
        image: the encoded images of ``episodes``.
        ended: the rows to reset.
        bank: of the levels.
        first: the encoded first image of every level.
        level: the level that each row starts if it ended.
    """
    # Counting the ended rows would wait for any device but the CPU.
    reset_rows = autoreset_by_index if ended.device.type == "cpu" else autoreset_by_mask
    return reset_rows(episodes, image, ended, bank, first, level)


def autoreset_by_index(
    episodes: GridEpisodes, image: Tensor, ended: Tensor, bank: Bank, first: Tensor, level: Tensor
) -> tuple[GridEpisodes, Tensor]:
    """`autoreset` that writes only the grids of ended rows."""
    rows = ended.nonzero().squeeze(1)
    level = level.index_select(0, rows)
    fresh = start_episodes(bank, level)
    grids = zip(episodes.grid[:2], fresh.grid[:2], strict=True)
    pairs = zip(_small(episodes, image), _small(fresh, first.index_select(0, level)), strict=True)
    return _episodes(
        [old.index_copy_(0, rows, new) for old, new in grids],
        [old.index_copy(0, rows, new) for old, new in pairs],
    )


def autoreset_by_mask(
    episodes: GridEpisodes, image: Tensor, ended: Tensor, bank: Bank, first: Tensor, level: Tensor
) -> tuple[GridEpisodes, Tensor]:
    """`autoreset` that selects in every row, so that nothing waits for the device."""
    fresh = start_episodes(bank, level)
    old = [*episodes.grid[:2], *_small(episodes, image)]
    new = [*fresh.grid[:2], *_small(fresh, first.index_select(0, level))]
    leaves = [where_rows(ended, after, before) for before, after in zip(old, new, strict=True)]
    return _episodes(leaves[:2], leaves[2:])


def _small(episodes: GridEpisodes, image: Tensor) -> list[Tensor]:
    """Every leaf except the grids' cells and contents."""
    return [*episodes.grid[2:], *episodes[1:], image]


def _episodes(grids: list[Tensor], small: list[Tensor]) -> tuple[GridEpisodes, Tensor]:
    *rest, facts, mission, level, t, image = small
    return GridEpisodes(GridState(*grids, *rest), facts, mission, level, t), image
