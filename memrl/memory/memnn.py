"""MemNN: a memory network of four components, I, G, O and R, with several rules for G and O."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, final

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor, nn

from memrl.memory.core import MemoryCore, Unrolled, need_no_grad
from memrl.memory.kernels.choice import kernel, no_kernel
from memrl.memory.ops.addressing import entropy
from memrl.memory.ops.reading import READ, Look, drawn, in_best_groups
from memrl.memory.ops.writing import ASKED, WRITE, New, Slots, empty_slots, put
from memrl.memory.parts.slots import GROW_ABOVE, Slotted, fit
from memrl.memory.registry import register
from memrl.memory.state import map_state

LEAST = 1e-6  # lower bound of the importance, whose logarithm enters the scores
TOPK, LIKENESS, KEEP, BEST_GROUPS = 4, 0.9, 0.99, 2  # the defaults of options that one choice reads


class MemNNState(NamedTuple):
    """State of the MemNN core; all zero at the start of an episode."""

    slots: Slots
    read_weights: Tensor  # [B, K, N]  of each hop at the last step; only for plots
    log_prob: Tensor | tuple[()] = ()  # [B]  of the last step's choices, with read=sampled

    @property
    def cost(self) -> Tensor | None:
        """What ``MemoryCore.draws`` asks for."""
        return self.log_prob if isinstance(self.log_prob, Tensor) else None


@final
@register("memnn")
class MemNN(MemoryCore[MemNNState], Slotted):
    """Memory network: input features I, generalisation G, output features O, response R.

    I: m = Φ(x), linear. O: hop j scores memories by s_O = Φ_x(x, o_1 … o_{j−1})ᵀ U_Oᵀ U_O Φ_y(m_i)
    and reads o_j. As in the paper the supports found so far are summed, U_O is the same in every
    hop, and Φ_y contains the time of the write, here log(1 + age). R: y = ReLU(U_R Φ_x(x, o_1 …
    o_k)), U_R ≠ U_O; the policy compares it with words or actions. G: a rule of ``ops/writing.py``
    decides which slots x replaces.

    O reads before G writes. Otherwise x, which is both the query and the next memory, would find
    itself. An empty memory reads zeros. Reads and gates have gradients; the choice of the slot to
    write has none, except with "gated".

    Args:
        in_dim: width of the input features.
        slots: N.
        word_dim: W, width of a memory, of a question, and of what U_O compares.
        hops: k, reads of one step.
        write: G. "append" fills free slots, then stops; "oldest" is a ring; "least_used" replaces
            the least used memory; "merge" averages with the most similar memory, or else is
            "oldest"; "gated" writes to every slot by a learned gate.
        forget: "decay" lets memories fade. "importance" learns the importance of a memory from x:
            it scales the read weight, and protects the memory from being overwritten.
        read: "soft" attention; "entmax", attention that gives most slots exactly 0; "topk",
            attention over the highest scores; "hard", the highest score with a straight-through
            gradient; "sampled", one slot that is drawn, which REINFORCE teaches in ``memrl fit``.
        topk: number of memories that read=topk attends to.
        group: slots in a group. A hop scores the mean memory of each group first, and reads inside
            of the best groups only (Chandar et al. 2016). None: all slots are one.
        best_groups: number of groups that a hop reads.
        likeness: cosine similarity from which write=merge merges two memories.
        usage_decay: factor of a slot's usage at each env step, for write=least_used.
        keep: factor of a memory at each env step, for forget=decay.
        hidden_dim: width of the output.
        grow: the most slots to which it may grow while it is trained; None: N stays.
        grow_above: share of used slots above which the slots double.

    The number of slots may change but for write=gated, which learns a preference for each slot.

    Raises:
        ValueError: read=topk with ``topk`` above ``slots``; or groups do not fill ``slots``, or are
            fewer than ``best_groups``; or ``topk``, ``likeness``, ``keep``, ``best_groups`` or
            ``grow_above`` is set, and the choices do not read it; or ``grow`` is not above
            ``slots``, or is set with write=gated.
    """

    paper = "Weston, Chopra & Bordes 2015, Memory Networks"

    def __init__(
        self,
        in_dim: int,
        *,
        slots: Annotated[int, Ge(1)] = 64,
        word_dim: Annotated[int, Ge(1)] = 32,
        hops: Annotated[int, Ge(1)] = 2,
        write: Literal["append", "oldest", "least_used", "gated", "merge"] = "oldest",
        forget: Literal["none", "decay", "importance"] = "none",
        read: Literal["soft", "entmax", "topk", "hard", "sampled"] = "soft",
        topk: Annotated[int, Ge(1)] = TOPK,
        group: Annotated[int, Ge(1)] | None = None,
        best_groups: Annotated[int, Ge(1)] = BEST_GROUPS,
        likeness: Annotated[float, Gt(-1), Le(1)] = LIKENESS,
        usage_decay: Annotated[float, Gt(0), Lt(1)] = 0.95,
        keep: Annotated[float, Gt(0), Lt(1)] = KEEP,
        hidden_dim: Annotated[int, Ge(1)] = 128,
        grow: Annotated[int, Ge(1)] | None = None,
        grow_above: Annotated[float, Gt(0), Lt(1)] = GROW_ABOVE,
    ) -> None:
        super().__init__(in_dim, hidden_dim)
        for option, value, default, choice, reader in (
            ("topk", topk, TOPK, f"read={read}", "read=topk"),
            ("likeness", likeness, LIKENESS, f"write={write}", "write=merge"),
            ("keep", keep, KEEP, f"forget={forget}", "forget=decay"),
            (
                "best_groups",
                best_groups,
                BEST_GROUPS,
                "group=N" if group else "group=null",
                "group=N",
            ),
        ):
            if value != default and choice != reader:
                raise ValueError(f"{option}={value} is not read by {choice} (it is by {reader})")
        self.slots, self.word_dim, self.hops = slots, word_dim, hops
        self.draws = read == "sampled"
        self.write, self.read, self.read_word = WRITE[write], READ.get(read), read
        self.topk, self.likeness, self.usage_decay = topk, likeness, usage_decay
        self.group, self.best_groups = group, best_groups
        self.keep = keep if forget == "decay" else None
        self.has_importance = forget == "importance"
        self._need_slots(slots)
        self._extend(slots)
        self._may_grow(grow, grow_above)

        asked = ASKED[write](slots, word_dim) if write in ASKED else 0
        self.split = [word_dim, word_dim, hidden_dim, int(self.has_importance), asked]
        self.input = nn.Linear(in_dim, sum(self.split))  # I; U_O and U_R of x; what G asks
        self.of_memory = nn.Linear(word_dim + 1, word_dim, bias=False)  # U_O of m_i and its age
        self.of_support = nn.Linear(word_dim, word_dim, bias=False) if hops > 1 else None  # U_O
        self.response = nn.Linear(word_dim, hidden_dim, bias=False)  # U_R of o_1 … o_k
        self._initialise()

    def _initialise(self) -> None:
        for block in self.input.weight.detach().split([size for size in self.split if size]):  # type: ignore[no-untyped-call]
            nn.init.xavier_uniform_(block)
        nn.init.zeros_(self.input.bias)
        for layer in (self.of_memory, self.of_support, self.response):
            if layer is not None:
                nn.init.xavier_uniform_(layer.weight)

    def initial_state(self, batch_size: int) -> MemNNState:
        like = self.response.weight
        slots = empty_slots(like, batch_size, self.slots, self.word_dim)
        looks = like.new_zeros(batch_size, self.hops, self.slots)
        return MemNNState(slots, looks, like.new_zeros(batch_size) if self.draws else ())

    def _need_slots(self, slots: int) -> None:
        if self.read is READ["topk"] and self.topk > slots:
            raise ValueError(f"topk is {self.topk}; allowed: at most slots, {slots}")
        if self.group is not None and slots % self.group:
            raise ValueError(f"slots is {slots}; allowed: a multiple of group, {self.group}")
        if self.group is not None and self.best_groups > slots // self.group:
            groups = slots // self.group
            raise ValueError(
                f"best_groups is {self.best_groups}; allowed: at most {groups}, groups of "
                f"{self.group} in {slots} slots"
            )
        if self.write is WRITE["gated"] and slots != self.slots:
            raise ValueError(
                f"slots is {slots}, but write=gated learns a preference for each of {self.slots} "
                f"(allowed: {self.slots}; or any with another write)"
            )

    def _extend(self, slots: int) -> None:
        rings = self.write is WRITE["oldest"] and not self.has_importance
        self.horizon = slots if rings else None

    def used(self, state: MemNNState) -> Tensor:
        return state.slots.filled

    def _refit(self, state: MemNNState, slots: int) -> MemNNState:
        kept = map_state(lambda leaf: fit(leaf, slots), state.slots)
        return MemNNState(kept, fit(state.read_weights, slots, 2), state.log_prob)

    def _project(self, x: Tensor) -> Tensor:
        return self.input(x)  # type: ignore[no-any-return]

    def _emit(self, seen: Tensor) -> Tensor:
        """From U_R Φ(x) and the sum of the supports."""
        return self._respond(*torch.split(seen, [self.out_dim, self.word_dim], dim=-1))

    def _respond(self, of_x: Tensor, supports: Tensor) -> Tensor:
        """R."""
        return (of_x + self.response(supports)).relu()  # type: ignore[no-any-return]

    @property
    def loops(self) -> bool:
        return True

    def _kernel(self, x: Tensor) -> Any:
        """The kernel of a sequence; None: use torch's operations."""
        if self.compiled:
            return None
        without = {
            "write=gated": self.write is WRITE["gated"],
            "read=entmax": self.read is READ["entmax"],
            "read=sampled": self.draws,
            "group=N": self.group is not None,
        }
        for option in (option for option, is_set in without.items() if is_set):
            no_kernel(f"a MemNN with {option}", x)
            return None
        return kernel("memnn_rows", "sequence", x)

    def forward(self, x: Tensor, state: MemNNState, start: Tensor) -> Unrolled:
        sequence = self._kernel(x)
        if sequence is None:
            return super().forward(x, state, start)
        return self._by_rows(sequence, x, state, start)

    def step(
        self, x: Tensor, state: MemNNState, start: Tensor, *, donate: bool = False
    ) -> tuple[Tensor, MemNNState]:
        sequence = self._kernel(x)
        if sequence is None:
            return super().step(x, state, start, donate=donate)
        need_no_grad(donate)
        out = self._by_rows(sequence, x.unsqueeze(0), state, start.unsqueeze(0), donate=donate)
        return out.y[0], out.state

    def _by_rows(
        self, sequence: Any, x: Tensor, state: MemNNState, start: Tensor, *, donate: bool = False
    ) -> Unrolled:
        word, question, of_x, weight, _ = torch.split(self._project(x), self.split, dim=-1)
        of_memory = self.of_memory.weight * self.word_dim**-0.5
        onward = torch.zeros_like(of_memory)
        if self.of_support is not None:
            onward = self.of_support.weight.t() @ of_memory
        given = word, self._importance(weight, word).squeeze(-1), question @ of_memory
        supports, slots, looks = sequence(
            *(start, state.slots, given, onward),
            hops=self.hops,
            write=self.write.__name__,
            read=self.read_word,
            topk=self.topk,
            likeness=self.likeness,
            usage_decay=self.usage_decay,
            keep=1 if self.keep is None else self.keep,
            least=LEAST if self.has_importance else 0,
            donate=donate,
        )
        return Unrolled(self._respond(of_x, supports), MemNNState(slots, looks, ()))

    def _update(self, x: Tensor, state: MemNNState) -> tuple[Tensor, MemNNState]:
        """O, then G, from what ``_project`` makes of x."""
        word, question, response, weight, asked = torch.split(x, self.split, dim=-1)
        supports, looks = self._look(question, state.slots)
        read_weights = torch.stack([look.weights for look in looks], dim=1)
        slots = state.slots
        if self.keep is not None:
            slots = slots._replace(memory=self.keep * slots.memory)
        new = New(word, self._importance(weight, word), asked, self.likeness)
        slots = put(slots, new, self.write(slots, new), read_weights.sum(1), self.usage_decay)
        chances = [look.log_prob for look in looks if look.log_prob is not None]
        log_prob = torch.stack(chances).sum(dim=0) if chances else ()
        after = MemNNState(slots, read_weights.detach(), log_prob)
        return torch.cat([response, supports], dim=-1), after

    def _importance(self, weight: Tensor, word: Tensor) -> Tensor:
        return weight.sigmoid() if self.has_importance else torch.zeros_like(word[..., :1])

    def _look(self, question: Tensor, slots: Slots) -> tuple[Tensor, list[Look]]:
        """The sum of the reads of k hops [B, W], and these."""
        filled, when = slots.filled > 0, slots.age.detach().log1p()
        supports, looks = torch.zeros_like(question), []
        for _ in range(self.hops):
            if self.of_support is not None:
                asks = question + self.of_support(supports)  # U_O Φ_x
            else:
                asks = question
            asks = (asks @ self.of_memory.weight) * self.word_dim**-0.5  # ᵀ U_O, [B, W + 1]
            scores = torch.bmm(slots.memory, asks[:, :-1].unsqueeze(-1)).squeeze(-1)
            scores = torch.addcmul(scores, when, asks[:, -1:])  # s_O
            seen = filled
            if self.group is not None:
                seen = in_best_groups(scores, filled, self.group, self.best_groups)
            if self.has_importance:
                scores = scores + slots.importance.clamp(min=LEAST).log()
            look = self._read(scores, seen, slots.memory)
            supports = supports + look.words  # + o_j
            looks.append(look)
        return supports, looks

    def _read(self, scores: Tensor, filled: Tensor, memory: Tensor) -> Look:
        if self.read is None:
            return drawn(scores, filled, memory, self.choices)
        return self.read(scores, filled, memory, self.topk)

    def compile_update(self) -> None:
        if self.draws:
            raise ValueError("compile=true with read=sampled, which draws numbers (allowed: false)")
        super().compile_update()

    def diagnostics(self, state: MemNNState) -> dict[str, Tensor]:
        return {
            "read_weights": state.read_weights,
            "usage": state.slots.usage,
            "age": state.slots.age,
            "filled": state.slots.filled.mean(dim=-1),
            "read_entropy": entropy(state.read_weights),
        }
