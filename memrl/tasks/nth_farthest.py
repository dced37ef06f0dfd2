"""N-th farthest: read labelled vectors; which is the n-th farthest from the one labelled m?"""

from __future__ import annotations

from typing import Annotated, final

import torch
from annotated_types import Ge
from torch.nn import functional

from memrl.tasks.task import REGISTRY, Batch, Task, starts_at_first_step


@final
@REGISTRY.register("nth_farthest")
class NthFarthest(Task):
    """``length`` vectors from U(−1, 1), labelled in random order; the answer is a label.

    Input: a vector, and its label, n and m as one-hot vectors; n and m, the query, are the same at
    every step. Only the last step is scored, together with the last vector. n = 1 asks for the
    farthest vector, n = length for m itself. With fewer vectors than labels, the first ``length``
    labels are used.

    Args:
        dims: dimensions of a vector.
        objects: number of labels; also the largest number of vectors.
        min_length: vectors in the shortest lists to train on.
        max_length: vectors in the longest lists to train on.
    """

    kind = "classes"
    paper = "Santoro et al. 2018, Relational recurrent neural networks"

    def __init__(
        self,
        *,
        dims: Annotated[int, Ge(1)] = 16,
        objects: Annotated[int, Ge(2)] = 8,
        min_length: int = 8,
        max_length: int = 8,
    ) -> None:
        super().__init__(
            in_dim=dims + 3 * objects,
            out_dim=objects,
            min_length=min_length,
            max_length=max_length,
            shortest=2,
            longest=objects,
        )
        self.dims, self.objects = dims, objects
        self.chance = 1.0 / max_length

    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        vectors = 2.0 * torch.rand(length, batch, self.dims, generator=generator) - 1.0
        labels = torch.rand(length, batch, generator=generator).argsort(dim=0)
        nth, reference_label = torch.randint(0, length, (2, batch), generator=generator)  # n − 1, m

        where = (labels == reference_label).long().argmax(dim=0)  # the step of the vector m
        reference = vectors[where, torch.arange(batch)]
        distance = (vectors - reference).square().sum(-1)
        order = distance.argsort(dim=0, descending=True, stable=True)
        answer = labels.gather(0, order.gather(0, nth.unsqueeze(0))).squeeze(0)

        question = torch.cat([self._one_hot(nth), self._one_hot(reference_label)], dim=-1)
        x = torch.cat([vectors, self._one_hot(labels), question.expand(length, -1, -1)], dim=-1)
        target = torch.zeros(length, batch, dtype=torch.int64)
        target[-1] = answer
        mask = torch.zeros(length, batch, dtype=torch.bool)
        mask[-1] = True
        return Batch(x, target, mask, starts_at_first_step(length, batch))

    def _one_hot(self, label: torch.Tensor) -> torch.Tensor:
        return functional.one_hot(label, self.objects).float()
