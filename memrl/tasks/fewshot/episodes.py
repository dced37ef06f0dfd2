"""Episodes of few-shot classification: which image is shown when, and the label of its class."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from memrl.tasks.fewshot.digits import Digits


class Episodes(NamedTuple):
    """B episodes of S presentations: ``shots`` of each class in random order, then a query."""

    images: Tensor  # [S, B, 64]
    labels: Tensor  # [S, B]  0 … ways - 1, int64


def draw(
    digits: Digits, batch: int, ways: int, shots: int, *, shuffled: bool, generator: torch.Generator
) -> Episodes:
    """Draw episodes: ``ways`` digits with labels in random order, and different images of each.

    With ``shuffled`` the pixels of each episode have a random order.
    """
    classes, most = digits.images.shape[:2]
    rows = torch.arange(batch)
    digit = torch.rand(batch, classes, generator=generator).argsort(dim=1)[:, :ways]  # of a label
    exists = torch.arange(most) < digits.counts[digit].unsqueeze(-1)  # [B, ways, M]
    places = torch.rand(batch, ways, most, generator=generator).where(exists, -1.0)
    image = places.argsort(dim=2, descending=True)[:, :, : shots + 1]  # [B, ways, shots + 1]

    shown = torch.arange(ways).repeat_interleave(shots).expand(batch, -1)
    order = torch.rand(batch, ways * shots, generator=generator).argsort(dim=1)
    query = torch.randint(0, ways, (batch, 1), generator=generator)
    labels = torch.cat([shown.gather(1, order), query], dim=1).T  # [S, B]
    nth = (presentations(labels) - 1).clamp(max=shots)
    images = digits.images[digit[rows, labels], image[rows, labels, nth]]
    if shuffled:
        place = torch.rand(batch, images.shape[-1], generator=generator).argsort(dim=1)
        images = images.gather(2, place.expand_as(images))
    return Episodes(images, labels)


def presentations(labels: Tensor) -> Tensor:
    """How often the class of each image was shown so far, itself included: [S, B], from 1."""
    steps = torch.arange(len(labels))
    earlier = steps.unsqueeze(0) <= steps.unsqueeze(1)  # [S, S]
    same = labels.unsqueeze(0) == labels.unsqueeze(1)  # [S, S, B]
    return (same & earlier.unsqueeze(-1)).sum(1)
