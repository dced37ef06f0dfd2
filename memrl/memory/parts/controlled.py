"""An external memory behind an LSTM controller, which sees the input and the last reads."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from memrl.memory.core import MemoryCore, Unrolled, need_no_grad
from memrl.memory.ops.controlled import (
    Carry,
    Memory,
    Weights,
    controlled_sequence,
    controlled_step,
)
from memrl.memory.ops.lstm import lstm_cell

S = TypeVar("S")


class ControllerState(NamedTuple):
    """State of the LSTM controller."""

    h: Tensor  # [B, H]
    c: Tensor  # [B, H]


class MemorySizes(NamedTuple):
    """Sizes that all controlled memories have."""

    slots: int  # N, rows of the memory
    word_dim: int  # W, width of a row
    read_heads: int  # R
    hidden_dim: int  # H, width of the controller and of the output


class ControlledMemory(MemoryCore[S]):
    """h_t, c_t = LSTM(W x_t + b + U [r_{t−1}, h_{t−1}]), and y_t = W_y [h_t, r_t].

    The subclass computes r_t from the interface vector W_i h_t + b_i, and returns [h_t, r_t] from
    its update. It calls ``_finish`` at the end of its layers. Its state ends with ``reads`` and
    ``controller``.

    Args:
        in_dim: width of the input features.
        sizes: of the memory and its controller.
        interface_dim: width of the interface vector.
        recurrent: False for a feed-forward controller: one layer of r_{t−1} and x_t, which the
            subclass computes.
    """

    ablations = frozenset({"reads"})
    output: nn.Linear

    def __init__(
        self, in_dim: int, sizes: MemorySizes, *, interface_dim: int, recurrent: bool = True
    ) -> None:
        slots, word_dim, read_heads, hidden_dim = sizes
        super().__init__(in_dim, hidden_dim)
        self.slots, self.word_dim, self.read_heads = slots, word_dim, read_heads
        self.recurrent = recurrent
        width = 4 * hidden_dim if recurrent else hidden_dim
        self.input = nn.Linear(in_dim, width)  # gates i, f, o, g
        read_dim = read_heads * word_dim
        self.feedback = nn.Linear(read_dim + recurrent * hidden_dim, width, bias=False)
        self.interface = nn.Linear(hidden_dim, interface_dim)

    def _finish(self) -> None:
        """Add the output layer, then initialise all layers.

        Weights follow Xavier. Biases are 0, and 1 for the forget gate.
        """
        read_dim = self.read_heads * self.word_dim
        self.output = nn.Linear(self.out_dim + read_dim, self.out_dim)
        for layer in self.children():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if self.recurrent:
            with torch.no_grad():
                self.input.bias[self.out_dim : 2 * self.out_dim] = 1.0

    @property
    def loops(self) -> bool:
        return type(self).forward is ControlledMemory.forward

    def _memory(self, like: Tensor) -> Memory | None:
        """How the memory is accessed for tensors such as ``like``; None: by ``_update``."""
        return None

    def forward(self, x: Tensor, state: S, start: Tensor) -> Unrolled:
        memory = self._memory(x)
        if memory is None:
            return super().forward(x, state, start)
        return self._sequence(memory, x, state, start)

    def _sequence(self, memory: Memory, x: Tensor, state: S, start: Tensor) -> Unrolled:
        """A sequence as one autograd operation."""
        states = self._carry(state), self._carry(self.initial_state(1))
        seen, last = controlled_sequence(
            self._project(x), *states, start, self._weights(), memory, self._own_weights()
        )
        return Unrolled(self._emit(seen), self._state(last, state))

    def _own_weights(self) -> tuple[Tensor, ...]:
        """The parameters that an access uses beside the interface vector."""
        return ()

    def _carry(self, state: Any) -> Carry:
        *memory, reads, (h, c) = state
        return Carry(h, c, reads.flatten(1), tuple(memory))

    def _state(self, last: Carry, before: S) -> S:
        """The inverse of ``_carry``; ``before`` has leaves that a sequence does not change."""
        reads = last.reads.view(-1, self.read_heads, self.word_dim)
        return type(before)(*last.memory, reads, ControllerState(last.h, last.c))  # type: ignore[call-arg]

    def step(self, x: Tensor, state: S, start: Tensor, *, donate: bool = False) -> tuple[Tensor, S]:
        memory = self._memory(x)
        if memory is None or not memory.steps:
            return super().step(x, state, start, donate=donate)
        need_no_grad(donate)
        return self._step(memory, x, state, start, donate=donate)

    def _step(
        self, memory: Memory, x: Tensor, state: S, start: Tensor, *, donate: bool
    ) -> tuple[Tensor, S]:
        if torch.is_grad_enabled():
            y, after, _ = self._sequence(memory, x.unsqueeze(0), state, start.unsqueeze(0))
            return y[0], after
        states = self._carry(state), self._carry(self.initial_state(1))
        weights, own = self._weights(), self._own_weights()
        seen, last = controlled_step(
            self._project(x), *states, start, weights, memory, own, donate=donate
        )
        return self._emit(seen), self._state(last, state)

    def _weights(self) -> Weights:
        return Weights(self.feedback.weight, self.interface.weight, self.interface.bias)

    def _project(self, x: Tensor) -> Tensor:
        return self.input(x)  # type: ignore[no-any-return]

    def _emit(self, seen: Tensor) -> Tensor:
        return self.output(seen)  # type: ignore[no-any-return]

    def _initial_controller(self, batch_size: int) -> ControllerState:
        """The controller's state before an episode: zeros."""
        zeros = self.output.weight.new_zeros
        return ControllerState(zeros(batch_size, self.out_dim), zeros(batch_size, self.out_dim))

    def _control(self, x: Tensor, reads: Tensor, before: ControllerState) -> ControllerState:
        """One step of the LSTM, from the projected input [B, 4H] and r_{t−1} [B, R, W]."""
        fed_back = torch.cat([self._ablated(reads).flatten(1), before.h], dim=-1)
        gates = torch.addmm(x, fed_back, self.feedback.weight.t())
        return ControllerState(*lstm_cell(gates, before.c))

    def _ablated(self, reads: Tensor) -> Tensor:
        """The reads, or zeros where they are ablated."""
        return torch.zeros_like(reads) if "reads" in self.ablate else reads
