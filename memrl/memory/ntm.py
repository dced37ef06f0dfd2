"""NTM: an external memory addressed by content and by shifts along its slots."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, final

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from memrl.memory.core import Edit
from memrl.memory.kernels.choice import row_memory
from memrl.memory.ops.addressing import (
    SHARPEN_EPS,
    content_weights,
    entropy,
    sharpen,
    shift,
    write,
)
from memrl.memory.ops.controlled import Memory
from memrl.memory.parts.controlled import ControlledMemory, ControllerState, MemorySizes
from memrl.memory.parts.slots import GROW_ABOVE, Slotted, fit
from memrl.memory.registry import register

CLIP = 20.0  # bound of the interface vector (Collier & Beel: head outputs ±20)
MEMORY_0 = 1e-6  # every cell of a constant initial memory (Collier & Beel)
NEW_LOGIT = -10.0  # of a new slot's first weight, below the least of the others
COSINE_EPS = 1e-8  # below the product of the norms of a key and of a row of MEMORY_0


class NTMState(NamedTuple):
    """State of the NTM core."""

    memory: Tensor  # [B, N, W]
    read_weights: Tensor  # [B, R, N]  rows sum to 1
    write_weights: Tensor  # [B, D, N]  rows sum to 1; D write heads
    reads: Tensor  # [B, R, W]
    controller: ControllerState


class Interface(NamedTuple):
    """What the controller asks of the memory at one step, for R + D heads, read heads first."""

    keys: Tensor  # [B, R + D, W]
    add: Tensor  # [B, D, W]
    kernel: Tensor  # [B, R + D, K]  shifts −K//2 … K//2; sums to 1
    strengths: Tensor  # [B, R + D]  β > 0
    powers: Tensor  # [B, R + D]  γ ≥ 1
    gates: Tensor  # [B, R + D, 1]  1: content; 0: the previous weights
    erase: Tensor  # [B, D, W]  in [0, 1]


@final
@register("ntm")
class NTM(ControlledMemory[NTMState], Slotted):
    """Neural Turing machine with an LSTM controller.

    All heads address the memory of the previous step. The read heads read it, then the write heads
    write. ``y_t = W_y [h_t, r_t]``, and the controller sees r_{t-1}. Keys and add vectors have no
    activation, β = softplus, γ = 1 + softplus, and the interface is clipped to ±20.

    The initial weights, reads and controller state are learned. With equal slots and equal initial
    weights, all slots would stay equal, because the heads could not distinguish them. The random
    logits of the initial weights break this symmetry.

    Args:
        in_dim: width of the input features.
        slots: N, rows of the memory; at least the size of the shift kernel.
        word_dim: W, width of a row.
        read_heads: R.
        write_heads: D.
        hidden_dim: width of the controller and of the output.
        shift_range: maximum shift of a head in one step, in both directions.
        memory_init: "constant" 1e-6 (learns fastest in Collier & Beel 2018), "learned", or
            "random": drawn once from U(±1/√(N + W)) and not learned.
        grow: the most slots to which it may grow while it is trained; None: N stays.
        grow_above: share of used slots above which the slots double.

    The number of slots may change if the initial memory is constant and heads can shift. New slots
    stand behind the last one; no head begins there.

    Raises:
        ValueError: the shift kernel is larger than ``slots``; ``grow`` is not above ``slots``, or
            these options do not let N change; ``grow_above`` is set without ``grow``.
    """

    paper = "Graves, Wayne & Danihelka 2014, Neural Turing Machines"
    reads_first = True
    first_memory: Tensor  # [N, W]  a parameter or a buffer

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(1)] = 16,
        word_dim: Annotated[int, Ge(1)] = 16,
        read_heads: Annotated[int, Ge(1)] = 1,
        write_heads: Annotated[int, Ge(1)] = 1,
        hidden_dim: Annotated[int, Ge(1)] = 128,
        shift_range: Annotated[int, Ge(0)] = 1,
        memory_init: Literal["constant", "learned", "random"] = "constant",
        grow: Annotated[int, Ge(1)] | None = None,
        grow_above: Annotated[float, Gt(0), Lt(1)] = GROW_ABOVE,
    ) -> None:
        shifts, heads = 2 * shift_range + 1, read_heads + write_heads
        _need_room(slots, shifts)
        # In the order of Interface's fields; neighbours share an activation.
        split = [
            heads * word_dim,
            write_heads * word_dim,
            heads * shifts,
            2 * heads,
            heads + write_heads * word_dim,
        ]
        sizes = MemorySizes(slots, word_dim, read_heads, hidden_dim)
        super().__init__(in_dim, sizes, interface_dim=sum(split))
        self.split, self.shifts = split, shifts
        self.write_heads, self.heads, self.memory_init = write_heads, heads, memory_init
        self._may_grow(grow, grow_above)
        self._finish()

        self.first_weights = nn.Parameter(torch.randn(heads, slots))  # logits
        self.first_reads = nn.Parameter(0.01 * torch.randn(read_heads, word_dim))
        self.first_hidden = nn.Parameter(0.05 * torch.randn(2, hidden_dim))  # h_0, c_0
        self._first_memory(memory_init)

    def _need_slots(self, slots: int) -> None:
        _need_room(slots, self.shifts)
        if self.memory_init != "constant":
            raise ValueError(
                f"slots is {slots}, but memory_init={self.memory_init} made a row for each of "
                f"{self.slots} (allowed: {self.slots}; or any with memory_init=constant)"
            )
        if self.shifts == 1:
            raise ValueError(
                f"slots is {slots}, but with shift_range=0 new slots would stay equal (allowed: "
                f"{self.slots}; or any with shift_range=1)"
            )

    def _extend(self, slots: int) -> None:
        # The same parameter in another size: an optimiser knows it by what it is.
        logits = self.first_weights
        logits.data = fit(logits.data, slots, fill=float(logits.detach().min()) + NEW_LOGIT)
        logits.grad = None
        self.first_memory = fit(self.first_memory, slots, 0, fill=self._empty)

    @property
    def _empty(self) -> float:
        """Every cell of a constant initial memory, in its own precision."""
        return float(self.first_memory.detach()[0, 0])

    def used(self, state: NTMState) -> Tensor:
        """How far each row is from the initial one, at most 1: an NTM knows of no usage."""
        far: Tensor = (state.memory.detach() - self._empty).norm(dim=-1)
        return far.clamp(max=1)

    def _refit(self, state: NTMState, slots: int) -> NTMState:
        return state._replace(
            memory=fit(state.memory, slots, fill=self._empty),
            read_weights=fit(state.read_weights, slots, 2),
            write_weights=fit(state.write_weights, slots, 2),
        )

    def _first_memory(self, how: str) -> None:
        if how == "constant":
            self.register_buffer("first_memory", torch.full((self.slots, self.word_dim), MEMORY_0))
            return
        bound = (self.slots + self.word_dim) ** -0.5
        drawn = torch.empty(self.slots, self.word_dim).uniform_(-bound, bound)
        if how == "learned":
            self.first_memory = nn.Parameter(drawn)
        else:
            self.register_buffer("first_memory", drawn)

    def initial_state(self, batch_size: int) -> NTMState:
        def rows(first: Tensor) -> Tensor:
            # A copy, not a view: acting may edit a state in place, and must not edit a parameter.
            return first.repeat(batch_size, *[1] * first.dim())

        weights = rows(self.first_weights.softmax(dim=-1))
        read_weights, write_weights = torch.split(
            weights, [self.read_heads, self.write_heads], dim=1
        )
        h, c = self.first_hidden
        return NTMState(
            memory=rows(self.first_memory),
            read_weights=read_weights,
            write_weights=write_weights,
            reads=rows(self.first_reads),
            controller=ControllerState(rows(h), rows(c)),
        )

    def _memory(self, like: Tensor) -> Memory | None:
        if self.ablate or self.compiled:
            return None
        heads = (self.read_heads, self.write_heads)
        sizes = (self.slots, self.word_dim, heads, self.shifts)
        return row_memory("ntm", like, *sizes, CLIP, COSINE_EPS, SHARPEN_EPS)

    def _update(self, x: Tensor, state: NTMState) -> tuple[Tensor, NTMState]:
        controller = self._control(x, state.reads, state.controller)

        ask = self._interface(controller.h)
        weights = torch.cat([state.read_weights, state.write_weights], dim=1)  # w_{t-1}
        content = content_weights(ask.keys, ask.strengths, state.memory, eps=COSINE_EPS)
        weights = shift(torch.lerp(weights, content, ask.gates), ask.kernel)
        weights = sharpen(weights, ask.powers)  # w_t
        read_weights, write_weights = torch.split(
            weights, [self.read_heads, self.write_heads], dim=1
        )

        reads = self._ablated(torch.bmm(read_weights, state.memory))
        memory = write(state.memory, write_weights, ask.erase, ask.add)
        after = NTMState(memory, read_weights, write_weights, reads, controller)
        return torch.cat([controller.h, reads.flatten(1)], dim=-1), after

    def edit(self, x: Tensor, before: NTMState, after: NTMState) -> Edit:
        ask, columns = self._interface(after.controller.h), after.write_weights.mT  # [B, N, D]
        keep = torch.ones_like(after.memory)
        for head in range(self.write_heads):
            keep = keep * (1 - columns[..., head : head + 1] * ask.erase[:, head : head + 1])
        return Edit(keep, torch.bmm(columns, ask.add))

    def _interface(self, hidden: Tensor) -> Interface:
        batch, heads, writers, w = hidden.shape[0], self.heads, self.write_heads, self.word_dim
        asked = self.interface(hidden).clamp(-CLIP, CLIP)
        keys, add, kernel, positive, squashed = torch.split(asked, self.split, dim=-1)
        strengths, powers = nn.functional.softplus(positive).chunk(2, dim=-1)
        gates, erase = torch.split(squashed.sigmoid(), [heads, writers * w], dim=-1)
        return Interface(
            keys=keys.view(batch, heads, w),
            add=add.view(batch, writers, w),
            kernel=kernel.view(batch, heads, self.shifts).softmax(dim=-1),
            strengths=strengths,
            powers=1 + powers,
            gates=gates.unsqueeze(-1),
            erase=erase.view(batch, writers, w),
        )

    def diagnostics(self, state: NTMState) -> dict[str, Tensor]:
        return {
            "read_weights": state.read_weights,
            "write_weights": state.write_weights,
            "read_entropy": entropy(state.read_weights),
            "write_entropy": entropy(state.write_weights),
        }

    def step_diagnostics(self, x: Tensor, state: NTMState) -> dict[str, Tensor]:
        ask = self._interface(self._control(self._project(x), state.reads, state.controller).h)
        return {"interpolation_gates": ask.gates.squeeze(-1)}


def _need_room(slots: int, shifts: int) -> None:
    """Raise ValueError if a shift kernel is larger than the memory."""
    if shifts > slots:
        raise ValueError(
            f"shift_range is {shifts // 2}; allowed: at most {(slots - 1) // 2} with {slots} slots"
        )
