"""How a DNC's interface vector is laid out; neighbouring parts share an activation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Sizes(NamedTuple):
    """Widths of the parts of an interface vector, in order."""

    parts: list[int]  # keys, write vector, modes, positive, squashed
    positive: list[int]  # strengths, sharpness
    squashed: list[int]  # masks, erase vector, free gates, allocation gate, write gate


class Parts(NamedTuple):
    """The parts of an interface vector before their activations; views of it."""

    keys: Tensor  # [B, R + 1, W]  read keys, then the write key
    add: Tensor  # [B, 1, W]  write vector v
    modes: Tensor  # [B, R, 3]  backward, content, forward
    positive: Tensor  # [B, P]  see ``Sizes.positive``
    squashed: Tensor  # [B, Q]  see ``Sizes.squashed``


def interface_sizes(
    read_heads: int, word_dim: int, *, masking: bool = False, sharpness: bool = False
) -> Sizes:
    """The widths for R read heads and words of width W.

    ``masking`` adds a mask for each key. ``sharpness`` adds two powers for each read head.
    """
    keys = read_heads + 1
    positive = [keys, 2 * read_heads if sharpness else 0]
    squashed = [keys * word_dim if masking else 0, word_dim, read_heads, 1, 1]
    parts = [keys * word_dim, word_dim, 3 * read_heads, sum(positive), sum(squashed)]
    return Sizes(parts, positive, squashed)


def split_interface(vector: Tensor, sizes: Sizes) -> Parts:
    """The parts of an interface vector [B, S]."""
    keys, add, modes, positive, squashed = torch.split(vector, sizes.parts, dim=-1)
    batch, word_dim = vector.shape[0], sizes.parts[1]  # len() would fix it in an export
    return Parts(
        keys=keys.view(batch, -1, word_dim),
        add=add.unsqueeze(1),
        modes=modes.view(batch, -1, 3),
        positive=positive,
        squashed=squashed,
    )
