"""The contract of a memory core: explicit state, resets in one place, step equals sequence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from memrl.memory.ops.compiled import compiled, need_compiler
from memrl.memory.state import map_state

S = TypeVar("S")


class Unrolled(NamedTuple):
    """What a core makes of a sequence."""

    y: Tensor  # [T, B, O]
    state: Any  # after the last step; beartype cannot check a generic NamedTuple
    cost: Tensor | None = None  # [T, B]  the core's own loss (ponder, compression), if it has one


class MemoryCore(nn.Module, ABC, Generic[S]):
    """A recurrent map from features to features, with an explicit state.

    ``start[t, b]`` is True when ``x[t, b]`` opens an episode: that row's state is replaced by the
    initial state *before* ``x[t, b]`` is read. A memory writes ``initial_state`` and ``_update``,
    and ``_project`` and ``_emit`` where a share of the work needs no state; resets, steps and
    sequences are written here, once. The state is a (nested) NamedTuple whose
    every leaf leads with B; a leaf named ``cost`` [B] holds the loss of the last ``_update``.

    Attributes:
        in_dim: width I of the input features.
        out_dim: width O of the output features.
        horizon: steps a gradient can reach back: 0, k, or None when unbounded.
        paper: author, year and title, for tables and citations.
        autocasts: ``forward`` keeps its state exact under autocast; else it runs without.
        ablate: parts that are silenced (see ``silence``), out of ``ablations``.
        compiled: whether ``compile_update`` was called.
    """

    paper: ClassVar[str] = ""
    ablations: ClassVar[frozenset[str]] = frozenset()
    autocasts: ClassVar[bool] = False
    horizon: int | None = None

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        if in_dim < 1 or out_dim < 1:
            raise ValueError(f"a core maps features to features: got widths {in_dim} to {out_dim}")
        self.in_dim = in_dim
        self.out_dim = out_dim
        self.ablate: frozenset[str] = frozenset()
        self.compiled = False

    @abstractmethod
    def initial_state(self, batch_size: int) -> S:
        """The state before an episode, leaves [B, ...]; may depend on learned parameters."""

    @abstractmethod
    def _update(self, x: Tensor, state: S) -> tuple[Tensor, S]:
        """One step without resets: x [B, I] -> y [B, O] and the next state; edits nothing.

        What it is given went through ``_project``, what it returns goes through ``_emit``.
        """

    def _project(self, x: Tensor) -> Tensor:
        """What the update takes from the input whatever the state.

        ``[*N, I]`` -> ``[*N, any width]``; a sequence's inputs go through it in one product.
        """
        return x

    def _emit(self, seen: Tensor) -> Tensor:
        """The output, from what the update saw: ``[*N, any width]`` -> ``[*N, O]``."""
        return seen

    def diagnostics(self, state: S) -> dict[str, Tensor]:
        """What can be looked at in a state: weights over slots, usage, gates, all [B, ...]."""
        return {}

    def silence(self, part: str | None) -> None:
        """Ablate one part of the memory from now on; None ablates nothing.

        Raises:
            ValueError: this memory has no such part.
        """
        if part is not None and part not in self.ablations:
            parts = ", ".join(sorted(self.ablations)) or "none"
            raise ValueError(
                f"{type(self).__name__} has no part {part!r} to silence (parts: {parts})"
            )
        self.ablate = frozenset() if part is None else frozenset({part})

    @property
    def loops(self) -> bool:
        """Whether a sequence is a loop over the steps, which compiling makes faster."""
        return type(self).forward is MemoryCore.forward

    @property
    def nothing_to_compile(self) -> str:
        """What to say to someone who asks for it all the same."""
        name = type(self).__name__
        return f"{name} computes a sequence without a loop over its steps: nothing to compile"

    def compile_update(self) -> None:
        """From now on acting and learning run a compiled update; equal within rounding.

        Parameters, their names, copies and exported steps stay as they are. The first calls take
        half a minute or more each while the update is translated.

        Raises:
            ValueError: a sequence is no loop, so that there is nothing to compile, or this machine
                has no C++ compiler.
        """
        if not self.loops:
            raise ValueError(self.nothing_to_compile)
        need_compiler()
        self.compiled = True

    def _advance(self, x: Tensor, state: S) -> tuple[Tensor, S]:
        """``_update``, compiled where that was asked for; a step that is exported is not."""
        if self.compiled and not torch.compiler.is_compiling():
            return compiled(type(self)._update)(self, x, state)
        return self._update(x, state)

    def reset(self, state: S, initial: S, start: Tensor, *, donate: bool = False) -> S:
        """Rows of ``state`` where ``start`` [B] replaced by ``initial`` (leaves [1 or B, ...]).

        By selection, never by multiplication: 0 times NaN is NaN. ``donate`` edits in place.
        """

        def choose(old: Tensor, new: Tensor) -> Tensor:
            mask = start.view(-1, *[1] * (old.dim() - 1))
            return torch.where(mask, new, old, out=old) if donate else torch.where(mask, new, old)

        return map_state(choose, state, initial)

    def step(
        self,
        x: Float[Tensor, "B I"],
        state: S,
        start: Bool[Tensor, " B"],
        *,
        donate: bool = False,
    ) -> tuple[Float[Tensor, "B O"], S]:
        """Act: one step for every row. ``donate`` lets the old state be edited (no_grad only)."""
        if donate and torch.is_grad_enabled():
            raise ValueError("donate=True edits the old state: call it under torch.no_grad()")
        state = self.reset(state, self.initial_state(1), start, donate=donate)
        seen, state = self._advance(self._project(x), state)
        return self._emit(seen), state

    def forward(self, x: Float[Tensor, "T B I"], state: S, start: Bool[Tensor, "T B"]) -> Unrolled:
        """Learn: a sequence, equal to ``step`` called T times. Reads ``start`` once on the host."""
        initial = self.initial_state(1)
        seen: list[Tensor] = []
        costs: list[Tensor] = []
        inputs, resets = self._project(x), start.any(dim=1).tolist()
        # Not x[t]: the gradient of every such index is a tensor as long as the whole sequence.
        for x_t, start_t, any_start in zip(inputs.unbind(), start.unbind(), resets, strict=True):
            if any_start:
                state = self.reset(state, initial, start_t)
            seen_t, state = self._advance(x_t, state)
            seen.append(seen_t)
            cost = getattr(state, "cost", None)
            if cost is not None:
                costs.append(cost)
        y = self._emit(torch.stack(seen))
        return Unrolled(y, state, torch.stack(costs) if costs else None)
