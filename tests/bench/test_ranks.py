"""Several processes beside one: what is made of the measurements."""

from __future__ import annotations

import pytest

from memrl.bench import ranks
from memrl.errors import RunError


def test_the_speed_of_the_ranks_is_compared_with_that_of_one(monkeypatch):
    given = iter(
        [(100.0, 0.0), (90.0, 0.0), (150.0, 0.1), (110.0, 0.0), (99.0, 0.0), (190.0, 0.3)]
        + [(100.0, 0.0), (95.0, 0.0), (180.0, 0.2)]
    )
    monkeypatch.setattr(ranks, "_measure", lambda *_: next(given))
    row = ranks.bench_ranks(ranks=2, windows=3)
    assert row["env_steps_per_s"] == 100
    assert row["ratio"] == pytest.approx(1.8)
    assert row["overhead"] == pytest.approx(0.05)
    assert row["waiting"] == pytest.approx(0.2)


@pytest.mark.slow
def test_a_run_that_fails_says_why():
    with pytest.raises(RunError, match="unknown memory 'gruu'|gruu"):
        ranks.bench_ranks(memory="gruu", windows=1)
