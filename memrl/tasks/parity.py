"""Parity: is the number of ones among the bits of a vector odd?"""

from __future__ import annotations

from typing import Annotated, final

import torch
from annotated_types import Ge

from memrl.tasks.task import REGISTRY, Batch, Task, opening


@final
@REGISTRY.register("parity")
class Parity(Task):
    """A vector with ``length`` entries of 1 or −1 at random places, the others 0.

    The whole vector is heard at once: what a memory needs here is not time but steps of thought.
    One that ponders takes its own (``memory=universal``); to others the vector can be held out for
    several steps. Scored is the last step: 1 where the number of ones is odd.

    Args:
        bits: entries of the vector.
        shown: steps for which the vector is heard.
        min_length: fewest entries that are not 0, in training.
        max_length: most.
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
        places = torch.rand(batch, self.bits, generator=generator).argsort(dim=-1)[:, :length]
        ones = torch.randint(0, 2, (batch, length), generator=generator)
        vector = torch.zeros(batch, self.bits).scatter(1, places, 2.0 * ones - 1.0)
        target = torch.zeros(self.shown, batch, 1)
        target[-1, :, 0] = (ones.sum(-1) % 2).float()
        mask = torch.zeros(self.shown, batch, dtype=torch.bool)
        mask[-1] = True
        x = vector.expand(self.shown, -1, -1).clone()
        return Batch(x, target, mask, opening(self.shown, batch))
