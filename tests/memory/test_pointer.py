"""Pointer attention: its equation, and that its output is a distribution over places."""

from __future__ import annotations

import torch

from memrl.memory.pointer import PointerMemory, additive_logits
from tests.support.window_runs import B, D, I, N, T, never, rand, unroll

O = 13  # noqa: E741


def make():
    return PointerMemory(I, slots=N, key_dim=D, hidden_dim=O).double()


def test_outputs_match_the_plain_loops():
    core, x = make(), rand(T, B, I)
    y = unroll(core, x).y
    for t in range(T):
        for b in range(B):
            past = [(i, x[t - i, b]) for i in range(1, min(t, N) + 1)]
            p, pointed = torch.zeros(N, dtype=torch.float64), torch.zeros_like(x[t, b])
            if past:
                asked = core.query.weight @ x[t, b]
                u = [core.score @ (core.key.weight @ item + asked).tanh() for _, item in past]
                for (i, item), weight in zip(past, torch.stack(u).softmax(dim=0), strict=True):
                    p[N - i] = weight
                    pointed = pointed + weight * item
            seen = core.output.weight @ torch.cat([pointed, x[t, b]]) + core.output.bias
            torch.testing.assert_close(y[t, b], torch.cat([p, seen]))


def test_the_first_outputs_are_a_distribution_over_what_the_episode_has():
    core, x, start = make(), rand(T, B, I), never()
    start[4, 0] = True
    p = core(x, core.initial_state(B), start).y[..., :N]
    sums = p.sum(dim=-1)
    opened = torch.zeros(T, B, dtype=torch.bool)
    opened[0], opened[4, 0] = True, True
    assert not p[opened].any()
    torch.testing.assert_close(sums[~opened], torch.ones_like(sums[~opened]))
    assert (p[6, 0] > 0).tolist() == [False] * (N - 2) + [True] * 2


def test_it_points_at_the_place_of_what_it_is_asked_for():
    core = PointerMemory(N, slots=N, key_dim=N, hidden_dim=O).double()
    eye = torch.eye(N, dtype=torch.float64)
    with torch.no_grad():  # tanh of 0, 2 and 4 for neither, one and both: both is worth least
        core.key.weight.copy_(2 * eye)
        core.query.weight.copy_(2 * eye)
        core.score.fill_(-1e3)
    order = torch.tensor([3, 0, 4, 1, 2])
    for place, symbol in enumerate(order):
        x = eye[torch.cat([order, symbol.view(1)])].unsqueeze(1).expand(-1, B, -1)
        p = unroll(core, x).y[-1, :, :N]
        torch.testing.assert_close(p, eye[place].expand(B, -1))


def test_logits_in_parts_are_the_logits_of_the_whole_with_their_gradients():
    queries, keys, v = rand(B, T, D), rand(B, N + T - 1, D), rand(D)
    given = [each.requires_grad_() for each in (queries, keys, v)]
    weights, found = rand(B, T, N), []
    for most in (10**6, 2 * B * N * D, 1):
        logits = additive_logits(queries, keys, v, max_elements=most)
        found.append([logits, *torch.autograd.grad((weights * logits).sum(), given)])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def test_the_gradient_of_logits_is_that_of_finite_differences():
    given = [each.requires_grad_() for each in (rand(2, 3, 2), rand(2, 7, 2), rand(2))]
    assert torch.autograd.gradcheck(lambda *each: additive_logits(*each, max_elements=20), given)
