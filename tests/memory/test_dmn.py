"""DMN+: what is not of the episode is passed by, attention is an update gate, passes refine."""

from __future__ import annotations

import torch
from torch import nn

from memrl.memory.dmn import DMN
from memrl.memory.ops.episodic import attention_walk, walk

T, B, N, D, H, I = 11, 3, 5, 2, 7, 13  # noqa: E741


def rand(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def never(length=T):
    return torch.zeros(length, B, dtype=torch.bool)


def make(slots=N, **options):
    return DMN(I, slots=slots, word_dim=D, hidden_dim=H, **options).double()


def gru(cell):
    """The library's cell with the weights of ours."""
    peer = nn.GRUCell(D, D).double()
    weights = {"weight_ih": cell.weight_ih, "weight_hh": cell.weight_hh, "bias_ih": cell.bias}
    bias_hh = torch.cat([torch.zeros(2 * D).double(), cell.bias_n])
    peer.load_state_dict({**weights, "bias_hh": bias_hh})
    return peer


def stirred(**options):
    """A core whose every parameter matters."""
    core = make(**options)
    with torch.no_grad():
        for parameter in core.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return core


def visible(ages):
    """The mask of windows whose last ``ages[t]`` facts are of the episode: [N, T, B]."""
    back = torch.arange(N, 0, -1).view(N, 1, 1)
    return back <= torch.tensor(ages).view(1, -1, 1).expand(1, len(ages), B)


def test_a_walk_is_a_gru_over_the_facts_of_the_episode_alone():
    core, items, ages = stirred(), rand(N + 3, B, D), [0, 2, 5, 3]
    for cell, back in ((core.onward, False), (core.back, True)):
        peer, mask = gru(cell), visible(ages)
        got = walk(cell(items), mask, cell.weight_hh, cell.bias_n, back=back)
        for t, age in enumerate(ages):
            h = torch.zeros(B, D, dtype=torch.float64)
            known = range(N - age, N)
            for n in reversed(known) if back else known:
                h = peer(items[t + n], h)
                torch.testing.assert_close(got[n, t], h)


def test_with_full_attention_the_walk_is_a_gru_that_always_updates():
    cell = stirred().attention
    whole = nn.GRUCell(D, D).double()
    with torch.no_grad():
        for ours, theirs in (
            (cell.weight_ih, whole.weight_ih),
            (cell.weight_hh, whole.weight_hh),
            (cell.bias, whole.bias_ih),
        ):
            theirs.copy_(torch.cat([ours[:D], 0 * ours[:D], ours[D:]]))
        whole.bias_ih[D : 2 * D] = -1e3  # z = 0: nothing of the old state is kept
        whole.bias_hh.zero_()
        whole.bias_hh[2 * D :] = cell.bias_n
    facts = rand(N, T, B, D)
    ones = torch.ones(N, T, B, dtype=torch.float64)
    got = attention_walk(cell(facts), ones, cell.weight_hh, cell.bias_n)
    for t in range(T):
        h = torch.zeros(B, D, dtype=torch.float64)
        for n in range(N):
            h = whole(facts[n, t], h)
        torch.testing.assert_close(got[t], h)


def test_without_attention_the_walk_stays_where_it_began():
    cell, facts = stirred().attention, rand(N, T, B, D)
    zeros = torch.zeros(N, T, B, dtype=torch.float64)
    assert not attention_walk(cell(facts), zeros, cell.weight_hh, cell.bias_n).any()


def test_a_fact_without_attention_changes_nothing_bit_for_bit():
    cell, facts = stirred().attention, rand(N, T, B, D)
    looks = torch.rand(N, T, B, dtype=torch.float64)
    looks[2] = 0
    rest = [0, 1, 3, 4]
    with_it = attention_walk(cell(facts), looks, cell.weight_hh, cell.bias_n)
    without = attention_walk(cell(facts[rest]), looks[rest], cell.weight_hh, cell.bias_n)
    assert torch.equal(with_it, without)


def by_the_equations(core, x):
    """Outputs for one row of an episode, one step, one fact and one pass at a time."""
    onward, back = gru(core.onward), gru(core.back)
    cell, past, out = core.attention, [], []
    zero = torch.zeros(1, D, dtype=torch.float64)
    for t in range(len(x)):
        fact, q = core.input(x[t]).chunk(2)
        q = q.tanh()
        ahead, behind = [], []
        for item in past:
            ahead.append(onward(item.unsqueeze(0), ahead[-1] if ahead else zero))
        for item in reversed(past):
            behind.append(back(item.unsqueeze(0), behind[-1] if behind else zero))
        f = [(a + b).squeeze(0) for a, b in zip(ahead, reversed(behind), strict=True)]
        m = q
        for refine in core.memories:
            logits = []
            for each in f:
                w1 = torch.cat([core.by_question.weight, core.by_memory.weight], dim=1)
                z = torch.cat([each * q, (each - q).abs(), each * m, (each - m).abs()])
                logits.append(core.look.weight[0] @ (w1 @ z + core.by_question.bias).tanh())
            g = torch.stack(logits).softmax(0) if f else []
            h = zero.squeeze(0)
            for each, share in zip(f, g, strict=True):
                r_x, n_x = (cell.weight_ih @ each + cell.bias).chunk(2)
                r_h, n_h = (cell.weight_hh @ h).chunk(2)
                candidate = (n_x + (r_x + r_h).sigmoid() * (n_h + cell.bias_n)).tanh()
                h = share * candidate + (1 - share) * h
            m = (refine.weight @ torch.cat([m, h, q]) + refine.bias).relu()
        out.append(core.output.weight @ torch.cat([m, q]) + core.output.bias)
        past = [*past, fact][-N:]
    return torch.stack(out)


def test_a_sequence_is_the_equations():
    core, x = stirred(), rand(T, B, I)
    got = core(x, core.initial_state(B), never()).y
    for b in range(B):
        torch.testing.assert_close(got[:, b], by_the_equations(core, x[:, b]))


def test_attention_does_not_look_at_what_is_not_there():
    core, x = make(), rand(3, B, I)
    looks = core(x, core.initial_state(B), never(3)).state.read_weights
    assert not looks[..., : N - 2].any()
    torch.testing.assert_close(looks.sum(-1), torch.ones(B, 3, dtype=torch.float64))


def test_more_slots_than_steps_change_nothing():
    few, many = make(N), make(N + 2)
    many.load_state_dict(few.state_dict())
    x = rand(N + 1, B, I)
    outputs = [core(x, core.initial_state(B), never(N + 1)).y for core in (few, many)]
    torch.testing.assert_close(*outputs)
