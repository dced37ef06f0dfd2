"""A DNC over a whole sequence as one autograd operation with resets inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from memrl.memory.ops.access import Access, access, reverse
from memrl.memory.ops.compiled import compiled

aten = torch.ops.aten


class Carry(NamedTuple):
    """The state between two steps, or the gradient with respect to it."""

    h: Tensor  # [B, H]
    c: Tensor  # [B, H]
    access: Access


class Weights(NamedTuple):
    """Weights of the matrix products in a step."""

    feedback: Tensor  # [4H, R·W + H]  from the last reads and h to the gates i, f, o, g
    interface: Tensor  # [S, H]
    bias: Tensor  # [S]


def dnc_sequence(
    x: Float[Tensor, "T B G"],
    state: Carry,
    start: Bool[Tensor, "T B"],
    weights: Weights,
    clip: float,
    compile: bool,
) -> tuple[Float[Tensor, "T B D"], Carry]:
    """A DNC with an LSTM controller, equal to T calls of its update.

    The gradient of each weight is one product for the whole sequence instead of one for each step,
    and autograd records no graph of small operations.

    Args:
        x: projected inputs [T, B, 4H].
        state: before the first step.
        start: True where an episode starts; the state becomes zero there.
        weights: of the matrix products in a step.
        clip: bound of the interface vector.
        compile: compile the steps, forward and backward.

    Returns:
        [h_t, r_t] side by side [T, B, H + R·W], and the last state.
    """
    seen, *last = _Sequence.apply(  # type: ignore[no-untyped-call]
        x, start, clip, compile, *weights, *_leaves(state)
    )
    return seen, _carry(last)


def _leaves(carry: Carry) -> tuple[Tensor, ...]:
    return carry.h, carry.c, *carry.access


def _carry(tensors: Sequence[Tensor]) -> Carry:
    """The inverse of ``_leaves``."""
    h, c, *access = tensors
    return Carry(h, c, Access(*access))


def step(x: Tensor, before: Carry, weights: Weights, clip: float) -> tuple[Carry, list[Tensor]]:
    """One step, and the tensors that ``step_backward`` needs."""
    fed = torch.cat([before.access.reads.flatten(1), before.h], dim=1)
    gates = torch.addmm(x, fed, weights.feedback.t())
    width = before.h.shape[1]
    squashed, g = gates[:, : 3 * width].sigmoid(), gates[:, 3 * width :].tanh()
    i, f, o = squashed.chunk(3, dim=1)
    c = torch.addcmul(f * before.c, i, g)
    tanh_c = c.tanh()
    h = o * tanh_c
    asked = torch.addmm(weights.bias, h, weights.interface.t())
    after, kept = access(asked, before.access, clip)
    return Carry(h, c, after), [fed, squashed, g, tanh_c, before.c, h, *kept]


def step_backward(
    kept: list[Tensor], d: Carry, weights: Weights, clip: float
) -> tuple[Tensor, Tensor, Carry]:
    """From the gradient of the state after a step to those of gates, interface and state before."""
    fed, squashed, g, tanh_c, c_before, _, *accessed = kept
    i, f, o = squashed.chunk(3, dim=1)
    d_asked, d_access = reverse(tuple(accessed), d.access, clip)
    d_h = torch.addmm(d.h, d_asked, weights.interface)
    d_c = aten.tanh_backward(d_h * o, tanh_c).add(d.c)
    d_squashed = torch.cat([d_c * g, d_c * c_before, d_h * tanh_c], dim=1)
    d_gates = torch.cat(
        [aten.sigmoid_backward(d_squashed, squashed), aten.tanh_backward(d_c * i, g)], dim=1
    )
    d_fed = torch.mm(d_gates, weights.feedback)
    width = fed.shape[1] - d_h.shape[1]
    d_reads = d_fed[:, :width].view_as(d.access.reads)
    d_before = Carry(d_fed[:, width:], d_c * f, d_access._replace(reads=d_reads))
    return d_gates, d_asked, d_before


def _reset(start: Tensor, carry: Carry) -> Carry:
    """Zeros in the rows where an episode starts; selected, since 0 times NaN is NaN."""
    zero = carry.h.new_zeros(())
    return _carry(
        [torch.where(start.view(-1, *[1] * (x.dim() - 1)), zero, x) for x in _leaves(carry)]
    )


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        start: Tensor,
        clip: float,
        compile: bool,
        feedback: Tensor,
        interface: Tensor,
        bias: Tensor,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        weights, carry = Weights(feedback, interface, bias), _carry(state)
        resets = start.any(dim=1).tolist()
        ctx.clip, ctx.resets, ctx.steps = clip, resets, []
        ctx.compile = compile
        advance = compiled(step) if compile else step
        seen = []
        for t, x_t in enumerate(x.unbind()):
            if resets[t]:
                carry = _reset(start[t], carry)
            carry, kept = advance(x_t, carry, weights, clip)
            ctx.steps.append(kept)
            seen += [carry.h, carry.access.reads.flatten(1)]
        ctx.save_for_backward(start, *weights)
        out = torch.cat(seen, dim=1).view(x.shape[1], len(x), -1).transpose(0, 1)
        # Copies: if the graph kept what it returns, it would refer to itself and never be freed.
        return out, *(leaf.clone() for leaf in _leaves(carry))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_seen: Tensor, *d_last: Tensor) -> tuple[Tensor | None, ...]:
        start, *saved = ctx.saved_tensors
        weights, d = Weights(*saved), _carry(d_last)
        d_seen_h, d_seen_reads = d_seen.split(  # type: ignore[no-untyped-call]
            [d.h.shape[1], d_seen.shape[2] - d.h.shape[1]], dim=2
        )
        d_gates, d_asked = [], []
        none = torch.zeros_like(d.access.write_weights)
        retreat = compiled(step_backward) if ctx.compile else step_backward
        for t in range(len(start) - 1, -1, -1):
            d_reads = d.access.reads + d_seen_reads[t].reshape(d.access.reads.shape)
            d = Carry(d.h + d_seen_h[t], d.c, d.access._replace(reads=d_reads))
            gates, asked, d = retreat(ctx.steps[t], d, weights, ctx.clip)
            # Usage passes no gradient to the previous write weights.
            d = d._replace(access=d.access._replace(write_weights=none))
            d_gates.append(gates)
            d_asked.append(asked)
            if ctx.resets[t]:
                d = _reset(start[t], d)
        d_x, d_asks = torch.stack(d_gates[::-1]), torch.stack(d_asked[::-1])
        fed, h = (torch.stack([kept[i] for kept in ctx.steps]) for i in (0, 5))
        d_feedback = d_x.flatten(0, 1).t() @ fed.flatten(0, 1)
        d_interface = d_asks.flatten(0, 1).t() @ h.flatten(0, 1)
        return d_x, None, None, None, d_feedback, d_interface, d_asks.sum(dim=(0, 1)), *_leaves(d)
