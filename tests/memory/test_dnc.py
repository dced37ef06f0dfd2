"""What a DNC does to its slots."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from memrl.memory import DNC, MemoryCore
from memrl.memory.ops.addressing import content_weights, masked_content_weights
from memrl.memory.ops.allocation import allocation_weights
from memrl.memory.state import leaves, map_state

T, B, IN, N, W, R = 5, 3, 2, 7, 11, 2
# Where the scalars of the interface lie in its bias, from the end.
WRITE_GATE, ALLOCATION_GATE = -1, -2


def build(**options):
    sizes = {"slots": N, "word_dim": W, "read_heads": R, "hidden_dim": 13}
    return DNC(IN, **{**sizes, **options}).double()


def force(core, **gates):
    """Hold gates at a value, whatever the controller says: weights to zero, bias to ±20."""
    with torch.no_grad():
        for name, value in gates.items():
            core.interface.weight[globals()[name]] = 0
            core.interface.bias[globals()[name]] = value


def modes(core, mode):
    """Let every read head use one mode only: 0 backward, 1 content, 2 forward."""
    begin = sum(core.sizes.parts[:2])
    with torch.no_grad():
        core.interface.weight[begin : begin + 3 * core.read_heads] = 0
        bias = torch.full((core.read_heads, 3), -1e3, dtype=torch.float64)
        bias[:, mode] = 1e3
        core.interface.bias[begin : begin + 3 * core.read_heads] = bias.flatten()


def run(core, state=None, steps=T, x=None):
    x = torch.randn(steps, B, IN, dtype=torch.float64) if x is None else x
    start = torch.zeros(len(x), B, dtype=torch.bool)
    return core(x, core.initial_state(B) if state is None else state, start)


def alone(core, state):
    """The state of a single row one random step later."""
    x, start = torch.randn(1, IN, dtype=torch.float64), torch.zeros(1, dtype=torch.bool)
    return core.step(x, state, start)[1]


def test_the_interface_is_as_wide_as_the_paper_says():
    assert build().interface.out_features == R * W + 3 * W + 5 * R + 3


def test_weights_stay_in_the_simplex():
    state = run(build(), steps=29).state
    for weights in (state.write_weights, state.precedence, state.read_weights):
        assert (weights >= 0).all()
        assert (weights.sum(dim=-1) <= 1 + 1e-12).all()
    assert ((state.usage >= 0) & (state.usage <= 1)).all()
    assert (state.link.sum(dim=-1) <= 1 + 1e-12).all()
    assert not state.link.diagonal(dim1=1, dim2=2).any()


def test_reads_are_of_the_memory_after_the_write():
    state = run(build()).state
    want = torch.einsum("brn,bnw->brw", state.read_weights, state.memory)
    torch.testing.assert_close(state.reads, want)


def test_a_closed_write_gate_leaves_memory_and_links_alone():
    core = build()
    before = run(core).state
    force(core, WRITE_GATE=-1e3)
    # The interface is clipped to ±20: a closed gate writes 2e-9.
    after = run(core, before).state
    for name in ("memory", "link", "precedence"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name), rtol=0, atol=1e-6)


def test_the_first_writes_visit_every_slot_once():
    core = build()
    force(core, WRITE_GATE=1e3, ALLOCATION_GATE=1e3)
    with torch.no_grad():  # close the free gates
        core.interface.weight[-2 - R : -2], core.interface.bias[-2 - R : -2] = 0, -1e3
    state, visited = core.initial_state(B), []
    for _ in range(N):
        state = run(core, state, steps=1).state
        visited.append(state.write_weights.argmax(dim=-1))
        assert (state.write_weights.amax(dim=-1) > 0.99).all()
    assert all(sorted(row) == list(range(N)) for row in torch.stack(visited, dim=1).tolist())


def test_a_linked_list_is_walked_forward():
    core = build(read_heads=1)
    force(core, WRITE_GATE=1e3, ALLOCATION_GATE=1e3)
    with torch.no_grad():
        core.interface.weight[-3], core.interface.bias[-3] = 0, -1e3
    state, order = core.initial_state(1), []
    for _ in range(4):
        state = alone(core, state)
        order.append(state.write_weights.argmax().item())
    force(core, WRITE_GATE=-1e3)
    modes(core, 2)
    first = torch.eye(N, dtype=torch.float64)[order[0]].expand(1, 1, N)
    state = state._replace(read_weights=first)
    for slot in order[1:]:
        state = alone(core, state)
        assert state.read_weights[0, 0, slot] > 0.99


def test_without_allocation_and_links_it_writes_and_reads_by_content():
    core = build(read_heads=1)
    force(core, ALLOCATION_GATE=-1e3)
    modes(core, 1)
    before = run(core).state
    x = torch.randn(1, B, IN, dtype=torch.float64)
    after = run(core, before, x=x).state
    ask = core._interface(core.interface(after.controller.h))
    want = content_weights(ask.keys[:, 1:], ask.strengths[:, 1:], before.memory)[:, 0]
    close = {"rtol": 0, "atol": 1e-7}  # the clipped gates leave 2e-9 of the rest
    torch.testing.assert_close(after.write_weights, ask.write_gate * want, **close)
    want = content_weights(ask.keys[:, :1], ask.strengths[:, :1], after.memory)
    torch.testing.assert_close(after.read_weights, want, **close)


def test_unused_slots_do_not_matter_where_allocation_decides():
    """Following links over allocated slots gives the same with more slots than were written."""
    outputs = []
    x = torch.randn(T, B, IN, dtype=torch.float64)
    for slots in (N, 2 * N):
        torch.manual_seed(1)
        core = build(slots=slots)
        force(core, WRITE_GATE=1e3, ALLOCATION_GATE=1e3)
        modes(core, 0)
        state = core.initial_state(B)
        state.read_weights[:, :, 0] = 1
        outputs.append(run(core, state, x=x).y)
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-4)


OPTIONS = ("masking", "deallocation", "link_sharpness")
EXACT = {"rtol": 0, "atol": 1e-12}


def one_step(**options):
    """A core, its state after some steps, what it then asks for, and the state one step later."""
    core = build(**options)
    before = run(core).state
    after = run(core, before, steps=1).state
    return core, before, core._interface(core.interface(after.controller.h)), after


def test_options_widen_the_interface_only_by_what_they_ask_for():
    plain = build().interface.out_features
    wider = [build(**{name: True}).interface.out_features - plain for name in OPTIONS]
    assert wider == [(R + 1) * W, 0, 2 * R]


def test_masked_looks_see_what_the_masks_let_through():
    core, before, _, _ = one_step(masking=True)
    modes(core, 1)
    force(core, ALLOCATION_GATE=-1e3)
    after = run(core, before, steps=1).state
    ask = core._interface(core.interface(after.controller.h))
    assert ((ask.masks > 0) & (ask.masks < 1)).all()
    looks = [keys.split([R, 1], dim=1) for keys in (ask.keys, ask.masks)]
    strengths = ask.strengths.split([R, 1], dim=1)
    for head, memory, got in (
        (0, after.memory, after.read_weights),
        (1, before.memory, after.write_weights.unsqueeze(1)),
    ):
        keys, masks = (part[head] for part in looks)
        want = masked_content_weights(keys, masks, strengths[head], memory)
        want = want * ask.write_gate.unsqueeze(1) if head else want
        torch.testing.assert_close(got, want, rtol=0, atol=1e-7)  # clipped gates leave 2e-9


def test_deallocation_erases_what_is_freed():
    _, before, ask, after = one_step(deallocation=True)
    want = torch.empty_like(before.memory)
    for b in range(B):
        for n in range(N):
            kept = 1.0
            for h in range(R):
                kept *= 1 - ask.free_gates[b, h] * before.read_weights[b, h, n]
            for w in range(W):
                written = after.write_weights[b, n]
                old = before.memory[b, n, w] * kept * (1 - written * ask.erase[b, 0, w])
                want[b, n, w] = old + written * ask.add[b, 0, w]
    torch.testing.assert_close(after.memory, want, **EXACT)


def test_links_are_followed_sharply():
    core, before, _, _ = one_step(link_sharpness=True)
    for mode in (0, 2):
        modes(core, mode)
        after = run(core, before, steps=1).state
        ask = core._interface(core.interface(after.controller.h))
        assert (ask.sharpness > 1).all()
        want = torch.empty(B, R, N, dtype=torch.float64)
        for b in range(B):
            for h in range(R):
                s = ask.sharpness[b, h + (R if mode else 0)].item()
                link = after.link[b] if mode else after.link[b].T
                looked = before.read_weights[b, h]
                d = [sum(link[n, j] * looked[j] for j in range(N)).item() + 1e-6 for n in range(N)]
                powers = [(each / max(d)) ** s for each in d]
                want[b, h] = torch.tensor(powers).double() / sum(powers)
        torch.testing.assert_close(after.read_weights, want, rtol=0, atol=1e-7)


@pytest.mark.slow
def test_the_repairs_stay_finite_with_their_gradients():
    core = build(**dict.fromkeys(OPTIONS, True)).float()
    for x in (torch.zeros(97, B, IN), torch.full((97, B, IN), 1e4), torch.ones(97, B, IN)):
        core.zero_grad()
        run(core, x=x).y.sum().backward()
        assert all(p.grad.isfinite().all() for p in core.parameters())


def test_a_feedforward_controller_carries_nothing_but_the_memory():
    core = build(controller="feedforward")
    assert core.initial_state(B).controller == ()
    core.silence("reads")
    x = torch.randn(T, B, IN, dtype=torch.float64)
    y = run(core, x=x).y
    torch.testing.assert_close(run(core, x=x.flip(0)).y.flip(0), y)


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("starts", ["none", "some", "all"])
def test_a_sequence_in_one_operation_equals_the_loop_with_every_gradient(starts, heads):
    core = build(read_heads=heads)
    with torch.no_grad():
        core.interface.weight *= 3
        core.interface.bias[::5] = 21  # beyond the clip
    x = torch.randn(T, B, IN, dtype=torch.float64, requires_grad=True)
    start = torch.full((T, B), starts == "all")
    start[2, 1] = start[3] = starts != "none"
    state = map_state(lambda leaf: leaf.detach().requires_grad_(), run(core, steps=7).state)
    inputs = [x, *leaves(state), *core.parameters()]
    results = []
    for forward in (core.__call__, partial(MemoryCore.forward, core)):
        out = forward(x, state, start)
        loss = sum(
            (leaf * torch.linspace(-1, 1, leaf.numel()).view_as(leaf)).sum()
            for leaf in (out.y, *leaves(out.state))
        )
        found = torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)
        results.append((out.y, leaves(out.state), found))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-11)


def test_a_sequence_in_one_operation_equals_the_loop_from_an_empty_memory():
    """Where norms are zero, usage is tied, and single precision has to do."""
    core = build().float()
    x, start = torch.randn(T, B, IN), torch.zeros(T, B, dtype=torch.bool)
    grads = []
    for forward in (core.__call__, partial(MemoryCore.forward, core)):
        y = forward(x, core.initial_state(B), start).y
        grads.append((y, torch.autograd.grad(y.square().sum(), list(core.parameters()))))
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_the_formula():
    """Where the stopped gradient from usage into the write plays no part: no allocation."""
    core = DNC(2, slots=4, word_dim=3, hidden_dim=3).double()
    force(core, ALLOCATION_GATE=-1e3)
    start = torch.zeros(3, 1, dtype=torch.bool)
    x = torch.randn(3, 1, 2, dtype=torch.float64, requires_grad=True)
    state = core.initial_state(1)
    state = state._replace(memory=torch.randn_like(state.memory))
    assert torch.autograd.gradcheck(lambda x: core(x, state, start).y, x, atol=1e-4)


def test_extreme_inputs_stay_finite_with_their_gradients():
    core = build()
    x = 1e6 * torch.randn(T, B, IN, dtype=torch.float64)
    run(core, x=x).y.sum().backward()
    assert all(p.grad.isfinite().all() for p in core.parameters())


@pytest.mark.parametrize("options", [{}, {"controller": "feedforward"}])
def test_step_diagnostics_are_what_the_step_writes_with(options):
    core = build(**options)
    before = run(core).state
    x = torch.randn(1, B, IN, dtype=torch.float64)
    after = run(core, before, x=x).state
    told = core.step_diagnostics(x[0], before)
    torch.testing.assert_close(told["allocation_weights"], allocation_weights(after.usage))
    by_content = after.write_weights / told["write_gate"]
    by_content = by_content - told["allocation_gate"] * told["allocation_weights"]
    by_content = by_content / (1 - told["allocation_gate"])
    torch.testing.assert_close(by_content.sum(-1), torch.ones(B, dtype=torch.float64))
    assert (by_content > 0).all()
