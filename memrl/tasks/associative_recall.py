"""Associative recall: hear a list of items, then one of them again: which came after it?"""

from __future__ import annotations

from typing import Annotated, final

import torch
from annotated_types import Ge

from memrl.tasks.task import REGISTRY, Batch, Task, opening, random_bits


@final
@REGISTRY.register("associative_recall")
class AssociativeRecall(Task):
    """``length`` items of a few steps of random bits; one but the last is asked for its successor.

    Input: the bits of a step; a channel that is 1 before each item; a channel that is 1 before and
    after the item that asks. Scored are the steps of one item after that, while nothing is heard.
    Items are drawn independently: with the default sizes two of a list are equal once in
    many thousand sequences.

    Args:
        bits: of each step of an item.
        item_steps: of each item.
        min_length: items of the shortest list to train on; two at least.
        max_length: items of the longest.
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
        asked = torch.randint(0, length - 1, (batch,), generator=generator)
        rows = torch.arange(batch)
        query = items[asked, :, rows].transpose(0, 1)  # [each, B, bits]
        successor = items[asked + 1, :, rows].transpose(0, 1)

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
        return Batch(x, target, mask, opening(answer + each, batch))
