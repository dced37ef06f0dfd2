"""How good answers are: loss and accuracy over the steps that are scored."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from memrl.tasks.task import Batch, Task


class Score(NamedTuple):
    """Sums over scored bits or classes, so that scores of batches add up."""

    loss: Tensor  # [] nats
    right: Tensor  # []
    judged: Tensor  # []


def judge(task: Task, logits: Tensor, batch: Batch) -> Score:
    """Score logits [T, B, O] against a batch.

    Steps outside of the mask are dropped, not multiplied by 0: what stands there may be NaN.
    """
    said, target = logits[batch.mask], batch.target[batch.mask]  # [S, O]; [S, O] or [S]
    if task.kind == "bits":
        loss = functional.binary_cross_entropy_with_logits(said, target, reduction="sum")
        right = ((said > 0) == (target > 0.5)).sum()
    else:
        loss = functional.cross_entropy(said, target, reduction="sum")
        right = (said.argmax(-1) == target).sum()
    return Score(loss, right, torch.tensor(target.numel(), device=logits.device))
