"""The benchmark of a dictionary that is split over ranks."""

from __future__ import annotations

import pytest

from memrl.bench.store import bench_store


@pytest.mark.slow
def test_two_ranks_find_what_one_process_finds_with_half_of_the_store_each():
    rows = bench_store(keys=4000, key_dim=7, queries=6, neighbours=5, repeats=1)
    assert list(rows) == ["1", "2"]
    assert rows["2"]["equal"] == 1.0
    assert rows["1"]["received_bytes"] == 0 < rows["2"]["received_bytes"]
    arrays = 2 * 4 * (7 + 1)  # bytes of a key and a value with their squares; the clock is at both
    assert rows["1"]["stored_bytes"] - rows["2"]["stored_bytes"] == 2000 * arrays
    assert all(row["seconds"] > 0 for row in rows.values())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"keys": 3, "neighbours": 5}, "keys=3, allowed: at least neighbours=5"),
        ({"queries": 7, "ranks": 2}, "queries=7, allowed: a multiple of ranks=2"),
    ],
    ids=["keys", "queries"],
)
def test_sizes_that_do_not_fit_are_told_before_a_process_starts(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        bench_store(**options)
