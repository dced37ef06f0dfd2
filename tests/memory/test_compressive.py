"""Compressive Transformer: what is in its memories by hand, and who learns from its cost."""

from __future__ import annotations

import pytest
import torch
from suites import slow_but

from memrl.memory.compressive import CompressiveTransformer

T, B, D, I = 23, 3, 7, 2  # noqa: E741


def make(**options):
    sizes = {"layers": 1, "memory_len": 5, "compressed_len": 2, "rate": 3, "heads": 2}
    sizes |= {"head_dim": 3, "mlp_dim": 13, "hidden_dim": D}
    return CompressiveTransformer(I, **(sizes | options)).double()


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def never(length=T):
    return torch.zeros(length, B, dtype=torch.bool)


def mean_of_group(core):
    """Make the convolution the mean, so that a slot says what went into it."""
    with torch.no_grad():
        for layer in core.layers:
            layer.compress.weight.copy_(torch.eye(D).repeat(1, core.rate) / core.rate)
            layer.compress.bias.zero_()


def identity(core):
    mean_of_group(core)
    assert core.rate == 1


def test_both_memories_hold_what_counting_by_hand_says():
    core, x = make(memory_len=4, rate=2), rand(T, B, I)
    mean_of_group(core)
    e, state = core.embed(x), core.initial_state(B)
    slots = [[], [], [], [], [(0, 1)], [(0, 1)], [(0, 1), (2, 3)], [(0, 1), (2, 3)],
             [(2, 3), (4, 5)], [(2, 3), (4, 5)], [(4, 5), (6, 7)]]  # fmt: skip
    for t, groups in enumerate(slots):
        _, state = core.step(x[t], state, never()[0])
        held = [None] * (4 - t - 1) + list(range(max(0, t - 3), t + 1))
        for slot, step in enumerate(held):
            want = torch.zeros(B, D).double() if step is None else e[step]
            torch.testing.assert_close(state.memory[:, 0, slot], want)
        padded = [None] * (2 - len(groups)) + groups
        for slot, group in enumerate(padded):
            want = torch.zeros(B, D).double() if group is None else e[list(group)].mean(0)
            torch.testing.assert_close(state.compressed[:, 0, slot], want)


def test_with_the_identity_at_rate_one_it_is_a_transformer_xl_with_both_lengths():
    split = make(memory_len=3, compressed_len=4, rate=1, layers=2)
    whole = make(memory_len=7, compressed_len=1, rate=1, layers=2)
    identity(split)
    whole.load_state_dict(split.state_dict())
    x, start = rand(T, B, I), never()
    start[9, 1] = True
    short = x[:8]  # the eighth step sees seven before it, and nothing compressed
    want = whole(short, whole.initial_state(B), never(8)).y
    torch.testing.assert_close(split(short, split.initial_state(B), never(8)).y, want)
    longer = make(memory_len=6, compressed_len=1, rate=1, layers=2)
    longer.load_state_dict(split.state_dict())
    got = [core(x, core.initial_state(B), start).y for core in (split, longer)]
    torch.testing.assert_close(*got)


