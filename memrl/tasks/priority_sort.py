"""Priority sort: read vectors with priorities, then output those of highest priority in order."""

from __future__ import annotations

from typing import Annotated, final

import torch
from annotated_types import Ge, Gt, Le

from memrl.tasks.task import REGISTRY, Batch, Task, random_bits, starts_at_first_step


@final
@REGISTRY.register("priority_sort")
class PrioritySort(Task):
    """``length`` random vectors, each with a priority from U(−1, 1); then a delimiter.

    Input: the bits of a vector, its priority, and a channel that is 1 at the delimiter. Scored are
    the steps after it, one for each of the vectors with the highest priorities, highest first.

    Args:
        bits: per vector.
        kept: share of the vectors to output, rounded to the nearest count, at least one.
        min_length: vectors in the shortest lists to train on.
        max_length: vectors in the longest lists to train on.
    """

    kind = "bits"
    paper = "Graves, Wayne & Danihelka 2014, Neural Turing Machines"

    def __init__(
        self,
        *,
        bits: Annotated[int, Ge(1)] = 8,
        kept: Annotated[float, Gt(0), Le(1)] = 0.8,
        min_length: int = 20,
        max_length: int = 20,
    ) -> None:
        super().__init__(
            in_dim=bits + 2, out_dim=bits, min_length=min_length, max_length=max_length
        )
        self.bits, self.kept = bits, kept

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        bits, answer = self.bits, length + 1
        count = max(1, round(self.kept * length))
        vectors = random_bits(length, batch, bits, generator=generator)
        priority = 2.0 * torch.rand(length, batch, generator=generator) - 1.0
        order = priority.argsort(dim=0, descending=True, stable=True)[:count]
        x = torch.zeros(answer + count, batch, self.in_dim)
        x[:length, :, :bits] = vectors
        x[:length, :, bits] = priority
        x[length, :, bits + 1] = 1.0
        target = torch.zeros(answer + count, batch, bits)
        target[answer:] = vectors.gather(0, order.unsqueeze(-1).expand(-1, -1, bits))
        mask = torch.zeros(answer + count, batch, dtype=torch.bool)
        mask[answer:] = True
        return Batch(x, target, mask, starts_at_first_step(answer + count, batch))
