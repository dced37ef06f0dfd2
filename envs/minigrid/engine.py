"""The grid engine: MiniGrid's base step and observation for B grids at once.

It implements walls, doors, keys, balls, boxes, goals and lava. Other modules add time limits,
rewards, levels and task rules. There is no loop over grids, and no step waits for the device.
"""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from memrl.envs.minigrid.cells import EMPTY, cell_tables
from memrl.envs.minigrid.geometry import front_table, view_table
from memrl.envs.minigrid.visibility import VIEW_SIZES, row_table, visible

LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)
NUM_ACTIONS = 7


class GridState(NamedTuple):
    """B grids with one agent each, with the codes of ``cells``; C = width · height."""

    cells: Tensor  # uint8 [B, C + 1]; the last one stands for all cells outside the grid
    contents: Tensor  # uint8 [B, C + 1]: the contents of boxes
    cell: Tensor  # int64 [B]: the agent's cell, x · height + y
    direction: Tensor  # int64 [B]: 0 east, 1 south, 2 west, 3 north
    carried: Tensor  # uint8 [B]; EMPTY if the agent carries nothing
    carried_contents: Tensor  # uint8 [B]: the contents of a carried box


class Events(NamedTuple):
    """Events of a step, and the state that the rules need from before it."""

    goal: Tensor  # bool [B]: the agent stepped on a goal
    lava: Tensor  # bool [B]: the agent stepped into lava
    front: Tensor  # int64 [B]: the cell ahead of the agent before the step
    ahead: Tensor  # uint8 [B]: the code of that cell before the step
    carried: Tensor  # uint8 [B]: the carried object before the step


def check_view_size(view_size: int) -> None:
    """Raise a ValueError unless ``view_size`` is one of ``VIEW_SIZES``."""
    if view_size not in VIEW_SIZES:
        allowed = ", ".join(map(str, VIEW_SIZES))
        raise ValueError(f"agent_view_size is {view_size}, allowed: {allowed}")


@final
class GridEngine:
    """Step and observation of grids of one size with one view size.

    Args:
        width: of the grids, in cells, with the border.
        height: of the grids, in cells, with the border.
        view_size: side of the agent's square view in cells; 3, 5 or 7.
        see_through_walls: every cell of the view is visible.
        device: of the states.

    Raises:
        ValueError: ``view_size`` is not 3, 5 or 7.
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        view_size: int = 7,
        see_through_walls: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        check_view_size(view_size)
        self.width, self.height, self.view_size = width, height, view_size
        self.see_through_walls = see_through_walls
        self._tables = cell_tables(device)
        self._rows = row_table(view_size, device)
        self._front = front_table(width, height).to(device)
        self._view = view_table(width, height, view_size).to(device)
        self._turn = torch.tensor([3, 1, 0, 0, 0, 0, 0], device=device)  # added to the direction
        self._own = (view_size // 2 + 1) * view_size - 1  # the agent's cell in its view

    def front(self, state: GridState) -> Int[Tensor, " B"]:
        """The cells ahead of the agents."""
        return self._front.index_select(0, state.cell * 4 + state.direction)

    def step(
        self, state: GridState, action: Int[Tensor, " B"], *, in_place: bool = False
    ) -> tuple[GridState, Events]:
        """Take one action (``LEFT`` … ``DONE``) in every grid; the given state stays valid.

        With ``in_place`` the cells and contents of the given state are overwritten with those of
        the next state. This avoids copying every grid.

        A wall must separate the agent from the outside, as in every MiniGrid level: an object that
        it drops outside the grid is lost.
        """
        table = self._tables
        front = self.front(state)
        column = front.unsqueeze(1)
        ahead = state.cells.gather(1, column).squeeze(1)
        inside = state.contents.gather(1, column).squeeze(1)
        code = ahead.int()  # index_select takes no bytes

        forward = action == FORWARD
        moves = forward & table.enterable.index_select(0, code)
        takes = (action == PICKUP) & (state.carried == EMPTY)
        takes = takes & table.portable.index_select(0, code)
        drops = (action == DROP) & (ahead == EMPTY)  # empty hands drop EMPTY: no change
        toggles = action == TOGGLE
        opens = toggles & table.box.index_select(0, code)  # a box leaves its contents behind
        unlocks = table.key.index_select(0, code) == state.carried

        toggled = torch.where(
            unlocks, table.opened.index_select(0, code), table.toggled.index_select(0, code)
        )
        left = torch.where(toggles, toggled, ahead)
        left = torch.where(opens, inside, left)
        swaps = takes | drops  # the cell ahead and the hand change places
        left = torch.where(swaps, state.carried, left).unsqueeze(1)
        held = inside.masked_fill(opens, EMPTY)
        held = torch.where(swaps, state.carried_contents, held).unsqueeze(1)
        write = Tensor.scatter_ if in_place else Tensor.scatter
        after = GridState(
            cells=write(state.cells, 1, column, left),
            contents=write(state.contents, 1, column, held),
            cell=torch.where(moves, front, state.cell),
            direction=state.direction + self._turn.index_select(0, action) & 3,
            carried=torch.where(swaps, ahead, state.carried),
            carried_contents=torch.where(swaps, inside, state.carried_contents),
        )
        events = Events(
            goal=forward & table.goal.index_select(0, code),
            lava=forward & table.lava.index_select(0, code),
            front=front,
            ahead=ahead,
            carried=state.carried,
        )
        return after, events

    def observe(self, state: GridState) -> UInt8[Tensor, "B V V 3"]:
        """The agents' views in the package's encoding, indexed [column, row].

        Cells that the agent cannot see are (0, 0, 0); the agent's own cell shows what it carries.
        """
        index = self._in_view(state)
        view = state.cells.gather(1, index)
        if not self.see_through_walls:
            view = view * self._lit(view)
        view[:, self._own] = state.carried
        triples = self._tables.triple.index_select(0, view.view(-1).int())
        return triples.view(-1, self.view_size, self.view_size, 3)

    def visible_cells(self, state: GridState) -> tuple[Int[Tensor, "B K"], Bool[Tensor, "B K"]]:
        """The K = V² cells of the view, in the order [column, row], and a mask of visible cells."""
        index = self._in_view(state)
        if self.see_through_walls:
            return index, torch.ones_like(index, dtype=torch.bool)
        return index, self._lit(state.cells.gather(1, index))

    def _in_view(self, state: GridState) -> Int[Tensor, "B K"]:
        return self._view.index_select(0, state.cell * 4 + state.direction)

    def _lit(self, view: UInt8[Tensor, "B K"]) -> Bool[Tensor, "B K"]:
        clear = self._tables.transparent.index_select(0, view.view(-1).int())
        clear = clear.view(-1, self.view_size, self.view_size)
        return visible(clear, self._rows).view(view.shape)
