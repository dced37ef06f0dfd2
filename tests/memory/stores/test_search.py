"""Nearest neighbours against a sort in plain loops: values, ties, what may not be found."""

from __future__ import annotations

import math

import pytest
import torch

from memrl.memory.ops.largest import first_largest
from memrl.memory.stores.search import nearest

B, Q, N, W, K = 3, 2, 41, 5, 7


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def closeness(query, key, metric):
    """Of two lists of numbers: the larger, the nearer."""
    if metric == "l2":
        return -sum((q - k) ** 2 for q, k in zip(query, key, strict=True))
    norms = math.sqrt(sum(q * q for q in query)) * math.sqrt(sum(k * k for k in key))
    return sum(q * k for q, k in zip(query, key, strict=True)) / (norms + 1e-6)


def ranked(query, keys, metric):
    """Places by descending closeness, the lower first among equals, with the closeness."""
    scores = [(closeness(query, key, metric), n) for n, key in enumerate(keys)]
    return sorted(scores, key=lambda pair: (-pair[0], pair[1]))


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("block", [1, 61, 10_000])
def test_the_nearest_are_those_of_a_full_sort(metric, block):
    queries, keys, count = draw(B, Q, W), draw(B, N, W), torch.tensor([20, 30, N])
    got = nearest(queries, keys, K, metric=metric, count=count, block=block)
    assert got.found.all()
    for b in range(B):
        for q in range(Q):
            want = ranked(queries[b, q].tolist(), keys[b, : count[b]].tolist(), metric)[:K]
            assert got.slot[b, q].tolist() == [n for _, n in want]
            scores = torch.tensor([score for score, _ in want], dtype=torch.float64)
            torch.testing.assert_close(got.score[b, q], scores, rtol=0, atol=1e-10)


@pytest.mark.parametrize("block", [1, 61, 10_000])
def test_of_equal_keys_the_lower_goes_first(block):
    keys = draw(B, 1, W).expand(B, N, W)
    got = nearest(draw(B, Q, W), keys, K, block=block)
    assert got.slot.tolist() == [[[*range(K)]] * Q] * B


@pytest.mark.parametrize("size", [1, 2, 9, 41, 100])
def test_the_first_of_the_largest_wins_every_round(size):
    values = torch.randint(0, 4, (B, Q, size)).double()  # few different ones: mostly ties
    k = min(size, 11)
    got, index = first_largest(values, k)
    want, order = values.sort(dim=-1, descending=True, stable=True)
    assert index.equal(order[..., :k])
    assert got.equal(want[..., :k])


def test_what_is_given_is_not_edited():
    values = draw(Q, 9)
    before = values.clone()
    first_largest(values, 5)
    assert values.equal(before)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_keys_beyond_the_count_are_never_found_not_even_nan(metric):
    queries, keys, count = draw(B, Q, W), draw(B, N, W), torch.tensor([20, 30, 40])
    want = nearest(queries, keys, K, metric=metric, count=count)
    keys[torch.arange(N) >= count.unsqueeze(1)] = torch.nan
    got = nearest(queries, keys, K, metric=metric, count=count)
    assert got.slot.equal(want.slot)
    assert got.score.equal(want.score)


def test_fewer_keys_than_asked_for_are_all_found_and_the_rest_says_so():
    count = torch.tensor([0, 3, N])
    got = nearest(draw(B, Q, W), draw(B, N, W), K, count=count, block=30)
    assert got.found.sum(dim=-1).tolist() == [[0] * Q, [3] * Q, [K] * Q]
    assert got.slot[1, :, :3].sort(dim=-1).values.tolist() == [[0, 1, 2]] * Q
    assert ((got.slot >= 0) & (got.slot < N)).all()
    assert got.found.sort(dim=-1, descending=True).values.equal(got.found)  # found ones lead


def test_scores_have_no_gradient():
    assert not nearest(draw(B, Q, W).requires_grad_(), draw(B, N, W), K).score.requires_grad


@pytest.mark.parametrize("k", [0, N + 1])
def test_more_neighbours_than_keys_are_refused(k):
    with pytest.raises(ValueError, match=f"k is {k}; allowed: 1 … {N}"):
        nearest(draw(B, Q, W), draw(B, N, W), k)
