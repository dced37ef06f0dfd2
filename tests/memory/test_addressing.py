"""Addressing against its definitions, in plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from memrl.memory.ops.addressing import (
    content_weights,
    entropy,
    masked_content_weights,
    sharpen,
    shift,
    write,
)

B, N, W, H = 3, 7, 2, 5


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def distribution(*shape):
    return normal(*shape).softmax(dim=-1)


def close(got, want, **tolerance):
    torch.testing.assert_close(got, torch.as_tensor(want, dtype=torch.float64), **tolerance)


def test_content_weights_match_the_definition():
    keys, strengths, memory = normal(B, H, W), normal(B, H).exp(), normal(B, N, W)
    for b in range(B):
        for h in range(H):
            scores = []
            for n in range(N):
                dot = sum(keys[b, h, w] * memory[b, n, w] for w in range(W))
                norms = math.hypot(*keys[b, h]) * math.hypot(*memory[b, n])
                scores.append(math.exp(strengths[b, h] * dot / (norms + 1e-6)))
            want = [score / sum(scores) for score in scores]
            close(content_weights(keys, strengths, memory)[b, h], want)


def test_a_strong_key_finds_its_row():
    memory = torch.eye(N, dtype=torch.float64).expand(B, N, N)
    found = content_weights(memory[:, 3:4], torch.full((B, 1), 100.0).double(), memory)
    close(found, torch.eye(N)[3].expand(B, 1, N), rtol=0, atol=1e-10)


def test_a_zero_memory_gives_uniform_weights_and_finite_gradients():
    memory = torch.zeros(B, N, W, dtype=torch.float64, requires_grad=True)
    weights = content_weights(normal(B, H, W), normal(B, H).exp(), memory)
    close(weights, torch.full((B, H, N), 1 / N))
    (gradient,) = torch.autograd.grad((weights * normal(B, H, N)).sum(), memory)
    assert gradient.isfinite().all()


def test_masked_content_weights_match_the_definition():
    keys, strengths, memory = normal(B, H, W), normal(B, H).exp(), normal(B, N, W)
    masks = normal(B, H, W).sigmoid()
    for b in range(B):
        for h in range(H):
            key = [keys[b, h, w] * masks[b, h, w] for w in range(W)]
            scores = []
            for n in range(N):
                row = [memory[b, n, w] * masks[b, h, w] for w in range(W)]
                dot = sum(k * m for k, m in zip(key, row, strict=True))
                norms = math.hypot(*key) * math.hypot(*row)
                scores.append(math.exp(strengths[b, h] * dot / (norms + 1e-6)))
            want = [score / sum(scores) for score in scores]
            close(masked_content_weights(keys, masks, strengths, memory)[b, h], want)


def test_a_row_is_found_by_a_part_of_it():
    """The example of the paper: the unknown part of a row outweighs the part that is known."""
    key, mask = torch.tensor([[[0.0, 1, 1]]]).double(), torch.tensor([[[0.0, 1, 1]]]).double()
    memory, strong = torch.tensor([[[10.0, 1, 1], [1, 1, 0.1]]]).double(), torch.tensor([[99.0]])
    assert content_weights(key, strong.double(), memory).argmax() == 1
    assert masked_content_weights(key, mask, strong.double(), memory)[0, 0, 0] > 0.99


def test_an_open_mask_changes_nothing_and_a_zero_memory_is_looked_at_evenly():
    keys, strengths, memory = normal(B, H, W), normal(B, H).exp(), normal(B, N, W)
    memory[:, ::2] = 0
    memory.requires_grad_()
    weights = masked_content_weights(keys, torch.ones_like(keys), strengths, memory)
    close(weights, content_weights(keys, strengths, memory))
    (gradient,) = torch.autograd.grad((weights * normal(B, H, N)).sum(), memory)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("size", [1, 3, 5])
def test_shift_matches_the_definition(size):
    weights, kernel, reach = distribution(B, H, N), distribution(B, H, size), size // 2
    want = torch.zeros(B, H, N, dtype=torch.float64)
    for i in range(N):
        for j, offset in enumerate(range(-reach, reach + 1)):
            want[:, :, i] += weights[:, :, (i - offset) % N] * kernel[:, :, j]
    close(shift(weights, kernel), want)


def test_a_shift_by_plus_one_moves_to_the_next_slot():
    kernel = torch.tensor([0.0, 0.0, 1.0]).double().expand(B, H, 3)
    weights = distribution(B, H, N)
    close(shift(weights, kernel), weights.roll(1, dims=-1), rtol=0, atol=0)


@pytest.mark.parametrize("size", [2, 9])
def test_a_kernel_that_is_even_or_too_wide_is_refused(size):
    with pytest.raises(ValueError, match=f"the shift kernel has size {size}; allowed: odd"):
        shift(distribution(B, H, N), distribution(B, H, size))


def test_sharpen_matches_the_definition():
    weights, power = distribution(B, H, N), 1 + normal(B, H).exp()
    raised = weights ** power.unsqueeze(-1)
    close(sharpen(weights, power), raised / raised.sum(-1, keepdim=True), rtol=0, atol=1e-6)


def test_extreme_sharpening_picks_the_largest():
    weights = distribution(B, H, N)
    one_hot = torch.nn.functional.one_hot(weights.argmax(-1), N).double()
    close(sharpen(weights, torch.full((B, H), 1e4).double()), one_hot, rtol=0, atol=1e-3)


def test_sharpening_a_zero_has_finite_gradients():
    weights = torch.eye(N, dtype=torch.float64)[:H].repeat(B, 1, 1).requires_grad_()
    sharp = sharpen(weights, torch.ones(B, H, dtype=torch.float64))
    close(sharp, weights.detach(), rtol=0, atol=1e-6)
    (gradient,) = torch.autograd.grad((sharp * normal(B, H, N)).sum(), weights)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("heads", [1, 2])
def test_write_matches_the_definition(heads):
    memory, weights = normal(B, N, W), distribution(B, heads, N)
    erase, add = normal(B, heads, W).sigmoid(), normal(B, heads, W)
    want = memory.clone()
    for b in range(B):
        for n in range(N):
            for w in range(W):
                for h in range(heads):
                    want[b, n, w] *= 1 - weights[b, h, n] * erase[b, h, w]
                want[b, n, w] += sum(weights[b, h, n] * add[b, h, w] for h in range(heads))
    close(write(memory, weights, erase, add), want)


def test_a_full_write_replaces_a_row_and_no_other():
    memory, one_hot = normal(B, N, W), torch.eye(N, dtype=torch.float64)[2].expand(B, 1, N)
    add = normal(B, 1, W)
    after = write(memory, one_hot, torch.ones_like(add), add)
    close(after[:, 2], add[:, 0])
    close(after[:, :2], memory[:, :2], rtol=0, atol=0)
    close(torch.bmm(one_hot, after), add)  # what is read there is what was written


def test_writing_nothing_changes_nothing():
    memory, zero = normal(B, N, W), torch.zeros(B, 1, W, dtype=torch.float64)
    close(write(memory, distribution(B, 1, N), zero, zero), memory, rtol=0, atol=0)


def test_addressing_turns_with_the_memory():
    memory, old, kernel = normal(B, N, W), distribution(B, H, N), distribution(B, H, 3)
    keys, strengths, power = normal(B, H, W), normal(B, H).exp(), 1 + normal(B, H).exp()

    def address(memory, old):
        mixed = 0.5 * content_weights(keys, strengths, memory) + 0.5 * old
        return sharpen(shift(mixed, kernel), power)

    turned = address(memory.roll(2, dims=1), old.roll(2, dims=-1))
    close(turned, address(memory, old).roll(2, dims=-1))


def test_entropy_is_zero_for_one_slot_and_log_n_for_all():
    close(entropy(torch.eye(N, dtype=torch.float64)), torch.zeros(N))
    close(entropy(torch.full((B, N), 1 / N).double()), torch.full((B,), math.log(N)).double())


@pytest.mark.slow
def test_shapes_are_checked_while_testing():
    with pytest.raises(Exception, match="Type-check"):
        shift(distribution(B, N), distribution(B, H, 3))
