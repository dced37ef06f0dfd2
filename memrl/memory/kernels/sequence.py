"""A memory behind its controller over a sequence, as one call of a kernel each way."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from memrl.memory.kernels import steps
from memrl.memory.kernels.compile import Array
from memrl.memory.kernels.threads import divide
from memrl.memory.ops.controlled import Accesses, StepGradients, Steps


class KernelAccesses(Accesses):
    """Passes arrays to the kernel; subclasses hold those of the memory.

    Attributes:
        sizes: a NamedTuple, whose type names what the memory does with a row.
        places: the state of all steps, [T + 1, B, ...], that before an episode, [1, ...], and what
            all steps keep, [T, B, ...]; a NamedTuple each.
        shared: further arrays that all rows read.
        rows: further arrays of the rows, [B, ...].
    """

    sizes: Any
    places: tuple[Any, Any, Any]
    shared: tuple[Array, ...] = ()
    rows: tuple[Array, ...] = ()

    def forward(self, given: Steps) -> None:
        gates: Any = given.gates
        weights = (given.u.t(), given.interface.t(), given.bias, given.first_reads)
        room = (given.asked, given.seen, gates.product)
        self._run = steps.Sequence(*map(array_of, (given.start, *weights, *room)))
        self._call(steps.sequence, gates, self.shared, self.rows)

    def backward(self, given: Steps, grads: StepGradients) -> None:
        gates: Any = given.gates
        first_fed = torch.zeros_like(grads.fed) if grads.first_fed is None else grads.first_fed
        within = (grads.seen, grads.fed, gates.d_c, gates.d_gates, grads.asked)
        arrays = (given.u, given.interface, *within, first_fed, grads.first_c)
        flow = steps.Gradients(*map(array_of, arrays))
        self._call(steps.sequence_reverse, gates, flow, *self._gradients())

    @abstractmethod
    def _gradients(self) -> tuple[tuple[Any, Any], tuple[Array, ...], tuple[Array, ...]]:
        """Those of the state and of the state before an episode; then ``shared`` and ``rows``."""

    def _call(self, kernel: Any, gates: Any, *further: Any) -> None:
        given = self.sizes, self._run, gates.order, gates.kept, *self.places
        divide(kernel, len(gates.product), 1, *given, *further)


def array_of(leaf: Tensor) -> Array:
    """Its numbers, row by row; the same memory where they are so already."""
    array: Array = leaf.detach().contiguous().numpy()
    return array
