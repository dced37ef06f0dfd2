"""Where SAM writes and looks, against the definition in plain loops, and what it leaves alone."""

from __future__ import annotations

import copy
import math
import re
import sys
from importlib.util import find_spec

import pytest
import torch
from suites import slow

from memrl import memory
from memrl.errors import install_command
from memrl.memory import SAM
from memrl.memory import state as states
from memrl.memory.ops.addressing import content_weights
from memrl.memory.stores.index import Index
from tests.support.random_cores import draw, perturbed

T, B, IN, N, W, R, K, H = 5, 3, 2, 17, 11, 2, 3, 13
EXACT = {"rtol": 0, "atol": 1e-10}
needs_faiss = pytest.mark.skipif(find_spec("faiss") is None, reason="pip install 'memrl[index]'")


def build(**options):
    sizes = {"slots": N, "word_dim": W, "read_heads": R, "neighbours": K, "hidden_dim": H}
    core = SAM(IN, **{**sizes, **options})
    return perturbed(core)


def run(core, steps=T, state=None, rows=B, x=None):
    x = draw(steps, rows, IN) if x is None else x
    start = torch.zeros(len(x), rows, dtype=torch.bool)
    return core(x, core.initial_state(rows) if state is None else state, start)


def with_gates(core, *, alpha, gamma):
    """Gates of every head at 0 or 1, whatever the controller says."""
    with torch.no_grad():
        for head in range(core.read_heads):
            end = (head + 1) * (len(core.interface.bias) // core.read_heads)
            core.interface.weight[end - 2 : end] = 0
            core.interface.bias[end - 2 : end] = torch.tensor([alpha, gamma]).double() * 2e3 - 1e3
    return core


def certain(core):
    """The same with gates of exactly 0 and 1: the interface is not clipped."""
    core._interface = lambda hidden, of=core._interface: rounded(of(hidden))
    return core


def rounded(ask):
    return ask._replace(
        write_gates=ask.write_gates.round(), interpolation_gates=ask.interpolation_gates.round()
    )


# A step, in loops


def cosine(a, b):
    norms = math.sqrt(sum(v * v for v in a)) * math.sqrt(sum(v * v for v in b))
    return sum(v * w for v, w in zip(a, b, strict=True)) / (norms + 1e-6)


class Row:
    """One environment's memory as a dict of words; nothing is reset but by a new one."""

    def __init__(self):
        self.words, self.last, self.clock = {}, {}, 0
        self.looked = [[] for _ in range(R)]  # (slot, weight) a head

    def least_recent(self):
        never = [n for n in range(N) if n not in self.last]
        return never[0] if never else min(range(N), key=lambda n: (self.last[n], n))

    def step(self, keys, adds, betas, alphas, gammas):
        slot, total = self.least_recent(), dict.fromkeys(range(N), 0.0)
        old = self.words.get(slot, [0.0] * W)
        for r in range(R):
            old = [v * (1 - alphas[r] * (1 - gammas[r])) for v in old]
        self.words[slot] = old
        for r in range(R):
            where = [(n, alphas[r] * gammas[r] * w) for n, w in self.looked[r]]
            for n, weight in [*where, (slot, alphas[r] * (1 - gammas[r]))]:
                self.words[n] = [
                    v + weight * a for v, a in zip(self.words[n], adds[r], strict=True)
                ]
                total[n] += weight
        reads = []
        for r in range(R):
            near = sorted(self.words, key=lambda n: (-cosine(keys[r], self.words[n]), n))[:K]
            mass = [math.exp(betas[r] * cosine(keys[r], self.words[n])) for n in near]
            self.looked[r] = [(n, m / sum(mass)) for n, m in zip(near, mass, strict=True)]
            reads.append([sum(w * self.words[n][c] for n, w in self.looked[r]) for c in range(W)])
            for n, w in self.looked[r]:
                total[n] += w
        self.last |= {n: self.clock for n, weight in total.items() if weight > 0.005}
        self.clock += 1
        return reads


def test_steps_match_the_definition_through_starts_and_a_full_memory():
    core, state = build(), None
    asked = []
    ask = core._interface
    core._interface = lambda hidden: asked.append(ask(hidden)) or asked[-1]
    steps = 4 * N
    x, start = draw(steps, B, IN), torch.rand(steps, B) < 0.02
    state, rows = core.initial_state(B), [Row() for _ in range(B)]
    with torch.no_grad():
        for t in range(steps):
            _, state = core.step(x[t], state, start[t])
            for b in range(B):
                rows[b] = Row() if start[t, b] else rows[b]
                heads = [part[b].squeeze(-1).tolist() for part in asked[-1][:5]]
                want = rows[b].step(*heads)
                torch.testing.assert_close(state.reads[b], state.reads.new_tensor(want), **EXACT)
                held = state.memory[b, sorted(rows[b].words)]
                words = [rows[b].words[n] for n in sorted(rows[b].words)]
                torch.testing.assert_close(held, state.memory.new_tensor(words), **EXACT)
    assert max(len(row.last) for row in rows) == N  # some were full


def test_the_controller_hears_the_reads_of_the_step_before():
    core = build()
    state = run(core).state
    x, start = draw(B, IN), torch.zeros(B, dtype=torch.bool)
    y, after = core.step(x, state, start)
    deaf = core.step(x, state._replace(reads=torch.zeros_like(state.reads)), start)[1]
    assert not torch.isclose(after.controller.h, deaf.controller.h).all()
    heard = torch.cat([after.controller.h, after.reads.flatten(1)], dim=-1)
    torch.testing.assert_close(y, core.output(heard), **EXACT)


# What follows from it


def test_as_many_neighbours_as_slots_read_what_a_dense_look_reads_with_its_gradient():
    core = build(neighbours=N)
    state = run(core, 3 * N).state
    assert (state.written == N).all()
    got = {}
    ask = core._interface
    core._interface = lambda hidden: got.setdefault("ask", ask(hidden))
    words = state.memory.requires_grad_()
    after = core.step(draw(B, IN), state, torch.zeros(B, dtype=torch.bool))[1]
    keys, strengths = got["ask"].keys, got["ask"].strengths.squeeze(-1)
    weights = content_weights(keys, strengths, after.memory)
    dense = torch.bmm(weights, after.memory)
    torch.testing.assert_close(after.reads, dense, **EXACT)
    of = [words, core.interface.weight, core.input.weight]
    a = torch.autograd.grad(after.reads.cos().sum(), of, retain_graph=True)
    b = torch.autograd.grad(dense.cos().sum(), of)
    for one, other in zip(a, b, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


def test_a_write_touches_at_most_the_words_read_last_and_one_more():
    core = build()
    state = run(core, 3 * N).state
    for _ in range(20):
        after = run(core, 1, state).state
        changed = (after.memory != state.memory).any(dim=-1)
        for b in range(B):
            looked = set(state.slots[b].flatten().tolist())
            extra = set(changed[b].nonzero().flatten().tolist()) - looked
            assert len(extra) <= 1
        state = after


def test_first_every_slot_is_taken_once_in_order():
    core = certain(with_gates(build(), alpha=1, gamma=0))
    state = core.initial_state(B)
    for t in range(N):
        state = run(core, 1, state).state
        assert (state.written == t + 1).all()
        assert (state.used == t + 1).all()


def test_a_closed_interpolation_gate_replaces_the_least_recent_word_by_the_new_one():
    core = certain(with_gates(build(read_heads=1), alpha=1, gamma=0))
    state = run(core, 3 * N).state
    asked, ask = [], core._interface
    core._interface = lambda hidden: asked.append(ask(hidden)) or asked[-1]
    least = [row.index(min(row)) for row in state.last_access.tolist()]
    after = run(core, 1, state).state
    for b in range(B):
        torch.testing.assert_close(after.memory[b, least[b]], asked[0].add[b, 0], **EXACT)
        rest = [n for n in range(N) if n != least[b]]
        assert after.memory[b, rest].equal(state.memory[b, rest])


def test_step_diagnostics_tell_the_slot_that_is_allocated_and_the_gates():
    core = certain(with_gates(build(), alpha=1, gamma=0))
    state = core.initial_state(B)
    for step in range(2 * N):
        x = draw(B, IN)
        told = core.step_diagnostics(x, state)
        after = run(core, 1, state, x=x[None]).state
        changed = (after.memory != state.memory).any(dim=-1)
        assert changed.equal(told["allocation_weights"] == 1), step
        state = after
    assert told["write_gates"].tolist() == [[1.0] * R] * B
    assert told["interpolation_gates"].tolist() == [[0.0] * R] * B


def test_an_open_interpolation_gate_leaves_the_least_recent_word_alone():
    core = certain(with_gates(build(), alpha=1, gamma=1))
    state = run(build(), 3 * N).state
    after = run(core, 1, state).state
    for b in range(B):
        looked = set(state.slots[b].flatten().tolist())
        rest = [n for n in range(N) if n not in looked]
        assert after.memory[b, rest].equal(state.memory[b, rest])
    assert not after.memory.equal(state.memory)


def test_a_start_changes_nothing_in_the_memory_and_hides_all_of_it():
    core, x = build(), draw(2 * N, B, IN)
    used = run(core, 3 * N).state
    start = torch.zeros(2 * N, B, dtype=torch.bool)
    start[0] = True
    opened = core.reset(used, core.initial_state(1), start[0])
    assert opened.memory is used.memory
    assert opened.last_access is used.last_access
    want = run(core, x=x).y
    torch.testing.assert_close(core(x, used, start).y, want, **EXACT)


@pytest.mark.parametrize("memory_wants_it", [True, False])
def test_a_sequence_leaves_the_state_it_was_given_and_its_last_state_survives_backward(
    memory_wants_it,
):
    core = build()
    state = run(core, 2 * N).state
    state = states.detach(state)
    state.memory.requires_grad_(memory_wants_it)
    before = states.clone(state)
    unrolled = run(core, N, state)
    after = states.clone(unrolled.state)
    (unrolled.y.sum() + unrolled.state.memory.sum()).backward()
    for a, b in zip(states.leaves(state), states.leaves(before), strict=True):
        assert a.detach().equal(b)
    for a, b in zip(states.leaves(unrolled.state), states.leaves(after), strict=True):
        assert a.detach().equal(b)
    assert (state.memory.grad is not None) == memory_wants_it


# The index


def counted(build, calls):
    return lambda *given: calls.append(1) or build(*given)


@needs_faiss
@pytest.mark.parametrize("search", ["ivf", "lsh"])
def test_an_index_that_looks_everywhere_gives_what_an_exact_search_gives(monkeypatch, search):
    monkeypatch.setattr("memrl.memory.stores.index.POINTS", 4)  # six lists; a look is into eight
    exact = build(slots=41).float()
    indexed = SAM(IN, slots=41, word_dim=W, read_heads=R, neighbours=K, hidden_dim=H, search=search)
    indexed.load_state_dict(exact.state_dict())
    x, start = torch.randn(90, B, IN), torch.rand(90, B) < 0.03
    a, b = exact(x, exact.initial_state(B), start), indexed(x, indexed.initial_state(B), start)
    torch.testing.assert_close(a.y, b.y, rtol=1e-3, atol=1e-4)
    assert a.state.slots.sort(-1).values.equal(b.state.slots.sort(-1).values)


@needs_faiss
def test_the_index_follows_the_state_that_it_is_given(monkeypatch):
    core = build(search="ivf").float()
    x, start = torch.randn(3 * N, B, IN), torch.zeros(3 * N, B, dtype=torch.bool)
    with torch.no_grad():
        middle = core(x[:N], core.initial_state(B), start[:N]).state
        want = core(x[N:], middle, start[N:]).y  # goes on with the index that it has
        run(core.float(), x=torch.randn(N, B, IN))  # something else between
        torch.testing.assert_close(core(x[N:], middle, start[N:]).y, want)  # built anew
        other = states.clone(middle)
        torch.testing.assert_close(core(x[N:], other, start[N:]).y, want)
        torch.testing.assert_close(copy.deepcopy(core)(x[N:], middle, start[N:]).y, want)
        built = []
        monkeypatch.setattr(Index, "_build", counted(Index._build, built))
        state = states.detach(core(x[:N], core.initial_state(B), start[:N]).state)
        del built[:]
        core(x[N : N + 1], state, start[:1])
        assert not built  # its index goes on
        core(x[N : N + 1], state, start[:1])
        assert len(built) == B
        state = middle
        for t in range(N, 3 * N):
            y, state = core.step(x[t], state, start[t])
        torch.testing.assert_close(y, want[-1])


@needs_faiss
@pytest.mark.parametrize(
    ("name", "search"), [("sam", "ivf"), ("sam", "lsh"), slow("sdnc", "ivf"), slow("sdnc", "lsh")]
)
def test_what_was_saved_goes_on_bit_for_bit_with_what_was_not_interrupted(
    monkeypatch, name, search
):
    """An index of words that came one by one has other lists than one of all of them at once."""
    monkeypatch.setattr("memrl.memory.stores.index.POINTS", 4)
    options = dict(slots=499, word_dim=W, read_heads=R, neighbours=K, hidden_dim=H, search=search)
    torch.manual_seed(0)
    core, loaded = (memory.registry.build(name, IN, options) for _ in range(2))
    T, start = 120, torch.zeros(B, dtype=torch.bool)
    x = torch.randn(2 * T, B, IN)
    with torch.no_grad():
        state = core.initial_state(B)
        for t in range(T):
            state = core.step(x[t], state, start)[1]
        loaded.load_state_dict(core.state_dict())
        held = states.clone(state)
        for t in range(T, 2 * T):
            want, state = core.step(x[t], state, start)
            got, held = loaded.step(x[t], held, start)
            assert got.equal(want)


@needs_faiss
def test_acting_in_inference_mode_is_acting_without_gradients():
    core, twin = (build(search="ivf").float() for _ in range(2))
    twin.load_state_dict(core.state_dict())
    x, start = torch.randn(2 * N, B, IN), torch.zeros(B, dtype=torch.bool)
    answers = []
    for acting, mode in ((core, torch.no_grad), (twin, torch.inference_mode)):
        with mode():
            state, own = acting.initial_state(B), []
            for t in range(2 * N):
                if t == N:
                    state.memory[:, 0] += 1.0  # an edit is seen
                y, state = acting.step(x[t], state, start)
                own.append(y)
            answers.append(torch.stack(own))
    assert answers[0].equal(answers[1])


@needs_faiss
@pytest.mark.parametrize("donate", [False, True])
def test_a_start_while_acting_empties_the_index(donate):
    core, exact = build(search="ivf").float(), build().float()
    exact.load_state_dict(core.state_dict())
    x, start = torch.randn(N, B, IN), torch.zeros(N, B, dtype=torch.bool)
    start[N // 2, 1] = True
    states_of = [core.initial_state(B), exact.initial_state(B)]
    with torch.no_grad():
        for x_t, start_t in zip(x, start, strict=True):
            (y, states_of[0]), (want, states_of[1]) = (
                each.step(x_t, state, start_t, donate=donate)
                for each, state in zip((core, exact), states_of, strict=True)
            )
            torch.testing.assert_close(y, want)


def test_a_large_memory_asks_for_the_index_and_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    for options in ({"search": "ivf"}, {"search": "lsh"}, {"slots": 2**16 + 1}):
        with pytest.raises(ValueError, match=f"needs faiss: {re.escape(install_command('index'))}"):
            memory.build("sam", IN, options)
    memory.build("sam", IN, {"slots": 2**16 + 1, "search": "exact"})


# Mistakes


def test_more_neighbours_than_slots_are_refused():
    with pytest.raises(ValueError, match="neighbours is 18; allowed: at most slots, 17"):
        build(neighbours=18)


def test_a_memory_without_slots_is_refused():
    with pytest.raises(ValueError, match="slots=0: input should be greater than or equal to 1"):
        memory.build("sam", IN, {"slots": 0})


def test_an_unknown_search_is_refused():
    with pytest.raises(ValueError, match="'exact', 'ivf', 'lsh' or 'auto'"):
        memory.build("sam", IN, {"search": "exakt"})


def test_slots_that_would_need_a_missing_library_are_refused_at_once(monkeypatch):
    """They were refused when the memory grew, in the middle of training."""
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ValueError, match="an approximate index needs faiss"):
        memory.build("sam", 3, {"slots": 65_536, "grow": 131_072})
