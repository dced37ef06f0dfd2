"""A convolution over the last steps of an episode, over rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from memrl.memory.kernels.attention import copy
from memrl.memory.kernels.compile import loop, row
from memrl.memory.kernels.sequence import array_of
from memrl.memory.kernels.threads import divide


def short_convolution(
    past: Tensor, x: Tensor, weight: Tensor, bias: Tensor, start: Tensor
) -> Tensor:
    return _Convolution.apply(past, x, weight.t(), bias, start)  # type: ignore[no-any-return]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, past: Tensor, x: Tensor, weight: Tensor, bias: Tensor, start: Tensor
    ) -> Tensor:
        y = x.new_empty(x.shape)
        given = [array_of(each) for each in (start, past, x, weight, bias)]
        divide(convolve, x.shape[1], 1, *given, y.numpy())
        ctx.save_for_backward(start, past, x, weight)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        start, past, x, weight = ctx.saved_tensors
        d_past, d_x = (leaf.new_zeros(leaf.shape) for leaf in (past, x))
        d_weight = x.new_zeros(x.shape[1], *weight.shape)  # of each row
        given = [array_of(each) for each in (start, past, x, weight, dy)]
        flow = (leaf.numpy() for leaf in (d_past, d_x, d_weight))
        divide(convolve_reverse, x.shape[1], 1, *given, *flow)
        return d_past, d_x, d_weight.sum(0), dy.sum((0, 1)), None


@loop
def convolve(begin, end, start, past, x, weight, bias, y):
    """All steps of some rows; ``weight`` [F, E] begins with the oldest step."""
    last = len(weight) - 1
    for t in range(len(x)):
        for b in range(begin, end):
            copy(y[t, b], bias)
            for ago in range(last + 1):
                then = x[t - ago, b] if ago <= t else past[b, last + t - ago]
                add_product(y[t, b], weight[last - ago], then)
                if ago <= t and start[t - ago, b]:
                    break


@loop
def convolve_reverse(begin, end, start, past, x, weight, dy, d_past, d_x, d_weight):
    last = len(weight) - 1
    for t in range(len(x)):
        for b in range(begin, end):
            for ago in range(last + 1):
                within = ago <= t
                then = x[t - ago, b] if within else past[b, last + t - ago]
                d_then = d_x[t - ago, b] if within else d_past[b, last + t - ago]
                add_product(d_weight[b, last - ago], dy[t, b], then)
                add_product(d_then, dy[t, b], weight[last - ago])
                if within and start[t - ago, b]:
                    break


@row
def add_product(x, y, z):
    for i in range(len(x)):
        x[i] += y[i] * z[i]
