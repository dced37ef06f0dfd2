"""Memory network: scores, hops and the response as the equations say; every rule of reading."""

from __future__ import annotations

import pytest
import torch
from suites import slow_but

from memrl.memory.memnn import MemNN
from memrl.memory.ops.reading import READ, drawn, in_best_groups

T, B, N, W, H, I = 11, 3, 7, 2, 5, 13  # noqa: E741
WRITES = ["append", "oldest", "least_used", "gated", "merge"]


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def never(length=T, rows=B):
    return torch.zeros(length, rows, dtype=torch.bool)


def generator():
    return torch.Generator().manual_seed(7)


def make(**options):
    sizes = {"slots": N, "word_dim": W, "hidden_dim": H}
    return MemNN(I, **{**sizes, **options}).double()


def by_the_equations(core, x, hops, forget="none"):
    """The outputs for one row of an episode, memories in a list; the newest comes last."""
    stored, out = [], []
    projected = core.input(x)
    for t in range(len(x)):
        word, question, response, weight, _ = torch.split(projected[t], core.split)
        supports = torch.zeros(W, dtype=torch.float64)
        for _ in range(hops if stored else 0):
            asks = question + core.of_support(supports)
            scores = []
            for m, written, importance in stored:
                age = torch.tensor([t - 1.0 - written]).double()
                features = torch.cat([m, age.log1p()])
                score = asks @ core.of_memory.weight @ features / W**0.5
                scores.append(score + importance.log() if forget == "importance" else score)
            p = torch.stack(scores).softmax(0)
            supports = supports + sum(p[i] * stored[i][0] for i in range(len(stored)))
        out.append((response + core.response.weight @ supports).relu())
        if forget == "decay":
            stored = [(0.9 * m, written, a) for m, written, a in stored]
        stored.append((word, t, weight.sigmoid()))
        if forget != "importance":
            stored = stored[-N:]
    return torch.stack(out)


@pytest.mark.parametrize("forget", ["none", "decay"])
@pytest.mark.parametrize("hops", [2, 3])
def test_a_ring_read_softly_is_the_equations(hops, forget):
    keep = {"keep": 0.9} if forget == "decay" else {}
    core, x = make(hops=hops, forget=forget, **keep), rand(T, B, I)
    got = core(x, core.initial_state(B), never()).y
    for b in range(B):
        torch.testing.assert_close(got[:, b], by_the_equations(core, x[:, b], hops, forget))


def test_importance_scales_how_much_is_looked_at_a_memory():
    core, x = make(forget="importance"), rand(N, B, I)
    got = core(x, core.initial_state(B), never(N)).y
    for b in range(B):
        torch.testing.assert_close(got[:, b], by_the_equations(core, x[:, b], 2, "importance"))


@pytest.mark.parametrize("read", list(READ))
@pytest.mark.parametrize("write", WRITES)
def test_an_empty_memory_reads_zeros(read, write):
    core, x = make(read=read, write=write), rand(1, B, I)
    response = core.input(x[0])[:, 2 * W : 2 * W + H]
    torch.testing.assert_close(core(x, core.initial_state(B), never(1)).y[0], response.relu())


@pytest.mark.parametrize("read", ["soft", "topk", "hard"])  # entmax: test_entmax.py
def test_weights_are_those_of_a_plain_loop(read):
    scores, filled, count = rand(B, N), torch.rand(B, N) < 0.6, 3
    filled[:2] = torch.tensor([False, True]).view(2, 1)
    scores[1, 2] = scores[1, 5] = scores[1].max() + 1  # a tie: the lower goes first
    got = READ[read](scores, filled, rand(B, N, W), count).weights
    limit = {"soft": N, "topk": count, "hard": 1}[read]
    for b in range(B):
        known = [i for i in range(N) if filled[b, i]]
        best = sorted(known, key=lambda i: (-scores[b, i].item(), i))[:limit]
        total = sum(scores[b, i].exp() for i in best)
        want = [scores[b, i].exp() / total if i in best else torch.zeros(()) for i in range(N)]
        torch.testing.assert_close(got[b], torch.stack([w.double() for w in want]))


