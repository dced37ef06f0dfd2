"""An RMC of one attention block over a whole sequence with resets inside, and its gradient by hand.

Nothing of a step is recorded but what its gradient needs, and each weight's gradient is one product
over all steps. Tensors lead with the slots: [N, B, F], so that the rows of all slots are one
product's rows and attention runs along whole vectors. Resets select and do not multiply.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from memrl.memory.ops.relational import look, look_reverse, read, read_reverse

EPS = 1e-5  # of nn.LayerNorm


class Weights(NamedTuple):
    """The parameters that a step uses, in the order of the step; gains and shifts of the norms."""

    qkv: Tensor  # [3F, F]
    qkv_bias: Tensor
    qkv_gain: Tensor
    qkv_shift: Tensor
    attended_gain: Tensor  # [F]
    attended_shift: Tensor
    mlp_in: Tensor  # [F, F]
    mlp_in_bias: Tensor
    mlp_out: Tensor  # [F, F]
    mlp_out_bias: Tensor
    thought_gain: Tensor
    thought_shift: Tensor
    gate: Tensor  # [G, F]  G = 2F: a gate for every cell; 2: for every row; 0: no gates


def rmc_sequence(
    qkv: Float[Tensor, "T B 3F"],
    gates: Float[Tensor, "T B G"],
    memory: Float[Tensor, "B N F"],
    weights: Weights,
    first: Float[Tensor, "N F"],
    start: Bool[Tensor, "T B"],
    heads: int,
) -> Float[Tensor, "T N B F"]:
    """M' of every step.

    Args:
        qkv: query (which nothing asks), key and value of the input.
        gates: the input's part of [i, f], biases included.
        memory: before the first step.
        weights: of ``RMC``.
        first: M of a row with ``start[t]``, before step t; it gets no gradient.
        start: resets.
        heads: of the attention.
    """
    return _RMCSequence.apply(qkv, gates, memory, first, start, heads, *weights)  # type: ignore[no-any-return, no-untyped-call]


class _Kept(NamedTuple):
    """What the forward pass keeps of all steps, [T, ...] each."""

    memory: Tensor  # M, after its reset [N, B, F]
    squashed: Tensor  # tanh M
    gates: Tensor  # [i, f] [N, B, G]
    projected: Tensor  # W_qkv M + b [N, B, 3F]
    qkv: Tensor  # its norm, and that of the input as the last row [N + 1, B, 3F]
    weights: Tensor  # [N + 1, N, B, heads]
    attended: Tensor  # M + A(M) [N, B, F]
    rows: Tensor  # its norm Z
    hidden: Tensor  # relu(W₁ Z + b₁)
    thought: Tensor  # Z + MLP(Z)
    written: Tensor  # tanh of its norm, or the norm itself without gates
    moments: Tensor  # [6, N, B, 1]  mean and 1 / deviation of the three norms


class _RMCSequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        qkv: Tensor,
        gates: Tensor,
        memory: Tensor,
        first: Tensor,
        start: Tensor,
        heads: int,
        *parameters: Tensor,
    ) -> Tensor:
        p = Weights(*parameters)
        (T, B), (N, F), G = start.shape, first.shape, gates.shape[-1]
        empty = memory.new_empty
        kept = _Kept(
            *(empty(T, N, B, F) for _ in range(2)),
            gates.unsqueeze(1).repeat(1, N, 1, 1),
            empty(T, N, B, 3 * F),
            empty(T, N + 1, B, 3 * F),
            empty(T, N + 1, N, B, heads),
            *(empty(T, N, B, F) for _ in range(5)),
            empty(T, 6, N, B, 1),
        )
        kept.qkv[:, N] = qkv
        resets, fresh = start.any(dim=1).tolist(), first.unsqueeze(1)
        out = empty(T, N, B, F)
        now = memory.transpose(0, 1)
        for t in range(T):
            step = _Kept(*(each[t] for each in kept))
            if resets[t]:
                torch.where(start[t].unsqueeze(-1), fresh, now, out=step.memory)
            else:
                step.memory.copy_(now)
            now = _forward(step, p, out[t])
        ctx.save_for_backward(start, *kept, *parameters)
        ctx.resets = resets
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        start, *saved = ctx.saved_tensors
        kept, p = _Kept(*saved[: len(_Kept._fields)]), Weights(*saved[len(_Kept._fields) :])
        d = _Gradients(kept, p)
        dmemory = torch.zeros_like(dy[0])
        for t in range(len(dy) - 1, -1, -1):
            dmemory = d.step(t, dmemory.add_(dy[t]))
            if ctx.resets[t]:
                dmemory.masked_fill_(start[t].unsqueeze(-1), 0)
        dinput, dgates = d.qkv[:, -1], d.gates.sum(dim=1)
        return dinput, dgates, dmemory.transpose(0, 1), None, None, None, *d.of_weights()


def _forward(step: _Kept, p: Weights, out: Tensor) -> Tensor:
    """One step, which fills ``step`` and ``out``: M'."""
    N, B, F = step.memory.shape
    old = step.memory.view(-1, F)
    torch.addmm(p.qkv_bias, old, p.qkv.t(), out=step.projected.view(-1, 3 * F))
    step.qkv[:N] = _norm(step.projected, p.qkv_gain, p.qkv_shift, step.moments[:2])
    q, k, v = step.qkv.split(F, dim=-1)
    step.weights.copy_(look(q[:N], k, step.weights.shape[-1]))
    torch.add(read(step.weights, v), step.memory, out=step.attended)
    step.rows.copy_(_norm(step.attended, p.attended_gain, p.attended_shift, step.moments[2:4]))
    rows, hidden, thought = (each.view(-1, F) for each in (step.rows, step.hidden, step.thought))
    torch.addmm(p.mlp_in_bias, rows, p.mlp_in.t(), out=hidden).relu_()
    torch.addmm(p.mlp_out_bias, hidden, p.mlp_out.t(), out=thought).add_(rows)
    new = _norm(step.thought, p.thought_gain, p.thought_shift, step.moments[4:])
    if not len(p.gate):
        step.written.copy_(new)
        return out.copy_(new)
    tanh(step.memory, out=step.squashed)
    tanh(new, out=step.written)
    step.gates.view(N * B, -1).addmm_(step.squashed.view(-1, F), p.gate.t()).sigmoid_()
    i, f = step.gates.chunk(2, dim=-1)
    return torch.mul(f, step.memory, out=out).addcmul_(i, step.written)


