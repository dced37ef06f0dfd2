"""Parity: is the number of ones among the bits of a vector odd?"""

from __future__ import annotations

from typing import Annotated, final

import torch
from annotated_types import Ge

from memrl.tasks.task import REGISTRY, Batch, Task, starts_at_first_step


@final
@REGISTRY.register("parity")
class Parity(Task):
    """A vector with ``length`` entries of 1 or −1 at random places, the others 0.

    The input of a step is the whole vector: the task needs several computation steps rather than
    memory over time. A memory with adaptive computation (``memory=universal``) chooses their
    number; for others the vector can be shown for several steps. The last step is scored; its
    target is 1 if the number of ones is odd.

    Args:
        bits: entries of the vector.
        shown: steps for which the vector is shown.
        min_length: smallest number of nonzero entries to train on.
        max_length: largest number of nonzero entries to train on.
    """

    kind = "bits"
    paper = "Graves 2016, Adaptive Computation Time for Recurrent Neural Networks"

    def __init__(
        self,
        *,
        bits: Annotated[int, Ge(1)] = 16,
        shown: Annotated[int, Ge(1)] = 1,
        min_length: int = 1,
        max_length: int = 16,
    ) -> None:
        super().__init__(
            in_dim=bits, out_dim=1, min_length=min_length, max_length=max_length, longest=bits
        )
        self.bits, self.shown = bits, shown

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        positions = torch.rand(batch, self.bits, generator=generator).argsort(dim=-1)[:, :length]
        ones = torch.randint(0, 2, (batch, length), generator=generator)
        vector = torch.zeros(batch, self.bits).scatter(1, positions, 2.0 * ones - 1.0)
        target = torch.zeros(self.shown, batch, 1)
        target[-1, :, 0] = (ones.sum(-1) % 2).float()
        mask = torch.zeros(self.shown, batch, dtype=torch.bool)
        mask[-1] = True
        x = vector.expand(self.shown, -1, -1).clone()
        return Batch(x, target, mask, starts_at_first_step(self.shown, batch))
