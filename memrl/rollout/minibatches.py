"""Divide a rollout's chunks into minibatches, in random order."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from memrl.rollout.storage import Rollout, Spans


def equal_shares(rollout: Rollout, count: int, shuffler: torch.Generator) -> list[Spans]:
    """``count`` minibatches of whole chunks, whose numbers of chunks differ by one at most."""
    order = torch.randperm(rollout.num_chunks(), generator=shuffler)
    return [rollout.spans(index) for index in order.tensor_split(count)]


def spans_of_shares(rollout: Rollout, count: int, shuffler: torch.Generator) -> Tensor:
    """Where the chunks of ``equal_shares`` lie, int64 [count, 5, M], on the host.

    Each [5, M] holds the fields of ``Spans``. A smaller share ends with chunks of length 0.
    """
    shares = [torch.stack(spans) for spans in equal_shares(rollout, count, shuffler)]
    largest = shares[0].shape[1]
    return torch.stack([F.pad(share, (0, largest - share.shape[1])) for share in shares])


def of_size(rollout: Rollout, size: int, shuffler: torch.Generator) -> list[Spans]:
    """Minibatches of ``size`` steps with a loss; the last one has what is left.

    A chunk that reaches over the edge of a minibatch is in both, and each of its steps is valid in
    one of them: the second reads the steps before the edge again, as they lead to its state.
    """
    whole = rollout.spans(torch.randperm(rollout.num_chunks(), generator=shuffler))
    end = (whole.length - whole.warm).cumsum(0)  # [N]  steps with a loss up to that of each chunk
    begin = end - (whole.length - whole.warm)
    parts = []
    for first in range(0, int(end[-1]), size):
        # The first and the last chunk may reach over the edges.
        warm = whole.warm + (first - begin).clamp(min=0)
        length = whole.length - (end - first - size).clamp(min=0)
        there = (end > first) & (begin < first + size)
        cut = whole._replace(warm=warm, length=length)
        parts.append(Spans(*(part[there] for part in cut)))
    return parts
