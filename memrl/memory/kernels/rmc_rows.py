"""The arrays of an RMC's sequence by its kernel, and the gradients of weights after it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from memrl.memory.kernels import rmc
from memrl.memory.kernels.compile import Array
from memrl.memory.kernels.rows import Shapes, room
from memrl.memory.kernels.sequence import array_of
from memrl.memory.kernels.threads import divide
from memrl.memory.ops.rmc import EPS, Given, Steps, Weights

PRODUCTS = {"qkv", "mlp_in", "mlp_out", "gate"}  # weights that are matrices


class RowSteps(Steps):
    """`TorchSteps` by a kernel."""

    def forward(self, given: Given, weights: Weights) -> Tensor:
        qkv, gates, memory, first, start, heads = given
        (T, B, G), (N, F) = gates.shape, first.shape
        self.input = rmc.Input(*map(array_of, (start, qkv, gates, first)))
        dtype = self.input.first.dtype
        self.kept = rmc.Kept(*room(_kept(N, F, heads, G), T, B, dtype=dtype))
        self.kept.memory[0] = torch.where(start[0].view(-1, 1, 1), first, memory).numpy()
        rows: Shapes = {"qkv": (N + 1, 3 * F), "d_qkv": (N + 1, 3 * F)}
        rows |= {"rows": (N, F), "more": (N, F), "weights": (N + 1,)}
        self.room = rmc.Room(*room(rows, B, dtype=dtype))
        constants = 1, 1 / F, 1 / (3 * F), EPS, (F // heads) ** -0.5
        self.sizes = rmc.Sizes(*map(dtype.type, constants))
        out = qkv.new_empty(T, B, N, F)
        self._call(rmc.sequence, _arrays(weights, turned=True), out.numpy())
        return out

    def backward(self, d: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Tensor, Weights]:
        kept, given = self.kept, self.input
        back = kept.projected, kept.hidden, kept.thought, kept.gates, given.qkv, given.gates
        flow, d_memory = rmc.Flow(*map(np.empty_like, back)), np.zeros_like(kept.memory[0])
        like = (getattr(weights, name) for name in rmc.Small._fields)
        small = [d.new_zeros(d.shape[1], *each.shape) for each in like]
        arrays = rmc.Small(*(each.numpy() for each in small))
        columns = _arrays(weights, turned=False)
        self._call(rmc.sequence_reverse, columns, array_of(d), flow, arrays, d_memory)
        sums = dict(zip(rmc.Small._fields, (each.sum(0) for each in small), strict=True))
        # What the MLP was given is what is kept, times the gain, and the shift.
        mlp_in = _product(flow.hidden, kept.attended) * weights.attended_gain
        found = Weights(
            **sums,
            qkv=_product(flow.projected, kept.memory),
            mlp_in=mlp_in.addr_(sums["mlp_in_bias"], weights.attended_shift),
            mlp_out=_product(flow.thought, kept.hidden),
            gate=_product(flow.gates, kept.squashed) if len(weights.gate) else weights.gate,
        )
        return *map(torch.from_numpy, (flow.qkv, flow.asked, d_memory)), found  # type: ignore[return-value]

    def _call(self, kernel: Any, weights: Any, *further: Any) -> None:
        given = self.sizes, self.input, weights, self.kept, self.room
        divide(kernel, len(self.room.rows), 1, *given, *further)


def _kept(N: int, F: int, heads: int, G: int) -> Shapes:
    """Shapes of ``rmc.Kept`` for one row."""
    gated = F if G else 0
    return {
        "memory": (N, F),
        "projected": (N, 3 * F),
        "attended": (N, F),
        "thought": (N, F),
        "inverse": (3, N),
        "weights": (N, heads, N + 1),
        "hidden": (N, F),
        "gates": (N, G),
        "squashed": (N, gated),
        "written": (N, gated),
    }


def _arrays(weights: Weights, *, turned: bool) -> Any:
    """The weights as arrays; matrices turned for the way forward."""
    return Weights(
        *(
            array_of(each.t() if turned and name in PRODUCTS else each)  # type: ignore[arg-type]
            for name, each in zip(Weights._fields, weights, strict=True)
        )
    )


def _product(d: Array, x: Array) -> Tensor:
    """The gradient of a weight from those of its products and from its factors."""
    return torch.from_numpy(d).flatten(0, 2).t() @ torch.from_numpy(x).flatten(0, 2)
