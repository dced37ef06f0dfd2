"""Repeat copy: read a pattern and a count, output the pattern that often, then an end marker."""

from __future__ import annotations

from typing import Annotated, final

import torch
from annotated_types import Ge
from torch import Tensor

from memrl.tasks.task import REGISTRY, Batch, Task, random_bits, starts_at_first_step


@final
@REGISTRY.register("repeat_copy")
class RepeatCopy(Task):
    """Random bits for ``length`` steps, a delimiter with a count, then ``count`` copies and an end.

    Input: the bits of a step, a channel that is 1 at the delimiter, and a channel with the count at
    the delimiter, standardised over the possible counts. Output: the bits, and a channel that is 1
    only at the step after the last copy. length + 1 + count · length + 1 steps, of which all after
    the delimiter are scored. The sequences of a batch share a count.

    Args:
        bits: per step of the pattern.
        min_repeats: smallest count.
        max_repeats: largest count.
        min_length: steps of the shortest pattern to train on.
        max_length: steps of the longest pattern to train on.
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
        return self.make_batch(pattern, count)

    def make_batch(self, pattern: Tensor, count: int) -> Batch:
        """The batch with ``count`` copies of ``pattern`` [L, B, bits] as targets."""
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
        return Batch(x, target, mask, starts_at_first_step(steps, batch))