@pytest.mark.parametrize("read", list(READ))
def test_what_is_read_is_the_weighted_sum_of_the_memories(read):
    scores, filled, memory = rand(B, N), torch.rand(B, N) < 0.6, rand(B, N, W)
    weights, words, _ = READ[read](scores, filled, memory, 3)
    for b in range(B):
        torch.testing.assert_close(words[b], sum(weights[b, i] * memory[b, i] for i in range(N)))


def test_a_hard_read_returns_a_memory_itself():
    scores, memory = rand(B, N), rand(B, N, W)
    words = READ["hard"](scores, torch.ones(B, N).bool(), memory, 1).words
    for b in range(B):
        assert torch.equal(words[b], memory[b, scores[b].argmax()])


def test_a_hard_read_has_the_gradient_of_a_soft_one_in_scores_and_in_memories():
    scores, memory = rand(B, N).requires_grad_(), rand(B, N, W).requires_grad_()
    filled, of_words = torch.ones(B, N).bool(), rand(B, W)
    hard, soft = (
        torch.autograd.grad(READ[read](scores, filled, memory, 1).words, (scores, memory), of_words)
        for read in ("hard", "soft")
    )
    torch.testing.assert_close(hard, soft, rtol=0, atol=0)


@pytest.mark.parametrize("read", list(READ))
def test_a_read_of_nothing_has_no_nan_in_its_gradient(read):
    scores, memory = rand(B, N).requires_grad_(), rand(B, N, W)
    look = READ[read](scores, torch.zeros(B, N, dtype=torch.bool), memory, 2)
    (gradient,) = torch.autograd.grad((look.words * rand(B, W)).sum(), scores)
    assert not look.weights.any()
    assert not look.words.any()
    assert not gradient.any()


