"""Allocations are counted to the byte, scratch space and what is freed again included."""

from __future__ import annotations

import torch

from memrl.bench.allocations import peak_bytes


def test_the_peak_is_what_lives_at_a_time():
    def run():
        first = torch.zeros(1000)
        second = first + 1  # 8,000 bytes live
        del first
        return second, torch.zeros(250)  # 4,000 and 1,000

    assert peak_bytes(run) in range(8000, 8100)  # a scalar is a tensor too


def test_what_lived_before_does_not_count():
    before = torch.zeros(10_000)
    assert peak_bytes(lambda: before[:7].clone()) == 28
