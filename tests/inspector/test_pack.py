"""Packed arrays come back, to the last bit or to the step that they say."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest

from memrl.inspector.pack import pack


def unpacked(packed):
    """In plain loops, as data.js reads it."""
    raw, found, at = zlib.decompress(base64.b64decode(packed["bytes"])), {}, 0
    for part in packed["parts"]:
        numbers = np.frombuffer(
            raw, f"<{part['kind']}", count=int(np.prod(part["shape"])), offset=at
        )
        at += numbers.nbytes
        numbers = numbers.reshape(part["shape"]).copy()
        if part["kind"] != "f4":
            for t in range(1, len(numbers)):
                numbers[t] += numbers[t - 1]
        lowest = np.iinfo(numbers.dtype).min if part["kind"][0] == "i" else -1
        known = numbers * np.float64(part["scale"])
        found[part["name"]] = np.where(numbers == lowest, np.nan, known)
    assert at == len(raw)
    return found


def test_few_numbers_a_step_are_exact():
    values = np.random.default_rng(1).normal(size=(5, 7)).astype(np.float32)
    values[2, 3] = np.nan
    np.testing.assert_array_equal(unpacked(pack({"x": values}))["x"], values)


@pytest.mark.parametrize(("shape", "levels"), [((5, 3, 23), 32_767), ((5, 37, 41), 127)])
def test_many_numbers_are_rounded_to_a_step(shape, levels):
    values = np.random.default_rng(1).normal(size=shape)
    values[:, 0] = 0.0
    packed = pack({"x": values})
    found = unpacked(packed)["x"]
    assert np.abs(found - values).max() <= np.abs(values).max() / levels * 0.5001
    assert (found[:, 0] == 0.0).all()


def test_numbers_that_are_not_finite_are_nan():
    values = np.ones((2, 17))
    values[1, 3], values[1, 5] = np.nan, np.inf
    found = unpacked(pack({"x": values}))["x"]
    assert np.isnan(found[1, [3, 5]]).all()
    assert np.isfinite(found[1, [2, 4]]).all()
    np.testing.assert_allclose(found[0], 1.0)


def test_arrays_of_several_kinds_follow_each_other():
    tiles = np.random.default_rng(1).integers(0, 65_536, (5, 3, 2), dtype=np.uint16)
    few, many = np.arange(5.0), np.random.default_rng(2).normal(size=(5, 41, 37))
    found = unpacked(pack({"few": few, "many": many, "tiles": tiles}))
    np.testing.assert_array_equal(found["tiles"], tiles)
    np.testing.assert_array_equal(found["few"], few)
    assert found["many"].shape == many.shape


def test_what_stays_the_same_costs_next_to_nothing():
    held = np.repeat(np.random.default_rng(1).normal(size=(1, 64, 32)), 101, axis=0)
    once, often = (len(pack({"x": values})["bytes"]) for values in (held[:1], held))
    assert often < 1.5 * once
