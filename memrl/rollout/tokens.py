"""A space for sentences as numbers, which a policy can tell from other vectors of numbers."""

from __future__ import annotations

from typing import final

import numpy as np
from gymnasium import spaces


@final
class Tokens(spaces.MultiDiscrete):
    """Up to ``length`` symbols, each in 1 … ``num_symbols - 1``, padded with zeros.

    A ``MultiDiscrete`` of equal entries in the order of a sentence: the meaning of a symbol depends
    on its neighbours more than on its position.

    Raises:
        ValueError: ``length`` is below 1, or ``num_symbols`` below 2.
    """

    def __init__(self, num_symbols: int, length: int) -> None:
        if length < 1 or num_symbols < 2:
            raise ValueError(
                f"num_symbols is {num_symbols}, length {length}; allowed: num_symbols from 2 "
                "(0 is padding), length from 1"
            )
        super().__init__(np.full(length, num_symbols))
        self.num_symbols, self.length = num_symbols, length
