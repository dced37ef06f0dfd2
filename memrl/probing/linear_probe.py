"""What a linear map can read off a vector: ridge regression, cross-validated over episodes."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FOLDS: Final = 5
RIDGE: Final = 0.1  # λ, beside features that are standardised and divided by √F
LEAST: Final = 5 * FOLDS  # episodes; fewer are not probed


def read_off(features: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """Whether a linear classifier that was fitted to other rows names the label of each: [M].

    Targets are one-hot, and the largest prediction is the answer. Of F features and M rows the
    smaller number is the size of the linear system: it is solved for the rows.

    Args:
        features: [M, F], one row an episode.
        labels: int64 [M]; at least two different ones.

    Raises:
        ValueError: fewer than ``LEAST`` rows, or a single label.
    """
    different = len(set(labels.tolist()))
    if len(labels) < LEAST or different < 2:
        raise ValueError(
            f"{len(labels)} rows of {different} labels cannot be probed, allowed: at least {LEAST} "
            "rows and 2 labels"
        )
    fold = torch.arange(len(labels), device=labels.device) % FOLDS
    targets = torch.nn.functional.one_hot(labels).double()
    right = torch.zeros_like(fold, dtype=torch.float64)
    for held_out in range(FOLDS):
        test = fold == held_out
        told = _predict(features[~test].double(), targets[~test], features[test].double())
        right[test] = (told.argmax(dim=-1) == labels[test]).double()
    return right.cpu().numpy()


def _predict(known: Tensor, targets: Tensor, unknown: Tensor) -> Tensor:
    """Ridge regression from ``known`` to ``targets``, applied to ``unknown``."""
    mean, deviation = known.mean(dim=0), known.std(dim=0)
    scale = torch.where(deviation > 0, deviation, torch.inf) * known.shape[1] ** 0.5
    known, unknown = (known - mean) / scale, (unknown - mean) / scale
    level = targets.mean(dim=0)
    gram = known @ known.t() + RIDGE * torch.eye(len(known), dtype=known.dtype, device=known.device)
    weights: Tensor = known.t() @ torch.linalg.solve(gram, targets - level)
    return level + unknown @ weights
