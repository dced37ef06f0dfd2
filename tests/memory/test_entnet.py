"""What an EntNet does to its slots, against the definition in plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from suites import slow_but

from memrl.memory import EntNet
from memrl.memory.ops.keyed import keyed_gates, unit_rows
from tests.support.random_cores import draw, perturbed

T, B, IN, N, W, OUT = 5, 3, 2, 7, 11, 13
EXACT = {"rtol": 0, "atol": 1e-10}


def build():
    core = EntNet(IN, slots=N, word_dim=W, hidden_dim=OUT)
    return perturbed(core)


def run(core, x=None, state=None):
    x = draw(T, B, IN) if x is None else x
    start = torch.zeros(x.shape[:2], dtype=torch.bool)
    return core(x, core.initial_state(x.shape[1]) if state is None else state, start)


def dot(a, b):
    return sum(v * w for v, w in zip(a, b, strict=True))


def times(matrix, x):
    return [dot(row, x) for row in matrix]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def phi(x, slope):
    return [v if v > 0 else a * v for v, a in zip(x, slope, strict=True)]


def step_of_one(core, x, slots):
    """Slots and output of one environment after one step, a number at a time."""
    p = {name: value.tolist() for name, value in core.named_parameters()}
    both = [v + b for v, b in zip(times(p["input.weight"], x), p["input.bias"], strict=True)]
    s, q = both[:W], both[W:]
    after = []
    for j in range(N):
        gate = sigmoid(dot(s, slots[j]) + dot(s, p["keys"][j]) + p["gate_bias"][j])
        terms = zip(
            times(p["of_slot"], slots[j]),
            times(p["of_key"], p["keys"][j]),
            times(p["of_input"], s),
            p["bias"],
            strict=True,
        )
        candidate = phi([sum(term) for term in terms], p["slope"])
        new = [h + gate * c for h, c in zip(slots[j], candidate, strict=True)]
        after.append([v / math.sqrt(dot(new, new)) for v in new])
    looks = [math.exp(dot(q, h)) for h in after]
    read = [sum(look * h[c] for look, h in zip(looks, after, strict=True)) for c in range(W)]
    read = [v / sum(looks) for v in read]
    asked = [a + b for a, b in zip(q, times(p["of_read"], read), strict=True)]
    y = times(p["output.weight"], phi(asked, p["slope"]))
    return after, [v + b for v, b in zip(y, p["output.bias"], strict=True)]


def test_a_step_matches_the_definition():
    core = build()
    x, slots = draw(B, IN), draw(B, N, W)
    state = core.initial_state(B)._replace(slots=slots)
    y, after = core.step(x, state, torch.zeros(B, dtype=torch.bool))
    for b in range(B):
        want_slots, want_y = step_of_one(core, x[b].tolist(), slots[b].tolist())
        torch.testing.assert_close(after.slots[b], torch.tensor(want_slots, dtype=y.dtype), **EXACT)
        torch.testing.assert_close(y[b], torch.tensor(want_y, dtype=y.dtype), **EXACT)


def test_gates_match_the_definition():
    s, slots, keyed = draw(B, W), draw(B, N, W), draw(B, N)
    got = keyed_gates(s, slots, keyed)
    for b in range(B):
        for j in range(N):
            want = sigmoid(dot(s[b].tolist(), slots[b, j].tolist()) + float(keyed[b, j]))
            assert math.isclose(got[b, j, 0], want, abs_tol=1e-12)


def test_unit_rows_match_the_definition_and_a_zero_row_stays_zero_with_a_gradient():
    rows = draw(B, N, W)
    rows[1, 2] = 0
    rows.requires_grad_()
    got = unit_rows(rows)
    for b in range(B):
        for j in range(N):
            row = rows[b, j].tolist()
            want = [v / max(math.sqrt(dot(row, row)), 1e-8) for v in row]
            torch.testing.assert_close(got[b, j], torch.tensor(want, dtype=got.dtype), **EXACT)
    got.sum().backward()
    assert rows.grad.isfinite().all()


def test_the_gradient_of_a_direction_has_no_part_along_it():
    rows = draw(B, N, W).requires_grad_()
    (unit_rows(rows) * draw(B, N, W)).sum().backward()
    torch.testing.assert_close((rows.grad * rows).sum(-1), torch.zeros(B, N).double(), **EXACT)


# What follows from it


def test_slots_begin_as_their_keys_and_have_length_one_ever_after():
    core = build()
    torch.testing.assert_close(core.initial_state(B).slots[1], core.keys, **EXACT)
    lengths = run(core).state.slots.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones(B, N, dtype=torch.float64))


def test_closed_gates_leave_every_direction_as_it_is():
    core = build()
    with torch.no_grad():
        core.gate_bias.fill_(-1e4)
    slots = core.initial_state(B).slots
    torch.testing.assert_close(run(core).state.slots, unit_rows(slots), **EXACT)


def test_slots_with_their_keys_in_another_order_answer_alike():
    core, order, x = build(), torch.randperm(N), draw(T, B, IN)
    want = run(core, x)
    with torch.no_grad():
        core.keys.copy_(core.keys[order].clone())
        core.gate_bias.copy_(core.gate_bias[order].clone())
    got = run(core, x)
    torch.testing.assert_close(got.y, want.y, **EXACT)
    torch.testing.assert_close(got.state.slots, want.state.slots[:, order], **EXACT)


def test_equal_keys_have_equal_slots_for_ever_and_others_do_not():
    core = build()
    with torch.no_grad():
        core.keys[4], core.gate_bias[4] = core.keys[1], core.gate_bias[1]
    slots = run(core).state.slots
    torch.testing.assert_close(slots[:, 4], slots[:, 1], **EXACT)
    assert (slots[:, 4] - slots[:, 2]).abs().amax() > 1e-3


def test_slots_do_not_see_one_another():
    core, x = build(), draw(T, B, IN)
    state = core.initial_state(B)
    other = state.slots.clone()
    other[:, 3] = draw(B, W)
    want, got = run(core, x).state.slots, run(core, x, state._replace(slots=other)).state.slots
    apart = [j for j in range(N) if j != 3]
    torch.testing.assert_close(got[:, apart], want[:, apart], **EXACT)
    assert not torch.isclose(got[:, 3], want[:, 3]).all()


def test_the_activation_begins_as_the_identity():
    """A PReLU of slope 1, as in the author's code: the signs of its input do not matter."""
    core = EntNet(IN, slots=N, word_dim=W).double()
    x = draw(5, W)
    assert core._phi(x).equal(x)
    with torch.no_grad():
        core.slope.fill_(0.25)
    assert core._phi(x).equal(torch.where(x > 0, x, 0.25 * x))


