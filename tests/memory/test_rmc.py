"""What an RMC makes of its rows, against the definition in plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from suites import slow_but

from memrl.memory import RMC
from memrl.memory.core import MemoryCore
from memrl.memory.ops.relational import attend
from tests.support.random_cores import draw

T, B, IN, N, HEADS, D, OUT = 5, 3, 2, 7, 2, 11, 13
F = HEADS * D
EXACT = {"rtol": 0, "atol": 1e-10}


def build(**options):
    core = RMC(IN, **{"slots": N, "heads": HEADS, "head_dim": D, "hidden_dim": OUT, **options})
    with torch.no_grad():
        for parameter in core.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return core.double()


def opened(core, steps=T, rows=B):
    x, start = draw(steps, rows, IN), torch.zeros(steps, rows, dtype=torch.bool)
    return core(x, core.initial_state(rows), start)


def step(core, x, memory):
    state = core.initial_state(len(x))._replace(memory=memory)
    return core.step(x, state, torch.zeros(len(x), dtype=torch.bool))


# The definition, a number at a time


def linear(layer, x):
    bias = [0.0] * len(layer.weight) if layer.bias is None else layer.bias.tolist()
    return [
        sum(w * v for w, v in zip(row, x, strict=True)) + b
        for row, b in zip(layer.weight.tolist(), bias, strict=True)
    ]


def layer_norm(layer, x):
    mean = sum(x) / len(x)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + 1e-5)
    affine = zip(x, layer.weight.tolist(), layer.bias.tolist(), strict=True)
    return [(v - mean) / deviation * w + b for v, w, b in affine]


def attended(queries, keys, values, heads):
    """Multi-head attention of lists of rows."""
    width, out = len(queries[0]) // heads, []
    for query in queries:
        row = []
        for head in range(heads):
            own = range(head * width, (head + 1) * width)
            scores = [math.exp(sum(query[c] * k[c] for c in own) / width**0.5) for k in keys]
            weights = [score / sum(scores) for score in scores]
            row += [sum(w * v[c] for w, v in zip(weights, values, strict=True)) for c in own]
        out.append(row)
    return out


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def mlp(core, row):
    return linear(core.mlp[2], [max(v, 0.0) for v in linear(core.mlp[0], row)])


def added(a, b):
    return [v + w for v, w in zip(a, b, strict=True)]


def thought(core, row, memory):
    """M̃ as the authors' code has it: every row asks, the input's is dropped at the end."""
    rows = [*memory, row]
    for block in core.blocks:
        qkv = [layer_norm(block.norm_qkv, linear(block.qkv, row)) for row in rows]
        q, k, v = ([row[part * F : (part + 1) * F] for row in qkv] for part in range(3))
        found = attended(q, k, v, HEADS)
        rows = [
            layer_norm(block.norm_attended, added(*pair)) for pair in zip(rows, found, strict=True)
        ]
        rows = [layer_norm(block.norm_thought, added(row, mlp(core, row))) for row in rows]
    return rows[:N]


def rewritten(core, x, memory, gate):
    """M' of one environment."""
    row = linear(core.input, x)
    new = thought(core, row, memory)
    if gate == "none":
        return new
    after = []
    for old, fresh in zip(memory, new, strict=True):
        of_memory = linear(core.gate_memory, [math.tanh(v) for v in old])
        gates = added(linear(core.gate_input, row), of_memory)
        half = len(gates) // 2
        i, f = (gates[:half], gates[half:]) if gate == "unit" else ([gates[0]] * F, [gates[1]] * F)
        after.append(
            [sigmoid(f[c] + 1) * old[c] + sigmoid(i[c]) * math.tanh(fresh[c]) for c in range(F)]
        )
    return after


def test_attention_matches_the_definition():
    q, k, v = draw(B, 5, 6), draw(B, N, 6), draw(B, N, 6)
    want = [attended(q[b].tolist(), k[b].tolist(), v[b].tolist(), 3) for b in range(B)]
    torch.testing.assert_close(attend(q, k, v, 3), torch.tensor(want, dtype=q.dtype), **EXACT)


@pytest.mark.parametrize("gate", ["unit", "memory", "none"])
@pytest.mark.parametrize("blocks", [1, 2])
def test_a_step_matches_the_definition(gate, blocks):
    core = build(gate=gate, blocks=blocks)
    x, memory = draw(B, IN), draw(B, N, F)
    y, after = step(core, x, memory)
    want = [rewritten(core, x[b].tolist(), memory[b].tolist(), gate) for b in range(B)]
    torch.testing.assert_close(after.memory, torch.tensor(want, dtype=x.dtype), **EXACT)
    torch.testing.assert_close(y, core.output(after.memory.flatten(1)), **EXACT)


# A sequence, whose gradient is written by hand

STARTS = {
    "none": torch.zeros(T, B, dtype=torch.bool),
    "everywhere": torch.ones(T, B, dtype=torch.bool),
    "some": torch.tensor([[1, 0, 0], [0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]]).bool(),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS.keys())
