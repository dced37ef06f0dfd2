"""Edits in place and their gradient, against copies of the whole memory at every step."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from memrl.memory.ops.edits import Edits
from tests.support.random_cores import draw

T, B, N, W, A = 5, 3, 11, 2, 7


def plan(steps=T):
    """What to touch at each step; slots repeat within a step and between steps."""
    return [
        (torch.randint(0, N, (B, A)), torch.rand(B) < 0.3, torch.randint(0, N, (B, A)))
        for _ in range(steps)
    ]


def edited(memory, adds, keeps, steps):
    """Words read at every step, and the memory at last."""
    edits, reads = Edits(memory), []
    for add, keep, (slots, fresh, looks) in zip(adds, keeps, steps, strict=True):
        scale = reads[-1].sum((1, 2)).tanh() if reads else 1  # what is read steers what is written
        edits.write(slots, add * (1 + scale.view(-1, 1, 1) if reads else 1), keep, fresh)
        reads.append(edits.read(looks))
    return torch.stack(reads), edits.finish()


def copied(memory, adds, keeps, steps):
    """The same by a new memory at every step."""
    reads = []
    for add, keep, (slots, fresh, looks) in zip(adds, keeps, steps, strict=True):
        scale = reads[-1].sum((1, 2)).tanh() if reads else 1
        add = add * (1 + scale.view(-1, 1, 1) if reads else 1)
        rows = []
        for b in range(B):
            words = list(memory[b].unbind())
            last = slots[b, -1]
            words[last] = torch.zeros(W, dtype=torch.float64) if fresh[b] else words[last] * keep[b]
            for a in range(A):
                words[slots[b, a]] = words[slots[b, a]] + add[b, a]
            rows.append(torch.stack(words))
        memory = torch.stack(rows)
        reads.append(torch.stack([memory[b, looks[b]] for b in range(B)]))
    return torch.stack(reads), memory


def leaves():
    return [leaf.requires_grad_() for leaf in (draw(B, N, W), draw(T, B, A, W), draw(T, B))]


def gradients(way, inputs, steps, *, of_reads=True, of_memory=True):
    reads, memory = way(*inputs, steps)
    loss = (reads.cos() * of_reads).sum() + (memory.sin() * of_memory).sum()
    return torch.autograd.grad(loss, inputs, retain_graph=True)


def close(got, want):
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_values_are_those_of_a_new_memory_at_every_step():
    inputs, steps = leaves(), plan()
    close(edited(*inputs, steps), copied(*inputs, steps))
    with torch.no_grad():
        close(edited(*inputs, steps), copied(*inputs, steps))


@pytest.mark.parametrize(("of_reads", "of_memory"), [(True, True), (True, False), (False, True)])
def test_gradients_are_those_of_a_new_memory_at_every_step(of_reads, of_memory):
    inputs, steps = leaves(), plan()
    chosen = {"of_reads": of_reads, "of_memory": of_memory}
    close(gradients(edited, inputs, steps, **chosen), gradients(copied, inputs, steps, **chosen))


@pytest.mark.slow
def test_gradients_pass_gradcheck():
    inputs, steps = leaves(), plan()
    assert torch.autograd.gradcheck(lambda *given: edited(*given, steps), inputs)


def test_a_second_backward_pass_begins_anew():
    inputs, steps = leaves(), plan()
    reads, memory = edited(*inputs, steps)
    expected_reads, expected = copied(*inputs, steps)
    wanted = [reads[1].sum(), memory.sum(), reads[-1].prod(dim=-1).sum(), reads.sum()]
    oracle = [
        expected_reads[1].sum(),
        expected.sum(),
        expected_reads[-1].prod(dim=-1).sum(),
        expected_reads.sum(),
    ]
    for loss, other in zip(wanted + wanted[::-1], oracle + oracle[::-1], strict=True):
        options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        close(
            torch.autograd.grad(loss, inputs, **options),
            torch.autograd.grad(other, inputs, **options),
        )


def test_a_gradient_of_some_inputs_alone_is_the_same():
    inputs, steps = leaves(), plan()
    whole = gradients(edited, inputs, steps)
    reads, memory = edited(*inputs, steps)
    loss = reads.cos().sum() + memory.sin().sum()
    for one, want in zip(inputs, whole, strict=True):
        (got,) = torch.autograd.grad(loss, one, retain_graph=True)
        torch.testing.assert_close(got, want)


def test_a_memory_that_wants_no_gradient_gets_none():
    memory, adds, keeps = leaves()
    reads, after = edited(memory.detach(), adds, keeps, plan())
    (reads.sum() + after.sum()).backward()
    assert memory.grad is None
    assert adds.grad is not None


def test_neither_the_memory_before_nor_the_one_after_changes_in_the_backward_pass():
    inputs, steps = leaves(), plan()
    before = inputs[0].detach().clone()
    reads, memory = edited(*inputs, steps)
    after = memory.detach().clone()
    (reads.cos().sum() + memory.sin().sum()).backward()
    assert inputs[0].detach().equal(before)
    assert memory.detach().equal(after)
    again = edited(memory.detach(), *inputs[1:], steps)[0]
    close([again], [copied(after, *inputs[1:], steps)[0]])


def test_a_fresh_word_hides_what_was_there_even_nan():
    memory, adds, keeps = leaves()
    steps = [(torch.full((B, A), 4), torch.ones(B, dtype=torch.bool), torch.full((B, A), 4))]
    with torch.no_grad():
        memory[:, 4] = torch.nan
    reads, _ = edited(memory, adds[:1], keeps[:1], steps)
    found = torch.autograd.grad(reads.sum(), (memory, adds, keeps))
    assert reads.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in found)


def test_what_is_kept_does_not_grow_with_the_memory():
    kept = []
    for size in (N, 100 * N):
        stored = []

        def pack(saved, stored=stored):
            stored.append(saved.numel())
            return saved

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
            memory = draw(B, size, W).requires_grad_()
            edited(memory, draw(T, B, A, W).requires_grad_(), draw(T, B), plan())
        kept.append(sum(stored))
    assert kept[0] == kept[1]


def test_a_history_that_nobody_holds_is_freed_at_once():
    gc.disable()
    try:
        inputs = leaves()
        edits = Edits(inputs[0])
        edits.write(plan()[0][0], inputs[1][0], inputs[2][0], torch.zeros(B, dtype=torch.bool))
        memory, seen = edits.finish(), weakref.ref(edits)
        del edits, memory
        assert seen() is None
    finally:
        gc.enable()
