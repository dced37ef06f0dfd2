"""A memory and its controller, an LSTM that hears the input and what was read a step before."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from memrl.memory.core import MemoryCore
from memrl.memory.ops.lstm import lstm_cell

S = TypeVar("S")


class ControllerState(NamedTuple):
    """What the LSTM controller carries."""

    h: Tensor  # [B, H]
    c: Tensor  # [B, H]


class ControlledMemory(MemoryCore[S]):
    """h_t, c_t = LSTM(W x_t + b + U [r_{t−1}, h_{t−1}]), and y_t = W_y [h_t, r_t].

    What h_t asks of the memory, and how that answers with r_t, is the subclass's. It makes the
    layers ``interface`` and ``output`` behind the two that are made here, then calls
    ``_initialise``. Its update goes from ``_project(x_t)`` to [h_t, r_t], unmixed.

    Args:
        in_dim: width of the input features.
        hidden_dim: H, width of the controller and of the output.
        read_dim: width of what all heads read together.
        recurrent: False where the controller is no LSTM but one layer of r_{t−1} and x_t, which the
            subclass runs itself.
    """

    ablations = frozenset({"reads"})
    interface: nn.Linear
    output: nn.Linear

    def __init__(
        self, in_dim: int, *, hidden_dim: int, read_dim: int, recurrent: bool = True
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        self.recurrent = recurrent
        width = 4 * hidden_dim if recurrent else hidden_dim
        self.input = nn.Linear(in_dim, width)  # gates i, f, o, g
        self.feedback = nn.Linear(read_dim + recurrent * hidden_dim, width, bias=False)

    def _initialise(self) -> None:
        """First weights of every layer: Xavier's, biases 0, but 1 for the forget gate."""
        for layer in self.children():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if self.recurrent:
            with torch.no_grad():
                self.input.bias[self.out_dim : 2 * self.out_dim] = 1.0

    def _project(self, x: Tensor) -> Tensor:
        return self.input(x)  # type: ignore[no-any-return]

    def _emit(self, seen: Tensor) -> Tensor:
        return self.output(seen)  # type: ignore[no-any-return]

    def _resting(self, batch_size: int) -> ControllerState:
        """The controller's state before an episode, zero."""
        zeros = self.output.weight.new_zeros
        return ControllerState(zeros(batch_size, self.out_dim), zeros(batch_size, self.out_dim))

    def _control(self, x: Tensor, reads: Tensor, before: ControllerState) -> ControllerState:
        """From the controller's share of the input [B, 4H] and r_{t−1} [B, R, W]; h is h_t."""
        fed_back = torch.cat([self._audible(reads).flatten(1), before.h], dim=-1)
        gates = torch.addmm(x, fed_back, self.feedback.weight.t())
        return ControllerState(*lstm_cell(gates, before.c))

    def _audible(self, reads: Tensor) -> Tensor:
        """What was read, or zeros where reads are silenced."""
        return torch.zeros_like(reads) if "reads" in self.ablate else reads
