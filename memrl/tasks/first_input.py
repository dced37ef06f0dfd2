"""First-input recall: read a symbol, wait, and output it at the query."""

from __future__ import annotations

from typing import Annotated, Literal, final

import torch
from annotated_types import Ge
from torch.nn import functional

from memrl.tasks.task import REGISTRY, Batch, Task, starts_at_first_step


@final
@REGISTRY.register("first_input")
class FirstInput(Task):
    """A symbol at the first step; the query ``length`` steps later, at the last step.

    Input: one-hot symbols, and a channel that is 1 at the query. A memory that does not reach
    ``length`` steps back can only guess.

    Args:
        symbols: number of symbols.
        between: input until the query: "blank" (zero), or random "symbols" to be ignored.
        min_length: shortest wait to train on, in steps.
        max_length: longest wait to train on, in steps.
    """

    kind = "classes"

    def __init__(
        self,
        *,
        symbols: Annotated[int, Ge(2)] = 8,
        between: Literal["blank", "symbols"] = "blank",
        min_length: int = 1,
        max_length: int = 32,
    ) -> None:
        super().__init__(
            in_dim=symbols + 1, out_dim=symbols, min_length=min_length, max_length=max_length
        )
        self.symbols, self.between, self.chance = symbols, between, 1.0 / symbols

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        symbols = torch.randint(0, self.symbols, (length, batch), generator=generator)
        x = torch.zeros(length + 1, batch, self.in_dim)
        until = 1 if self.between == "blank" else length
        x[:until, :, : self.symbols] = functional.one_hot(symbols[:until], self.symbols).float()
        x[length, :, self.symbols] = 1.0
        target = torch.zeros(length + 1, batch, dtype=torch.int64)
        target[length] = symbols[0]
        mask = torch.zeros(length + 1, batch, dtype=torch.bool)
        mask[length] = True
        return Batch(x, target, mask, starts_at_first_step(length + 1, batch))
