"""LRUA: an external memory that writes to the slots read last or to the least used ones."""

from __future__ import annotations

from typing import Annotated, NamedTuple, final

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from memrl.memory.core import Edit
from memrl.memory.kernels.choice import row_memory
from memrl.memory.ops.addressing import COSINE_EPS, content_weights, entropy
from memrl.memory.ops.controlled import Memory
from memrl.memory.ops.usage import (
    decayed_usage,
    first_usage,
    least_used,
    least_used_write_weights,
)
from memrl.memory.parts.controlled import ControlledMemory, ControllerState, MemorySizes
from memrl.memory.registry import register


class LRUAState(NamedTuple):
    """State of the LRUA memory core; at a start all zero but the usage."""

    memory: Tensor  # [B, N, W]
    usage: Tensor  # [B, N]  w^u ≥ 0; no gradient
    read_weights: Tensor  # [B, R, N]  w^r; rows sum to 1, at a start to 0
    reads: Tensor  # [B, R, W]
    controller: ControllerState


@final
@register("lrua")
class LRUA(ControlledMemory[LRUAState]):
    """Memory-augmented network (MANN) with least recently used access and an LSTM controller.

    w^w_t = σ(α) w^r_{t-1} + (1 − σ(α)) w^lu_{t-1} (eq. 7); the least used slots are set to zero,
    then M_t = M_{t-1} + Σ w^w_t k_t (eq. 8); w^r_t = softmax cos(k_t, M_t) and r_t = w^r_t M_t
    (eq. 2–4); w^u_t = γ w^u_{t-1} + w^r_t + w^w_t (eq. 5), and w^lu marks its R smallest (eq. 6).
    ``y_t = W_y [h_t, r_t]``, and the controller sees r_{t-1}.

    As in the paper the key k is also the word to write, reads see the new memory, and the
    similarity has no strength: no slot gets more than e² times the attention of another. Each head
    has its own key and gate α; k = tanh, which bounds a write. Usage has no gradient, because only
    its order matters. It starts at 0 … 0.001 along the slots, so that the first writes go to the
    first slots whatever the rounding.

    Args:
        in_dim: width of the input features.
        slots: N, rows of the memory; more than ``read_heads``.
        word_dim: W, width of a row.
        read_heads: R; each writes too.
        usage_decay: γ, factor of the usage at each env step.
        hidden_dim: width of the controller and of the output.

    Raises:
        ValueError: ``read_heads`` is not below ``slots``; every step would erase all slots.
    """

    paper = "Santoro et al. 2016, Meta-Learning with Memory-Augmented Neural Networks"

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(2)] = 16,
        word_dim: Annotated[int, Ge(1)] = 16,
        read_heads: Annotated[int, Ge(1)] = 1,
        usage_decay: Annotated[float, Gt(0), Lt(1)] = 0.95,
        hidden_dim: Annotated[int, Ge(1)] = 128,
    ) -> None:
        if read_heads >= slots:
            raise ValueError(
                f"read_heads is {read_heads}; allowed: below slots, {slots}, since every step "
                "erases a slot for each head"
            )
        sizes = MemorySizes(slots, word_dim, read_heads, hidden_dim)
        interface = read_heads * (word_dim + 1)  # keys k, gates α
        super().__init__(in_dim, sizes, interface_dim=interface)
        self.usage_decay = usage_decay
        self._finish()

    def initial_state(self, batch_size: int) -> LRUAState:
        zeros, n, w, r = self.output.weight.new_zeros, self.slots, self.word_dim, self.read_heads
        return LRUAState(
            memory=zeros(batch_size, n, w),
            usage=first_usage(zeros(batch_size, n)),
            read_weights=zeros(batch_size, r, n),
            reads=zeros(batch_size, r, w),
            controller=self._initial_controller(batch_size),
        )

    def _memory(self, like: Tensor) -> Memory | None:
        if self.ablate or self.compiled:
            return None
        sizes = (self.slots, self.word_dim, self.read_heads)
        return row_memory("lrua", like, *sizes, self.usage_decay, COSINE_EPS)

    def _update(self, x: Tensor, state: LRUAState) -> tuple[Tensor, LRUAState]:
        controller = self._control(x, state.reads, state.controller)
        keys, gates = self._interface(controller.h)
        least, write_weights = self._write_weights(gates, state)
        erased = state.memory * (1 - least).unsqueeze(-1)
        memory = torch.baddbmm(erased, write_weights.mT, keys)  # M_t

        read_weights = content_weights(keys, torch.ones_like(gates), memory)  # w^r_t
        reads = self._ablated(torch.bmm(read_weights, memory))
        usage = decayed_usage(state.usage, read_weights, write_weights, self.usage_decay)
        after = LRUAState(memory, usage, read_weights, reads, controller)
        return torch.cat([controller.h, reads.flatten(1)], dim=-1), after

    def _interface(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The keys k_t [B, R, W] and the gates σ(α) [B, R]."""
        asked, gates = torch.split(
            self.interface(hidden), [self.read_heads * self.word_dim, self.read_heads], dim=-1
        )
        return asked.tanh().view(-1, self.read_heads, self.word_dim), gates.sigmoid()

    def _write_weights(self, gates: Tensor, before: LRUAState) -> tuple[Tensor, Tensor]:
        """w^lu_{t-1} [B, N], which is erased, and w^w_t [B, R, N]."""
        least = least_used(before.usage, self.read_heads)
        return least, least_used_write_weights(gates, before.read_weights, least)

    def edit(self, x: Tensor, before: LRUAState, after: LRUAState) -> Edit:
        keys, gates = self._interface(after.controller.h)
        least, write_weights = self._write_weights(gates, before)
        keep = (1 - least).unsqueeze(-1).expand_as(after.memory)
        return Edit(keep, torch.bmm(write_weights.mT, keys))

    def diagnostics(self, state: LRUAState) -> dict[str, Tensor]:
        return {
            "read_weights": state.read_weights,
            "usage": state.usage,
            "read_entropy": entropy(state.read_weights),
        }

    def step_diagnostics(self, x: Tensor, state: LRUAState) -> dict[str, Tensor]:
        _, gates = self._interface(self._control(self._project(x), state.reads, state.controller).h)
        least, write_weights = self._write_weights(gates, state)
        return {
            "allocation_weights": least,
            "write_weights": write_weights,
            "write_gates": gates,
        }
