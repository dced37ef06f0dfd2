"""HCAM: which chunks a step sees, and what it reads from them, by plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from memrl.memory import build
from memrl.memory.hcam import HCAM

T, B, K, C, D, I = 23, 3, 3, 2, 7, 5  # noqa: E741
HEADS, WIDTH = 2, 3


def make(**options):
    sizes = {"chunks": K, "chunk_len": C, "topk": 2, "heads": HEADS, "head_dim": WIDTH}
    return HCAM(I, **(sizes | {"hidden_dim": D} | options)).double()


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def never(length=T):
    return torch.zeros(length, B, dtype=torch.bool)


def standardised(h):
    return (h - h.mean()) / (h.var(unbiased=False) + 1e-5).sqrt()


def plain_read(core, episode):
    """What the last of the hidden states [age + 1, D] of one episode reads, in loops.

    Also the relevance of each chunk, from the first one of the episode.
    """
    attention, age = core.attention, len(episode) - 1
    e = [standardised(h) for h in episode]
    n = core.norm.weight * e[age] + core.norm.bias
    numbers = range(max(0, age // C - core.chunks), age // C)
    chunks = {c: torch.stack(e[c * C : (c + 1) * C]) for c in numbers}
    if not chunks:
        return torch.zeros_like(n), {}
    q = attention.chunk_query.weight @ n
    scores = [q @ (attention.chunk_key.weight @ chunks[c].mean(0)) / D**0.5 for c in numbers]
    relevance = dict(zip(numbers, torch.stack(scores).softmax(0), strict=True))
    best = sorted(relevance, key=lambda c: -relevance[c])[: attention.topk]
    half = math.ceil(D / 2)
    angles = [[c / 1e4 ** (i / half) for i in range(half)] for c in range(C)]
    places = [[math.sin(a) for a in row] + [math.cos(a) for a in row] for row in angles]
    total = torch.zeros(D).double()
    for c in best:
        heads = []
        for h in range(HEADS):
            rows = slice(h * WIDTH, (h + 1) * WIDTH)
            seen = chunks[c] + torch.tensor(places, dtype=n.dtype)[:, :D]
            query = attention.query.weight[rows] @ n
            logits = [query @ (attention.key.weight[rows] @ m) / WIDTH**0.5 for m in seen]
            weights = torch.stack(logits).softmax(0)
            heads.append(attention.value.weight[rows] @ (weights @ seen))
        total += relevance[c] * (attention.output.weight @ torch.cat(heads))
    return total, {c: relevance[c] for c in best}


def test_a_sequence_is_its_equations_step_by_step():
    core, x, start = make(), rand(T, B, I), never()
    with torch.no_grad():
        core.norm.weight.add_(rand(D))
        core.norm.bias.add_(rand(D))
    start[9, 1] = start[15, 1] = start[4, 2] = True
    y = core(x, core.initial_state(B), start).y
    h = core.local(x, core.local.initial_state(B), start).y
    for b in range(B):
        opened = 0
        for t in range(T):
            opened = t if start[t, b] else opened
            read, _ = plain_read(core, h[opened : t + 1, b])
            torch.testing.assert_close(y[t, b], h[t, b] + read)


@pytest.mark.parametrize("length", [1, 2, 7, T])
def test_the_ring_holds_the_last_steps_of_each_slot(length):
    core, x = make(), rand(length, B, I)
    state = core(x, core.initial_state(B), never(length)).state
    h = core.local(x, core.local.initial_state(B), never(length)).y
    want = torch.zeros(B, K + 1, C, D).double()
    for t in range(length):
        for b in range(B):
            want[b, t // C % (K + 1), t % C] = standardised(h[t, b])
    torch.testing.assert_close(state.ring, want)
    torch.testing.assert_close(state.summaries, want.mean(2))


def test_what_is_shown_is_the_relevance_of_the_chosen_chunks_oldest_first():
    core, x = make(), rand(T, B, I)
    state = core(x, core.initial_state(B), never()).state
    h = core.local(x, core.local.initial_state(B), never()).y
    want = torch.zeros(B, K).double()
    for b in range(B):
        for chunk, relevance in plain_read(core, h[:, b])[1].items():
            want[b, chunk - ((T - 1) // C - K)] = relevance
    shown = core.diagnostics(state)["read_weights"]
    torch.testing.assert_close(shown, want)
    assert (shown > 0).sum(dim=1).tolist() == [2] * B


def test_a_step_beyond_the_last_chunks_is_not_seen():
    core, x = make(), rand(T, B, I)
    state = core(x, core.initial_state(B), never()).state  # T steps: the last is of chunk T // C
    other = state._replace(ring=state.ring.clone())
    own = T // C % (K + 1)
    other.ring[:, own] += 1  # it holds the chunk that the present one replaces
    got = [core.step(x[0], each, never()[0])[0] for each in (state, other)]
    torch.testing.assert_close(*got, rtol=0, atol=0)
    other.ring[:, own - 1] += 1
    assert not torch.allclose(got[0], core.step(x[0], other, never()[0])[0])


def test_a_gradient_passes_from_a_read_into_the_stored_step():
    """Not through the GRU alone: its own path is cut here."""
    core, x = make(topk=K), rand(T, B, I).requires_grad_()
    with torch.no_grad():
        core.local.weight_hh.zero_()
        core.local.bias_ih[D : 2 * D] = -50  # z = 0: the hidden state is of the present input
    (grad,) = torch.autograd.grad(core(x, core.initial_state(B), never()).y[-1].sum(), x)
    reaches = [t for t in range(T) if grad[t].abs().sum() > 1e-12]
    first = (T - 1) // C - K
    assert reaches == [*range(first * C, (first + K) * C), T - 1]


def test_a_chunk_that_is_not_chosen_learns_from_what_was():
    """The relevance is a softmax over all chunks, so the others' scores get a gradient, too."""
    core, x = make(topk=1), rand(T, B, I)
    state = core(x, core.initial_state(B), never()).state
    state = state._replace(summaries=state.summaries.detach().requires_grad_())
    y, _ = core.step(x[0], state, never()[0])
    (grad,) = torch.autograd.grad(y.sum(), state.summaries)
    assert (grad.abs().sum(dim=2) > 0).sum(dim=1).tolist() == [K] * B


