"""Temporal links of the DNC against their definitions, in plain loops."""

from __future__ import annotations

import torch

from memrl.memory.ops.linkage import (
    backward_weights,
    forward_weights,
    update_link,
    update_precedence,
)

B, N, R = 3, 5, 2
EXACT = {"rtol": 0, "atol": 1e-12}


def weighting(*shape):
    return 0.9 * torch.randn(*shape, dtype=torch.float64).softmax(dim=-1)


def one_hot(slot):
    return torch.eye(N, dtype=torch.float64)[slot].expand(1, N)


def written(writes):
    """Link and precedence after a list of write weightings, from nothing."""
    link = writes[0].new_zeros(len(writes[0]), N, N)
    precedence = writes[0].new_zeros(len(writes[0]), N)
    for w in writes:
        link = update_link(link, precedence, w)
        precedence = update_precedence(precedence, w)
    return link, precedence


def test_links_match_the_definition():
    link, precedence = written([weighting(B, N) for _ in range(3)])
    w, want = weighting(B, N), torch.zeros(B, N, N, dtype=torch.float64)
    for b in range(B):
        for i in range(N):
            for j in range(N):
                if i != j:
                    kept = (1 - w[b, i] - w[b, j]) * link[b, i, j]
                    want[b, i, j] = kept + w[b, i] * precedence[b, j]
    torch.testing.assert_close(update_link(link, precedence, w), want, **EXACT)


def test_precedence_matches_the_definition():
    p, w = weighting(B, N), weighting(B, N)
    for b in range(B):
        want = torch.stack([(1 - sum(w[b])) * p[b, n] + w[b, n] for n in range(N)])
        torch.testing.assert_close(update_precedence(p, w)[b], want, **EXACT)


def test_forward_is_what_was_written_after_and_backward_before():
    link, _ = written([one_hot(0), one_hot(1), one_hot(2)])
    torch.testing.assert_close(forward_weights(link, one_hot(0)[None])[0], one_hot(1), **EXACT)
    torch.testing.assert_close(backward_weights(link, one_hot(2)[None])[0], one_hot(1), **EXACT)


def test_forward_and_backward_match_the_definition():
    link, _ = written([weighting(B, N) for _ in range(4)])
    r = weighting(B, R, N)
    for b in range(B):
        for h in range(R):
            ahead = [sum(link[b, i, j] * r[b, h, j] for j in range(N)) for i in range(N)]
            back = [sum(link[b, i, j] * r[b, h, i] for i in range(N)) for j in range(N)]
            want = torch.stack(ahead), torch.stack(back)
            got = forward_weights(link, r)[b, h], backward_weights(link, r)[b, h]
            torch.testing.assert_close(got, want, **EXACT)


def test_links_are_weightings_without_loops():
    link, precedence = written([weighting(B, N) for _ in range(20)])
    assert (link >= 0).all()
    assert not link.diagonal(dim1=-2, dim2=-1).any()
    assert (link.sum(dim=-1) <= 1 + 1e-12).all()
    assert (link.sum(dim=-2) <= 1 + 1e-12).all()
    assert (precedence.sum(dim=-1) <= 1 + 1e-12).all()


def test_writing_nothing_changes_nothing():
    link, precedence = written([weighting(B, N) for _ in range(3)])
    nothing = torch.zeros(B, N, dtype=torch.float64)
    torch.testing.assert_close(update_link(link, precedence, nothing), link, rtol=0, atol=0)
    torch.testing.assert_close(update_precedence(precedence, nothing), precedence, rtol=0, atol=0)


def test_after_a_full_write_it_alone_has_precedence():
    full = torch.randn(B, N, dtype=torch.float64).softmax(dim=-1)
    torch.testing.assert_close(update_precedence(weighting(B, N), full), full, **EXACT)
