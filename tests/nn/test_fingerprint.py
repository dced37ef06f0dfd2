"""Fingerprints tell rows apart by every byte."""

from __future__ import annotations

import torch

from memrl.nn.fingerprint import fingerprint


def test_equal_rows_have_equal_fingerprints_and_a_changed_byte_another():
    row = torch.randint(0, 256, (1, 7, 5, 3), dtype=torch.uint8)
    rows = row.repeat(7 * 5 * 3 + 1, 1, 1, 1)
    flat = rows.view(len(rows), -1)
    for i in range(7 * 5 * 3):
        flat[i + 1, i] ^= 1
    assert len(fingerprint(rows).unique()) == len(rows)
    assert fingerprint(row)[0] == fingerprint(rows)[0]


def test_a_hundred_thousand_similar_grids_do_not_collide():
    grids = torch.zeros(100_000, 3, 11, dtype=torch.uint8)
    number = torch.arange(100_000)
    for digit in range(17):
        grids.view(100_000, -1)[:, 2 * digit % 33] += ((number >> digit) & 1).to(torch.uint8) << (
            digit % 8
        )
    distinct = len(grids.flatten(1).unique(dim=0))
    assert len(fingerprint(grids).unique()) == distinct


def test_swapped_words_differ():
    a = torch.arange(16, dtype=torch.uint8).view(1, 16)
    assert fingerprint(a) != fingerprint(a.roll(8, dims=1))


def test_numbers_of_any_width_are_hashed_by_value():
    x = torch.randn(5, 3)
    assert (fingerprint(x) == fingerprint(x.clone())).all()
    assert len(fingerprint(x).unique()) == 5
