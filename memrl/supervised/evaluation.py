"""The evaluation at the end of a run: accuracy and loss by length, on new sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from memrl.evaluation.statistics import wilson
from memrl.supervised.groups import GroupScores
from memrl.supervised.model import ModelOutput
from memrl.supervised.scoring import score_batch
from memrl.tasks.task import Batch, Task

Model: TypeAlias = Callable[[Tensor, Tensor], ModelOutput]  # (x, start) -> outputs
BATCH = 64  # sequences in a batch


class LengthScore(NamedTuple):
    """The scores at one length; the best possible ones are None unless the task knows them."""

    length: int | None  # None: the task's held-out set
    sequences: int
    accuracy: float  # share of correct bits or classes
    loss: float  # nats per scored bit or class
    best_accuracy: float | None
    best_loss: float | None
    # Of accuracy, 95 % (Wilson); None where a sequence has several answers, which may go together.
    interval: tuple[float, float] | None = None
    # Accuracy of the model and of the task's controls in each of its groups of steps, by name.
    groups: dict[str, list[float]] | None = None
    group: str = ""  # what a number of a group counts, in words


def evaluate_lengths(
    task: Task,
    model: Model,
    lengths: Iterable[int],
    sequences: int,
    *,
    seed: int,
    device: torch.device,
) -> list[LengthScore]:
    """Score a model on the task's held-out set, or on ``sequences`` new ones of each length."""
    held_out = task.held_out(BATCH)
    if held_out is not None:
        return [_score(task, model, None, held_out, device)]
    generator = torch.Generator().manual_seed(seed)
    return [
        _score(task, model, length, _new_batches(task, length, sequences, generator), device)
        for length in lengths
    ]


def as_dicts(scores: Iterable[LengthScore]) -> list[dict[str, Any]]:
    """Scores as in summary.json."""
    return [score._asdict() for score in scores]


def _new_batches(
    task: Task, length: int, sequences: int, generator: torch.Generator
) -> Iterator[Batch]:
    for done in range(0, sequences, BATCH):
        yield task.sample_test(min(BATCH, sequences - done), length, generator)


@torch.no_grad()
def _score(
    task: Task, model: Model, length: int | None, batches: Iterable[Batch], device: torch.device
) -> LengthScore:
    sums, best, sequences = torch.zeros(3), torch.zeros(3), 0
    has_best, groups = True, GroupScores(task)
    for batch in batches:
        on_device = batch.to(device)
        logits = model(on_device.x, on_device.start).logits
        sums = sums + _sums(task, logits, on_device)
        groups.add(batch, logits)
        ideal = task.best_logits(batch)
        has_best = ideal is not None
        if ideal is not None:
            best = best + _sums(task, ideal, batch)
        sequences += batch.x.shape[1]
    loss, correct, count = sums.tolist()
    best_loss, best_correct, _ = best.tolist()
    return LengthScore(
        length,
        sequences,
        accuracy=correct / count,
        loss=loss / count,
        best_accuracy=best_correct / count if has_best else None,
        best_loss=best_loss / count if has_best else None,
        interval=_interval(round(correct), sequences) if count == sequences else None,
        groups=groups.accuracies(),
        group=task.group,
    )


def _interval(correct: int, answers: int) -> tuple[float, float]:
    estimate = wilson([1.0] * correct + [0.0] * (answers - correct))
    return estimate.low, estimate.high


def _sums(task: Task, logits: Tensor, batch: Batch) -> Tensor:
    return torch.stack([*score_batch(task, logits, batch)]).double().cpu()
