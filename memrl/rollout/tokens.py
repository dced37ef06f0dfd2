"""The space of sentences as numbers, so that a policy can tell them from other rows of numbers."""

from __future__ import annotations

from typing import final

import numpy as np
from gymnasium import spaces


@final
class Tokens(spaces.MultiDiscrete):
    """Up to ``length`` symbols, each one of 1 … ``num_symbols - 1``, with zeros behind the last.

    A ``MultiDiscrete`` of equal entries whose order is that of a sentence: what a symbol says
    depends on its neighbours more than on its place.

    Raises:
        ValueError: no room for a symbol, or no symbol beside the zero.
    """

    def __init__(self, num_symbols: int, length: int) -> None:
        if length < 1 or num_symbols < 2:
            raise ValueError(
                f"Tokens of {num_symbols} symbols and length {length}; "
                "allowed: at least 2 symbols (0 is padding), length 1"
            )
        super().__init__(np.full(length, num_symbols))
        self.num_symbols, self.length = num_symbols, length
