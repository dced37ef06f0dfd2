"""DNC: an external memory that tracks which slots are free and in which order it wrote them."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, final

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from memrl.memory.core import Edit
from memrl.memory.kernels.choice import no_kernel, row_memory
from memrl.memory.ops.access import Access
from memrl.memory.ops.addressing import (
    COSINE_EPS,
    content_weights,
    entropy,
    masked_content_weights,
    sharpen,
    write,
)
from memrl.memory.ops.allocation import EPSILON, allocation_weights, retention, update_usage
from memrl.memory.ops.controlled import Memory
from memrl.memory.ops.dnc import TorchMemory
from memrl.memory.ops.interface import interface_sizes, split_interface
from memrl.memory.ops.linkage import (
    backward_weights,
    forward_weights,
    update_link,
    update_precedence,
)
from memrl.memory.parts.controlled import ControlledMemory, ControllerState, MemorySizes
from memrl.memory.parts.slots import GROW_ABOVE, Slotted, fit
from memrl.memory.registry import register

CLIP = 20.0  # bound of the interface vector (the authors' code: outputs ±20)
LINK_EPS = 1e-6  # floor of a followed link before it is sharpened (Csordás' code)


class DNCState(NamedTuple):
    """State of the DNC core; all zero at the start of an episode."""

    memory: Tensor  # [B, N, W]
    usage: Tensor  # [B, N]  in [0, 1]
    link: Tensor  # [B, N, N]  (i, j): slot i was written right after slot j
    precedence: Tensor  # [B, N]  what was written last; sums to at most 1
    write_weights: Tensor  # [B, N]  sums to at most 1
    read_weights: Tensor  # [B, R, N]  rows sum to at most 1
    reads: Tensor  # [B, R, W]
    controller: ControllerState | tuple[()]  # () for a feed-forward controller


class Interface(NamedTuple):
    """The parts of the interface vector at one step."""

    keys: Tensor  # [B, R + 1, W]  read keys k^r, then the write key k^w
    add: Tensor  # [B, 1, W]  write vector v
    modes: Tensor  # [B, R, 3]  π: backward, content, forward; sums to 1
    strengths: Tensor  # [B, R + 1]  β in [1, 21]
    erase: Tensor  # [B, 1, W]  e in [0, 1]
    free_gates: Tensor  # [B, R]
    allocation_gate: Tensor  # [B, 1]
    write_gate: Tensor  # [B, 1]
    sharpness: Tensor | None  # [B, 2R]  s in [1, 21]: backward, then forward; link_sharpness only
    masks: Tensor | None  # [B, R + 1, W]  in [0, 1], in the order of keys; masking only


@final
@register("dnc")
class DNC(ControlledMemory[DNCState], Slotted):
    """Differentiable neural computer with one write head.

    Equations of the paper, in the order of the authors' code: usage from the previous step, write,
    link, read the new memory. ``y_t = W_y h_t + W_r r_t``, and the controller sees r_{t-1}.
    β = 1 + softplus; similarities add 1e-6 to the product of norms; usage has a floor of 1e-6
    inside the allocation; the interface is clipped to ±20. No gradient flows from usage to the
    write weights (as in the authors' code).

    Three improvements of Csordás & Schmidhuber 2019 are options, alone or together. ``masking``
    uses C(M ∘ m, k ∘ m, β) with a mask m per head, so that a part of a row is enough to find it.
    ``deallocation`` also erases freed slots, M_t = M_{t-1} ∘ ψ 1ᵀ ∘ (1 − w eᵀ) + w vᵀ.
    ``link_sharpness`` raises f and b to a power s ≥ 1 and renormalises them, so that following
    several links does not blur (an empty link then points to all slots equally).

    Args:
        in_dim: width of the input features.
        slots: N, rows of the memory.
        word_dim: W, width of a row.
        read_heads: R.
        hidden_dim: width of the controller and of the output.
        controller: "lstm", or "feedforward" for one ReLU layer without a state.
        masking: use a learned mask for each key, on key and memory, in content-based addressing.
        deallocation: erase the content of freed slots.
        link_sharpness: sharpen the link weights by a learned power.
        grow: the most slots to which it may grow while it is trained; None: N stays.
        grow_above: share of used slots above which the slots double.

    Raises:
        ValueError: ``grow`` is not above ``slots``, or ``grow_above`` is set without it.
    """

    paper = (
        "Graves et al. 2016, Hybrid computing using a neural network with dynamic external memory"
    )

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(1)] = 16,
        word_dim: Annotated[int, Ge(1)] = 16,
        read_heads: Annotated[int, Ge(1)] = 1,
        hidden_dim: Annotated[int, Ge(1)] = 128,
        controller: Literal["lstm", "feedforward"] = "lstm",
        masking: bool = False,
        deallocation: bool = False,
        link_sharpness: bool = False,
        grow: Annotated[int, Ge(1)] | None = None,
        grow_above: Annotated[float, Gt(0), Lt(1)] = GROW_ABOVE,
    ) -> None:
        sizes = MemorySizes(slots, word_dim, read_heads, hidden_dim)
        interface = interface_sizes(read_heads, word_dim, masking=masking, sharpness=link_sharpness)
        super().__init__(
            in_dim, sizes, interface_dim=sum(interface.parts), recurrent=controller == "lstm"
        )
        self.sizes = interface
        self.masking, self.deallocation = masking, deallocation
        self.link_sharpness = link_sharpness
        self.extended = masking or deallocation or link_sharpness
        self._may_grow(grow, grow_above)
        self._finish()
        with torch.no_grad():
            self.interface.bias[-1] = -1.0  # the write gate starts nearly closed (σ = 0.27)

    def initial_state(self, batch_size: int) -> DNCState:
        zeros, n, w, r = self.output.weight.new_zeros, self.slots, self.word_dim, self.read_heads
        return DNCState(
            memory=zeros(batch_size, n, w),
            usage=zeros(batch_size, n),
            link=zeros(batch_size, n, n),
            precedence=zeros(batch_size, n),
            write_weights=zeros(batch_size, n),
            read_weights=zeros(batch_size, r, n),
            reads=zeros(batch_size, r, w),
            controller=self._initial_controller(batch_size) if self.recurrent else (),
        )

    def used(self, state: DNCState) -> Tensor:
        written = state.write_weights  # of the last step, which usage does not know yet
        return (state.usage + written - state.usage * written).detach()

    def _refit(self, state: DNCState, slots: int) -> DNCState:
        return state._replace(
            memory=fit(state.memory, slots),
            usage=fit(state.usage, slots),
            link=fit(fit(state.link, slots, 1), slots, 2),
            precedence=fit(state.precedence, slots),
            write_weights=fit(state.write_weights, slots),
            read_weights=fit(state.read_weights, slots, 2),
        )

    def _memory(self, like: Tensor) -> Memory | None:
        if self.extended or not self.recurrent:
            no_kernel("a DNC with masking, deallocation, sharpness or without an LSTM", like)
            return None
        if self.ablate:
            return None
        sizes = (self.slots, self.word_dim, self.read_heads)
        rows = None if self.compiled else row_memory("dnc", like, *sizes, CLIP, COSINE_EPS, EPSILON)
        return rows or TorchMemory(CLIP, self.compiled)

    def _update(self, x: Tensor, state: DNCState) -> tuple[Tensor, DNCState]:
        """From the projected input [B, 4H or H] to [h_t, r_t]."""
        hidden, controller = self._hidden(x, state)
        after = self._access(self._interface(self.interface(hidden)), state)
        reads = self._ablated(after.reads)
        seen = torch.cat([hidden, reads.flatten(1)], dim=-1)
        return seen, DNCState(*after[1:], reads, controller)

    def _access(self, ask: Interface, state: DNCState) -> Access:
        """Write, then read the new memory."""
        usage = update_usage(state.usage, state.write_weights, state.read_weights, ask.free_gates)
        sought = self._by_content(ask, slice(self.read_heads, None), state.memory).squeeze(1)
        where = torch.lerp(sought, allocation_weights(usage), ask.allocation_gate)
        write_weights = ask.write_gate * where
        memory = state.memory
        if self.deallocation:
            memory = memory * retention(state.read_weights, ask.free_gates).unsqueeze(-1)  # M ∘ ψ
        memory = write(memory, write_weights.unsqueeze(1), ask.erase, ask.add)

        link = update_link(state.link, state.precedence, write_weights)
        precedence = update_precedence(state.precedence, write_weights)

        back, content, ahead = ask.modes.chunk(3, dim=-1)
        before, after = self._by_links(ask, link, state.read_weights)
        read_weights = content * self._by_content(ask, slice(self.read_heads), memory)
        read_weights = torch.addcmul(read_weights, back, before)
        read_weights = torch.addcmul(read_weights, ahead, after)
        reads = torch.bmm(read_weights, memory)
        return Access(reads, memory, usage, link, precedence, write_weights, read_weights)

    def edit(self, x: Tensor, before: DNCState, after: DNCState) -> Edit:
        hidden, _ = self._hidden(self._project(x), before)
        ask, column = self._interface(self.interface(hidden)), after.write_weights.unsqueeze(-1)
        keep = 1 - column * ask.erase
        if self.deallocation:
            keep = keep * retention(before.read_weights, ask.free_gates).unsqueeze(-1)
        return Edit(keep, column * ask.add)

    def _by_content(self, ask: Interface, heads: slice, memory: Tensor) -> Tensor:
        """Content-based weights of some heads: [B, heads, N]."""
        keys, strengths = ask.keys[:, heads], ask.strengths[:, heads]
        if ask.masks is None:
            return content_weights(keys, strengths, memory)
        return masked_content_weights(keys, ask.masks[:, heads], strengths, memory)

    def _by_links(self, ask: Interface, link: Tensor, reads: Tensor) -> tuple[Tensor, Tensor]:
        """Backward and forward weights, from the last reads: [B, R, N] each."""
        before, after = backward_weights(link, reads), forward_weights(link, reads)
        if ask.sharpness is None:
            return before, after
        back, ahead = ask.sharpness.chunk(2, dim=-1)
        return sharpen(before, back, eps=LINK_EPS), sharpen(after, ahead, eps=LINK_EPS)

    def _hidden(self, x: Tensor, state: DNCState) -> tuple[Tensor, ControllerState | tuple[()]]:
        if isinstance(state.controller, ControllerState):
            controller = self._control(x, state.reads, state.controller)
            return controller.h, controller
        reads = self._ablated(state.reads).flatten(1)
        return torch.addmm(x, reads, self.feedback.weight.t()).relu(), ()

    def _interface(self, asked: Tensor) -> Interface:
        parts = split_interface(nn.functional.hardtanh(asked, -CLIP, CLIP), self.sizes)
        strengths, sharpness = torch.split(
            1 + nn.functional.softplus(parts.positive), self.sizes.positive, dim=-1
        )
        masks, erase, free, allocation_gate, write_gate = torch.split(
            parts.squashed.sigmoid(), self.sizes.squashed, dim=-1
        )
        return Interface(
            keys=parts.keys,
            add=parts.add,
            modes=parts.modes.softmax(dim=-1),
            strengths=strengths,
            erase=erase.unsqueeze(1),
            free_gates=free,
            allocation_gate=allocation_gate,
            write_gate=write_gate,
            sharpness=sharpness if self.link_sharpness else None,
            masks=masks.view_as(parts.keys) if self.masking else None,
        )

    def diagnostics(self, state: DNCState) -> dict[str, Tensor]:
        return {
            "read_weights": state.read_weights,
            "write_weights": state.write_weights,
            "usage": state.usage,
            "write_strength": state.write_weights.sum(dim=-1),
            "read_entropy": entropy(state.read_weights),
        }

    def step_diagnostics(self, x: Tensor, state: DNCState) -> dict[str, Tensor]:
        hidden, _ = self._hidden(self._project(x), state)
        ask = self._interface(self.interface(hidden))
        usage = update_usage(state.usage, state.write_weights, state.read_weights, ask.free_gates)
        return {
            "allocation_weights": allocation_weights(usage),
            "write_gate": ask.write_gate,
            "allocation_gate": ask.allocation_gate,
            "free_gates": ask.free_gates,
        }
