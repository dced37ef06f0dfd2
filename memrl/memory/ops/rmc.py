"""An RMC of one attention block over a whole sequence with resets inside, and its gradient by hand.

Nothing of a step is recorded but what its gradient needs. Resets select and do not multiply.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from memrl.memory.ops.host import steps_with_start
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
    gate: Tensor  # [G, F]  G = 2F: a gate for every cell; 0: no gates


class Given(NamedTuple):
    """What a sequence is given."""

    qkv: Tensor  # [T, B, 3F]  query (which nothing asks), key and value of the input
    gates: Tensor  # [T, B, G]  the input's part of [i, f], biases included
    memory: Tensor  # [B, N, F]  before the first step
    first: Tensor  # [N, F]  M of a row with ``start[t]``, before step t; it gets no gradient
    start: Tensor  # bool [T, B]
    heads: int  # of the attention


class Steps(ABC):
    """All steps of one sequence, then their gradients; ``backward`` may be called again."""

    @abstractmethod
    def forward(self, given: Given, weights: Weights) -> Tensor:
        """M' of every step [T, B, N, F]; keeps what the gradient needs."""

    @abstractmethod
    def backward(self, d: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Tensor, Weights]:
        """From the gradient of M' to those of ``qkv``, ``gates``, ``memory`` and the weights."""


def rmc_sequence(steps: type[Steps], given: Given, weights: Weights) -> Float[Tensor, "T B N F"]:
    """M' of every step. Only first derivatives are supported."""
    *tensors, heads = given
    return _RMCSequence.apply(steps, heads, *tensors, *weights)  # type: ignore[no-any-return, no-untyped-call]


class _RMCSequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, steps: type[Steps], heads: int, *tensors: Tensor) -> Tensor:
        qkv, gates, memory, first, start, *parameters = tensors
        ctx.save_for_backward(*parameters)
        ctx.steps = steps()
        given = Given(qkv, gates, memory, first, start, heads)
        after: Tensor = ctx.steps.forward(given, Weights(*parameters))
        return after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        *given, weights = ctx.steps.backward(d, Weights(*ctx.saved_tensors))
        return None, None, *given, None, None, *weights


class Norm(NamedTuple):
    """What the gradient of a layer norm needs."""

    x: Tensor
    mean: Tensor
    inverse: Tensor  # 1 / deviation


def norm(x: Tensor, gain: Tensor, shift: Tensor) -> tuple[Tensor, Norm]:
    """The layer norm of x."""
    y, mean, inverse = torch.native_layer_norm(x, gain.shape, gain, shift, EPS)
    return y, Norm(x, mean, inverse)


