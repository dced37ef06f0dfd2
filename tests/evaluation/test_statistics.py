from __future__ import annotations

import math

import pytest

from memrl.evaluation.statistics import mean, t_quantile, wilson


# From printed tables of Student's distribution, two-sided 95 %.
@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (30, 2.04227)],
)
def test_t_quantiles_match_the_tables(freedom, quantile):
    assert t_quantile(freedom) == pytest.approx(quantile, abs=1e-5)


def test_the_t_quantile_becomes_the_normal_one():
    assert t_quantile(100_000) == pytest.approx(1.959988, abs=1e-5)


# Bounds p solve (p̂ - p)² = z² p (1 - p) / n: Wilson's definition, by bisection.
@pytest.mark.parametrize(("hits", "n"), [(0, 7), (7, 7), (3, 11), (50, 101), (1, 2)])
def test_wilson_solves_its_equation(hits, n):
    z = 1.959963984540054

    def bound(inner, outer):
        for _ in range(100):
            middle = (inner + outer) / 2
            within = (hits / n - middle) ** 2 <= z * z * middle * (1 - middle) / n
            inner, outer = (middle, outer) if within else (inner, middle)
        return inner

    estimate = wilson([1.0] * hits + [0.0] * (n - hits))
    assert estimate.mean == hits / n
    assert estimate.low == pytest.approx(bound(hits / n, 0.0), abs=1e-9)
    assert estimate.high == pytest.approx(bound(hits / n, 1.0), abs=1e-9)
    assert 0 <= estimate.low <= estimate.mean <= estimate.high <= 1


def test_all_successes_still_leave_doubt():
    assert wilson([1.0] * 20).low == pytest.approx(0.8389, abs=1e-4)
    assert wilson([1.0] * 20).high == 1.0


def test_a_mean_has_students_interval():
    estimate = mean([1.0, 2.0, 6.0])
    error = math.sqrt(7.0 / 3)
    assert estimate.mean == 3.0
    assert estimate.error == pytest.approx(error)
    assert estimate.high - 3.0 == pytest.approx(4.302653 * error, rel=1e-6)
    assert 3.0 - estimate.low == pytest.approx(estimate.high - 3.0)


def test_one_value_says_nothing_about_its_spread():
    estimate = mean([2.0])
    assert (estimate.mean, estimate.low, estimate.high) == (2.0, -math.inf, math.inf)
    assert math.isnan(estimate.error)


def test_missing_values_are_left_out():
    assert wilson([1.0, math.nan, 0.0]).samples == 2
    with pytest.raises(ValueError, match="at least one value"):
        mean([math.nan])


def test_an_outcome_outside_of_0_to_1_has_no_rate():
    with pytest.raises(ValueError, match="an outcome is 100, allowed: 0 … 1"):
        wilson([0.0, 100.0])
