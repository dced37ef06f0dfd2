"""A replay beyond its limit lies on disk, holds the same, and asks for room before it takes any."""

from __future__ import annotations

import os

import pytest
import torch
from test_sequences import build, drawn, fill

from memrl.replay import spill
from memrl.replay.ring import in_memory
from memrl.replay.spill import MappedFiles, allocator, nbytes

CPU = torch.device("cpu")


def test_bytes_are_those_of_the_arrays():
    example = {"a": torch.zeros(1, 3, 5), "b": torch.zeros(1, 3, dtype=torch.bool)}
    assert nbytes(7, example) == 7 * (15 * 4 + 3)


def test_a_replay_beyond_the_limit_is_mapped_and_leaves_no_file(tmp_path):
    build(memory_limit=1e-9, folder=tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float64])
def test_a_mapped_array_begins_with_zeros_and_keeps_what_is_written(tmp_path, dtype):
    array = MappedFiles(tmp_path, 1000)("x", (7, 3), dtype, CPU)
    assert not array.any()
    array[2:5] = 1
    assert array.sum() == 9


def test_a_spilled_replay_draws_the_same(tmp_path):
    here, there = fill(build(), 29), fill(build(memory_limit=1e-9, folder=tmp_path), 29)
    a, b = drawn(here), drawn(there)
    assert torch.equal(a.steps["wide"], b.steps["wide"])
    assert torch.equal(a.state.h, b.state.h)


def test_a_spilled_replay_is_saved_and_loaded_to_the_bit(tmp_path):
    there, here = fill(build(memory_limit=1e-9, folder=tmp_path), 29), build()
    here.load_state_dict(there.state_dict())
    assert torch.equal(drawn(here).steps["wide"], drawn(there).steps["wide"])


def test_below_the_limit_it_lies_in_memory(tmp_path):
    assert allocator(10**6, 0.001, tmp_path, CPU) is in_memory
    assert isinstance(allocator(10**6 + 1, 0.001, tmp_path, CPU), MappedFiles)


def test_more_than_the_memory_is_a_sentence_before_anything_is_allocated():
    with pytest.raises(
        ValueError, match=r"the replay needs 1e\+09 GB; allowed: .* the free memory"
    ):
        allocator(10**18, None, None, CPU)


def test_more_than_the_disk_is_a_sentence_before_anything_is_allocated(tmp_path):
    with pytest.raises(ValueError, match=r"needs .* GB; allowed: .* GB, the free space in"):
        allocator(10**18, 1.0, tmp_path, CPU)
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_up_in_between_is_a_sentence(tmp_path, monkeypatch):
    def full(handle, offset, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spill.os, "posix_fallocate", full, raising=False)
    with pytest.raises(ValueError, match=r"cannot spill 8e-08 GB to .*: No space left"):
        MappedFiles(tmp_path, 80)("x", (10,), torch.int64, CPU)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="allowed: an existing folder"):
        allocator(2000, 1e-6, tmp_path / "missing", CPU)


def test_an_accelerator_does_not_spill(tmp_path):
    with pytest.raises(ValueError, match="a replay on cuda:0 cannot spill to disk"):
        allocator(2000, 1e-6, tmp_path, torch.device("cuda:0"))
