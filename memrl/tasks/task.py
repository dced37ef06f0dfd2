"""The protocol of a supervised task: sequences in, bits or classes out at the steps that count."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from memrl.memory.core import MemoryCore
from memrl.registry import Registry


class Batch(NamedTuple):
    """B sequences of T steps; what lies outside of ``mask`` is neither learned nor judged."""

    x: Tensor  # [T, B, I], or whatever the task's own encoder reads at [T, B]
    target: Tensor  # [T, B, O] bits, 0.0 or 1.0; or [T, B] classes, int64
    mask: Tensor  # [T, B] bool: the steps that are scored
    start: Tensor  # [T, B] bool: the steps that open a sequence

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(part.to(device) for part in self))


class Task(ABC):
    """What a memory is asked, and how often chance would answer right.

    A generated task writes ``sample`` alone. A task with a fixed set of sequences draws ``sample``
    from its training part (one length, so that ``min_length`` equals ``max_length``), keeps its
    place in the epoch in ``state_dict``, gives its held-out part as ``exam``, and may bring an
    ``encoder`` and a ``head`` of its own.

    Attributes:
        kind: "bits": O independent bits a step, judged by sigmoid and binary cross-entropy;
            "classes": one of O classes a step, softmax and cross-entropy.
        in_dim: width I of what the memory reads: the encoder's output.
        out_dim: width O of the output.
        chance: share of the scored bits or classes that guessing gets right.
        min_length: shortest sequences to train on; what a length counts is the task's own.
        max_length: longest sequences to train on.
        paper: author, year and title of the work that the task comes from.

    Args:
        in_dim: see above.
        out_dim: see above.
        min_length: see above.
        max_length: see above.
        longest: the longest sequences that make sense; None where all do.
        shortest: the shortest that make sense.

    Raises:
        ValueError: lengths that make no sense.
    """

    kind: ClassVar[Literal["bits", "classes"]]
    paper: ClassVar[str] = ""
    chance: float = 0.5

    def __init__(
        self,
        *,
        in_dim: int,
        out_dim: int,
        min_length: int,
        max_length: int,
        shortest: int = 1,
        longest: int | None = None,
    ) -> None:
        self.in_dim, self.out_dim = in_dim, out_dim
        self.min_length, self.max_length = min_length, max_length
        self._shortest, self._longest = shortest, longest
        for name, length in (("min_length", min_length), ("max_length", max_length)):
            self.check_length(length, f"task.{name}")
        if min_length > max_length:
            raise ValueError(f"task.min_length={min_length} is above task.max_length={max_length}")

    def check_length(self, length: int, key: str = "length") -> None:
        """Refuse a length that makes no sense here.

        Raises:
            ValueError: what was given under ``key``, and what is allowed.
        """
        if length < self._shortest or (self._longest is not None and length > self._longest):
            above = "" if self._longest is None else f" and at most {self._longest}"
            raise ValueError(
                f"{key}={length}: this task has lengths of at least {self._shortest}{above}"
            )

    @abstractmethod
    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        """Draw sequences, all of one length, on the CPU."""

    def encoder(self) -> nn.Module:
        """A new module from ``Batch.x`` [T, B, ...] to what the memory reads [T, B, I]."""
        return nn.Identity()

    def head(self, core: MemoryCore[Any]) -> nn.Module:
        """A new module from what the memory says [T, B, core.out_dim] to logits [T, B, O]."""
        return nn.Linear(core.out_dim, self.out_dim)

    def prepare(  # noqa: B027  most recipes change nothing
        self, core: MemoryCore[Any], sequences: int
    ) -> None:
        """What a task's recipe changes in a memory after so many ``sequences``; often nothing."""

    def exam(self, batch: int) -> Iterator[Batch] | None:
        """Held-out sequences in batches, always the same; None: they are drawn like any others."""
        return None

    def best_logits(self, batch: Batch) -> Tensor | None:
        """The outputs, as logits, that no learner can beat on average, where they are known."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """What a continuation needs; nothing where every sequence is drawn anew."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``.

        Raises:
            ValueError: the state belongs to another task.
        """
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, but has {sorted(state)} saved")


REGISTRY: Registry[Task] = Registry("task", "tasks", Task, "memrl.tasks")


def random_bits(*shape: int, generator: torch.Generator) -> Tensor:
    """Fair bits, 0.0 or 1.0."""
    return torch.randint(0, 2, shape, generator=generator).float()


def opening(steps: int, batch: int) -> Tensor:
    """``start`` of sequences that all open at the first step."""
    start = torch.zeros(steps, batch, dtype=torch.bool)
    start[0] = True
    return start
