"""What the agent can see, row by row, from a table.

MiniGrid's light starts at the agent (the middle of the bottom row) and spreads upwards: in every
row it sweeps to the right and back to the left, passing through transparent cells, and lights the
row above on its way. A row is therefore a function of 2V bits (which cells the row below has lit,
which cells are transparent) and the whole view is V look-ups in a table of 4^V entries.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

VIEW_SIZES = (3, 5, 7)


class RowTable(NamedTuple):
    """The light's two answers for a row, by ``lit << V | transparent``; bit i is column i."""

    above: Tensor  # int64 [4^V]: cells lit in the row above, already shifted by V
    lit: Tensor  # bool [4^V, V]: cells of this row that are lit in the end


def row_table(view_size: int, device: torch.device | str = "cpu") -> RowTable:
    """Sweep every possible row once."""
    columns = range(view_size)
    key = torch.arange(4**view_size)
    clear = [(key >> i & 1).bool() for i in columns]
    lit = [(key >> (view_size + i) & 1).bool() for i in columns]
    above = [torch.zeros_like(lit[0]) for _ in columns]
    rightwards = [(i, i + 1) for i in columns[:-1]]
    leftwards = [(i, i - 1) for i in reversed(columns[1:])]
    for here, there in rightwards + leftwards:
        passes = lit[here] & clear[here]
        lit[there] = lit[there] | passes
        above[here] = above[here] | passes
        above[there] = above[there] | passes
    bits = torch.stack(above, -1).long() << torch.arange(view_size, 2 * view_size)
    return RowTable(bits.sum(-1).to(device), torch.stack(lit, -1).to(device))


def visible(
    transparent: Bool[Tensor, "B V V"], table: RowTable, weights: Int[Tensor, "V 1"]
) -> Bool[Tensor, "B V V"]:
    """Which cells of the views are lit.

    Args:
        transparent: indexed [column, row] as observations are; the agent stands at (V // 2, V - 1).
        table: of ``row_table(V)``.
        weights: ``1 << column``.
    """
    view_size = transparent.shape[-1]
    rows = (transparent * weights).sum(1)  # [B, V]: a row's transparent cells as bits
    lit = torch.full_like(rows[:, 0], 1 << (view_size // 2 + view_size))
    keys = []
    for row in rows.flip(1).unbind(1):  # from the agent's row away from it
        keys.append(lit + row)
        lit = table.above.index_select(0, keys[-1])
    key = torch.stack(keys[::-1], 1)  # [B, V]
    return table.lit.index_select(0, key.view(-1)).view_as(transparent).transpose(1, 2)
