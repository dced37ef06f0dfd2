"""Where an LRUA memory writes and looks, against the definition in plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from memrl.memory import LRUA
from memrl.memory.ops.usage import decayed_usage, first_usage, least_used, least_used_write_weights
from tests.support.random_cores import draw

T, B, IN, N, W, R, H = 5, 3, 2, 7, 11, 2, 13
EXACT = {"rtol": 0, "atol": 1e-10}


def build(**options):
    sizes = {"slots": N, "word_dim": W, "read_heads": R, "hidden_dim": H}
    core = LRUA(IN, **{**sizes, **options})
    with torch.no_grad():
        core.interface.bias += torch.randn_like(core.interface.bias)
    return core.double()


def weights(*shape):
    return draw(*shape).softmax(dim=-1)


def run(core, steps=T, state=None, rows=B):
    x, start = draw(steps, rows, IN), torch.zeros(steps, rows, dtype=torch.bool)
    return core(x, core.initial_state(rows) if state is None else state, start)


def with_gates(core, value):
    """Every σ(α) is ``value``, 0 or 1, whatever the controller says."""
    with torch.no_grad():
        core.interface.weight[-core.read_heads :] = 0
        core.interface.bias[-core.read_heads :] = 1e4 if value else -1e4
    return core


def smallest(usage, count):
    """Slots by ascending usage, the lower first among equals."""
    return sorted(range(len(usage)), key=lambda slot: (usage[slot], slot))[:count]


def test_usage_matches_the_definition():
    usage, read, written = draw(B, N).abs(), weights(B, R, N), weights(B, 3, N)
    got = decayed_usage(usage, read, written, 0.95)
    for b in range(B):
        for n in range(N):
            heads = float(sum(read[b, :, n]) + sum(written[b, :, n]))
            assert math.isclose(got[b, n], 0.95 * float(usage[b, n]) + heads, abs_tol=1e-12)


def test_no_two_slots_begin_equally_used_nor_by_more_than_a_glance():
    for dtype in (torch.float32, torch.float64):
        used = first_usage(torch.zeros(B, 1024, dtype=dtype))
        assert used.dtype == dtype
        assert (used.diff(dim=-1) > 0).all()
        assert used.max() < 1e-3


def test_usage_has_no_gradient():
    read, written = weights(B, R, N).requires_grad_(), weights(B, R, N).requires_grad_()
    assert not decayed_usage(draw(B, N), read, written, 0.95).requires_grad


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_least_used_slots_are_as_many_as_asked_for_even_when_all_are_equal(count):
    usage = draw(B, N)
    usage[0] = 0.5
    got = least_used(usage, count)
    for b in range(B):
        marked = smallest(usage[b].tolist(), count)
        assert got[b].tolist() == [float(n in marked) for n in range(N)]


def test_write_weights_match_the_definition():
    gates, read, least = draw(B, R).sigmoid(), weights(B, R, N), least_used(draw(B, N), R)
    got = least_used_write_weights(gates, read, least)
    for b in range(B):
        for r in range(R):
            g = float(gates[b, r])
            want = [g * float(read[b, r, n]) + (1 - g) * float(least[b, n]) for n in range(N)]
            torch.testing.assert_close(got[b, r], torch.tensor(want, dtype=got.dtype), **EXACT)


def cosine(a, b):
    norms = math.sqrt(sum(v * v for v in a)) * math.sqrt(sum(v * v for v in b))
    return sum(v * w for v, w in zip(a, b, strict=True)) / (norms + 1e-6)


def accessed(memory, usage, read, keys, gates, decay):
    """Memory, usage, read weights and reads of one environment after one step, in loops."""
    least = smallest(usage, R)
    write = [
        [gates[r] * read[r][n] + (1 - gates[r]) * (n in least) for n in range(N)] for r in range(R)
    ]
    new = [
        [
            (0.0 if n in least else memory[n][c]) + sum(write[r][n] * keys[r][c] for r in range(R))
            for c in range(W)
        ]
        for n in range(N)
    ]
    looks = [[math.exp(cosine(key, row)) for row in new] for key in keys]
    looks = [[look / sum(row) for look in row] for row in looks]
    reads = [[sum(looks[r][n] * new[n][c] for n in range(N)) for c in range(W)] for r in range(R)]
    used = [decay * usage[n] + sum(looks[r][n] + write[r][n] for r in range(R)) for n in range(N)]
    return new, used, looks, reads


def test_a_step_matches_the_definition():
    core = build(usage_decay=0.9)
    before = run(core).state
    x = draw(B, IN)
    y, after = core.step(x, before, torch.zeros(B, dtype=torch.bool))

    h = after.controller.h
    asked = core.interface(h)
    keys, gates = asked[:, : R * W].tanh().view(B, R, W), asked[:, R * W :].sigmoid()
    for b in range(B):
        parts = (before.memory, before.usage, before.read_weights, keys, gates)
        want = accessed(*(part[b].tolist() for part in parts), 0.9)
        got = (after.memory[b], after.usage[b], after.read_weights[b], after.reads[b])
        for one, other in zip(got, want, strict=True):
            torch.testing.assert_close(one, torch.tensor(other, dtype=one.dtype), **EXACT)
    heard = torch.cat([h, after.reads.flatten(1)], dim=-1)
    torch.testing.assert_close(y, core.output(heard), **EXACT)


def test_the_controller_hears_the_reads_of_the_step_before():
    core, state = build(), run(build()).state
    x, start = draw(B, IN), torch.zeros(B, dtype=torch.bool)
    h = core.step(x, state, start)[1].controller.h
    deaf = core.step(x, state._replace(reads=torch.zeros_like(state.reads)), start)[1].controller.h
    assert not torch.isclose(h, deaf).all()
    blind = core.step(x, state._replace(memory=torch.zeros_like(state.memory)), start)[1]
    torch.testing.assert_close(blind.controller.h, h, **EXACT)


# What follows from it


def test_closed_gates_fill_the_slots_one_after_the_other():
    core = with_gates(build(read_heads=1), 0)
    state, start = core.initial_state(B), torch.zeros(B, dtype=torch.bool)
    for t in range(N):
        state = core.step(draw(B, IN), state, start)[1]
        filled = state.memory.abs().sum(dim=-1) > 0
        assert filled.tolist() == [[n <= t for n in range(N)]] * B


def test_a_closed_gate_replaces_the_least_used_slot_alone():
    core = with_gates(build(read_heads=1), 0)
    before = run(core, steps=2 * N).state
    after = run(core, steps=1, state=before).state
    changed = (after.memory != before.memory).any(dim=-1)
    assert changed.equal(least_used(before.usage, 1).bool())
    assert (after.memory.abs() <= 1).all()  # a key, and nothing of what was there before


def test_an_open_gate_adds_where_it_looked_last_and_forgets_the_least_used():
    core = with_gates(build(), 1)
    before = run(core).state
    after = run(core, steps=1, state=before).state
    keys = core.interface(after.controller.h)[:, : R * W].tanh().view(B, R, W)
    kept = before.memory * (1 - least_used(before.usage, R)).unsqueeze(-1)
    want = kept + torch.einsum("brn,brw->bnw", before.read_weights, keys)
    torch.testing.assert_close(after.memory, want, **EXACT)


def test_what_is_used_longest_ago_goes_first():
    core = with_gates(build(read_heads=1, usage_decay=0.5), 0)
    state = core.initial_state(1)
    for t in range(3 * N):
        assert least_used(state.usage, 1).argmax() == t % N
        state = run(core, steps=1, state=state, rows=1).state


def test_no_slot_gets_more_than_e_squared_times_the_attention_of_another():
    looks = run(build(), steps=20).state.read_weights
    torch.testing.assert_close(looks.sum(-1), torch.ones(B, R, dtype=torch.float64))
    assert (looks.amax(-1) / looks.amin(-1) <= math.e**2 + 1e-9).all()


def test_as_many_heads_as_slots_are_refused():
    with pytest.raises(ValueError, match="read_heads is 7; allowed: below slots, 7"):
        build(read_heads=7)


def test_step_diagnostics_are_what_the_step_writes_with():
    core = build()
    before, x = run(core).state, draw(1, B, IN)
    after = core(x, before, torch.zeros(1, B, dtype=torch.bool)).state
    told, edit = core.step_diagnostics(x[0], before), core.edit(x[0], before, after)
    torch.testing.assert_close(
        edit.keep[..., 0], 1 - told["allocation_weights"], check_dtype=False, **EXACT
    )
    by_usage = told["write_gates"][..., None] * before.read_weights
    least = (1 - told["write_gates"][..., None]) * told["allocation_weights"][:, None]
    torch.testing.assert_close(told["write_weights"], by_usage + least, check_dtype=False, **EXACT)
