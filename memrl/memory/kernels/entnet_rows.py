"""An EntNet's sequence by its kernel, as one autograd operation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from memrl.memory.kernels import entnet
from memrl.memory.kernels.rows import Shapes, gradient, room
from memrl.memory.kernels.sequence import array_of
from memrl.memory.kernels.threads import divide
from memrl.memory.ops.keyed import EPS


def sequence(
    start: Tensor, slots: Tensor, given: tuple[Tensor, ...], weights: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    """What every step reads [T, B, W], and the slots after the last one [B, N, W].

    ``given`` and ``weights`` are those of ``entnet.Input`` and ``entnet.Weights``.
    """
    return _Sequence.apply(start, slots, *given, *weights)  # type: ignore[no-any-return]


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, start: Tensor, slots: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        u, of_keys, slope, first = tensors[4:]
        (T, B), (N, W) = start.shape, first.shape
        shapes: Shapes = dict.fromkeys(("before", "offered", "after"), (N, W))
        shapes |= dict.fromkeys(("gates", "lengths", "looks"), (N,))
        ctx.kept = kept = entnet.Kept(*room(shapes, T, B, dtype=first.detach().numpy().dtype))
        kept.before[0] = torch.where(start[0].view(-1, 1, 1), first, slots).numpy()
        ctx.sizes = entnet.Sizes(*map(kept.before.dtype.type, (1, EPS)))
        ctx.arrays = array_of(start), entnet.Input(*map(array_of, tensors[:4]))
        ctx.save_for_backward(u, of_keys, slope, first)
        weights, reads = (
            entnet.Weights(*map(array_of, (u.t(), *tensors[5:]))),
            slots.new_empty(T, B, W),
        )
        divide(entnet.sequence, B, 1, ctx.sizes, *ctx.arrays, weights, kept, reads.numpy())
        return reads, torch.from_numpy(kept.after[-1].copy())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_reads: Tensor, d_last: Tensor) -> tuple[Tensor | None, ...]:
        (start, given), kept, weights = ctx.arrays, ctx.kept, ctx.saved_tensors
        flow, d_offered = entnet.Input(*map(np.empty_like, given)), np.empty_like(kept.offered)
        small = [d_last.new_zeros(len(d_last), *weight.shape) for weight in weights[1:]]
        d = gradient(d_last, d_last)
        divide(
            entnet.sequence_reverse,
            *(len(d), 1, ctx.sizes, start, given, entnet.Weights(*map(array_of, weights)), kept),
            *(array_of(d_reads), flow, d_offered),
            *(entnet.Small(*(leaf.numpy() for leaf in small)), d.numpy()),
        )
        offered, before = (
            torch.from_numpy(each).flatten(0, 2) for each in (d_offered, kept.before)
        )
        sums = (leaf.sum(0) for leaf in small)
        return None, d, *map(torch.from_numpy, flow), offered.t() @ before, *sums
