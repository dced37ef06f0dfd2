"""A GRU or an LSTM over a whole sequence with resets inside: one product a step.

One product projects all inputs, and each weight gradient is one product at the end. A ``Gates``
object computes the steps, in torch or by a kernel. Resets select and do not multiply, so that a NaN
state does not survive. Under autocast the products over all steps run in bfloat16; the products
inside the loop and the state do not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from memrl.memory.ops.autocast import autocasting
from memrl.memory.ops.host import host_reads

Leaves: TypeAlias = tuple[Tensor, ...]


class Given(NamedTuple):
    """What a cell is given for a sequence."""

    inputs: Tensor  # [T, B, G]  what the inputs give to the gates; it is overwritten
    start: Tensor  # bool [T, B]  True where an episode starts
    state: Leaves  # before the first step, h first, [B, H] each
    initial: Leaves  # before an episode, [1, H] each
    own: Leaves  # further weights of the cell
    h_in: Tensor  # [T + 1, B, ≥ H]  see ``Gates``; uninitialised


class Gates(ABC):
    """The steps of a cell over one sequence, and their gradients.

    ``step`` is called for t = 0 … T - 1, and ``reverse`` from T - 1 to 0, at most once. ``h_in``
    and ``h_out`` may be wider than H: the state is the first H entries of their rows, and the
    caller fills the others.

    Attributes:
        h_in: the state that step t begins from, after its reset; at T, the state after the last
            step, [T + 1, B, ≥ H]. Its first step is filled at the beginning.
        d_gates: the gradient of the product with ``h_in``, which ``reverse`` fills, [T, B, G].
        resets: whether an episode starts in any row at step t, for T + 1 steps; never at T.
    """

    h_in: Tensor
    d_gates: Tensor
    resets: list[bool]

    @abstractmethod
    def __init__(self, given: Given) -> None:
        """Begin a sequence."""

    @abstractmethod
    def step(self, t: int, u: Tensor, h_out: Tensor) -> None:
        """From ``h_in[t]`` and its weights ``u``, [≥ H, G], to ``h_out[t]`` and ``h_in[t + 1]``."""

    def forward(self, u: Tensor, h_out: Tensor) -> None:
        """All steps."""
        for t in range(len(h_out)):
            self.step(t, u, h_out)

    @abstractmethod
    def last(self) -> Leaves:
        """The state after the last step."""

    @abstractmethod
    def begin_reverse(self, d_last: tuple[Tensor | None, ...]) -> None:
        """Take the gradients of ``last``, but for that of h."""

    @abstractmethod
    def reverse(self, t: int, d_h: Tensor, d_out: Tensor) -> None:
        """From the gradients of ``h_in[t + 1]``, [B, ≥ H], and of ``h_out[t]`` to ``d_gates[t]``.

        ``d_h`` is overwritten. Where an episode starts at t + 1, nothing of it reaches step t.
        """

    def backward(self, u: Tensor, d_h: Tensor, d_out: Tensor) -> None:
        """The gradients of all steps; ``d_h`` becomes that of ``h_in[0]``."""
        for t in range(len(d_out) - 1, -1, -1):
            self.reverse(t, d_h, d_out)
            torch.mm(self.d_gates[t], u.t(), out=d_h)

    @abstractmethod
    def first(self, d_h: Tensor) -> Leaves:
        """The gradients of the state before the first step, from that of ``h_in[0]``."""

    def d_own(self) -> Leaves:
        """The gradients of the cell's further weights."""
        return ()

    def d_inputs(self) -> Tensor:
        """The gradient of ``inputs``; it may overwrite ``d_gates``."""
        return self.d_gates


def gated_sequence(
    cell: type[Gates],
    x: Float[Tensor, "T B I"],
    state: Leaves,
    weight_ih: Float[Tensor, "G I"],
    weight_hh: Float[Tensor, "G H"],
    bias: Float[Tensor, " G"],
    start: Bool[Tensor, "T B"],
    own: Leaves = (),
) -> tuple[Float[Tensor, "T B H"], Leaves]:
    """All hidden states of a cell, and the state after the last step.

    A row with ``start[t]`` begins step t from zeros. Only first derivatives are supported.
    """
    y, *last = _Sequence.apply(  # type: ignore[no-untyped-call]
        cell, len(state), x, start, weight_ih, weight_hh, bias, *state, *own
    )
    return y, tuple(last)


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: type[Gates],
        leaves: int,
        x: Tensor,
        start: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias: Tensor,
        *others: Tensor,
    ) -> tuple[Tensor, ...]:
        state, own = others[:leaves], others[leaves:]
        h = state[0]
        (T, B), H = start.shape, h.shape[1]
        inputs = F.linear(x, weight_ih, bias).to(h.dtype)
        initial = tuple(h.new_zeros(1, H) for _ in state)
        gates = cell(Given(inputs, start, state, initial, own, h.new_empty(T + 1, B, H)))
        h_out = h.new_empty(T, B, H)
        gates.forward(weight_hh.t(), h_out)
        ctx.save_for_backward(x, weight_ih, weight_hh)
        ctx.gates, ctx.half = gates, autocasting(x.device)
        ctx.set_materialize_grads(False)
        # If the graph kept what it returns, it would refer to itself and never be freed.
        return h_out, *(leaf.clone() for leaf in gates.last())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor | None, *d_last: Tensor | None) -> tuple[Any, ...]:
        x, weight_ih, weight_hh = ctx.saved_tensors
        gates: Gates = ctx.gates
        h_in, H = gates.h_in[:-1], weight_hh.shape[1]
        dy = torch.zeros_like(h_in) if dy is None else dy.contiguous()
        d_h = torch.zeros_like(h_in[0]) if d_last[0] is None else owned(d_last[0])
        gates.begin_reverse(d_last[1:])
        gates.backward(weight_hh.t(), d_h, dy)
        flat = gates.d_gates.flatten(0, 1)
        d_weight = _product(flat.t(), h_in.reshape(-1, H), ctx.half)
        d_own, d_first = gates.d_own(), gates.first(d_h)
        flat = gates.d_inputs().flatten(0, 1)
        dx = _product(flat, weight_ih, ctx.half).view_as(x)
        d_weight_ih = _product(flat.t(), x.reshape(len(flat), -1), ctx.half)
        return None, None, dx, None, d_weight_ih, d_weight, flat.sum(0), *d_first, *d_own


def _product(a: Tensor, b: Tensor, half: bool) -> Tensor:
    """The product a b, in bfloat16 under autocast."""
    if not half:
        return a @ b
    return (a.bfloat16() @ b.bfloat16()).to(a.dtype)


def owned(leaf: Tensor) -> Tensor:
    """A copy, row by row, that may be overwritten: kernels take no other layout."""
    return leaf.clone(memory_format=torch.contiguous_format)


def unbroken(start: Bool[Tensor, "T B"]) -> bool:
    """Whether torch's fused call can compute the sequence: no episode begins after the first step.

    Under autocast it cannot, because it would keep the state in half precision. This synchronises
    with the device; ``without_host`` the answer is no.
    """
    if autocasting(start.device) or not host_reads():
        return False
    return not bool(start[1:].any())


def init_gates(weight_ih: Tensor, weight_hh: Tensor) -> None:
    """Initialise each gate: Xavier weights for the input, orthogonal weights for the state."""
    hidden_dim = weight_hh.shape[1]
    for block in weight_ih.detach().chunk(len(weight_ih) // hidden_dim):
        nn.init.xavier_uniform_(block)
    for block in weight_hh.detach().chunk(len(weight_hh) // hidden_dim):
        nn.init.orthogonal_(block)
