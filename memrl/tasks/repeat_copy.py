"""Repeat copy: hear a pattern and a number, then say the pattern that many times, and stop."""

from __future__ import annotations

from typing import Annotated, final

import torch
from annotated_types import Ge
from torch import Tensor

from memrl.tasks.task import REGISTRY, Batch, Task, opening, random_bits


@final
@REGISTRY.register("repeat_copy")
class RepeatCopy(Task):
    """Random bits for ``length`` steps, a delimiter with a count, then as many copies and an end.

    Input: the bits of a step, a channel that is 1 at the delimiter, and beside it the count,
    standardised over the counts that are drawn. Output: the bits, and a channel that is 1 only at
    the step after the last copy. length + 1 + count · length + 1 steps, all after the delimiter
    scored; the sequences of a batch share a count.

    Args:
        bits: of each step of the pattern.
        min_repeats: smallest count.
        max_repeats: largest count.
        min_length: steps of the shortest pattern to train on.
        max_length: steps of the longest.
    """

    kind = "bits"
    paper = "Graves, Wayne & Danihelka 2014, Neural Turing Machines"

    def __init__(
        self,
        *,
        bits: Annotated[int, Ge(1)] = 8,
        min_repeats: Annotated[int, Ge(1)] = 1,
        max_repeats: Annotated[int, Ge(1)] = 10,
        min_length: int = 1,
        max_length: int = 10,
    ) -> None:
        if min_repeats > max_repeats:
            raise ValueError(
                f"task.min_repeats={min_repeats} is above task.max_repeats={max_repeats}"
            )
        super().__init__(
            in_dim=bits + 2, out_dim=bits + 1, min_length=min_length, max_length=max_length
        )
        self.bits, self.min_repeats, self.max_repeats = bits, min_repeats, max_repeats
        counts = torch.arange(min_repeats, max_repeats + 1, dtype=torch.float64)
        self._mean, self._std = float(counts.mean()), float(counts.std(correction=0)) or 1.0

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        bounds = self.min_repeats, self.max_repeats + 1
        count = int(torch.randint(*bounds, (), generator=generator))
        pattern = random_bits(length, batch, self.bits, generator=generator)
        return self.ask(pattern, count)

    def ask(self, pattern: Tensor, count: int) -> Batch:
        """The batch that asks for ``count`` copies of ``pattern`` [L, B, bits]."""
        length, batch, bits = pattern.shape
        answer, steps = length + 1, length + 1 + count * length + 1
        x = torch.zeros(steps, batch, self.in_dim)
        x[:length, :, :bits] = pattern
        x[length, :, bits] = 1.0
        x[length, :, bits + 1] = (count - self._mean) / self._std
        target = torch.zeros(steps, batch, self.out_dim)
        target[answer:-1, :, :bits] = pattern.repeat(count, 1, 1)
        target[-1, :, bits] = 1.0
        mask = torch.zeros(steps, batch, dtype=torch.bool)
        mask[answer:] = True
        return Batch(x, target, mask, opening(steps, batch))
