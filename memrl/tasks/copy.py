"""Copy: read a pattern, then output it."""

from __future__ import annotations

from typing import Annotated, final

import torch
from annotated_types import Ge

from memrl.tasks.task import REGISTRY, Batch, Task, random_bits, starts_at_first_step


@final
@REGISTRY.register("copy")
class Copy(Task):
    """Random bits for ``length`` steps, a delimiter, then zero input: output the same bits.

    Input: the bits of a step, and a channel that is 1 at the delimiter. 2 · length + 1 steps, the
    last ``length`` scored.

    Args:
        bits: per step of the pattern.
        min_length: steps of the shortest pattern to train on.
        max_length: steps of the longest pattern to train on.
    """

    kind = "bits"
    paper = "Graves, Wayne & Danihelka 2014, Neural Turing Machines"

    def __init__(
        self,
        *,
        bits: Annotated[int, Ge(1)] = 8,
        min_length: int = 1,
        max_length: int = 10,
    ) -> None:
        super().__init__(
            in_dim=bits + 1, out_dim=bits, min_length=min_length, max_length=max_length
        )
        self.bits = bits

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        steps, answer = 2 * length + 1, length + 1
        pattern = random_bits(length, batch, self.bits, generator=generator)
        x = torch.zeros(steps, batch, self.in_dim)
        x[:length, :, : self.bits] = pattern
        x[length, :, self.bits] = 1.0
        target = torch.zeros(steps, batch, self.bits)
        target[answer:] = pattern
        mask = torch.zeros(steps, batch, dtype=torch.bool)
        mask[answer:] = True
        return Batch(x, target, mask, starts_at_first_step(steps, batch))
