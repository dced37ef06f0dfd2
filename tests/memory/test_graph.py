"""What a graph memory writes, joins and finds, against the definition in plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from memrl.memory import GraphMemory
from memrl.memory.ops.messages import pass_messages
from tests.support.random_cores import draw

T, B, IN, N, W, R, H = 5, 3, 2, 7, 11, 2, 13
EXACT = {"rtol": 0, "atol": 1e-10}


def build(**options):
    sizes = {"slots": N, "word_dim": W, "read_heads": R, "hidden_dim": H}
    core = GraphMemory(IN, **{**sizes, **options})
    with torch.no_grad():
        core.interface.bias += torch.randn_like(core.interface.bias)
    return core.double()


def run(core, steps=T, state=None):
    x, start = draw(steps, B, IN), torch.zeros(steps, B, dtype=torch.bool)
    return core(x, core.initial_state(B) if state is None else state, start)


def with_gates(core, new, write):
    """g^a and g^w are ``new`` and ``write``, 0 or 1, whatever the controller says."""
    with torch.no_grad():
        core.interface.weight[-2:] = 0
        # The clip of the interface leaves 2e-9 of 1.
        core.interface.bias[-2:] = torch.tensor([1e4 if gate else -1e4 for gate in (new, write)])
    return core


def links(rows=B):
    """Edges as writes leave them: columns and rows sum to at most 1, no node follows itself."""
    made = 0.9 * draw(rows, N, N).softmax(dim=-1) / N
    return made * (1 - torch.eye(N, dtype=torch.float64))


def dot(a, b):
    return sum(v * w for v, w in zip(a, b, strict=True))


def told(nodes, link, weight):
    """One round of messages in one environment, a number at a time."""
    heard = []
    for i in range(N):
        before = [sum(link[i][j] * nodes[j][c] for j in range(N)) for c in range(W)]
        after = [sum(link[j][i] * nodes[j][c] for j in range(N)) for c in range(W)]
        change = [dot(row, [*before, *after]) for row in weight]
        heard.append([math.tanh(m + d) for m, d in zip(nodes[i], change, strict=True)])
    return heard


def attention(key, strength, rows):
    scores = []
    for row in rows:
        norms = math.sqrt(dot(key, key)) * math.sqrt(dot(row, row))
        scores.append(math.exp(strength * dot(key, row) / (norms + 1e-6)))
    return [score / sum(scores) for score in scores]


def test_messages_match_the_definition():
    nodes, link, weight = draw(B, N, W), links(), draw(W, 2 * W)
    got = pass_messages(nodes, link, weight)
    for b in range(B):
        want = told(nodes[b].tolist(), link[b].tolist(), weight.tolist())
        torch.testing.assert_close(got[b], torch.tensor(want, dtype=got.dtype), **EXACT)


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_step_matches_the_definition(rounds):
    core = build(rounds=rounds, usage_decay=0.9)
    before = run(core).state
    y, after = core.step(draw(B, IN), before, torch.zeros(B, dtype=torch.bool))
    ask = core._interface(after.controller.h)
    for b in range(B):
        keys, betas = ask.keys[b].tolist(), ask.strengths[b].tolist()
        new, write = ask.gates[b].flatten().tolist()
        word, usage = ask.word[b, 0].tolist(), before.usage[b].tolist()
        m, p, link = (leaf[b].tolist() for leaf in (before.memory, before.precedence, before.link))
        like = attention(keys[R], betas[R], m)
        oldest = min(range(N), key=lambda n: (usage[n], n))
        w = [write * (new * (n == oldest) + (1 - new) * like[n]) for n in range(N)]
        m = [[v + w[n] * (word[c] - v) for c, v in enumerate(m[n])] for n in range(N)]
        link = [
            [(i != j) * ((1 - w[i] - w[j]) * link[i][j] + w[i] * p[j]) for j in range(N)]
            for i in range(N)
        ]
        heard = m
        for _ in range(rounds):
            heard = told(heard, link, core.messages.weight.tolist())
        looks = [attention(keys[r], betas[r], heard) for r in range(R)]
        want = {
            "memory": m,
            "link": link,
            "precedence": [(1 - sum(w)) * p[n] + w[n] for n in range(N)],
            "usage": [0.9 * usage[n] + w[n] + sum(look[n] for look in looks) for n in range(N)],
            "reads": [[sum(a[n] * heard[n][c] for n in range(N)) for c in range(W)] for a in looks],
        }
        for name, values in want.items():
            expected = torch.tensor(values, dtype=torch.float64)
            torch.testing.assert_close(getattr(after, name)[b], expected, **EXACT)
    seen = torch.cat([after.controller.h, after.reads.flatten(1)], dim=-1)
    torch.testing.assert_close(y, core.output(seen), **EXACT)


# What follows from it


def test_without_edges_or_weights_nothing_is_heard():
    nodes = draw(B, N, W)
    alone = pass_messages(nodes, 0 * links(), draw(W, 2 * W))
    deaf = pass_messages(nodes, links(), torch.zeros(W, 2 * W, dtype=torch.float64))
    torch.testing.assert_close(alone, nodes.tanh(), **EXACT)
    torch.testing.assert_close(deaf, nodes.tanh(), **EXACT)


def test_a_node_hears_what_came_before_and_after_it_through_different_weights():
    link = torch.zeros(1, N, N, dtype=torch.float64)
    link[0, 4, 2] = 1.0  # 4 was written right after 2
    nodes, eye = draw(1, N, W), torch.eye(W, dtype=torch.float64)
    of_before = pass_messages(nodes, link, torch.cat([eye, 0 * eye], dim=1))
    torch.testing.assert_close(of_before[0, 4], (nodes[0, 4] + nodes[0, 2]).tanh(), **EXACT)
    torch.testing.assert_close(of_before[0, 2], nodes[0, 2].tanh(), **EXACT)
    of_after = pass_messages(nodes, link, torch.cat([0 * eye, eye], dim=1))
    torch.testing.assert_close(of_after[0, 2], (nodes[0, 2] + nodes[0, 4]).tanh(), **EXACT)
    torch.testing.assert_close(of_after[0, 4], nodes[0, 4].tanh(), **EXACT)


def test_nodes_in_another_order_hear_the_same():
    nodes, link, weight, order = draw(B, N, W), links(), draw(W, 2 * W), torch.randperm(N)
    want = pass_messages(nodes, link, weight)[:, order]
    got = pass_messages(nodes[:, order], link[:, order][:, :, order], weight)
    torch.testing.assert_close(got, want, **EXACT)


def test_new_nodes_follow_one_another():
    """With both gates open every step writes the node that is next, and joins it to the last."""
    core = with_gates(build(), 1, 1)
    state = run(core, steps=N).state
    path = torch.zeros(N, N, dtype=torch.float64)
    for n in range(1, N):
        path[n, n - 1] = 1.0
    torch.testing.assert_close(state.link, path.expand(B, N, N), rtol=0, atol=1e-6)
    assert (state.memory.abs().sum(dim=-1) > 0.01).all()


def test_nothing_is_written_through_a_closed_gate():
    core = build()
    before = run(core).state
    after = run(with_gates(core, 1, 0), state=before).state
    for name in ("memory", "link", "precedence"):
        kept, had = getattr(after, name), getattr(before, name)
        torch.testing.assert_close(kept, had, rtol=0, atol=1e-6)


def test_nodes_and_edges_stay_within_bounds():
    state = run(build(), steps=50).state
    assert (state.memory.abs() <= 1).all()
    assert (state.link >= 0).all()
    assert (state.link.sum(1) <= 1 + 1e-9).all()
    assert (state.link.sum(2) <= 1 + 1e-9).all()
    assert not state.link.diagonal(dim1=1, dim2=2).any()
    assert (state.precedence.sum(1) <= 1 + 1e-9).all()