@pytest.mark.parametrize("gate", ["unit", "memory", "none"])
def test_a_sequence_equals_the_loop_over_updates_with_every_gradient(gate, start):
    core = build(gate=gate)
    x, memory = draw(T, B, IN).requires_grad_(), draw(B, N, F).requires_grad_()
    state = core.initial_state(B)._replace(memory=memory)
    quick, loop = core(x, state, start), MemoryCore.forward(core, x, state, start)
    leaves = (x, memory, *core.parameters())
    upstream = draw(T, B, OUT), draw(B, N, F)
    gradients = [
        torch.autograd.grad([out.y, out.state.memory], leaves, upstream) for out in (quick, loop)
    ]
    torch.testing.assert_close((quick.y, quick.state.memory), (loop.y, loop.state.memory), **EXACT)
    for got, want in zip(*gradients, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_gradients_of_a_sequence_match_finite_differences():
    core = RMC(IN, slots=2, heads=1, head_dim=3, hidden_dim=2).double()
    x, memory = draw(3, 2, IN).requires_grad_(), draw(2, 2, 3).requires_grad_()
    start = STARTS["some"][:3, :2]

    def run(x, memory):
        out = core(x, core.initial_state(2)._replace(memory=memory), start)
        return out.y, out.state.memory

    assert torch.autograd.gradcheck(run, (x, memory))


def test_a_nan_stays_in_its_row_and_ends_with_its_episode():
    core, x, start = build(), draw(T, B, IN), STARTS["some"]
    want = core(x, core.initial_state(B), start).y
    x[1, 1] = torch.nan
    got = core(x, core.initial_state(B), start).y
    lost = got.isnan().any(-1)
    assert lost.nonzero().tolist() == [[1, 1]]  # the second row begins anew at step 2
    torch.testing.assert_close(got[~lost], want[~lost], **EXACT)


# What follows from it


@pytest.mark.parametrize("blocks", [1, 2])
def test_slots_in_another_order_stay_in_that_order(blocks):
    core, order = build(blocks=blocks), torch.randperm(N)
    x, memory = draw(B, IN), draw(B, N, F)
    want = step(core, x, memory)[1].memory[:, order]
    torch.testing.assert_close(step(core, x, memory[:, order])[1].memory, want, **EXACT)


def test_first_rows_differ_and_equal_rows_would_stay_equal():
    core = build()
    first = core.initial_state(B).memory
    assert len(first[0].unique(dim=0)) == N
    x = draw(B, IN)
    same = step(core, x, first[:, :1].expand(-1, N, -1))[1].memory
    torch.testing.assert_close(same, same[:, :1].expand(-1, N, -1), **EXACT)
    assert len(step(core, x, first)[1].memory[0].unique(dim=0)) == N


@pytest.mark.parametrize("gate", ["unit", "memory"])
def test_gates_that_keep_everything_leave_the_memory_as_it_is(gate):
    core = build(gate=gate)
    with torch.no_grad():
        i, f = core.gate_input.bias.chunk(2)
        i.fill_(-1e4)
        f.fill_(1e4)
    memory = draw(B, N, F)
    assert step(core, draw(B, IN), memory)[1].memory.equal(memory)


def test_without_gates_the_memory_is_rewritten_whatever_it_asks():
    core, memory = build(gate="none"), draw(B, N, F)
    assert not {"gate_input.weight", "gate_memory.weight"} & set(core.state_dict())
    assert not torch.isclose(step(core, draw(B, IN), memory)[1].memory, memory).all()


def test_gates_begin_by_keeping_more_than_they_write():
    """σ(1) = 0.73 of the old, σ(0) = 0.5 of the new, before anything is learned."""
    core = RMC(IN, slots=N, heads=HEADS, head_dim=D).double()
    zero = torch.zeros(B, N, F, dtype=torch.float64)
    core.gate_memory.weight.data.zero_()
    core.gate_input.weight.data.zero_()
    after = step(core, draw(B, IN), zero + 2)[1].memory
    written = (after - 2 * sigmoid(1.0)) / sigmoid(0.0)
    assert (written.abs() < 1).all()  # a tanh
    assert written.abs().max() > 0.1


def test_more_slots_than_first_rows_are_refused():
    with pytest.raises(ValueError, match="slots is 23; allowed: at most heads · head_dim, 22"):
        build(slots=23)


@pytest.mark.slow
@pytest.mark.parametrize("value", slow_but([-1e4], [0.0, 1.0, 1e4, -1e4]))
def test_constant_inputs_stay_finite_with_their_gradients(value):
    core = RMC(IN, slots=N, heads=HEADS, head_dim=D)
    x, state = torch.full((T, B, IN), value), core.initial_state(B)
    no_start = torch.zeros(T, B, dtype=torch.bool)
    with torch.no_grad():
        for _ in range(2_000 // T):
            state = core(x, state, no_start).state
    assert state.memory.abs().max() <= 2_001  # 1 at first, and a step adds at most 1
    core(x, state, no_start).y.sum().backward()
    assert all(p.grad.isfinite().all() for p in core.parameters())


def test_diagnostics_tell_how_alike_the_slots_are():
    core = build()
    shown = core.diagnostics(opened(core).state)
    assert shown["memory"].shape == (B, N, F)
    one = core.diagnostics(core.initial_state(B)._replace(memory=torch.ones(B, N, F)))
    torch.testing.assert_close(one["slot_similarity"], torch.ones(B))
