"""A sparse memory, which accesses a few words a step: the base of SAM and SDNC."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from memrl.memory.core import Unrolled, need_no_grad
from memrl.memory.kernels.choice import no_kernel, row_memory
from memrl.memory.ops.addressing import entropy
from memrl.memory.ops.controlled import Carry, Memory
from memrl.memory.ops.edits import Edits
from memrl.memory.ops.host import steps_with_start
from memrl.memory.ops.recency import block_shape, oldest_of_blocks
from memrl.memory.parts.controlled import ControlledMemory, ControllerState, MemorySizes
from memrl.memory.parts.slots import GROW_ABOVE, Slotted, fit
from memrl.memory.parts.sparse_access import ACCESS, allocated, note_accesses, write_words
from memrl.memory.parts.sparse_state import Interface, SparseState, Written
from memrl.memory.state import clone, detach, leaves, map_state
from memrl.memory.stores.cache import IndexCache
from memrl.memory.stores.index import Indexes, import_faiss
from memrl.memory.stores.search import EPSILON

CLIP = 20.0  # bound of the interface vector
EXACT_SLOTS = 2**16  # with more slots, search=auto uses an index
COPIED_SLOTS = 2**12  # with more slots, gradients are held for the accessed words only


class SparseMemory(ControlledMemory[SparseState], Slotted):
    """An LSTM controller that reads K words a head, and writes a few.

    Each head writes the words that it read last, and the least recently accessed word. The subclass
    implements ``_read``. A sequence copies the memory once and edits the copy.

    Args:
        in_dim: width of the input features.
        slots: N, words of the memory.
        word_dim: W, width of a word.
        read_heads: R; each writes too.
        neighbours: K, words that a head reads; at most N.
        search: "exact" compares a key with every word. "ivf" and "lsh" compare it with those in the
            nearest lists of an ``Index``: they may miss a near word, and a sequence may then differ
            from its steps. "auto" is "ivf" in memories of more than 65,536 slots, else "exact".
        hidden_dim: width of the controller and of the output.
        grow: the most slots to which it may grow while it is trained; None: N stays.
        grow_above: share of used slots above which the slots double.

    Attributes:
        extra: additional entries of a head in the interface vector.
        rows: name of the kernel.
        partners: links that a slot keeps in each direction.

    Raises:
        ValueError: more neighbours than slots, or faiss is needed and not installed; ``grow`` is
            not above ``slots``, or ``grow_above`` is set without it.
    """

    extra: ClassVar[int] = 0
    rows: ClassVar[str]
    partners: int = 0
    not_reset = ("memory", "links", "last_access", "oldest")  # edited in place

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(1)] = 256,
        word_dim: Annotated[int, Ge(1)] = 16,
        read_heads: Annotated[int, Ge(1)] = 1,
        neighbours: Annotated[int, Ge(1)] = 4,
        search: Literal["exact", "ivf", "lsh", "auto"] = "auto",
        hidden_dim: Annotated[int, Ge(1)] = 128,
        grow: Annotated[int, Ge(1)] | None = None,
        grow_above: Annotated[float, Gt(0), Lt(1)] = GROW_ABOVE,
    ) -> None:
        sizes = MemorySizes(slots, word_dim, read_heads, hidden_dim)
        super().__init__(in_dim, sizes, interface_dim=read_heads * (2 * word_dim + 3 + self.extra))
        self.neighbours, self.search = neighbours, search
        self._need_slots(slots)
        self._extend(slots)
        self._indexes = IndexCache("lsh" if search == "lsh" else "ivf")
        self._may_grow(grow, grow_above)
        self._finish()

    def _need_slots(self, slots: int) -> None:
        _need_neighbours(slots, self.neighbours)
        if self._needs_index(slots):
            import_faiss()

    def _needs_index(self, slots: int) -> bool:
        return self.search in ("ivf", "lsh") or (self.search == "auto" and slots > EXACT_SLOTS)

    def _extend(self, slots: int) -> None:
        self.indexed = self._needs_index(slots)

    def used(self, state: SparseState) -> Tensor:
        slots = torch.arange(state.memory.shape[1], device=state.written.device)
        return (slots < state.written.unsqueeze(1)).to(state.memory.dtype)

    def _refit(self, state: SparseState, slots: int) -> SparseState:
        last_access = fit(state.last_access, slots)
        return state._replace(
            memory=fit(state.memory, slots),
            links=map_state(lambda leaf: fit(leaf, slots), state.links),
            last_access=last_access,
            oldest=oldest_of_blocks(last_access),
            slots=state.slots.clamp(max=slots - 1),  # one that was not found may be any
        )

    def initial_state(self, batch_size: int) -> SparseState:
        weight, n = self.output.weight, self.slots
        stamps = weight.new_zeros(batch_size, n, dtype=torch.long)
        return self._first(batch_size)._replace(
            memory=weight.new_zeros(batch_size, n, self.word_dim),
            last_access=stamps,
            oldest=stamps.new_zeros(batch_size, block_shape(n)[0]),
        )

    def _first(self, batch_size: int) -> SparseState:
        """The initial state without the leaves that a reset does not change."""
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
            controller=self._initial_controller(batch_size),
        )

    def step(
        self, x: Tensor, state: SparseState, start: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, SparseState]:
        need_no_grad(donate)
        memory = self._memory(x)
        if memory is not None and (donate or self.slots <= COPIED_SLOTS):
            return self._step(memory, x, state, start, donate=donate)
        state = self.reset(state, self._first(1), start, donate=donate)
        seen, state = self._run([self._project(x)], [None], state, donate=donate)
        return self._emit(seen[0]), state

    def forward(self, x: Tensor, state: SparseState, start: Tensor) -> Unrolled:
        memory = self._memory(x)
        if memory is not None and self.slots <= COPIED_SLOTS:
            return self._sequence(memory, x, state, start)
        resets = steps_with_start(start)
        starts = [s if any_s else None for s, any_s in zip(start.unbind(), resets, strict=True)]
        seen, state = self._run(self._project(x).unbind(), starts, state)
        return Unrolled(self._emit(torch.stack(seen)), state)

    def _memory(self, like: Tensor) -> Memory | None:
        if self.indexed:
            no_kernel("a sparse memory with an index", like)
            return None
        if self.ablate:
            return None
        head = self.interface.out_features // self.read_heads
        block = block_shape(self.slots)[1]
        widths = (self.word_dim, self.read_heads, self.neighbours, head, block, self.partners)
        return row_memory(self.rows, like, widths, CLIP, EPSILON, ACCESS)

    def _carry(self, state: SparseState) -> Carry:
        bare = state._replace(reads=(), controller=())  # type: ignore[arg-type]
        return Carry(*state.controller, state.reads.flatten(1), tuple(leaves(bare)))

    def _state(self, last: Carry, before: SparseState) -> SparseState:
        memory = iter(last.memory)
        bare = before._replace(reads=(), controller=())  # type: ignore[arg-type]
        state = map_state(lambda _: next(memory), bare)
        return state._replace(
            links=detach(state.links),
            precedence=detach(state.precedence),
            reads=last.reads.view(-1, self.read_heads, self.word_dim),
            controller=ControllerState(last.h, last.c),
        )

    def _update(self, x: Tensor, state: SparseState) -> tuple[Tensor, SparseState]:
        seen, state = self._run([x], [None], state)
        return seen[0], state

    def _run(
        self,
        inputs: Sequence[Tensor],
        starts: Sequence[Tensor | None],
        state: SparseState,
        *,
        donate: bool = False,
    ) -> tuple[list[Tensor], SparseState]:
        """All steps over one copy of the memory; a step with starts resets their rows first."""
        opening = self._first(1)
        indexes = self._indexes.take(state.memory, state.written) if self.indexed else None
        words = Edits(state.memory, donate=donate)
        if not donate:
            state = state._replace(
                last_access=state.last_access.clone(),
                oldest=state.oldest.clone(),
                links=clone(state.links),
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
        """One step, from the projected input [B, 4H] to [h_t, r_t]."""
        controller = self._control(x, state.reads, state.controller)
        ask = self._interface(controller.h)

        written = write_words(ask, state, words)
        state = state._replace(
            written=torch.maximum(state.written, written.slots[:, -1] + 1),
            controller=controller,
        )
        if indexes is not None:
            with torch.no_grad():
                indexes.put(written.slots, words.peek(written.slots))
        state, reads = self._read(ask, written, state, words, indexes)
        state = note_accesses(written, state._replace(reads=self._ablated(reads)))
        return torch.cat([controller.h, state.reads.flatten(1)], dim=-1), state

    def _interface(self, hidden: Tensor) -> Interface:
        w = self.word_dim
        vector = self.interface(hidden).clamp(-CLIP, CLIP).unflatten(-1, (self.read_heads, -1))
        keys, add, strength, gates, rest = vector.split([w, w, 1, 2, self.extra], dim=-1)
        alpha, gamma = gates.sigmoid().chunk(2, dim=-1)
        return Interface(keys, add, 1 + nn.functional.softplus(strength), alpha, gamma, rest)

    @abstractmethod
    def _read(
        self,
        ask: Interface,
        written: Written,
        state: SparseState,
        words: Edits,
        indexes: Indexes | None,
    ) -> tuple[SparseState, Tensor]:
        """Reads [B, R, W], and the state with ``slots`` and ``weights`` of this step."""

    def _save_to_state_dict(self, *args: Any) -> None:
        self._indexes.drop()  # a run that continues from what is saved builds it anew, too
        super()._save_to_state_dict(*args)

    def diagnostics(self, state: SparseState) -> dict[str, Tensor]:
        weights = state.reads.new_zeros(*state.slots.shape[:2], self.slots)
        return {
            "read_weights": weights.scatter_add(-1, state.slots, state.weights),
            "read_entropy": entropy(state.weights),
            "written": state.written / self.slots,
        }

    def step_diagnostics(self, x: Tensor, state: SparseState) -> dict[str, Tensor]:
        ask = self._interface(self._control(self._project(x), state.reads, state.controller).h)
        slots = nn.functional.one_hot(allocated(state), self.slots)
        return {
            "allocation_weights": slots.to(x.dtype),  # I^U
            "write_gates": ask.write_gates.squeeze(-1),
            "interpolation_gates": ask.interpolation_gates.squeeze(-1),
        }


def _need_neighbours(slots: int, neighbours: int) -> None:
    """Raise ValueError if a head reads more words than there are."""
    if neighbours > slots:
        raise ValueError(f"neighbours is {neighbours}; allowed: at most slots, {slots}")
