"""Dynamic n-grams: predict the next bit of a source that is new in every sequence."""

from __future__ import annotations

import math
from typing import Annotated, final

import torch
from annotated_types import Ge, Le
from torch import Tensor

from memrl.tasks.task import REGISTRY, Batch, Task, opening, random_bits


@final
@REGISTRY.register("ngrams")
class NGrams(Task):
    """``length`` bits, each drawn with a probability that the n − 1 bits before it look up.

    The table of a sequence has 2^(n−1) probabilities from Beta(½, ½). A step hears one bit and
    predicts the next; scored are the predictions whose whole context was heard. Nobody does better
    than the posterior mean under that prior, (N₁ + ½) / (N₁ + N₀ + 1) for a context that was
    followed by N₁ ones and N₀ zeros so far: ``best_logits``.

    Args:
        n: bits of an n-gram: a context and the bit it predicts; a table has 2^(n−1) entries.
        min_length: bits heard in the shortest sequences to train on; n − 1 at least.
        max_length: bits heard in the longest.
    """

    kind = "bits"
    paper = "Graves, Wayne & Danihelka 2014, Neural Turing Machines"

    def __init__(
        self,
        *,
        n: Annotated[int, Ge(2), Le(16)] = 6,
        min_length: int = 200,
        max_length: int = 200,
    ) -> None:
        super().__init__(
            in_dim=1, out_dim=1, min_length=min_length, max_length=max_length, shortest=n - 1
        )
        self.context = n - 1

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        # If U is even in [0, 1], sin²(π U / 2) has the distribution Beta(½, ½).
        uniform = torch.rand(batch, 2**self.context, generator=generator)
        table = (0.5 * math.pi * uniform).sin().square()
        bits = random_bits(length + 1, batch, generator=generator)  # the first n − 1 stay
        luck = torch.rand(length + 1, batch, generator=generator)
        contexts = _context_index(bits[: self.context])
        for t in range(self.context, length + 1):
            chance = table.gather(1, contexts.unsqueeze(1)).squeeze(1)
            bits[t] = (luck[t] < chance).float()
            contexts = (2 * contexts) % 2**self.context + bits[t].long()
        mask = torch.zeros(length, batch, dtype=torch.bool)
        mask[self.context - 1 :] = True
        x, target = bits[:-1].unsqueeze(-1), bits[1:].unsqueeze(-1)
        return Batch(x, target, mask, opening(length, batch))

    def best_logits(self, batch: Batch) -> Tensor:
        heard = batch.x.squeeze(-1)  # [T, B]
        steps, rows = heard.shape
        counts = torch.full((rows, 2**self.context, 2), 0.5, dtype=torch.float64)
        logits = torch.zeros(steps, rows, dtype=torch.float64)
        row = torch.arange(rows)
        for t in range(self.context - 1, steps):
            if t >= self.context:
                before = _context_index(heard[t - self.context : t])
                counts[row, before, heard[t].long()] += 1.0
            now = _context_index(heard[t - self.context + 1 : t + 1])
            zeros, ones = counts[row, now].unbind(-1)
            logits[t] = (ones / zeros).log()
        return logits.unsqueeze(-1).to(batch.x.dtype)


def _context_index(bits: Tensor) -> Tensor:
    """Bits [n − 1, B] as the binary number [B] that they write, oldest bit first."""
    weights = 2 ** torch.arange(len(bits) - 1, -1, -1)
    return (bits.long() * weights.unsqueeze(1)).sum(0)
