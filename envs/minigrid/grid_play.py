"""How an episode on the grid engine begins and goes on, for B copies at once and any overlay."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from memrl.envs.minigrid.bank import Bank
from memrl.envs.minigrid.cells import EMPTY
from memrl.envs.minigrid.engine import GridEngine, GridState
from memrl.envs.minigrid.overlay import Overlay, Scene, Verdict


class Play(NamedTuple):
    """B episodes that are under way."""

    grid: GridState  # [B]
    facts: Tensor  # int64 [B, K]: of the overlay
    mission: Tensor  # int64 [B, L]
    t: Tensor  # int64 [B]: env steps taken


def begin(bank: Bank, level: Int[Tensor, " B"]) -> Play:
    """The first states of levels, by number."""
    cells = bank.cells.index_select(0, level).int()
    contents = torch.full_like(cells, EMPTY)
    if bank.contents.shape[1]:
        contents = bank.contents.index_select(0, level).int()
    nothing = torch.full_like(cells[:, 0], EMPTY)
    small = (bank.cell, bank.direction, bank.facts, bank.mission)
    cell, direction, facts, mission = (leaf.index_select(0, level).long() for leaf in small)
    grid = GridState(cells, contents, cell, direction, nothing, nothing)
    return Play(grid, facts, mission, torch.zeros_like(cell))


def advance(
    engine: GridEngine,
    overlay: Overlay,
    play: Play,
    action: Int[Tensor, " B"],
    generator: torch.Generator,
) -> tuple[Play, Verdict]:
    """One step of every copy. The grids of the given play are used up: they are written in place.

    ``generator`` is drawn from only where the overlay moves things by itself.
    """
    facts = play.facts
    if overlay.stir is not None:
        bits = torch.empty_like(facts).random_(generator=generator)  # 63 random bits each
        facts = overlay.stir(facts, play.grid, bits, engine)
    grid, events = engine.step(play.grid, action, donate=True)
    verdict = overlay.judge(Scene(facts, action, grid, events, engine.height))
    return Play(grid, facts, play.mission, play.t + 1), verdict


def restart(
    play: Play,
    image: UInt8[Tensor, "B V V 3"],
    ended: Bool[Tensor, " B"],
    bank: Bank,
    first: UInt8[Tensor, "M V V 3"],
    level: Int[Tensor, " B"],
) -> tuple[Play, UInt8[Tensor, "B V V 3"]]:
    """Begin ``level`` in the rows that ended: what follows there, and what the agents see of it.

    The grids of ``play`` are written in place. What observations show of a state is never written
    to: those leaves are new tensors. ``first`` holds what is seen at the start of every level.
    """
    if ended.device.type == "cpu":  # where nothing waits for a device, only those rows are touched
        rows = ended.nonzero().squeeze(1)
        level = level.index_select(0, rows)
        fresh = begin(bank, level)
        cells = play.grid.cells.index_copy_(0, rows, fresh.grid.cells)
        contents = play.grid.contents.index_copy_(0, rows, fresh.grid.contents)
        pairs = zip(_small(play, image), _small(fresh, first.index_select(0, level)), strict=True)
        small = [old.index_copy(0, rows, new) for old, new in pairs]
    else:
        fresh = begin(bank, level)
        cells = torch.where(ended.unsqueeze(1), fresh.grid.cells, play.grid.cells)
        contents = torch.where(ended.unsqueeze(1), fresh.grid.contents, play.grid.contents)
        pairs = zip(_small(play, image), _small(fresh, first.index_select(0, level)), strict=True)
        small = [
            torch.where(ended.view(-1, *[1] * (new.dim() - 1)), new, old) for old, new in pairs
        ]
    cell, direction, carried, carried_contents, facts, mission, t, image = small
    grid = GridState(cells, contents, cell, direction, carried, carried_contents)
    return Play(grid, facts, mission, t), image


def _small(play: Play, image: Tensor) -> list[Tensor]:
    """Every leaf but the grids."""
    return [*play.grid[2:], play.facts, play.mission, play.t, image]
