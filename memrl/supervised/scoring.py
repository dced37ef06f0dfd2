"""Loss and accuracy of a model's outputs over the scored steps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from memrl.tasks.task import Batch, Task


class Score(NamedTuple):
    """Sums over scored bits or classes; the sums of batches can be added."""

    loss: Tensor  # [] nats
    correct: Tensor  # [] number of correct ones
    scored: Tensor  # [] number of scored ones


def step_losses(task: Task, logits: Tensor, batch: Batch) -> Tensor:
    """The loss of every step and sequence in nats, [T, B]; 0 where nothing is scored."""
    loss = _loss(task, logits[batch.mask], batch.target[batch.mask], "none")
    losses = loss.new_zeros(batch.mask.shape)
    losses[batch.mask] = loss if loss.dim() == 1 else loss.sum(dim=-1)
    return losses


def score_batch(task: Task, logits: Tensor, batch: Batch) -> Score:
    """Score logits [T, B, O] against a batch.

    Steps outside the mask are dropped, not multiplied by 0: logits there may be NaN.
    """
    predicted, target = logits[batch.mask], batch.target[batch.mask]  # [S, O]; [S, O] or [S]
    loss = _loss(task, predicted, target, "sum")
    correct = is_right(task, predicted, target).sum()
    return Score(loss, correct, torch.tensor(target.numel(), device=logits.device))


def is_right(task: Task, predicted: Tensor, target: Tensor) -> Tensor:
    """Which of the scored classes [S] or bits [S, O] are right; ``predicted``: logits [S, O]."""
    if task.kind == "bits":
        return (predicted > 0) == (target > 0.5)
    return predicted.argmax(-1) == target


def _loss(task: Task, predicted: Tensor, target: Tensor, reduction: str) -> Tensor:
    if task.kind == "bits":
        return functional.binary_cross_entropy_with_logits(predicted, target, reduction=reduction)
    return functional.cross_entropy(predicted, target, reduction=reduction)
