"""Linear probes against ridge regression as it is written down, and what they cannot read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_cores import draw

from memrl.probing.linear_probe import FOLDS, LEAST, RIDGE, read_off

M, F, C = 53, 7, 3


def drawn():
    labels = torch.randint(C, (M,))
    return draw(M, F) + labels[:, None] * torch.linspace(0, 3, F), labels


def oracle(features, labels):
    """Solved for the features instead of for the rows, in NumPy."""
    x, y, right = features.numpy(), np.eye(C)[labels.numpy()], np.zeros(M)
    for fold in range(FOLDS):
        test = np.arange(M) % FOLDS == fold
        mean, deviation = x[~test].mean(0), x[~test].std(0, ddof=1)
        z = (x - mean) / deviation / np.sqrt(F)
        system = z[~test].T @ z[~test] + RIDGE * np.eye(F)
        weights = np.linalg.solve(system, z[~test].T @ (y[~test] - y[~test].mean(0)))
        told = y[~test].mean(0) + z[test] @ weights
        right[test] = told.argmax(1) == labels.numpy()[test]
    return right


def test_it_is_ridge_regression_cross_validated_over_rows():
    features, labels = drawn()
    want = oracle(features, labels)
    np.testing.assert_array_equal(read_off(features, labels), want)
    assert 0.5 < want.mean() < 1


def test_what_is_there_is_read_and_noise_is_not():
    labels = torch.randint(2, (499,))
    noise = torch.randn(499, 11)
    assert read_off(torch.cat([noise, labels[:, None].float()], 1), labels).mean() > 0.99
    assert abs(read_off(noise, labels).mean() - 0.5) < 0.09  # four standard errors


def test_more_features_than_rows_are_not_memorised():
    labels = torch.randint(2, (97,))
    assert read_off(torch.randn(97, 499), labels).mean() < 0.7


def test_a_feature_that_never_changes_does_no_harm():
    features, labels = drawn()
    still = torch.cat([features, torch.full((M, 1), 3.0, dtype=torch.float64)], dim=1)
    assert np.isfinite(read_off(still, labels)).all()


@pytest.mark.parametrize("labels", [torch.zeros(M, dtype=torch.int64), torch.arange(LEAST - 1) % 2])
def test_too_few_rows_or_labels_are_refused(labels):
    with pytest.raises(ValueError, match=f"at least {LEAST} rows and 2 labels"):
        read_off(torch.randn(len(labels), F), labels)
