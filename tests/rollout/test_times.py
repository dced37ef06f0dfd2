from __future__ import annotations

import pytest
from run_fakes import Clock

from memrl.rollout.times import Times


def spend(times, clock, part, seconds):
    with times.of(part):
        clock.now += seconds


def test_shares_are_those_of_the_time_since_the_last_look():
    clock = Clock()
    times = Times(clock)
    spend(times, clock, "acting", 2.0)
    spend(times, clock, "learning", 5.0)
    clock.now += 3.0
    shares = {name: float(share) for name, share in times.read().items()}
    assert shares == pytest.approx(
        {"time/env": 0.0, "time/acting": 0.2, "time/learning": 0.5, "time/waiting": 0.0}
    )
    spend(times, clock, "env", 7.0)
    assert times.read()["time/env"] == 1.0


def test_of_parts_within_each_other_the_innermost_has_the_time():
    clock = Clock()
    times = Times(clock)
    with times.of("acting"):
        clock.now += 1.0
        spend(times, clock, "env", 2.0)
        clock.now += 1.0
    shares = times.read()
    assert (shares["time/acting"], shares["time/env"]) == (0.5, 0.5)
