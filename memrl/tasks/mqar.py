"""Multi-query associative recall: read keys with values, then output the value of every key."""

from __future__ import annotations

from typing import Annotated, final

import torch
from annotated_types import Ge
from torch.nn import functional

from memrl.tasks.task import REGISTRY, Batch, Task, starts_at_first_step


@final
@REGISTRY.register("mqar")
class MQAR(Task):
    """``length`` pairs, key then value, one symbol a step; then all the keys in a new order.

    Input: one-hot symbols, keys and values being different symbols. The keys of a sequence differ,
    its values may repeat. Scored are the last ``length`` steps: the value of the key at that step.

    The queries follow each other directly; the original spreads them over a long text.

    Args:
        keys: number of key symbols; also the largest number of pairs in a sequence.
        values: number of value symbols.
        min_length: pairs in the shortest sequences to train on.
        max_length: pairs in the longest sequences to train on.
    """

    kind = "classes"
    paper = (
        "Arora et al. 2023, Zoology: Measuring and Improving Recall in Efficient Language Models"
    )

    def __init__(
        self,
        *,
        keys: Annotated[int, Ge(1)] = 32,
        values: Annotated[int, Ge(2)] = 32,
        min_length: int = 1,
        max_length: int = 8,
    ) -> None:
        super().__init__(
            in_dim=keys + values,
            out_dim=values,
            min_length=min_length,
            max_length=max_length,
            longest=keys,
        )
        self.num_keys, self.num_values, self.chance = keys, values, 1.0 / values

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        keys = torch.rand(self.num_keys, batch, generator=generator).argsort(dim=0)[:length]
        values = torch.randint(0, self.num_values, (length, batch), generator=generator)
        order = torch.rand(length, batch, generator=generator).argsort(dim=0)
        pairs = torch.stack([keys, self.num_keys + values], dim=1).flatten(0, 1)  # k1, v1, k2, …
        symbols = torch.cat([pairs, keys.gather(0, order)])
        target = torch.zeros(3 * length, batch, dtype=torch.int64)
        target[2 * length :] = values.gather(0, order)
        mask = torch.zeros(3 * length, batch, dtype=torch.bool)
        mask[2 * length :] = True
        x = functional.one_hot(symbols, self.in_dim).float()
        return Batch(x, target, mask, starts_at_first_step(3 * length, batch))