def test_a_donated_step_edits_the_ring_and_copies_nothing():
    core, x = make(), rand(T, B, I)
    with torch.no_grad():
        state = core(x, core.initial_state(B), never()).state
        want = core.step(x[0], state, never()[0])
        y, after = core.step(x[0], state, never()[0], donate=True)
    assert after.ring.data_ptr() == state.ring.data_ptr()
    assert after.summaries.data_ptr() == state.summaries.data_ptr()
    torch.testing.assert_close((y, after), want)


def test_a_start_leaves_the_ring_alone_and_hides_it():
    core, x, start = make(), rand(T, B, I), never()
    state = core(x, core.initial_state(B), never()).state
    start[0] = True
    fresh, reused = (core(x, each, start) for each in (core.initial_state(B), state))
    torch.testing.assert_close(fresh.y, reused.y, rtol=0, atol=0)
    _, after = core.step(x[0], state, start[0])
    changed = (after.ring != state.ring).any(dim=3).sum(dim=(1, 2))
    assert changed.tolist() == [1] * B


def test_the_age_stays_small_in_an_endless_episode():
    core = make()
    state, places = core.initial_state(B), (K + 1) * C
    with torch.no_grad():
        for t in range(3 * places + 2):
            _, state = core.step(rand(B, I), state, never()[0])
            now = t + 1
            assert state.age[0] == (now if now < 2 * places else places + now % places)


def test_more_chunks_to_choose_than_there_are_is_refused():
    with pytest.raises(ValueError, match="topk is 4; allowed: at most chunks, 3"):
        build("hcam", I, {"chunks": 3})
