"""The exam that ends a run: accuracy and loss by length, on sequences never trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from memrl.supervised.model import Answer
from memrl.supervised.scoring import judge
from memrl.tasks.task import Batch, Task

Model: TypeAlias = Callable[[Tensor, Tensor], Answer]  # inputs and starts to logits
BATCH = 64  # sequences that are answered at once


class Mark(NamedTuple):
    """How one length went; the best possible is known for some tasks only."""

    length: int | None  # None: the held-out set of a task that has one
    sequences: int
    accuracy: float  # share of the scored bits or classes that are right
    loss: float  # nats for each of them
    best_accuracy: float | None
    best_loss: float | None


def examine(
    task: Task,
    model: Model,
    lengths: Iterable[int],
    sequences: int,
    *,
    seed: int,
    device: torch.device,
) -> list[Mark]:
    """Judge a model on a task's held-out set, or on ``sequences`` fresh ones of each length."""
    held_out = task.exam(BATCH)
    if held_out is not None:
        return [_mark(task, model, None, held_out, device)]
    generator = torch.Generator().manual_seed(seed)
    return [
        _mark(task, model, length, _fresh(task, length, sequences, generator), device)
        for length in lengths
    ]


def as_table(marks: Iterable[Mark]) -> list[dict[str, Any]]:
    """Marks as summary.json keeps them."""
    return [mark._asdict() for mark in marks]


def _fresh(task: Task, length: int, sequences: int, generator: torch.Generator) -> Iterator[Batch]:
    for done in range(0, sequences, BATCH):
        yield task.sample(min(BATCH, sequences - done), length, generator)


@torch.no_grad()
def _mark(
    task: Task, model: Model, length: int | None, batches: Iterable[Batch], device: torch.device
) -> Mark:
    sums, best, sequences = torch.zeros(3), torch.zeros(3), 0
    knows_best = True
    for batch in batches:
        here = batch.to(device)
        sums = sums + _sums(task, model(here.x, here.start).logits, here)
        ideal = task.best_logits(batch)
        knows_best = ideal is not None
        if ideal is not None:
            best = best + _sums(task, ideal, batch)
        sequences += batch.x.shape[1]
    loss, right, judged = sums.tolist()
    best_loss, best_right, _ = best.tolist()
    return Mark(
        length,
        sequences,
        accuracy=right / judged,
        loss=loss / judged,
        best_accuracy=best_right / judged if knows_best else None,
        best_loss=best_loss / judged if knows_best else None,
    )


def _sums(task: Task, logits: Tensor, batch: Batch) -> Tensor:
    return torch.stack([*judge(task, logits, batch)]).double().cpu()
