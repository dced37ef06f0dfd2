"""Accuracy by the groups of steps that a task tells apart, of a model and of its controls."""

from __future__ import annotations

from typing import Final, final

import torch
from torch import Tensor

from memrl.supervised.scoring import is_right
from memrl.tasks.task import Batch, Task

MODEL: Final = "memory"  # the name of the model beside the task's controls


@final
class GroupScores:
    """Sums over batches; nothing where the task has no groups."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._right: dict[str, Tensor] = {}  # [G] by name
        self._scored = torch.zeros(0)  # [G]

    def add(self, batch: Batch, logits: Tensor) -> None:
        """Score the model's ``logits`` [T, B, O] and the controls'; ``batch`` is on the CPU."""
        groups = self._task.groups(batch)
        if groups is None:
            return
        group, target = groups[batch.mask] - 1, batch.target[batch.mask]  # [S]
        self._scored = _added(self._scored, group, torch.ones(len(group)))
        for name, said in {MODEL: logits.cpu(), **self._task.controls(batch)}.items():
            right = (
                is_right(self._task, said[batch.mask], target).float().view(len(group), -1).mean(1)
            )
            self._right[name] = _added(self._right.get(name, torch.zeros(0)), group, right)

    def accuracies(self) -> dict[str, list[float]] | None:
        """Accuracy in each group by name, NaN in an empty one; None where there are no groups."""
        if not self._right:
            return None
        return {name: (right / self._scored).tolist() for name, right in self._right.items()}


def _added(sums: Tensor, group: Tensor, values: Tensor) -> Tensor:
    """Sums [G] with ``values`` [S] added to their groups; there may be more groups than before."""
    new = torch.zeros(max(len(sums), int(group.max()) + 1))
    new[: len(sums)] = sums
    return new.index_add_(0, group, values)
