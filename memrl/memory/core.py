"""The contract of a memory core: explicit state, resets in one place, step equals sequence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from memrl.errors import nearest
from memrl.memory.ops.compiled import compiled, need_compiler
from memrl.memory.ops.host import steps_with_start
from memrl.memory.state import map_state

S = TypeVar("S")


class Unrolled(NamedTuple):
    """The outputs of a core for a sequence."""

    y: Tensor  # [T, B, O]
    state: Any  # after the last step; beartype cannot check a generic NamedTuple
    cost: Tensor | None = None  # [T, B]  the core's own loss (ponder, compression), if it has one


class Edit(NamedTuple):
    """How one step changed a memory of N slots: M_t = keep ∘ M_{t−1} + add."""

    keep: Tensor  # [B, N, W]  in [0, 1]
    add: Tensor  # [B, N, W]


class MemoryCore(nn.Module, ABC, Generic[S]):
    """A recurrent map from features to features, with an explicit state.

    ``start[t, b]`` is True when ``x[t, b]`` opens an episode: the core replaces the state of that
    row by the initial state *before* it reads ``x[t, b]``.

    A memory implements ``initial_state`` and ``_update``. It may move work that needs no state into
    ``_project`` and ``_emit``. This class implements resets, steps and sequences. The state is a
    (nested) NamedTuple; every leaf leads with B. A leaf named ``cost`` [B] holds the loss of the
    last ``_update``.

    Attributes:
        in_dim: width I of the input features.
        out_dim: width O of the output features.
        horizon: steps a gradient can reach back: 0, k, or None when unbounded.
        reads_first: a step reads what earlier ones wrote, and writes then; else it writes first.
        warm_up: steps of an episode before every parameter is in use.
        draws: some choices are drawn, and ``cost`` is the logarithm of their probability. Who knows
            the loss of a sequence multiplies the two (REINFORCE). ``memrl fit`` does.
        choices: the generator that draws them; None: the likeliest is taken.
        context: how many of the last features the core reads as a context, such as the entries
            ``policy.beside``; None if it does not.
        paper: author, year and title, for tables and citations.
        not_reset: leaves of the state that a reset leaves as they are, since other leaves say what
            an episode sees of them: it would write all of a large memory.
        autocasts: ``forward`` supports autocast and keeps its state in full precision; other cores
            run without autocast.
        ablations: the parts that ``silence`` can ablate.
        ablate: the parts that are ablated now.
        compiled: whether ``compile_update`` was called.
    """

    paper: ClassVar[str] = ""
    ablations: frozenset[str] = frozenset()
    not_reset: ClassVar[tuple[str, ...]] = ()
    autocasts: ClassVar[bool] = False
    horizon: int | None = None
    reads_first: ClassVar[bool] = False
    warm_up: int = 0
    draws: bool = False
    choices: torch.Generator | None = None
    context: int | None = None

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        if in_dim < 1 or out_dim < 1:
            raise ValueError(f"in_dim is {in_dim}, out_dim {out_dim}; allowed: both from 1")
        self.in_dim = in_dim
        self.out_dim = out_dim
        self.ablate: frozenset[str] = frozenset()
        self.compiled = False

    @abstractmethod
    def initial_state(self, batch_size: int) -> S:
        """The state before an episode, leaves [B, ...]; may depend on learned parameters."""

    @abstractmethod
    def _update(self, x: Tensor, state: S) -> tuple[Tensor, S]:
        """One step without resets: x [B, ·] -> y [B, ·] and the next state; edits nothing.

        ``x`` is an output of ``_project``, and ``_emit`` maps y to the features [B, O].
        """

    def _project(self, x: Tensor) -> Tensor:
        """The part of the update that does not depend on the state.

        ``[*N, I]`` -> ``[*N, any width]``; all steps of a sequence are projected at once.
        """
        return x

    def _emit(self, seen: Tensor) -> Tensor:
        """The update's output as features, all steps at once.

        ``[*N, any width]`` -> ``[*N, O]``.
        """
        return seen

    def diagnostics(self, state: S) -> dict[str, Tensor]:
        """Quantities to plot and log: weights over slots, usage, gates, all [B, ...]."""
        return {}

    def step_diagnostics(self, x: Tensor, state: S) -> dict[str, Tensor]:
        """What only the step knows that reads x [B, I] in ``state``: gates, all [B, ...]."""
        return {}

    def edit(self, x: Tensor, before: S, after: S) -> Edit | None:
        """What the step from ``before`` to ``after`` did to the slots, for x [B, I].

        None: its state has no ``memory`` [B, N, W] with ``read_weights`` [B, R, N] to it, or other
        steps change it in another way. Tells where a read comes from (``memrl.probing``).
        """
        return None

    def silence(self, part: str | None) -> None:
        """Ablate one part of the memory from now on; None ablates nothing.

        Raises:
            ValueError: the part is not in ``ablations``.
        """
        if part is not None and part not in self.ablations:
            parts = [*sorted(self.ablations), "state"]
            hint = nearest(part, parts)
            raise ValueError(
                f"{type(self).__name__} cannot ablate {part!r}{hint} (allowed: {', '.join(parts)})"
            )
        self.ablate = frozenset() if part is None else frozenset({part})

    @contextmanager
    def drawing(self, generator: torch.Generator | None) -> Iterator[None]:
        """Draw the choices inside of this block by a generator."""
        self.choices = generator
        try:
            yield
        finally:
            self.choices = None

    @property
    def loops(self) -> bool:
        """Whether ``forward`` loops over the steps, so that ``compile_update`` can speed it up."""
        return type(self).forward is MemoryCore.forward

    @property
    def nothing_to_compile(self) -> str:
        """The error message of ``compile_update`` where ``loops`` is False."""
        name = type(self).__name__
        return f"{name} computes a sequence without a loop over its steps: nothing to compile"

    def compile_update(self) -> None:
        """Compile the update. Results are equal within rounding.

        Parameters, their names, copies and exported steps do not change. The first calls take half
        a minute or more each, because they compile.

        Raises:
            ValueError: ``loops`` is False, or this machine has no C++ compiler.
        """
        if not self.loops:
            raise ValueError(self.nothing_to_compile)
        need_compiler()
        self.compiled = True

    def _advance(self, x: Tensor, state: S) -> tuple[Tensor, S]:
        """``_update``, compiled if ``compile_update`` was called; an export is never compiled."""
        if self.compiled and not torch.compiler.is_compiling():
            return compiled(type(self)._update)(self, x, state)
        return self._update(x, state)

    def reset(self, state: S, initial: S, start: Tensor, *, donate: bool = False) -> S:
        """Replace the rows of ``state`` where ``start`` [B] by ``initial`` (leaves [1 or B, ...]).

        It selects and does not multiply, because 0 times NaN is NaN. ``donate`` edits in place.
        """

        def choose(old: Tensor, new: Tensor) -> Tensor:
            mask = start.view(-1, *[1] * (old.dim() - 1))
            return torch.where(mask, new, old, out=old) if donate else torch.where(mask, new, old)

        if not self.not_reset:
            return map_state(choose, state, initial)
        kept = {name: getattr(state, name) for name in self.not_reset}
        bare: list[Any] = [each._replace(**dict.fromkeys(kept, ())) for each in (state, initial)]  # type: ignore[attr-defined]
        return map_state(choose, *bare)._replace(**kept)  # type: ignore[no-any-return]

    def step(
        self,
        x: Float[Tensor, "B I"],
        state: S,
        start: Bool[Tensor, " B"],
        *,
        donate: bool = False,
    ) -> tuple[Float[Tensor, "B O"], S]:
        """One step for every row. ``donate`` allows in-place edits of ``state`` (no_grad only).

        Raises:
            ValueError: ``donate`` with gradients enabled.
        """
        need_no_grad(donate)
        state = self.reset(state, self.initial_state(1), start, donate=donate)
        seen, state = self._advance(self._project(x), state)
        return self._emit(seen), state

    def forward(self, x: Float[Tensor, "T B I"], state: S, start: Bool[Tensor, "T B"]) -> Unrolled:
        """A sequence; equal to T calls of ``step``.

        Copies ``start`` to the host once, or not at all while a CUDA graph records.
        """
        initial = self.initial_state(1)
        seen: list[Tensor] = []
        costs: list[Tensor] = []
        inputs, resets = self._project(x), steps_with_start(start)
        # Not x[t]: the gradient of each index is a tensor as large as the whole sequence.
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


def need_no_grad(donate: bool) -> None:
    """Check that a step may edit its state in place.

    Raises:
        ValueError: ``donate`` with gradients enabled.
    """
    if donate and torch.is_grad_enabled():
        raise ValueError("donate=True edits the old state: call it under torch.no_grad()")


def common_horizon(
    cores: Sequence[MemoryCore[Any]], combine: Callable[[Iterable[int]], int]
) -> int | None:
    """The horizon of several cores: the ``sum`` if stacked, ``max`` if side by side; or None."""
    known = [core.horizon for core in cores if core.horizon is not None]
    return combine(known) if len(known) == len(cores) else None
