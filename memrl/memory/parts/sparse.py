"""What memories share that touch a few words a step: SAM, and SDNC, which adds temporal links."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from memrl.memory.core import Unrolled
from memrl.memory.ops.addressing import entropy
from memrl.memory.ops.edits import Edits
from memrl.memory.ops.recency import block_shape
from memrl.memory.parts.controlled import ControlledMemory
from memrl.memory.parts.sparse_access import note_accesses, write_words
from memrl.memory.parts.sparse_state import LARGE, Ask, SparseState, Written
from memrl.memory.state import map_state
from memrl.memory.stores.cache import IndexCache
from memrl.memory.stores.index import Indexes, import_faiss

CLIP = 20.0  # bound on what the controller asks of the memory
EXACT_SLOTS = 2**16  # with more of them, search=auto asks an index


class SparseMemory(ControlledMemory[SparseState]):
    """An LSTM that writes where it looked last or did so least recently, and reads a few words.

    A subclass says how it reads: ``_read``. A sequence copies the memory once and edits the copy.

    Attributes:
        extra: numbers that the controller asks for a head beyond those of ``Ask``.
    """

    extra: ClassVar[int] = 0

    def __init__(
        self,
        in_dim: int,
        *,
        slots: int,
        word_dim: int,
        read_heads: int,
        neighbours: int,
        search: Literal["exact", "index", "auto"],
        hidden_dim: int,
    ) -> None:
        read_dim = read_heads * word_dim
        super().__init__(in_dim, hidden_dim=hidden_dim, read_dim=read_dim)
        if neighbours > slots:
            raise ValueError(f"{neighbours} neighbours cannot be found among {slots} slots")
        self.slots, self.word_dim = slots, word_dim
        self.read_heads, self.neighbours = read_heads, neighbours
        self.indexed = search == "index" or (search == "auto" and slots > EXACT_SLOTS)
        if self.indexed:
            import_faiss()
        self._indexes = IndexCache()
        self.interface = nn.Linear(hidden_dim, 2 * read_dim + read_heads * (3 + self.extra))
        self.output = nn.Linear(hidden_dim + read_dim, hidden_dim)
        self._initialise()

    def initial_state(self, batch_size: int) -> SparseState:
        weight, n = self.output.weight, self.slots
        stamps = weight.new_zeros(batch_size, n, dtype=torch.long)
        return self._opening(batch_size)._replace(
            memory=weight.new_zeros(batch_size, n, self.word_dim),
            last_access=stamps,
            oldest=stamps.new_zeros(batch_size, block_shape(n)[0]),
        )

    def _opening(self, batch_size: int) -> SparseState:
        """The initial state but what a reset leaves alone."""
        zeros, r, k = self.output.weight.new_zeros, self.read_heads, self.neighbours
        counts = zeros(batch_size, dtype=torch.long)
        return SparseState(
            memory=(),  # type: ignore[arg-type]
            links=(),
            last_access=(),  # type: ignore[arg-type]
            oldest=(),  # type: ignore[arg-type]
            clock=counts,
            used=counts.clone(),
            written=counts.clone(),
            slots=zeros(batch_size, r, k, dtype=torch.long),
            weights=zeros(batch_size, r, k),
            reads=zeros(batch_size, r, self.word_dim),
            precedence=(),
            controller=self._resting(batch_size),
        )

    def reset(
        self, state: SparseState, initial: SparseState, start: Tensor, *, donate: bool = False
    ) -> SparseState:
        nothing: dict[str, Any] = dict.fromkeys(LARGE, ())
        large = {name: getattr(state, name) for name in LARGE}
        bare, opening = state._replace(**nothing), initial._replace(**nothing)
        return super().reset(bare, opening, start, donate=donate)._replace(**large)

    def step(
        self, x: Tensor, state: SparseState, start: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, SparseState]:
        if donate and torch.is_grad_enabled():
            raise ValueError("donate=True edits the old state: call it under torch.no_grad()")
        state = self.reset(state, self._opening(1), start, donate=donate)
        seen, state = self._walk([self._project(x)], [None], state, donate=donate)
        return self._emit(seen[0]), state

    def forward(self, x: Tensor, state: SparseState, start: Tensor) -> Unrolled:
        resets = start.any(dim=1).tolist()
        starts = [s if any_s else None for s, any_s in zip(start.unbind(), resets, strict=True)]
        seen, state = self._walk(self._project(x).unbind(), starts, state)
        return Unrolled(self._emit(torch.stack(seen)), state)

    def _update(self, x: Tensor, state: SparseState) -> tuple[Tensor, SparseState]:
        seen, state = self._walk([x], [None], state)
        return seen[0], state

    def _walk(
        self,
        inputs: Sequence[Tensor],
        starts: Sequence[Tensor | None],
        state: SparseState,
        *,
        donate: bool = False,
    ) -> tuple[list[Tensor], SparseState]:
        """Steps over one copy of the memory; rows are reset where a step has starts."""
        opening = self._opening(1)
        indexes = self._indexes.take(state.memory, state.written) if self.indexed else None
        words = Edits(state.memory, donate=donate)
        if not donate:
            state = state._replace(
                last_access=state.last_access.clone(),
                oldest=state.oldest.clone(),
                links=map_state(torch.clone, state.links),
            )
        seen = []
        for x, start in zip(inputs, starts, strict=True):
            if start is not None:
                state = self.reset(state, opening, start)
                if indexes is not None:
                    indexes.forget(start.tolist())
            seen_t, state = self._access(x, state, words, indexes)
            seen.append(seen_t)
        state = state._replace(memory=words.finish())
        if indexes is not None:
            self._indexes.keep(state.memory, indexes)
        return seen, state

    def _access(
        self, x: Tensor, state: SparseState, words: Edits, indexes: Indexes | None
    ) -> tuple[Tensor, SparseState]:
        """One step, from the controller's share of the input [B, 4H] to [h_t, r_t], unmixed."""
        controller = self._control(x, state.reads, state.controller)
        ask = self._ask(controller.h)

        written = write_words(ask, state, words)
        state = state._replace(
            written=torch.maximum(state.written, written.slots[:, -1] + 1),
            controller=controller,
        )
        if indexes is not None:
            with torch.no_grad():
                indexes.put(written.slots, words.peek(written.slots))
        state, reads = self._read(ask, written, state, words, indexes)
        state = note_accesses(written, state._replace(reads=self._audible(reads)))
        return torch.cat([controller.h, state.reads.flatten(1)], dim=-1), state

    def _ask(self, hidden: Tensor) -> Ask:
        w = self.word_dim
        asked = self.interface(hidden).clamp(-CLIP, CLIP).unflatten(-1, (self.read_heads, -1))
        keys, add, strength, gates, rest = asked.split([w, w, 1, 2, self.extra], dim=-1)
        alpha, gamma = gates.sigmoid().chunk(2, dim=-1)
        return Ask(keys, add, 1 + nn.functional.softplus(strength), alpha, gamma, rest)

    @abstractmethod
    def _read(
        self,
        ask: Ask,
        written: Written,
        state: SparseState,
        words: Edits,
        indexes: Indexes | None,
    ) -> tuple[SparseState, Tensor]:
        """Reads [B, R, W], and the state with ``slots`` and ``weights`` of this step."""

    def diagnostics(self, state: SparseState) -> dict[str, Tensor]:
        looked = state.reads.new_zeros(*state.slots.shape[:2], self.slots)
        return {
            "read_weights": looked.scatter_add(-1, state.slots, state.weights),
            "read_entropy": entropy(state.weights),
            "written": state.written / self.slots,
        }