def test_gradients_are_those_of_the_formula():
    core = EntNet(2, slots=3, word_dim=2, hidden_dim=3).double()
    with torch.no_grad():
        core.slope.uniform_(0.2, 0.8)
    x = draw(3, 1, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: run(core, x).y, x)


@pytest.mark.slow
@pytest.mark.parametrize("value", slow_but([-1e4], [0.0, 1.0, 1e4, -1e4]))
def test_constant_inputs_stay_finite_with_their_gradients(value):
    core = EntNet(IN, slots=N, word_dim=W, hidden_dim=OUT)
    x, state = torch.full((200, B, IN), value), core.initial_state(B)
    with torch.no_grad():
        for _ in range(10):
            state = run(core, x, state).state
    torch.testing.assert_close(state.slots.norm(dim=-1), torch.ones(B, N))
    run(core, x[:T]).y.sum().backward()
    assert all(p.grad.isfinite().all() for p in core.parameters())


def test_diagnostics_tell_how_far_a_slot_has_come_from_its_key():
    core = build()
    shown = core.diagnostics(core.initial_state(B))["likeness_to_key"]
    torch.testing.assert_close(shown, torch.ones(B, N, dtype=torch.float64))
    assert (core.diagnostics(run(core).state)["likeness_to_key"] < 0.999).any()