def plain_layer(core, e, age):
    """The output and cost of the last of the steps ``e`` [age + 1, D] of one episode, in loops."""
    layer, (m, c) = core.layers[0], (core.memory_len, core.rate)
    attention, heads = layer.attention, layer.attention.heads
    w_k, w_v = attention.key_value.weight.chunk(2)
    seen = [(age - t, e[t]) for t in range(max(0, age - m), age + 1)]
    groups = [s for s in range(0, age - m, c)][-core.compressed_len :]
    for rank, s in enumerate(reversed(groups)):
        seen.append((m + 1 + rank, layer.compress(e[s : s + c].flatten())))
    reads, size = [], attention.content_bias.shape[-1]
    for h in range(heads):
        rows = slice(h * size, (h + 1) * size)
        q = attention.query.weight[rows] @ e[age]
        logits, values = [], []
        for place, held in seen:
            half = -(-D // 2)
            angle = place / 1e4 ** (torch.arange(half).double() / half)
            r = attention.position.weight[rows] @ torch.cat([angle.sin(), angle.cos()])[:D]
            u, v = attention.content_bias[h, 0], attention.position_bias[h, 0]
            logits.append(((q + u) @ (w_k[rows] @ held) + (q + v) @ r) / size**0.5)
            values.append(w_v[rows] @ held)
        reads.append(torch.stack(logits).softmax(0) @ torch.stack(values))
    x = layer.norm(e[age] + attention.output.weight @ torch.cat(reads))
    cost = e.new_zeros(())
    if age >= m and (age - m) % c == 0:
        old = e[age - m : age - m + c]
        new, off = layer.compress(old.flatten()), []
        for h in range(heads):
            rows = slice(h * size, (h + 1) * size)
            q = attention.query.weight[rows] @ e[age]
            weights = torch.stack([q @ (w_k[rows] @ o) / size**0.5 for o in old]).softmax(0)
            want = sum(w * (w_v[rows] @ o) for w, o in zip(weights, old, strict=True))
            off.append(want - w_v[rows] @ new)
        cost = torch.cat(off).square().mean()
    return layer.mlp_norm(x + layer.mlp(x)), cost


def test_a_layer_and_its_cost_match_the_plain_loops():
    core, x, start = make(), rand(T, B, I), never()
    for bias in (core.layers[0].attention.content_bias, core.layers[0].attention.position_bias):
        torch.nn.init.normal_(bias)
    start[11, 1] = True
    out, e = core(x, core.initial_state(B), start), core.embed(x)
    assert out.cost.count_nonzero(dim=0).tolist() == [6, 2 + 3, 6]
    for t in range(T):
        for b in range(B):
            age = t - 11 if b == 1 and t >= 11 else t
            y, cost = plain_layer(core, e[t - age : t + 1, b], age)
            torch.testing.assert_close(out.y[t, b], y)
            torch.testing.assert_close(out.cost[t, b], cost)


def test_only_the_convolution_learns_from_the_cost():
    core, x = make(layers=2), rand(T, B, I).requires_grad_()
    cost = core(x, core.initial_state(B), never()).cost.sum()
    wanted = {"x": x, **dict(core.named_parameters())}
    found = torch.autograd.grad(cost, list(wanted.values()), allow_unused=True)
    learns = {name for name, grad in zip(wanted, found, strict=True) if grad is not None}
    assert learns == {n for n in wanted if ".compress." in n}


def test_the_convolution_does_not_learn_from_the_outputs():
    core = make(layers=2)
    y = core(rand(T, B, I), core.initial_state(B), never()).y.square().sum()
    learned = {n: p for n, p in core.named_parameters() if ".compress." in n}
    assert learned
    assert torch.autograd.grad(y, list(learned.values()), allow_unused=True) == (None,) * 4


def test_a_step_beyond_the_memory_is_remembered_in_its_slot():
    core, x = make(), rand(T, B, I)
    other = x.clone()
    other[T - 1 - 5 - 2] += 1  # one layer of five steps does not hold it; its slot does
    got = [core(each, core.initial_state(B), never()).y[-1] for each in (x, other)]
    assert (got[0] - got[1]).abs().max() > 1e-6


def test_a_slot_of_more_steps_than_the_memory_is_refused():
    with pytest.raises(ValueError, match="rate is 7; allowed: at most memory_len, 5"):
        make(rate=7)


@pytest.mark.slow
@pytest.mark.parametrize("size", slow_but([1e4], [0.0, 1.0, 1e4]))
def test_two_thousand_equal_steps_stay_finite_in_single_precision(size):
    core = make().float()
    x, start = torch.full((2000, 2, I), size), torch.zeros(2000, 2, dtype=torch.bool)
    out = core(x, core.initial_state(2), start)
    (out.y[-1].sum() + out.cost.mean()).backward()
    assert out.y.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in core.parameters())
