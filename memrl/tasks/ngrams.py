"""Dynamic n-grams: predict the next bit of a random source that differs in every sequence."""

from __future__ import annotations

import math
from typing import Annotated, final

import torch
from annotated_types import Ge, Le
from torch import Tensor

from memrl.tasks.task import REGISTRY, Batch, Task, random_bits, starts_at_first_step


@final
@REGISTRY.register("ngrams")
class NGrams(Task):
    """``length`` bits; the n − 1 bits before each bit determine its probability of being 1.

    Each sequence has its own table of 2^(n−1) probabilities, drawn from Beta(½, ½). The input of a
    step is one bit, the target the next one; steps with a complete context are scored. The optimal
    prediction is the posterior mean under that prior, (N₁ + ½) / (N₁ + N₀ + 1) for a context that
    was followed by N₁ ones and N₀ zeros so far: ``best_logits``.

    Args:
        n: bits of an n-gram: a context and the bit it predicts; a table has 2^(n−1) entries.
        min_length: input bits of the shortest sequences to train on; at least n − 1.
        max_length: input bits of the longest sequences to train on.
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
        # If U is uniform in [0, 1], sin²(π U / 2) has the distribution Beta(½, ½).
        uniform = torch.rand(batch, 2**self.context, generator=generator)
        table = (0.5 * math.pi * uniform).sin().square()
        bits = random_bits(length + 1, batch, generator=generator)  # the first n − 1 are final
        draws = torch.rand(length + 1, batch, generator=generator)
        contexts = _context_index(bits[: self.context])
        for t in range(self.context, length + 1):
            chance = table.gather(1, contexts.unsqueeze(1)).squeeze(1)
            bits[t] = (draws[t] < chance).float()
            contexts = (2 * contexts) % 2**self.context + bits[t].long()
        mask = torch.zeros(length, batch, dtype=torch.bool)
        mask[self.context - 1 :] = True
        x, target = bits[:-1].unsqueeze(-1), bits[1:].unsqueeze(-1)
        return Batch(x, target, mask, starts_at_first_step(length, batch))

    def best_logits(self, batch: Batch) -> Tensor:
        bits = batch.x.squeeze(-1)  # [T, B]
        steps, rows = bits.shape
        counts = torch.full((rows, 2**self.context, 2), 0.5, dtype=torch.float64)
        logits = torch.zeros(steps, rows, dtype=torch.float64)
        row = torch.arange(rows)
        for t in range(self.context - 1, steps):
            if t >= self.context:
                before = _context_index(bits[t - self.context : t])
                counts[row, before, bits[t].long()] += 1.0
            now = _context_index(bits[t - self.context + 1 : t + 1])
            zeros, ones = counts[row, now].unbind(-1)
            logits[t] = (ones / zeros).log()
        return logits.unsqueeze(-1).to(batch.x.dtype)


def _context_index(bits: Tensor) -> Tensor:
    """Bits [n − 1, B] as binary numbers [B], oldest bit first."""
    weights = 2 ** torch.arange(len(bits) - 1, -1, -1)
    return (bits.long() * weights.unsqueeze(1)).sum(0)
