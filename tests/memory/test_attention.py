"""Windowed attention with relative positions is what plain loops over its definition give."""

from __future__ import annotations

import math

import pytest
import torch

from memrl.memory.ops.attention import ages, push, sinusoids, skew, softmax_of, window
from memrl.memory.parts.attention import RelativeAttention

T, B, M, D, H, K = 5, 3, 7, 11, 2, 13


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_ages_count_the_steps_since_the_last_start():
    start = torch.tensor([[0, 1], [0, 0], [1, 0], [0, 1], [0, 0]]).bool()
    got = ages(torch.tensor([4.0, 6.0]), start)
    assert got.tolist() == [[4, 5, 0, 1, 2], [0, 1, 2, 0, 1]]


def test_a_query_sees_itself_and_what_its_episode_holds_of_the_window():
    age = torch.tensor([[0.0, 1, 2, 3, 0], [9, 10, 11, 12, 13]])
    got = window(age, 3)
    for b in range(2):
        for t in range(5):
            for s in range(8):
                back = 3 + t - s
                assert got[b, t, s] == (0 <= back <= min(3, int(age[b, t])))


def test_push_keeps_the_newest_and_nothing_of_another_episode():
    past, new = torch.arange(1.0, 4.0).view(1, 3, 1), torch.tensor([4.0, 5.0]).view(1, 2, 1)
    assert push(past, new, torch.tensor([9.0])).flatten().tolist() == [3, 4, 5]
    assert push(past, new, torch.tensor([1.0])).flatten().tolist() == [0, 0, 5]


def test_push_selects_so_that_nan_of_another_episode_is_gone():
    past = torch.full((1, 3, 1), torch.nan)
    assert push(past, torch.ones(1, 1, 1), torch.tensor([1.0])).flatten().tolist() == [0, 0, 1]


def test_wavelengths_of_sinusoids_grow_from_two_pi_to_below_its_ten_thousandfold():
    slow = [sinusoids(torch.tensor([1e-6], dtype=torch.float64), 6)[0, k] for k in range(3)]
    waves = [2 * math.pi * 1e-6 / float(sine) for sine in slow]  # sin x ≈ x
    want = [2 * math.pi * 10 ** (8 * k / 6) for k in range(3)]
    assert waves == pytest.approx(want)
    assert max(waves) < 2 * math.pi * 1e4


def test_sinusoids_match_the_definition():
    got = sinusoids(torch.tensor([0.0, 3.0, 17.0], dtype=torch.float64), 5)
    for row, position in enumerate((0, 3, 17)):
        angles = [position / 1e4 ** (i / 3) for i in range(3)]
        want = [*map(math.sin, angles), *map(math.cos, angles)][:5]
        assert got[row].tolist() == pytest.approx(want, abs=1e-12)


def test_skew_moves_column_w_of_row_t_to_column_t_plus_w():
    logits = rand(B, H, T, M + 1)
    got = skew(logits)
    assert got.shape == (B, H, T, M + T)
    for t in range(T):
        torch.testing.assert_close(got[:, :, t, t : t + M + 1], logits[:, :, t], rtol=0, atol=0)


def test_what_is_not_visible_has_no_weight():
    logits = rand(B, H, T, 3)
    visible = torch.tensor([True, False, True]).expand(B, T, 3)
    got = softmax_of(logits, visible)
    assert not got[..., 1].any()
    torch.testing.assert_close(got[..., [0, 2]], logits[..., [0, 2]].softmax(-1))


def plain_attention(layer, x, past, age):
    """Transformer-XL's attention, one query, head and key at a time."""
    keys_of = torch.cat([past, x], dim=1)
    w_k, w_v = layer.key_value.weight.chunk(2)
    out = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            reads = []
            for h in range(H):
                rows = slice(h * K, (h + 1) * K)
                q = layer.query.weight[rows] @ x[b, t]
                u, v = layer.content_bias[h, 0], layer.position_bias[h, 0]
                logits, values = [], []
                for back in range(min(M, int(age[b, t])) + 1):
                    seen = keys_of[b, M + t - back]
                    place = sinusoids(torch.tensor([float(back)], dtype=x.dtype), D)[0]
                    r = layer.position.weight[rows] @ place
                    logits.append(((q + u) @ (w_k[rows] @ seen) + (q + v) @ r) / K**0.5)
                    values.append(w_v[rows] @ seen)
                weights = torch.stack(logits).softmax(dim=0)
                reads.append(weights @ torch.stack(values))
            out[b, t] = layer.output.weight @ torch.cat(reads)
    return out


@pytest.mark.parametrize("length", [1, T], ids=["acting", "learning"])
def test_relative_attention_matches_the_plain_loops(length):
    layer = RelativeAttention(D, heads=H, head_dim=K).double()
    torch.nn.init.normal_(layer.content_bias)
    torch.nn.init.normal_(layer.position_bias)
    x, past = rand(B, length, D), rand(B, M, D)
    age = torch.tensor([[0, 1, 2, 0, 1], [9, 10, 11, 12, 13], [4, 5, 6, 7, 8]]).double()
    age = age[:, :length]
    with torch.no_grad():
        got = layer(x, past, window(age, M))
        torch.testing.assert_close(got, plain_attention(layer, x, past, age))


@pytest.mark.parametrize("length", [1, 2], ids=["acting", "learning"])
def test_relative_attention_has_the_gradient_of_finite_differences(length):
    layer = RelativeAttention(3, heads=2, head_dim=2).double()
    x, past = rand(1, length, 3).requires_grad_(), rand(1, 3, 3).requires_grad_()
    visible = window(torch.tensor([[1.0, 2.0]])[:, :length], 3)
    assert torch.autograd.gradcheck(lambda *given: layer(*given, visible), (x, past))


def test_a_sequence_of_queries_equals_the_masked_product_with_every_gradient():
    """By hand, and by torch's operations on all pairs of queries and keys."""
    layer = RelativeAttention(D, heads=H, head_dim=K).double()
    torch.nn.init.normal_(layer.content_bias)
    torch.nn.init.normal_(layer.position_bias)
    x, past = rand(B, T, D).requires_grad_(), rand(B, M, D).requires_grad_()
    visible = window(torch.tensor([[0, 1, 2, 0, 1], [9, 10, 11, 12, 13], [4, 5, 6, 7, 8]]), M)
    seen = torch.cat([past, x], dim=1)
    queries = layer.queries(x)
    logits = layer.by_content(queries, seen) + skew(layer.by_position(queries, M))
    outputs = layer(x, past, visible), layer.read(logits, visible, seen, None)
    torch.testing.assert_close(*outputs)
    leaves, d = (x, past, *layer.parameters()), rand(B, T, D)
    gradients = [torch.autograd.grad(out, leaves, d, retain_graph=True) for out in outputs]
    for got, want in zip(*gradients, strict=True):
        torch.testing.assert_close(got, want)


def test_nan_stays_with_the_steps_that_see_it():
    layer = RelativeAttention(D, heads=H, head_dim=K).double()
    x, past = rand(B, T, D), rand(B, M, D)
    age = torch.tensor([[0, 1, 2, 0, 1], [9, 10, 11, 12, 13], [4, 5, 6, 7, 8]]).double()
    want = layer(x, past, window(age, M))
    x[0, 1], past[2, 3] = torch.nan, torch.nan  # seen by steps 1 and 2, and by steps 0 to 3
    got = layer(x, past, window(age, M))
    lost = got.isnan().all(-1)
    assert lost.tolist() == [[False, True, True, False, False], [False] * 5, [True] * 4 + [False]]
    torch.testing.assert_close(got[~lost], want[~lost])