class _Gradients:
    """The backward pass: gradients of what every step computed, and sums for the norms."""

    def __init__(self, kept: _Kept, p: Weights) -> None:
        self.kept, self.p = kept, p
        like = torch.empty_like
        self.gates, self.projected, self.qkv = like(kept.gates), like(kept.projected), like(kept.qkv)
        self.hidden, self.thought = like(kept.hidden), like(kept.thought)
        norms = (p.qkv_gain, p.attended_gain, p.thought_gain)
        self.norms = [(torch.zeros_like(gain), torch.zeros_like(gain)) for gain in norms]

    def step(self, t: int, d: Tensor) -> Tensor:
        """From the gradient of M' to that of M."""
        step, p = _Kept(*(each[t] for each in self.kept)), self.p
        N, _, F = step.memory.shape
        dmemory, dnew = self._gated(step, self.gates[t], d)
        dthought = self.thought[t]
        dthought.copy_(self._normed(2, dnew, step.thought, step.moments[4:], p.thought_gain))
        dhidden, flat = self.hidden[t].view(-1, F), dthought.view(-1, F)
        hidden = step.hidden.view(-1, F)
        torch.mul(torch.mm(flat, p.mlp_out), hidden > 0, out=dhidden)
        drows = torch.addmm(flat, dhidden, p.mlp_in).view_as(dthought)
        dattended = self._normed(1, drows, step.attended, step.moments[2:4], p.attended_gain)
        q, k, v = step.qkv.split(F, dim=-1)
        dq, dk, dv = self.qkv[t].split(F, dim=-1)
        dweights, found = read_reverse(dattended, step.weights, v)
        dv.copy_(found)
        dq[N].zero_()
        dq[:N], found = look_reverse(dweights, step.weights, q[:N], k)
        dk.copy_(found)
        dprojected = self.projected[t]
        dqkv = self._normed(0, self.qkv[t, :N], step.projected, step.moments[:2], p.qkv_gain)
        dprojected.copy_(dqkv)
        dmemory.add_(dattended).view(-1, F).addmm_(dprojected.view(-1, 3 * F), p.qkv)
        return dmemory

    def _gated(self, step: _Kept, dgates: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        """To M past the attention, and to what the attention made of it; fills ``dgates``."""
        N, B, F = d.shape
        if not len(self.p.gate):
            return torch.zeros_like(d), d
        (i, f), (di, df) = step.gates.chunk(2, dim=-1), dgates.chunk(2, dim=-1)
        if di.shape[-1] == F:
            torch.mul(d, step.written, out=di)
            torch.mul(d, step.memory, out=df)
        else:
            di.copy_((d * step.written).sum(dim=-1, keepdim=True))
            df.copy_((d * step.memory).sum(dim=-1, keepdim=True))
        dgates.copy_(torch.ops.aten.sigmoid_backward(dgates, step.gates))
        through = torch.mm(dgates.view(N * B, -1), self.p.gate).view_as(d)
        dmemory = torch.ops.aten.tanh_backward(through, step.squashed).addcmul_(d, f)
        return dmemory, torch.ops.aten.tanh_backward(d * i, step.written)

    def _normed(
        self, number: int, d: Tensor, x: Tensor, moments: Tensor, gain: Tensor
    ) -> Tensor:
        """Through a layer norm of x; adds to the gradients of its gain and shift."""
        dx, dgain, dshift = torch.ops.aten.native_layer_norm_backward(
            d, x, gain.shape, moments[0], moments[1], gain, gain, [True, True, True]
        )
        self.norms[number][0].add_(dgain)
        self.norms[number][1].add_(dshift)
        return dx  # type: ignore[no-any-return]

    def of_weights(self) -> Weights:
        """Each one product, or one sum, over all steps."""
        kept, ((dqkv_norm), (dattended_norm), (dthought_norm)) = self.kept, self.norms

        def product(d: Tensor, x: Tensor) -> Tensor:
            return d.flatten(0, -2).t() @ x.flatten(0, -2)

        return Weights(
            product(self.projected, kept.memory), self.projected.sum((0, 1, 2)), *dqkv_norm,
            *dattended_norm,
            product(self.hidden, kept.rows), self.hidden.sum((0, 1, 2)),
            product(self.thought, kept.hidden), self.thought.sum((0, 1, 2)), *dthought_norm,
            product(self.gates, kept.squashed),
        )  # fmt: skip


def tanh(x: Tensor, out: Tensor) -> Tensor:
    """2 σ(2x) − 1: on a CPU a third of the time of ``torch.tanh``."""
    return torch.mul(x, 2, out=out).sigmoid_().mul_(2).sub_(1)


def _norm(x: Tensor, gain: Tensor, shift: Tensor, moments: Tensor) -> Tensor:
    """The layer norm; stores the mean and 1 / deviation of every row."""
    y, mean, inverse = torch.native_layer_norm(x, gain.shape, gain, shift, EPS)
    moments[0], moments[1] = mean, inverse
    return y