def through(of: Norm, d: Tensor, gain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From the gradient of a layer norm to those of x, gain and shift."""
    found = torch.ops.aten.native_layer_norm_backward(
        d, of.x, gain.shape, of.mean, of.inverse, gain, gain, [True, True, True]
    )
    return found  # type: ignore[no-any-return]


class _Step(NamedTuple):
    """What the forward pass keeps of a step."""

    memory: Tensor  # M, after its reset [N, B, F]
    half: Tensor  # σ(2M) = (1 + tanh M) / 2
    gates: Tensor  # [i, f] [N, B, G]
    projected: Norm  # of W_qkv M + b, with queries scaled by 1 / √d [N, B, 3F]
    qkv: Tensor  # what it gives, and that of the input as the last row [N + 1, B, 3F]
    weights: Tensor  # [N + 1, N, B, heads]
    attended: Norm  # of M + A(M) [N, B, F]
    rows: Tensor  # what it gives: Z
    hidden: Tensor  # relu(W₁ Z + b₁)
    thought: Norm  # of Z + MLP(Z); times two if there are gates
    written: Tensor  # σ of what it gives, (1 + tanh M̃) / 2


class TorchSteps(Steps):
    """Torch's operations, a step at a time; tensors lead with the slots: [N, B, F]."""

    def forward(self, given: Given, weights: Weights) -> Tensor:
        qkv, gates, memory, first, start, heads = given
        N, F = first.shape
        self.scale = torch.ones_like(weights.qkv_gain)
        self.scale[:F] = (F // heads) ** -0.5
        p = _scaled(weights, self.scale)
        # tanh M = 2 σ(2M) − 1, and −1 gives a constant.
        of_steps = (gates - weights.gate.sum(dim=1)).unsqueeze(1).repeat(1, N, 1, 1).unbind()
        self.start, self.resets = start, steps_with_start(start)
        now, self.steps, out = memory.transpose(0, 1).contiguous(), [], []
        for t, row in enumerate(qkv.unsqueeze(1).unbind()):
            if self.resets[t]:
                now = torch.where(start[t].unsqueeze(-1), first.unsqueeze(1), now)
            step, now = _forward(now, row, of_steps[t], p, heads)
            self.steps.append(step)
            out.append(now)
        return torch.stack(out).transpose(1, 2)

    def backward(self, d: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Tensor, Weights]:
        flow, d = _Gradients(_scaled(weights, self.scale)), d.transpose(1, 2).contiguous()
        dmemory = torch.zeros_like(d[0])
        for t in range(len(d) - 1, -1, -1):
            dmemory = flow.step(self.steps[t], dmemory + d[t])
            if self.resets[t]:
                dmemory.masked_fill_(self.start[t].unsqueeze(-1), 0)
        dqkv, dgates, dweights = flow.total(self.scale)
        return dqkv, dgates, dmemory.transpose(0, 1), dweights


def _scaled(p: Weights, scale: Tensor) -> Weights:
    """Scale queries by 1 / √d and, if there are gates, double M̃ and the product with tanh M."""
    double = 2 if len(p.gate) else 1
    return p._replace(
        qkv_gain=p.qkv_gain * scale,
        qkv_shift=p.qkv_shift * scale,
        thought_gain=p.thought_gain * double,
        thought_shift=p.thought_shift * double,
        gate=p.gate * double,
    )


def _forward(
    memory: Tensor, row: Tensor, gates: Tensor, p: Weights, heads: int
) -> tuple[_Step, Tensor]:
    """One step, to M'; overwrites ``gates``."""
    N, B, F = memory.shape
    old = memory.view(-1, F)
    of_memory, projected = norm(
        torch.addmm(p.qkv_bias, old, p.qkv.t()).view(N, B, -1), p.qkv_gain, p.qkv_shift
    )
    qkv = torch.cat([of_memory, row])
    q, k, v = qkv.chunk(3, dim=-1)
    weights = look(q[:N], k, heads)
    rows, attended = norm(read(weights, v).add_(memory), p.attended_gain, p.attended_shift)
    flat = rows.view(-1, F)
    hidden = torch.addmm(p.mlp_in_bias, flat, p.mlp_in.t()).relu_()
    mlp = torch.addmm(p.mlp_out_bias, hidden, p.mlp_out.t())
    new, thought = norm(mlp.add_(flat).view_as(rows), p.thought_gain, p.thought_shift)
    if not len(p.gate):
        step = _Step(
            memory, memory, gates, projected, qkv, weights, attended, rows, hidden, thought, new
        )
        return step, new
    half = torch.mul(memory, 2).sigmoid_()
    gates.view(N * B, -1).addmm_(half.view(-1, F), p.gate.t()).sigmoid_()
    i, f = gates.chunk(2, dim=-1)
    new.sigmoid_()
    after = (f * memory).addcmul_(i, new, value=2).sub_(i)  # f M + i tanh M̃
    step = _Step(memory, half, gates, projected, qkv, weights, attended, rows, hidden, thought, new)
    return step, after


class _Gradients:
    """The backward pass: gradients of what each step computed, added up while they are in cache."""

    def __init__(self, p: Weights) -> None:
        # Twice the factors of ``_scaled``: the derivative of 2 σ(a) − 1 is 2 σ (1 − σ).
        double = 2 if len(p.gate) else 1
        self.p = p._replace(thought_gain=p.thought_gain * double, gate=p.gate * double)
        self.qkv, self.mlp_in, self.mlp_out, self.gate = (
            torch.zeros_like(weight) for weight in (p.qkv, p.mlp_in, p.mlp_out, p.gate)
        )
        self.found: list[tuple[Tensor, ...]] = []

    def step(self, step: _Step, d: Tensor) -> Tensor:
        """From the gradient of M' to that of M."""
        p, (N, _, F) = self.p, d.shape
        dmemory, dnew, dgates = self._gated(step, d)
        dthought, *of_thought = through(step.thought, dnew, p.thought_gain)
        flat = dthought.view(-1, F)
        dhidden = torch.ops.aten.threshold_backward(flat @ p.mlp_out, step.hidden, 0)
        drows = torch.addmm(flat, dhidden, p.mlp_in).view_as(d)
        dattended, *of_attended = through(step.attended, drows, p.attended_gain)
        q, k, v = step.qkv.chunk(3, dim=-1)
        dweights, dv = read_reverse(dattended, step.weights, v)
        dq, dk = look_reverse(dweights, step.weights, q[:N], k)
        dqkv = torch.cat([dq, dk[:N], dv[:N]], dim=-1)
        dprojected, *of_projected = through(step.projected, dqkv, p.qkv_gain)
        dprojected = dprojected.view(-1, 3 * F)
        old = step.memory.view(-1, F)
        self.qkv.addmm_(dprojected.t(), old)
        self.mlp_in.addmm_(dhidden.t(), step.rows.view(-1, F))
        self.mlp_out.addmm_(flat.t(), step.hidden)
        biases = (each.sum(dim=0) for each in (dprojected, dhidden, flat))
        norms = (*of_projected, *of_attended, *of_thought)
        self.found.append((dk[N], dv[N], dgates, *biases, *norms))
        return torch.addmm(dmemory.add_(dattended).view(-1, F), dprojected, p.qkv).view_as(d)

    def _gated(self, step: _Step, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """To M past the attention, to M̃ (doubled), and to the input's part of the gates."""
        if not len(self.p.gate):
            return torch.zeros_like(d), d, step.gates[0]
        N, B, F = d.shape
        i, f = step.gates.chunk(2, dim=-1)
        both = torch.stack([d * (2 * step.written).sub_(1), d * step.memory], dim=2)
        dgates = torch.ops.aten.sigmoid_backward(both.view_as(step.gates), step.gates)
        flat, half = dgates.view(N * B, -1), step.half.view(-1, F)
        self.gate.addmm_(flat.t(), half)
        dmemory = torch.ops.aten.sigmoid_backward((flat @ self.p.gate).view_as(d), step.half)
        dnew = torch.ops.aten.sigmoid_backward(d * i, step.written)
        return dmemory.addcmul_(d, f), dnew, dgates.sum(dim=0)

    def total(self, scale: Tensor) -> tuple[Tensor, Tensor, Weights]:
        """To the input's query, key and value, to its gates, and to the weights."""
        self.found.reverse()
        dk, dv, gates, *small = map(torch.stack, zip(*self.found, strict=True))
        qkv, mlp_in, mlp_out, qkv_gain, qkv_shift, *others = (each.sum(dim=0) for each in small)
        factor = 4 if len(self.p.gate) else 1
        weights = Weights(
            self.qkv, qkv, qkv_gain * scale, qkv_shift * scale, others[0], others[1],
            self.mlp_in, mlp_in, self.mlp_out, mlp_out, others[2] * factor, others[3] * factor,
            2 * self.gate - gates.sum(dim=(0, 1)).unsqueeze(1),  # tanh M = 2 σ(2M) − 1
        )  # fmt: skip
        return torch.cat([torch.zeros_like(dk), dk, dv], dim=-1), gates, weights
