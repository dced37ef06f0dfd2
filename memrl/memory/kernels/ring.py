"""The read of one step from a ring of past inputs (GTrXL); steps it does not see cost nothing."""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from memrl.memory.kernels.attention import add_scaled, dot, softmax
from memrl.memory.kernels.compile import over_rows, row
from memrl.memory.kernels.threads import LEAST_ROWS, call


@row
def _read(queries, positions, now, ring, age, weights, found):
    """One row; ``weights`` [M + 1] holds those of a head, last that of the step itself."""
    size, dim = ring.shape
    seen = min(age, size)
    for h in range(len(queries)):
        for back in range(1, seen + 1):
            place = (age - back) % size
            weights[seen - back] = dot(queries[h], ring[place]) + positions[h, size - back]
        weights[seen] = dot(queries[h], now) + positions[h, size]
        softmax(weights[: seen + 1])
        for i in range(dim):
            found[h, i] = weights[seen] * now[i]
        for back in range(1, seen + 1):
            add_scaled(found[h], weights[seen - back], ring[(age - back) % size])


@over_rows
def _read_rows(queries, positions, now, memory, layer, age, weights, found):
    for b in numba.prange(len(now)):
        _read(queries[b], positions[b], now[b], memory[b, layer], int(age[b]), weights[b], found[b])


def read(
    queries: Tensor, positions: Tensor, now: Tensor, memory: Tensor, layer: int, age: Tensor
) -> Tensor:
    """Σ w_j m_j of every head [B, H, D], as ``RelativeAttention.recall`` has it."""
    found = torch.empty_like(queries, memory_format=torch.contiguous_format)
    weights = np.empty((len(now), positions.shape[-1]), found.numpy().dtype)
    arrays = (each.contiguous().numpy() for each in (queries, positions, now, memory))
    call(_read_rows, len(now) // LEAST_ROWS, *arrays, layer, age.numpy(), weights, found.numpy())
    return found
