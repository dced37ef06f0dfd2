"""What memories share that touch a few words a step: SAM, and SDNC, which adds temporal links."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from memrl.memory.core import MemoryCore, Unrolled
from memrl.memory.ops.addressing import entropy
from memrl.memory.ops.edits import Edits
from memrl.memory.ops.lstm import lstm_cell
from memrl.memory.ops.recency import accessed_slots, block_shape, least_recent, touch
from memrl.memory.ops.sparse_linkage import Entries, Links
from memrl.memory.state import map_state
from memrl.memory.stores.index import Indexes, import_faiss
from memrl.memory.stores.search import EPSILON, nearest

CLIP = 20.0  # bound on what the controller asks of the memory
ACCESS = 0.005  # δ: a slot with more weight than this was accessed (the paper's)
BLOCK = 2**15  # scores of a row that an exact search makes at a time: a cache holds them
EXACT_SLOTS = 2**16  # with more of them, search=auto asks an index


class ControllerState(NamedTuple):
    """What the LSTM controller carries."""

    h: Tensor  # [B, H]
    c: Tensor  # [B, H]


class SparseState(NamedTuple):
    """What a sparse memory carries from step to step.

    At a start the few numbers below ``oldest`` become zero and nothing else changes: a word is
    read only when its number is below ``written``, and the first N slots are taken in order.
    """

    memory: Tensor  # [B, N, W]
    links: Links | tuple[()]  # [B, N, L]  SDNC's
    last_access: Tensor  # int [B, N]  clock at the last access
    oldest: Tensor  # int [B, G]  the least of each of about √N blocks of ``last_access``
    clock: Tensor  # int [B]  env steps since the start
    used: Tensor  # int [B]  the first slots, which were all accessed since the start
    written: Tensor  # int [B]  the first slots, which were all written since the start
    slots: Tensor  # int [B, R, K]  where each head looked last
    weights: Tensor  # [B, R, K]  w̃^R_{t-1}; rows sum to 1, at a start to 0
    reads: Tensor  # [B, R, W]
    precedence: Entries | tuple[()]  # [B, L]  SDNC's p_t: what was written last
    controller: ControllerState


LARGE = ("memory", "links", "last_access", "oldest")  # edited in place, and left alone by a reset


class Ask(NamedTuple):
    """What the controller asks of the memory at one step."""

    keys: Tensor  # [B, R, W]  q
    add: Tensor  # [B, R, W]  a
    strengths: Tensor  # [B, R, 1]  β ≥ 1
    write_gates: Tensor  # [B, R, 1]  α
    interpolation_gates: Tensor  # [B, R, 1]  γ
    rest: Tensor  # [B, R, ·]  what a subclass asks beyond it


class Written(NamedTuple):
    """Where a step wrote, over all heads."""

    slots: Tensor  # [B, R K + 1]  where the heads looked last, then the least recently accessed
    weights: Tensor  # [B, R K + 1]  w^W
    fresh: Tensor  # bool [B]  the last one was not written before in this episode


class SparseMemory(MemoryCore[SparseState]):
    """An LSTM that writes where it looked last or did so least recently, and reads a few words.

    A subclass says how it reads: ``_read``. A sequence copies the memory once and edits the copy.

    Attributes:
        extra: numbers that the controller asks for a head beyond those of ``Ask``.
    """

    ablations = frozenset({"reads"})
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
        super().__init__(in_dim, hidden_dim)
        if neighbours > slots:
            raise ValueError(f"{neighbours} neighbours cannot be found among {slots} slots")
        self.slots, self.word_dim = slots, word_dim
        self.read_heads, self.neighbours = read_heads, neighbours
        self.indexed = search == "index" or (search == "auto" and slots > EXACT_SLOTS)
        if self.indexed:
            import_faiss()
        self._kept = Kept()
        read_dim = read_heads * word_dim
        self.input = nn.Linear(in_dim, 4 * hidden_dim)
        self.feedback = nn.Linear(read_dim + hidden_dim, 4 * hidden_dim, bias=False)
        self.interface = nn.Linear(hidden_dim, 2 * read_dim + read_heads * (3 + self.extra))
        self.output = nn.Linear(hidden_dim + read_dim, hidden_dim)
        for layer in (self.input, self.feedback, self.interface, self.output):
            nn.init.xavier_uniform_(layer.weight)
        for layer in (self.input, self.interface, self.output):
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.input.bias[hidden_dim : 2 * hidden_dim] = 1.0  # forget gate

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
        hidden = zeros(batch_size, self.out_dim)
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
            controller=ControllerState(hidden, hidden.clone()),
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

    def _project(self, x: Tensor) -> Tensor:
        return self.input(x)  # type: ignore[no-any-return]

    def _emit(self, seen: Tensor) -> Tensor:
        return self.output(seen)  # type: ignore[no-any-return]

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
        indexes = self._kept.take(self, state) if self.indexed else None
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
            self._kept.keep(state.memory, indexes)
        return seen, state

    def _access(
        self, x: Tensor, state: SparseState, words: Edits, indexes: Indexes | None
    ) -> tuple[Tensor, SparseState]:
        """One step, from the controller's share of the input [B, 4H] to [h_t, r_t], unmixed."""
        h, c = state.controller
        fed_back = torch.cat([self._audible(state.reads).flatten(1), h], dim=-1)
        h, c = lstm_cell(torch.addmm(x, fed_back, self.feedback.weight.t()), c)
        ask = self._ask(h)

        written = self._write(ask, state, words)
        state = state._replace(
            written=torch.maximum(state.written, written.slots[:, -1] + 1),
            controller=ControllerState(h, c),
        )
        if indexes is not None:
            with torch.no_grad():
                indexes.put(written.slots, words.peek(written.slots))
        state, reads = self._read(ask, written, state, words, indexes)
        state = self._note(written, state._replace(reads=self._audible(reads)))
        return torch.cat([h, state.reads.flatten(1)], dim=-1), state

    def _ask(self, hidden: Tensor) -> Ask:
        w = self.word_dim
        asked = self.interface(hidden).clamp(-CLIP, CLIP).unflatten(-1, (self.read_heads, -1))
        keys, add, strength, gates, rest = asked.split([w, w, 1, 2, self.extra], dim=-1)
        alpha, gamma = gates.sigmoid().chunk(2, dim=-1)
        return Ask(keys, add, 1 + nn.functional.softplus(strength), alpha, gamma, rest)

    def _write(self, ask: Ask, state: SparseState, words: Edits) -> Written:
        """M_t = (1 − R_t) ∘ M_{t−1} + w^W aᵀ with w^W = α (γ w̃^R_{t−1} + (1 − γ) I^U)."""
        oldest = least_recent(state.last_access, state.oldest)
        slot = torch.where(state.used < self.slots, state.used, oldest)  # where I^U is 1
        again = ask.write_gates * ask.interpolation_gates * state.weights  # [B, R, K]
        anew = (ask.write_gates * (1 - ask.interpolation_gates)).squeeze(-1)  # [B, R]
        add = torch.cat(
            [
                (again.unsqueeze(-1) * ask.add.unsqueeze(2)).flatten(1, 2),
                torch.bmm(anew.unsqueeze(1), ask.add),
            ],
            dim=1,
        )
        keep = torch.ones_like(anew[:, 0])
        for head in anew.unbind(dim=1):  # prod()'s backward pass looks for zeros on the host
            keep = keep * (1 - head)
        slots = torch.cat([state.slots.flatten(1), slot.unsqueeze(1)], dim=1)
        fresh = slot >= state.written
        words.write(slots, add, keep, fresh)
        weights = torch.cat([again.flatten(1), anew.sum(dim=1, keepdim=True)], dim=1)
        return Written(slots, weights, fresh)

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

    def _content(
        self, ask: Ask, state: SparseState, words: Edits, indexes: Indexes | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The K words most like each key: slots, softmax of β cos over them, and the words.

        The weights [B, R, K] are those of a softmax over all words with all but the K largest left
        out, and what is left scaled to sum to 1. A word that was not found has none.
        """
        if indexes is not None:
            near = indexes.nearest(ask.keys, self.neighbours)
        else:
            near = nearest(ask.keys, words.words, self.neighbours, count=state.written, block=BLOCK)
        rows = self._rows(near.slot, near.found, words)  # [B, R, K, W]
        norms = ask.keys.norm(dim=-1, keepdim=True) * rows.norm(dim=-1)
        likeness = (rows @ ask.keys.unsqueeze(-1)).squeeze(-1) / (norms + EPSILON)
        lowest = torch.finfo(likeness.dtype).min
        scores = torch.where(near.found, ask.strengths * likeness, lowest)
        weights = torch.where(near.found, scores.softmax(dim=-1), torch.zeros_like(scores))
        return near.slot, weights, rows

    def _rows(self, slots: Tensor, found: Tensor, words: Edits) -> Tensor:
        """Words [B, R, A, W], zero where none was found: what lies there may be NaN."""
        rows = words.read(slots.flatten(1)).view(*slots.shape, self.word_dim)
        return torch.where(found.unsqueeze(-1), rows, torch.zeros_like(rows))

    def _note(self, written: Written, state: SparseState) -> SparseState:
        """Which slots were accessed: U_t = t − max{t' : w^W_{t'} + w^R_{t'} > δ} is read off it."""
        slots = torch.cat([written.slots, state.slots.flatten(1)], dim=1)
        weights = torch.cat([written.weights, state.weights.flatten(1)], dim=1).detach()
        accessed = accessed_slots(slots, weights, ACCESS)
        touch(state.last_access, state.oldest, slots, accessed, state.clock)
        took = (accessed & (slots == state.used.unsqueeze(1))).any(dim=1)
        return state._replace(clock=state.clock + 1, used=state.used + took)

    def _audible(self, reads: Tensor) -> Tensor:
        return torch.zeros_like(reads) if "reads" in self.ablate else reads

    def diagnostics(self, state: SparseState) -> dict[str, Tensor]:
        looked = state.reads.new_zeros(*state.slots.shape[:2], self.slots)
        return {
            "read_weights": looked.scatter_add(-1, state.slots, state.weights),
            "read_entropy": entropy(state.weights),
            "written": state.written / self.slots,
        }


class Kept:
    """The indexes of the memory that came out last, as long as nobody else edits it.

    A state is a value and an index is none: one that goes on with another state is built anew.
    """

    def __init__(self) -> None:
        self._of: weakref.ref[torch.UntypedStorage] | None = None
        self._version = 0
        self._indexes: Indexes | None = None

    def take(self, core: SparseMemory, state: SparseState) -> Indexes:
        """The indexes that hold the written words of ``state``; they are edited from now on."""
        same = self._of is not None and self._of() is state.memory.untyped_storage()
        indexes, self._indexes = self._indexes, None
        if indexes is None or not same or state.memory._version != self._version:
            indexes = Indexes(state.memory.shape[0], core.slots, core.word_dim)
            indexes.fill(state.memory, state.written)
        return indexes

    def keep(self, memory: Tensor, indexes: Indexes) -> None:
        """For the step that goes on with this very tensor, detached or not."""
        self._of = weakref.ref(memory.untyped_storage())
        self._version, self._indexes = memory._version, indexes

    def __deepcopy__(self, memo: dict[int, Any]) -> Kept:
        return Kept()

    def __reduce__(self) -> tuple[type[Kept], tuple[()]]:
        return Kept, ()
