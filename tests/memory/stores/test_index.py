"""The approximate indexes: exact when all lists are searched; growth, changes and recall."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from memrl.errors import install_command
from memrl.memory.stores.index import Index, Indexes, _codes, import_faiss
from memrl.memory.stores.search import nearest

B, Q, N, W, K = 3, 2, 997, 5, 7


pytestmark = pytest.mark.skipif(find_spec("faiss") is None, reason="pip install 'memrl[index]'")


def draw(*shape):
    return torch.randn(*shape)


def exact(queries, words, metric="cosine", k=K):
    return nearest(queries.unsqueeze(0), words.unsqueeze(0), k, metric=metric).slot[0]


@pytest.fixture(params=["ivf", "lsh"])
def kind(request):
    return request.param


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_looking_into_every_list_is_exact(kind, metric):
    words, queries = draw(N, W), draw(31, W)
    index = Index(N, W, metric=metric, kind=kind, probes=N)
    index.put(torch.arange(N), words)
    score, slot = index.search(queries, K)
    want = nearest(queries.unsqueeze(0), words.unsqueeze(0), K, metric=metric)
    assert slot.equal(want.slot[0])
    torch.testing.assert_close(score, want.score[0], rtol=1e-4, atol=1e-4)


def recall(index, queries, words, metric):
    slot, want = index.search(queries, K)[1], exact(queries, words, metric)
    return float((slot.unsqueeze(-1) == want.unsqueeze(-2)).any(dim=-1).float().mean())


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("clusters", [0, 31])
def test_looking_into_a_few_of_many_lists_finds_most(monkeypatch, kind, metric, clusters):
    """Words of one uniform cube, or near one of some points: 63 or 32 lists of them."""
    monkeypatch.setattr("memrl.memory.stores.index.POINTS", 16)
    torch.manual_seed(0)
    many, centres = 4001, torch.rand(clusters, W) - 0.5
    words, queries = torch.rand(many, W) - 0.5, torch.rand(101, W) - 0.5
    if clusters:
        words, queries = (
            x / 10 + centres[torch.randint(clusters, (len(x),))] for x in (words, queries)
        )
    index, few = (Index(many, W, metric=metric, kind=kind, probes=probes) for probes in (8, 1))
    for each in (index, few):
        each.put(torch.arange(many), words)
    assert recall(index, queries, words, metric) > 0.97
    assert 0.5 < recall(few, queries, words, metric) < 0.95


def test_codes_are_those_of_the_hyperplanes_nearest_first():
    """Against the definition: lists in the order of how little they lie on the wrong side."""
    faiss, bits = import_faiss(), 4
    words, queries = draw(N, W).numpy(), draw(11, W).numpy()
    codes = _codes(faiss, words, bits=bits)
    planes = np.random.default_rng(0).standard_normal((bits, W))
    planes /= np.linalg.norm(planes, axis=1, keepdims=True)
    median = np.median(words @ planes.T, axis=0)
    _, got = codes.search(queries, 2**bits)
    for query, order in zip(queries, got, strict=True):
        distance = [float(plane @ query - m) for plane, m in zip(planes, median, strict=True)]
        own = sum((p > 0) << bit for bit, p in enumerate(distance))
        wrong = [
            sum(abs(p) for bit, p in enumerate(distance) if (own ^ code) >> bit & 1)
            for code in range(2**bits)
        ]
        assert order.tolist() == sorted(range(2**bits), key=wrong.__getitem__)


def test_words_that_come_and_change_are_found_through_every_rebuilding(kind):
    words, index = draw(N, W), Index(N, W, kind=kind, probes=N)
    held = torch.zeros(N, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        slots = torch.randint(0, N, (11,), generator=generator)  # some of them twice
        new = torch.randn(11, W, generator=generator)
        index.put(slots, new)
        for slot, word in zip(slots, new, strict=True):
            words[slot] = word  # the last one stays
        held[slots] = True
    assert len(index) == held.sum()
    queries = draw(13, W)
    among = nearest(queries[None], words[held][None], K).slot[0]
    want = held.nonzero().squeeze(1)[among]
    assert index.search(queries, K)[1].equal(want)


def test_it_is_built_again_after_as_many_insertions_as_it_held(monkeypatch, kind):
    index, built = Index(N, W, kind=kind), []
    build = index._build
    monkeypatch.setattr(index, "_build", lambda *a: (built.append(1), build(*a)))
    index.put(torch.arange(100), draw(100, W))
    for slot in range(100):
        index.put(torch.tensor([slot]), draw(1, W))
    assert len(built) == 1
    index.put(torch.tensor([0]), draw(1, W))
    assert len(built) == 2
    assert len(index) == 100


def test_an_empty_index_finds_nothing_and_one_of_few_words_finds_these(kind):
    index = Index(N, W, kind=kind)
    assert (index.search(draw(Q, W), K)[1] == -1).all()
    index.put(torch.tensor([3, 5]), draw(2, W))
    slot = index.search(draw(Q, W), K)[1]
    assert slot[:, :2].sort(dim=-1).values.tolist() == [[3, 5]] * Q
    assert (slot[:, 2:] == -1).all()


def test_a_word_of_nan_is_held_as_nothing(kind):
    index, words = Index(N, W, kind=kind), draw(N, W)
    index.put(torch.arange(N), words)
    index.put(torch.tensor([7]), torch.full((1, W), torch.nan))
    index.put(torch.tensor([7]), words[7:8])
    assert index.search(words[7:8], 1)[1].item() == 7


def test_rows_have_indexes_of_their_own(kind):
    words, count = draw(B, N, W), torch.tensor([0, 3, N])
    indexes, queries = Indexes(B, N, W, kind=kind), draw(B, Q, W)
    indexes.fill(words, count)
    got, want = indexes.nearest(queries, 1), nearest(queries, words, 1, count=count)
    assert got.found.squeeze(-1).tolist() == [[False] * Q, [True] * Q, [True] * Q]
    assert got.slot[1].equal(want.slot[1])
    assert ((got.slot >= 0) & (got.slot < N)).all()

    indexes.put(torch.tensor([[4, 4], [5, 6], [7, 8]]), queries)
    assert indexes.nearest(queries, 1).slot.squeeze(-1)[1:].tolist() == [[5, 6], [7, 8]]
    indexes.forget([False, True, False])
    assert indexes.nearest(queries, 1).found.squeeze(-1).all(dim=-1).tolist() == [True, False, True]


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ValueError, match=f"needs faiss: {re.escape(install_command('index'))}"):
        Index(N, W)
