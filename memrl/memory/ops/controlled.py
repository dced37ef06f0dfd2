"""An LSTM controller and its memory over a whole sequence, as one autograd operation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from memrl.memory.ops.gated import Given, Leaves, owned
from memrl.memory.ops.lstm import ControllerGates, LSTMGates, lstm_cell


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


class Steps(NamedTuple):
    """What the steps of a sequence read and write."""

    gates: LSTMGates  # of the controller; its state is [h, reads]
    start: Tensor  # bool [T, B]
    u: Tensor  # [4H, H + V]  from h and the reads to the gates
    interface: Tensor  # [S, H]
    bias: Tensor  # [S]
    first_reads: Tensor  # [1, V]  before an episode
    asked: Tensor  # [T, B, S]  the interface vector before its activations
    seen: Tensor  # [T, B, H + V]  [h, reads]


class StepGradients(NamedTuple):
    """The gradients of ``Steps``; those of the gates are theirs."""

    seen: Tensor  # [T, B, H + V]  it is overwritten
    fed: Tensor  # [B, H + V]  of what a step begins from; at the end, the first
    asked: Tensor  # [T, B, S]
    first_fed: Tensor | None  # [B, H + V]  of the state before an episode; None: it is not learned
    first_c: Tensor  # [B, H]


class Accesses(ABC):
    """What a memory does in the steps of one sequence, for all rows; then their gradients.

    ``forward`` is called once, ``backward`` at most once after ``begin_reverse``. Where an episode
    starts, a step begins from the initial state.
    """

    @abstractmethod
    def forward(self, steps: Steps) -> None:
        """All steps, with those of the controller."""

    @abstractmethod
    def last(self) -> Leaves:
        """The memory after the last step."""

    @abstractmethod
    def begin_reverse(self, d_last: Sequence[Tensor | None]) -> None:
        """Take the gradients of ``last``."""

    @abstractmethod
    def backward(self, steps: Steps, grads: StepGradients) -> None:
        """The gradients of all steps, with those of the controller."""

    @abstractmethod
    def first(self) -> list[Tensor | None]:
        """The gradients of the memory before the first step, then of ``others``."""


class StepAccesses(Accesses):
    """Goes from step to step, in torch."""

    @abstractmethod
    def step(self, t: int, asked: Tensor, reads: Tensor) -> None:
        """From the interface vector [B, S] before its activations to ``reads`` [B, V]."""

    @abstractmethod
    def reverse(self, t: int, asked: Tensor, d_reads: Tensor, d_asked: Tensor) -> None:
        """From the gradient of the reads to that of the interface vector, ``d_asked``."""

    def forward(self, steps: Steps) -> None:
        gates, start, u, interface, bias, first_reads, asked, seen = steps
        H, u_t, w_t = gates.H, u.t(), interface.t()
        for t in range(len(asked)):
            gates.step(t, u_t, seen)
            h, reads = seen[t].split_with_sizes([H, seen.shape[2] - H], 1)
            self.step(t, torch.addmm(bias, h, w_t, out=asked[t]), reads)
            if gates.resets[t + 1]:
                fresh = start[t + 1].unsqueeze(1)
                torch.where(fresh, first_reads, reads, out=gates.h_in[t + 1, :, H:])
            else:
                gates.h_in[t + 1, :, H:] = reads

    def backward(self, steps: Steps, grads: StepGradients) -> None:
        gates, H, d = steps.gates, steps.gates.H, grads.fed
        for t in range(len(steps.asked) - 1, -1, -1):
            d_h, d_reads = grads.seen[t].split_with_sizes([H, d.shape[1] - H], 1)
            d_reads.add_(d[:, H:])
            self.reverse(t, steps.asked[t], d_reads, grads.asked[t])
            d_h.addmm_(grads.asked[t], steps.interface)
            gates.reverse(t, d, grads.seen)
            torch.mm(gates.d_gates[t], steps.u, out=d)
            if gates.resets[t]:
                fresh = steps.start[t].unsqueeze(1)
                if grads.first_fed is not None:
                    grads.first_fed.add_(torch.where(fresh, d, 0))
                    grads.first_c.add_(torch.where(fresh, gates.d_c, 0))
                d[:, H:].masked_fill_(fresh, 0)


class Memory(ABC):
    """How a memory behind a controller is accessed; it holds sizes, and no state.

    ``others`` are the initial memory, leaves [1, ...], then weights of the memory's own.
    """

    gates: ClassVar[type[LSTMGates]] = ControllerGates  # of the controller

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
        fed, seen = x.new_empty(T + 1, B, H + V), x.new_empty(T, B, H + V)  # [h, reads]
        state, first = (before.h, before.c), (initial.h, initial.c)
        gates = how.gates(Given(owned(x), start, state, first, (), fed))
        fed[0, :, H:] = torch.where(start[0].unsqueeze(1), initial.reads, before.reads)
        asked, u = x.new_empty(T, B, len(bias)), _by_seen(feedback, V)
        steps = Steps(gates, start, u, interface, bias, initial.reads, asked, seen)
        accesses.forward(steps)
        if trains:
            ctx.save_for_backward(start, u, interface, bias, initial.reads, asked, seen)
            ctx.accesses, ctx.gates, ctx.leaves = accesses, gates, leaves
            ctx.learns_initial = any(leaf.requires_grad for leaf in (*first, initial.reads))
        last = (*gates.last(), fed[T, :, H:], *accesses.last())
        # If the graph kept what it returns, it would refer to itself and never be freed.
        last = tuple(leaf.clone() for leaf in last)
        ctx.mark_non_differentiable(*(leaf for leaf in last if not leaf.is_floating_point()))
        ctx.set_materialize_grads(False)
        return seen, *last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_seen: Tensor | None, *d_last: Tensor | None) -> tuple[Any, ...]:
        steps = Steps(ctx.gates, *ctx.saved_tensors)
        accesses, gates, H = ctx.accesses, steps.gates, steps.gates.H
        d_h, d_c, d_reads, *d_memory = d_last
        d = torch.zeros_like(gates.h_in[0])
        for part, given in ((d[:, :H], d_h), (d[:, H:], d_reads)):
            if given is not None:
                part.copy_(given)
        d_seen = torch.zeros_like(steps.seen) if d_seen is None else owned(d_seen)
        d_first, d_first_c = torch.zeros_like(d), d.new_zeros(len(d), H)
        learned = d_first if ctx.learns_initial else None
        grads = StepGradients(d_seen, d, torch.empty_like(steps.asked), learned, d_first_c)
        accesses.begin_reverse(d_memory)
        gates.begin_reverse((d_c,))
        accesses.backward(steps, grads)
        flat, asks = gates.d_gates.flatten(0, 1), grads.asked.flatten(0, 1)
        d_u = flat.t() @ gates.h_in[:-1].flatten(0, 1)
        d_interface = asks.t() @ steps.seen[..., :H].flatten(0, 1)
        memory = accesses.first()
        d_first, d_first_c = d_first.sum(0, keepdim=True), d_first_c.sum(0, keepdim=True)
        return (
            *(None, None, None),
            gates.d_gates,
            None,
            _by_reads(d_u, d.shape[1] - H),
            d_interface,
            asks.sum(0),
            *(*gates.first(d), d[:, H:], *memory[: ctx.leaves]),
            *(d_first[:, :H], d_first_c, d_first[:, H:], *memory[ctx.leaves :]),
        )


def _by_seen(weight: Tensor, reads: int) -> Tensor:
    """Columns in the order of h, reads instead of reads, h."""
    return torch.cat([weight[:, reads:], weight[:, :reads]], dim=1)


def _by_reads(weight: Tensor, reads: int) -> Tensor:
    """The inverse of ``_by_seen``."""
    hidden = weight.shape[1] - reads
    return torch.cat([weight[:, hidden:], weight[:, :hidden]], dim=1)