@pytest.mark.parametrize("count", [1, 2])
def test_the_best_groups_are_those_of_a_plain_loop(count):
    slots, size = 15, 3
    scores, filled = rand(B, slots), torch.rand(B, slots) < 0.5
    filled[0] = False
    got = in_best_groups(scores, filled, size, count)
    for b in range(B):
        means = {}
        for g in range(slots // size):
            known = [scores[b, i] for i in range(g * size, (g + 1) * size) if filled[b, i]]
            if known:
                means[g] = sum(known) / len(known)
        best = sorted(means, key=lambda g: -means[g])[:count]
        assert got[b].tolist() == [bool(filled[b, i]) and i // size in best for i in range(slots)]


def test_a_hop_reads_inside_of_the_group_whose_mean_scores_best():
    flat, core, x = (
        make(slots=6, hops=1),
        make(slots=6, hops=1, group=2, best_groups=1),
        rand(T, B, I),
    )
    core.load_state_dict(flat.state_dict())
    whole, few = (each(x, each.initial_state(B), never()).state for each in (flat, core))
    weights, all_of_them = (
        few.read_weights[:, 0].view(B, 3, 2),
        whole.read_weights[:, 0].view(B, 3, 2),
    )
    assert (weights.sum(2) > 0).sum(1).tolist() == [1] * B
    inside = all_of_them * (weights.sum(2, keepdim=True) > 0)
    torch.testing.assert_close(weights, inside / inside.sum((1, 2), keepdim=True))


def test_all_groups_are_all_slots():
    flat, core, x = make(slots=6), make(slots=6, group=2, best_groups=3), rand(T, B, I)
    core.load_state_dict(flat.state_dict())
    got, want = (each(x, each.initial_state(B), never()).y for each in (core, flat))
    torch.testing.assert_close(got, want)


def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="slots is 7; allowed: a multiple of group, 2"):
        make(group=2)
    with pytest.raises(ValueError, match="best_groups is 4; allowed: at most 3, groups of 2 in 6"):
        make(slots=6, group=2, best_groups=4)


def test_a_sampled_read_is_drawn_from_the_softmax_over_filled_slots():
    scores, memory = rand(1, N), rand(1, N, W)
    filled = torch.tensor([True, False, True, True, False, True, True])
    many = 20_000
    rows = (many, -1)
    look = drawn(scores.expand(rows), filled.expand(rows), memory.expand(many, -1, -1), generator())
    want = torch.where(filled, scores, -torch.inf).softmax(-1)[0]
    torch.testing.assert_close(look.weights.mean(0), want, rtol=0, atol=0.015)
    slots = look.weights.argmax(-1)
    torch.testing.assert_close(look.log_prob, want.log()[slots])
    assert torch.equal(look.words, memory[0, slots])


def test_without_a_generator_the_likeliest_slot_is_read():
    scores, memory, filled = rand(B, N), rand(B, N, W), torch.ones(B, N, dtype=torch.bool)
    got, want = drawn(scores, filled, memory, None), READ["hard"](scores, filled, memory, 1)
    assert torch.equal(got.weights, want.weights)
    empty = drawn(scores, ~filled, memory, generator())
    assert not empty.words.any()
    assert not empty.log_prob.any()


def test_scores_of_a_sampled_read_learn_by_its_log_probability_alone():
    scores, memory = rand(B, N).requires_grad_(), rand(B, N, W)
    look = drawn(scores, torch.ones(B, N, dtype=torch.bool), memory, generator())
    assert not look.words.requires_grad
    (got,) = torch.autograd.grad(look.log_prob.sum(), scores)
    torch.testing.assert_close(got, look.weights - scores.softmax(-1))


def test_the_cost_of_a_sampled_read_is_the_log_probability_of_all_hops():
    core, x = make(read="sampled", hops=2), rand(T, B, I)
    with core.drawing(generator()):
        out = core(x, core.initial_state(B), never())
    with core.drawing(generator()):
        again = core(x, core.initial_state(B), never())
    assert torch.equal(out.cost, again.cost)
    assert not out.cost[0].any()  # nothing is stored yet
    assert (out.cost[2:] < 0).all()
    assert core.choices is None


def test_a_sampled_read_is_not_compiled():
    with pytest.raises(ValueError, match=r"compile=true with read=sampled, .* \(allowed: false\)"):
        make(read="sampled").compile_update()


def test_reading_with_the_best_of_all_is_reading_softly():
    soft, few = make(), make(read="topk", topk=N)
    few.load_state_dict(soft.state_dict())
    x = rand(T, B, I)
    torch.testing.assert_close(
        few(x, few.initial_state(B), never()).y, soft(x, soft.initial_state(B), never()).y
    )


def test_more_best_memories_than_slots_are_refused():
    with pytest.raises(ValueError, match="topk is 8; allowed: at most slots, 7"):
        make(read="topk", topk=8)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"topk": 2}, r"topk=2 is not read by read=soft \(it is by read=topk\)"),
        ({"likeness": 0.5, "write": "gated"}, "likeness=0.5 is not read by write=gated"),
        ({"best_groups": 1}, r"best_groups=1 is not read by group=null \(it is by group=N\)"),
        ({"keep": 0.5, "forget": "importance"}, "keep=0.5 is not read by forget=importance"),
    ],
)
def test_an_option_that_the_rules_do_not_read_is_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(**given)


@pytest.mark.parametrize("read", list(READ))
@pytest.mark.parametrize("write", WRITES)
def test_a_nan_in_the_input_is_forgotten_with_its_episode(write, read):
    core, start = make(write=write, read=read), never()
    start[4, 1] = True
    clean = rand(T, B, I)
    spoiled = clean.clone()
    spoiled[2, 1] = torch.nan
    want, got = (core(x, core.initial_state(B), start).y for x in (clean, spoiled))
    assert got[2, 1].isnan().all()
    torch.testing.assert_close(got[4:], want[4:])


RULES = [*((write, "none") for write in WRITES), ("gated", "importance"), ("append", "decay")]


@pytest.mark.slow
@pytest.mark.parametrize(("write", "forget"), slow_but(RULES[::6], RULES))
def test_two_thousand_equal_steps_stay_finite_in_single_precision(write, forget):
    core = MemNN(I, slots=N, word_dim=W, hidden_dim=H, write=write, forget=forget)
    sizes = torch.tensor([0.0, 1.0, 1e4]).view(1, B, 1)  # rows do not mix
    out = core(sizes.expand(2000, B, I), core.initial_state(B), never(2000))
    out.y.sum().backward()
    assert out.y.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in core.parameters())
