"""Divide a rollout's chunks into minibatches, in random order."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from memrl.rollout.storage import Chunk, Rollout


def equal_shares(rollout: Rollout, count: int, shuffler: torch.Generator) -> Iterator[Chunk]:
    """``count`` minibatches of whole chunks, whose numbers of chunks differ by one at most."""
    for index in _shares(rollout, count, shuffler):
        yield rollout.chunks(index)


def spans_of_shares(rollout: Rollout, count: int, shuffler: torch.Generator) -> Tensor:
    """Where the chunks of ``equal_shares`` lie, int64 [count, 5, M], on the host.

    Each [5, M] holds the fields of ``Spans``. A smaller share ends with chunks of length 0.
    """
    shares = [torch.stack(rollout.spans(i)) for i in _shares(rollout, count, shuffler)]
    largest = shares[0].shape[1]
    return torch.stack([F.pad(share, (0, largest - share.shape[1])) for share in shares])


def _shares(rollout: Rollout, count: int, shuffler: torch.Generator) -> tuple[Tensor, ...]:
    """The indices of the chunks of each minibatch."""
    order = torch.randperm(rollout.num_chunks(), generator=shuffler)
    return order.tensor_split(count)


def of_size(rollout: Rollout, size: int, shuffler: torch.Generator) -> Iterator[Chunk]:
    """Minibatches of ``size`` steps with a loss; the last one has what is left.

    A chunk that reaches over the edge of a minibatch is in both, and each of its steps is valid in
    one of them: the second reads the steps before the edge again, as they lead to its state.
    """
    order = torch.randperm(rollout.num_chunks(), generator=shuffler)
    *_, length, warm = rollout.spans(order)
    end = (length - warm).cumsum(0)  # [N]  steps with a loss up to the end of each chunk
    begin = end - (length - warm)
    for first in range(0, int(end[-1]), size):
        last = first + size
        there = (end > first) & (begin < last)
        chunk = rollout.chunks(order[there])
        offset = torch.arange(len(chunk.start)).unsqueeze(1)
        number = begin[there] + offset - warm[there]  # [L, M]  of each step among those with a loss
        inside = ((number >= first) & (number < last)).to(chunk.valid.device)
        yield chunk._replace(valid=chunk.valid & inside)
