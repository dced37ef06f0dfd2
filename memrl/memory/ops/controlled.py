"""An LSTM controller and its memory over a whole sequence, as one autograd operation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from memrl.memory.ops.lstm import lstm_cell

Leaves: TypeAlias = tuple[Tensor, ...]


class Weights(NamedTuple):
    """Weights of the matrix products in a step."""

    feedback: Tensor  # [4H, V + H]  from the last reads and h to the gates i, f, o, g
    interface: Tensor  # [S, H]
    bias: Tensor  # [S]


class Carry(NamedTuple):
    """The state between two steps, or its gradient."""

    h: Tensor  # [B, H]
    c: Tensor  # [B, H]
    reads: Tensor  # [B, V]
    memory: Leaves  # [B, ...] each


class Accesses(ABC):
    """What a memory does in the steps of one sequence, for all rows; then their gradients.

    ``step`` is called for t = 0 … T − 1, and ``reverse`` from T − 1 to 0, at most once. Where an
    episode starts, a step begins from the initial state.
    """

    @abstractmethod
    def step(self, t: int, asked: Tensor, reads: Tensor) -> None:
        """From the interface vector [B, S] before its activations to ``reads`` [B, V]."""

    @abstractmethod
    def last(self) -> Leaves:
        """The memory after the last step."""

    @abstractmethod
    def begin_reverse(self, d_last: Sequence[Tensor | None]) -> None:
        """Take the gradients of ``last``."""

    @abstractmethod
    def reverse(self, t: int, asked: Tensor, d_reads: Tensor, d_asked: Tensor) -> None:
        """From the gradient of the reads to that of the interface vector, ``d_asked``."""

    @abstractmethod
    def first(self) -> list[Tensor | None]:
        """The gradients of the memory before the first step, then of ``others``."""


class Memory(ABC):
    """How a memory behind a controller is accessed; it holds sizes, and no state.

    ``others`` are the initial memory, leaves [1, ...], then weights of the memory's own.
    """

    @abstractmethod
    def sequence(self, start: Tensor, memory: Leaves, others: Leaves, *, trains: bool) -> Accesses:
        """Begin a sequence from ``memory`` with ``start`` [T, B]; ``trains``: gradients follow."""

    def step(
        self, asked: Tensor, start: Tensor, memory: Leaves, others: Leaves, *, donate: bool
    ) -> tuple[Tensor, Leaves]:
        """One step without gradients, to the reads [B, V] and the memory.

        Args:
            asked: the interface vector [B, S] before its activations.
            start: True where an episode starts, [B].
            memory: before the step.
            others: as above.
            donate: ``memory`` may be edited.
        """
        raise NotImplementedError

    steps: ClassVar[bool] = False  # whether ``step`` is there


def controlled_sequence(
    x: Float[Tensor, "T B G"],
    state: Carry,
    initial: Carry,
    start: Bool[Tensor, "T B"],
    weights: Weights,
    memory: Memory,
    own: Leaves = (),
) -> tuple[Float[Tensor, "T B D"], Carry]:
    """A memory behind an LSTM, equal to T calls of its update, with resets inside.

    The gradient of each weight is one product for the whole sequence instead of one for each step,
    and autograd records no graph of small operations. Only first derivatives are supported.

    Args:
        x: projected inputs [T, B, 4H].
        state: before the first step.
        initial: before an episode, leaves [1, ...].
        start: True where an episode starts.
        weights: of the matrix products in a step.
        memory: how it is accessed.
        own: weights of the memory's own.

    Returns:
        [h_t, r_t] side by side [T, B, H + V], and the last state.
    """
    carried = [*_leaves(state), *_leaves(initial), *own]
    trains = torch.is_grad_enabled() and any(leaf.requires_grad for leaf in (x, *weights, *carried))
    seen, *last = _Sequence.apply(  # type: ignore[no-untyped-call]
        memory, trains, len(state.memory), x, start, *weights, *carried
    )
    return seen, _carry(last)


@torch.no_grad()
def controlled_step(
    x: Float[Tensor, "B G"],
    state: Carry,
    initial: Carry,
    start: Bool[Tensor, " B"],
    weights: Weights,
    memory: Memory,
    own: Leaves = (),
    *,
    donate: bool,
) -> tuple[Float[Tensor, "B D"], Carry]:
    """One step of ``controlled_sequence`` without gradients; ``donate`` may edit the state."""
    fresh = start.unsqueeze(1)
    fed = torch.cat([state.reads, state.h], dim=1)
    fed = torch.where(fresh, torch.cat([initial.reads, initial.h], dim=1), fed)
    gates = torch.addmm(x, fed, weights.feedback.t())
    h, c = lstm_cell(gates, torch.where(fresh, initial.c, state.c))
    asked = torch.addmm(weights.bias, h, weights.interface.t())
    others = (*initial.memory, *own)
    reads, after = memory.step(asked, start, state.memory, others, donate=donate)
    return torch.cat([h, reads], dim=1), Carry(h, c, reads, after)


def _leaves(carry: Carry) -> tuple[Tensor, ...]:
    return carry.h, carry.c, carry.reads, *carry.memory


def _carry(leaves: Sequence[Any]) -> Carry:
    h, c, reads, *memory = leaves
    return Carry(h, c, reads, tuple(memory))


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        how: Memory,
        trains: bool,
        leaves: int,
        x: Tensor,
        start: Tensor,
        feedback: Tensor,
        interface: Tensor,
        bias: Tensor,
        *carried: Tensor,
    ) -> tuple[Tensor, ...]:
        before, initial = _carry(carried[: leaves + 3]), _carry(carried[leaves + 3 :])
        (T, B, _), H, V = x.shape, before.h.shape[1], before.reads.shape[1]
        accesses = how.sequence(start, before.memory, initial.memory, trains=trains)
        resets = start.any(dim=1).tolist()
        u = _by_seen(feedback, V)
        # All gates use one σ: tanh a = 2 σ(2a) − 1, so the rows of g are doubled.
        scale = x.new_ones(4, H, 1)
        scale[3] = 2.0
        scale = scale.view(-1, 1)
        gates, u_t, w_t = x * scale[:, 0], (u * scale).t(), interface.t()
        fed, seen = x.new_empty(T, B, H + V), x.new_empty(T, B, H + V)
        c_in, tanh_c = x.new_empty(T, B, H), x.new_empty(T, B, H)
        asked = x.new_empty(T, B, len(bias))
        opening, c_0 = torch.cat([initial.h, initial.reads], dim=1), initial.c
        now, c = torch.cat([before.h, before.reads], dim=1), before.c
        steps = zip(
            fed, c_in, gates, gates.view(T, B, 4, H), tanh_c, seen, asked, start, strict=True
        )
        for t, (fed_t, c_t, gates_t, parts, tanh_t, seen_t, asked_t, start_t) in enumerate(steps):
            if resets[t]:
                fresh = start_t.unsqueeze(1)
                torch.where(fresh, opening, now, out=fed_t)
                torch.where(fresh, c_0, c, out=c_t)
            else:
                fed_t.copy_(now)
                c_t.copy_(c)
            gates_t.addmm_(fed_t, u_t).sigmoid_()
            i, f, o, s = parts.unbind(1)
            c = (f * c_t).addcmul_(i, s, value=2).sub_(i)  # f c + i g
            h, reads = seen_t.split_with_sizes([H, V], 1)
            torch.mul(o, torch.tanh(c, out=tanh_t), out=h)
            torch.addmm(bias, h, w_t, out=asked_t)
            accesses.step(t, asked_t, reads)
            now = seen_t
        if trains:
            ctx.save_for_backward(start, u, interface, fed, c_in, gates, tanh_c, seen, asked)
            ctx.accesses, ctx.resets, ctx.leaves = accesses, resets, leaves
            ctx.learns_initial = any(
                leaf.requires_grad for leaf in (initial.h, initial.c, initial.reads)
            )
        h, reads = now.split_with_sizes([H, V], 1)
        memory = accesses.last()
        if trains:
            # If the graph kept what it returns, it would refer to itself and never be freed.
            memory = tuple(leaf.clone() for leaf in memory)
        last = (h.clone(), c, reads.clone(), *memory)
        ctx.mark_non_differentiable(*(leaf for leaf in last if not leaf.is_floating_point()))
        ctx.set_materialize_grads(False)
        return seen, *last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_seen: Tensor | None, *d_last: Tensor | None) -> tuple[Any, ...]:
        start, u, interface, fed, c_in, gates, tanh_c, seen, asked = ctx.saved_tensors
        accesses, resets = ctx.accesses, ctx.resets
        (T, B, H), D = c_in.shape, seen.shape[2]
        i, f, o, s = gates.view(T, B, 4, H).unbind(2)
        through_c = torch.addcmul(tanh_c.new_ones(()), tanh_c, tanh_c, value=-1).mul_(o)
        d_gates = torch.addcmul(gates, gates, gates, value=-1)  # σ', then times what it multiplies
        by_gate = d_gates.view(T, B, 4, H)
        d_if, (d_i, d_f, d_o, d_g) = by_gate[:, :, :2], by_gate.unbind(2)
        d_i.mul_(s.mul(2).sub_(1))
        d_f.mul_(c_in)
        d_o.mul_(tanh_c)
        d_g.mul_(i).mul_(4)
        d_asked = gates.new_empty(T, B, len(interface))
        d_h, d_c, d_reads, *d_memory = d_last
        d = seen.new_zeros(B, D)
        for part, given in ((d[:, :H], d_h), (d[:, H:], d_reads)):
            if given is not None:
                part.copy_(given)
        d_c = c_in.new_zeros(B, H) if d_c is None else d_c
        d_opening, d_c0 = seen.new_zeros(1, D), c_in.new_zeros(1, H)
        accesses.begin_reverse(d_memory)
        if d_seen is None:
            d_seen = torch.zeros_like(seen)
        for t in range(T - 1, -1, -1):
            d = d.add_(d_seen[t])
            d_h, d_reads = d.split_with_sizes([H, D - H], 1)
            accesses.reverse(t, asked[t], d_reads, d_asked[t])
            d_h = torch.addmm(d_h, d_asked[t], interface)
            d_c = torch.addcmul(d_c, d_h, through_c[t])
            d_if[t].mul_(d_c.unsqueeze(1))
            d_o[t].mul_(d_h)
            d_g[t].mul_(d_c)
            d, d_c = d_gates[t] @ u, d_c * f[t]
            if resets[t]:
                fresh = start[t].unsqueeze(1)
                if ctx.learns_initial:
                    d_opening += torch.where(fresh, d, 0).sum(0, keepdim=True)
                    d_c0 += torch.where(fresh, d_c, 0).sum(0, keepdim=True)
                d.masked_fill_(fresh, 0)
                d_c.masked_fill_(fresh, 0)
        flat, asks = d_gates.flatten(0, 1), d_asked.flatten(0, 1)
        d_u = flat.t() @ fed.flatten(0, 1)
        d_interface = asks.t() @ seen[..., :H].flatten(0, 1)
        memory = accesses.first()
        return (
            *(None, None, None),
            d_gates,
            None,
            _by_reads(d_u, D - H),
            d_interface,
            asks.sum(0),
            *(d[:, :H], d_c, d[:, H:], *memory[: ctx.leaves]),
            *(d_opening[:, :H], d_c0, d_opening[:, H:], *memory[ctx.leaves :]),
        )


def _by_seen(weight: Tensor, reads: int) -> Tensor:
    """Columns in the order of h, reads instead of reads, h."""
    return torch.cat([weight[:, reads:], weight[:, :reads]], dim=1)


def _by_reads(weight: Tensor, reads: int) -> Tensor:
    """The inverse of ``_by_seen``."""
    hidden = weight.shape[1] - reads
    return torch.cat([weight[:, hidden:], weight[:, :hidden]], dim=1)
