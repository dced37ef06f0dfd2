"""The base class of supervised tasks: input sequences, and targets at the scored steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from memrl.memory.core import MemoryCore
from memrl.registry import Registry


class Batch(NamedTuple):
    """B sequences of T steps; steps outside ``mask`` are neither learned nor scored."""

    x: Tensor  # [T, B, I], or the input [T, B, ...] of the task's own encoder
    target: Tensor  # [T, B, O] bits, 0.0 or 1.0; or [T, B] classes, int64
    mask: Tensor  # [T, B] bool: the steps that are scored
    start: Tensor  # [T, B] bool: the first steps of sequences

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        return Batch(*(part.to(device) for part in self))


class Texts(NamedTuple):
    """The first sequence of a batch in words, one of each kind a step; empty: none."""

    heard: list[str]
    said: list[str]  # the right answers


class Task(ABC):
    """Generates or loads sequences with targets.

    A generated task implements ``sample`` alone. A task with a fixed data set draws ``sample``
    from the training set (one length, so that ``min_length`` equals ``max_length``), stores its
    position in the epoch in ``state_dict``, returns the test set from ``held_out``, names its
    ``files``, and may define its own ``encoder`` and ``head``. A task whose sequences are not all
    alike may name ``groups`` of steps, and simple methods as ``controls``: both are evaluated.

    Attributes:
        kind: "bits": O independent bits a step, with sigmoid and binary cross-entropy;
            "classes": one of O classes a step, with softmax and cross-entropy.
        in_dim: width I of the memory's input: the encoder's output.
        out_dim: width O of the output.
        chance: share of the scored bits or classes that guessing gets right.
        min_length: shortest sequences to train on; each task defines what a length counts.
        max_length: longest sequences to train on.
        paper: author, year and title of the work that the task comes from.
        group: what a number of ``groups`` counts, in words.

    Args:
        in_dim: see above.
        out_dim: see above.
        min_length: see above.
        max_length: see above.
        longest: the longest possible length; None: no limit.
        shortest: the shortest possible length.

    Raises:
        ValueError: a length is outside these limits, or min_length is above max_length.
    """

    kind: ClassVar[Literal["bits", "classes"]]
    paper: ClassVar[str] = ""
    group: ClassVar[str] = ""
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
        """Raise ValueError if a length is outside the task's limits.

        Raises:
            ValueError: names ``key``, the length given, and the limits.
        """
        if length < self._shortest or (self._longest is not None and length > self._longest):
            above = "" if self._longest is None else f" and at most {self._longest}"
            raise ValueError(
                f"{key}={length}, allowed in this task: at least {self._shortest}{above}"
            )

    @abstractmethod
    def sample(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        """Sample ``batch`` sequences of one length, on the CPU."""

    def sample_test(self, batch: int, length: int, generator: torch.Generator) -> Batch:
        """Sample sequences to evaluate on; by default as in training."""
        return self.sample(batch, length, generator)

    def check_batch(self, batch: Batch) -> None:
        """Check what ``sample`` returned.

        Raises:
            ValueError: a part of the batch has another shape or type than a learner reads, or a
                class is outside 0 … O - 1; names the task and the part.
        """
        steps_rows = tuple(batch.x.shape[:2])
        bits = self.kind == "bits"
        wanted = {
            "target": ((*steps_rows, self.out_dim) if bits else steps_rows, bits),
            "mask": (steps_rows, False),
            "start": (steps_rows, False),
        }
        for part, (shape, is_float) in wanted.items():
            given: Tensor = getattr(batch, part)
            kind = "float" if is_float else "int64" if part == "target" else "bool"
            fits = given.is_floating_point() if is_float else str(given.dtype) == f"torch.{kind}"
            if tuple(given.shape) != shape or not fits:
                dtype = str(given.dtype).removeprefix("torch.")
                raise ValueError(
                    f"the task {type(self).__name__} returned {part} as {dtype} "
                    f"{list(given.shape)}, allowed with kind={self.kind}: {kind} {list(shape)}"
                )
        if not bits and not 0 <= int(batch.target.min()) <= int(batch.target.max()) < self.out_dim:
            classes = f"{int(batch.target.min())} … {int(batch.target.max())}"
            raise ValueError(
                f"the task {type(self).__name__} returned the classes {classes}, allowed: "
                f"0 … {self.out_dim - 1}"
            )

    def encoder(self) -> nn.Module:
        """A new module from ``Batch.x`` [T, B, ...] to the memory's input [T, B, I]."""
        return nn.Identity()

    def head(self, core: MemoryCore[Any]) -> nn.Module:
        """A new module from the memory's output [T, B, core.out_dim] to logits [T, B, O]."""
        return nn.Linear(core.out_dim, self.out_dim)

    def prepare(  # noqa: B027  most tasks change nothing
        self, core: MemoryCore[Any], sequences: int
    ) -> None:
        """Adapt a memory before each batch; ``sequences`` so far. By default nothing changes."""

    def held_out(self, batch: int) -> Iterator[Batch] | None:
        """The test set in batches, always the same; None: the evaluation calls ``sample``."""
        return None

    def files(self) -> tuple[Path, ...]:
        """The files of a fixed data set; a run is continued only while they stay the same."""
        return ()

    def best_logits(self, batch: Batch) -> Tensor | None:
        """The logits of the optimal prediction, if it is known; else None."""
        return None

    def groups(self, batch: Batch) -> Tensor | None:
        """Steps that the evaluation tells apart: their numbers from 1, [T, B]; None: nothing."""
        return None

    def controls(self, batch: Batch) -> Mapping[str, Tensor]:
        """The logits of simple methods by name, which the evaluation scores by group, too."""
        return {}

    def texts(self, batch: Batch) -> Texts | None:
        """Inputs and answers in words, for a picture of what is read; None: they are no words."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """The state that a continuation needs; empty if sequences are generated."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``.

        Raises:
            ValueError: the state belongs to another task.
        """
        if state:
            raise ValueError(
                f"{type(self).__name__} has no state, but the checkpoint has {sorted(state)}"
            )


REGISTRY: Registry[Task] = Registry("task", "tasks", Task, "memrl.tasks")


def random_bits(*shape: int, generator: torch.Generator) -> Tensor:
    """Fair bits, 0.0 or 1.0."""
    return torch.randint(0, 2, shape, generator=generator).float()


def starts_at_first_step(steps: int, batch: int) -> Tensor:
    """``start`` [steps, batch] of sequences that all begin at the first step."""
    start = torch.zeros(steps, batch, dtype=torch.bool)
    start[0] = True
    return start
