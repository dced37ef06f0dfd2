"""MemN2N: its equations, its two ways of tying, and what it does with words in their order."""

from __future__ import annotations

import pytest
import torch

from memrl.memory.memn2n import MemN2N
from memrl.testing.core_contract import check_core
from tests.support.window_runs import B, D, I, N, T, rand, unroll

K = 3


def make(in_dim=I, **options):
    sizes = {"slots": N, "hops": K, "hidden_dim": D, "init_std": 0.5}
    return MemN2N(in_dim, **{**sizes, **options}).double()


def plain(core, x, t, b):
    """The output of step t, one hop and one item at a time."""
    E, H = core.embeddings, core.between
    times = core.times if core.times is not None else torch.zeros(K + 1, N, D).double()
    u = E[0 if core.adjacent else 2] @ x[t, b]
    for k in range(K):
        a, c = (k, k + 1) if core.adjacent else (0, 1)
        past = [(i, x[t - i, b]) for i in range(1, min(t, N) + 1)]  # age, item
        o = torch.zeros_like(u)
        if past:
            m = torch.stack([E[a] @ item + times[a, N - i] for i, item in past])
            values = torch.stack([E[c] @ item + times[c, N - i] for i, item in past])
            p = m @ u if core.linear else (m @ u).softmax(dim=0)
            o = sum(p[i] * values[i] for i in range(len(past)))
        u = (u if H is None else H @ u) + o
    return u


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("temporal", [False, True])
@pytest.mark.parametrize("tying", ["adjacent", "layerwise"])
def test_outputs_match_the_plain_loops(tying, temporal, linear):
    core, x = make(tying=tying, temporal=temporal), rand(T, B, I)
    core.linear = linear
    y = unroll(core, x).y
    for t in range(T):
        for b in range(B):
            torch.testing.assert_close(y[t, b], plain(core, x, t, b))


def test_the_first_step_of_an_episode_answers_from_the_question_alone():
    core, x = make(), rand(1, B, I)
    torch.testing.assert_close(unroll(core, x).y[0], x[0] @ core.embeddings[0].T)


def test_without_time_the_order_of_the_memory_does_not_matter_and_with_it_it_does():
    x = rand(N + 1, B, I)
    other = x[[3, 0, 4, 2, 1, 5]]
    for temporal in (False, True):
        core = make(temporal=temporal)
        same = torch.allclose(unroll(core, x).y[-1], unroll(core, other).y[-1])
        assert same == (not temporal)


@pytest.mark.parametrize("tying", ["adjacent", "layerwise"])
def test_words_are_embedded_in_their_order(tying):
    words, vocabulary = torch.randint(13, (T, B, 5)), 13  # five words a sentence
    core = make(2 * vocabulary, tying=tying, position=True)
    b_j = torch.tensor([(j - 3) / 5 for j in range(1, 6)], dtype=torch.float64)
    one_hot = torch.nn.functional.one_hot(words, vocabulary).double()
    x = torch.cat([one_hot.sum(2), (b_j.unsqueeze(-1) * one_hot).sum(2)], dim=-1)

    # The same network on what comes out of the sum over words: its embeddings are the identity.
    code = torch.tensor(
        [
            [1 + 4 * (k - (D + 1) / 2) * (j - 3) / (D * 5) for j in range(1, 6)]
            for k in range(1, D + 1)
        ],
        dtype=torch.float64,
    )  # l_kj
    matrices = core.embeddings
    embedded = torch.stack(
        [(code.T * matrix.T[words]).sum(dim=-2) for matrix in matrices]
    )  # [·, T, B, d]
    other = make(len(matrices) * D, tying=tying)
    other.times, other.between = core.times, core.between
    with torch.no_grad():
        for place in range(len(matrices)):
            other.embeddings[place].zero_()
            other.embeddings[place, :, place * D : (place + 1) * D] = torch.eye(D)
    want = unroll(other, torch.cat(embedded.unbind(), dim=-1)).y
    torch.testing.assert_close(unroll(core, x).y, want)


def test_words_at_no_position_are_a_bag_of_words():
    core, x = make(2 * I, position=True), rand(T, B, I)
    bag = make()
    bag.load_state_dict(core.state_dict())
    halves = torch.cat([x, torch.zeros_like(x)], dim=-1)
    torch.testing.assert_close(unroll(core, halves).y, unroll(bag, x).y)


def test_words_in_their_order_keep_the_contract():
    failed = [
        result
        for result in check_core(lambda _: MemN2N(2 * I, position=True, slots=N), steps=50)
        if not result.passed
    ]
    assert not failed


def test_without_the_softmax_a_hop_is_a_polynomial_of_degree_three():
    core, x, s = make(hops=1, temporal=False), rand(T, B, I), 1.7
    core.linear = True
    asked = x[-1] @ core.embeddings[0].T  # u grows with s, and o with s³
    read = unroll(core, x).y[-1] - asked
    torch.testing.assert_close(unroll(core, s * x).y[-1], s * asked + s**3 * read)


def test_answers_are_tied_to_the_last_embedding():
    core = make()
    assert core.answer_weight.shape == (D, I)
    (core.answer_weight * rand(D, I)).sum().backward()
    assert core.embeddings.grad[-1].all()
    assert not core.embeddings.grad[:-1].any()


def test_layerwise_tying_has_no_matrix_for_answers():
    with pytest.raises(ValueError, match="adjacent"):
        _ = make(tying="layerwise").answer_weight


def test_an_odd_width_has_no_halves():
    with pytest.raises(ValueError, match="in_dim 7; allowed: an even in_dim"):
        make(position=True)


def test_every_weight_is_drawn_with_the_deviation_asked_for():
    core = MemN2N(17, tying="layerwise", init_std=0.3)
    for weight in core.parameters():
        assert weight.std().item() == pytest.approx(0.3, rel=0.1)


def test_the_state_holds_the_last_inputs_and_where_each_hop_looked():
    core, x = make(), rand(T, B, I)
    state = unroll(core, x).state
    torch.testing.assert_close(state.items, x[-N:].transpose(0, 1), rtol=0, atol=0)
    assert state.age.tolist() == [N] * B
    torch.testing.assert_close(state.read_weights.sum(dim=-1), torch.ones(B, K).double())
