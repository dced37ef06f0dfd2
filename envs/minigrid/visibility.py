"""The cells that the agent can see, computed row by row with a table.

In MiniGrid light starts at the agent (the middle of the bottom row) and spreads upwards. In every
row it moves to the right and then to the left through transparent cells, and also lights cells of
the row above. A row is therefore a function of 2V bits: which of its cells the row below has lit,
and which are transparent. The whole view takes V look-ups in a table of 4^V entries.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

VIEW_SIZES = (3, 5, 7)


class RowTable(NamedTuple):
    """Tables over ``lit << V | transparent`` of a row; bit i is column i."""

    above: Tensor  # int64 [4^V]: cells lit in the row above, already shifted by V
    lit: Tensor  # int64 [4^V]: cells of this row that are lit; byte i is column i
    shifts: Tensor  # int64 [V]: row indices
    column: Tensor  # bool [2^V, V]: bits as cells


def row_table(view_size: int, device: torch.device | str = "cpu") -> RowTable:
    """Compute the light of every possible row."""
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
    shifts = torch.arange(view_size)
    table = RowTable(
        above=(torch.stack(above, -1).long() << shifts + view_size).sum(-1),
        lit=(torch.stack(lit, -1).long() << 8 * shifts).sum(-1),
        shifts=shifts,
        column=(torch.arange(2**view_size).unsqueeze(1) >> shifts & 1).bool(),
    )
    return RowTable(*(leaf.to(device) for leaf in table))


def visible(transparent: Bool[Tensor, "B V V"], table: RowTable) -> Bool[Tensor, "B V V"]:
    """The lit cells of views.

    Args:
        transparent: indexed [column, row] as observations are; the agent stands at (V // 2, V - 1).
        table: of ``row_table(V)``.
    """
    view_size = transparent.shape[-1]
    first, *others = transparent.view(torch.uint8).unbind(1)
    for i, column in enumerate(others, 1):
        first = torch.add(first, column, alpha=1 << i)
    rows = first.long()  # [B, V]: a row's transparent cells as bits
    lit = torch.full_like(rows[:, 0], 1 << (view_size // 2 + view_size))
    keys = []
    for row in rows.flip(1).unbind(1):  # starts at the agent's row
        keys.append(lit + row)
        lit = table.above.index_select(0, keys[-1])
    key = torch.stack(keys[::-1], 1)  # [B, V]
    # The bytes of all rows, one bit each, add up to bytes of columns, so no transpose is needed.
    spread = table.lit.index_select(0, key.view(-1)).view(-1, view_size) << table.shifts
    columns = spread.sum(1).view(torch.uint8).view(-1, 8)[:, :view_size].reshape(-1)
    return table.column.index_select(0, columns.int()).view_as(transparent)
