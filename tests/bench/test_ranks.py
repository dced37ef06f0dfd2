"""Several processes beside one: what is made of the measurements."""

from __future__ import annotations

import pytest

from memrl.bench import ranks
from memrl.errors import RunError


def test_the_speed_of_the_ranks_is_compared_with_that_of_one(monkeypatch):
    alone, grouped, many = [100.0, 110.0, 100.0], [90.0, 99.0, 95.0], [150.0, 190.0, 180.0]
    shares = [0.1, 0.3, 0.2]
    windows = zip(alone, grouped, many, shares, strict=True)
    given = iter([run for a, g, m, s in windows for run in ((a, 0.0), (g, 0.0), (m, s))])
    monkeypatch.setattr(ranks, "_measure", lambda *_: next(given))
    row = ranks.bench_ranks(ranks=2, windows=3)
    assert row["env_steps_per_s"] == 100
    assert row["ratio"] == pytest.approx(1.8)
    assert row["overhead"] == pytest.approx(0.05)
    assert row["waiting"] == pytest.approx(0.2)


@pytest.mark.slow
def test_a_run_that_fails_says_why():
    with pytest.raises(RunError, match="gruu"):
        ranks.bench_ranks(memory="gruu", windows=1)
