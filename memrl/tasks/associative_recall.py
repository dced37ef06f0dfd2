"""Associative recall: read a list of items, then one of them again; output the next item."""

from __future__ import annotations

from typing import Annotated, final

import torch
from annotated_types import Ge

from memrl.tasks.task import REGISTRY, Batch, Task, random_bits, starts_at_first_step


@final
@REGISTRY.register("associative_recall")
class AssociativeRecall(Task):
    """``length`` items of a few steps of random bits; then a query item, not the last of the list.

    Input: the bits of a step; a channel that is 1 before each item; a channel that is 1 before and
    after the query item. Then the input is zero, and the output must be the item that followed the
    query item in the list. Items are drawn independently: with the default sizes two items of a
    list are equal once in many thousand sequences.

    Args:
        bits: per step of an item.
        item_steps: steps per item.
        min_length: items in the shortest list to train on; at least 2.
        max_length: items in the longest list to train on.
    """

    kind = "bits"
    paper = "Graves, Wayne & Danihelka 2014, Neural Turing Machines"

    def __init__(
        self,
        *,
        bits: Annotated[int, Ge(1)] = 6,
        item_steps: Annotated[int, Ge(1)] = 3,
        min_length: int = 2,
        max_length: int = 6,
    ) -> None:
        super().__init__(
            in_dim=bits + 2,
            out_dim=bits,
            min_length=min_length,
            max_length=max_length,
            shortest=2,
        )
        self.bits, self.item_steps = bits, item_steps

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        bits, each = self.bits, self.item_steps
        items = random_bits(length, each, batch, bits, generator=generator)
        queried = torch.randint(0, length - 1, (batch,), generator=generator)
        rows = torch.arange(batch)
        query = items[queried, :, rows].transpose(0, 1)  # [each, B, bits]
        successor = items[queried + 1, :, rows].transpose(0, 1)

        listed = length * (each + 1)  # steps of the list
        answer = listed + each + 2  # first step of the answer
        x = torch.zeros(answer + each, batch, self.in_dim)
        shown = x[:listed].view(length, each + 1, batch, self.in_dim)
        shown[:, 0, :, bits] = 1.0
        shown[:, 1:, :, :bits] = items
        x[[listed, answer - 1], :, bits + 1] = 1.0
        x[listed + 1 : answer - 1, :, :bits] = query
        target = torch.zeros(answer + each, batch, bits)
        target[answer:] = successor
        mask = torch.zeros(answer + each, batch, dtype=torch.bool)
        mask[answer:] = True
        return Batch(x, target, mask, starts_at_first_step(answer + each, batch))
