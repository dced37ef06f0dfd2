"""Memories that can look 32 steps back learn to keep one symbol so long; the others do not."""

from __future__ import annotations

import pytest

from memrl.memory import registry
from memrl.supervised.config import compose_fit
from memrl.supervised.fitting import fit_task, make_learner

WAIT = 32  # steps


@pytest.mark.parametrize("name", ["none", "framestack"])
def test_the_controls_cannot_look_back_far_enough(name):
    core = make_learner(compose_fit(["task=first_input", f"memory={name}"])).model.core
    assert core.horizon is not None
    assert core.horizon < WAIT


@pytest.mark.nightly
@pytest.mark.parametrize("name", registry.names())
def test_who_can_look_back_learns_and_who_cannot_is_left_with_chance(tmp_path, name):
    words = ["task=first_input", f"memory={name}", "threads=1", "track=off"]
    config = compose_fit([*words, f"evaluate.lengths=[{WAIT}]"])
    horizon = make_learner(config).model.core.horizon
    able = horizon is None or horizon >= WAIT
    if not able:  # nothing will come of it
        config = config.model_copy(update={"sequences": 32_000})
    accuracy = fit_task(config, tmp_path / "run", style="quiet").summary["accuracy"]
    if able:
        assert accuracy >= 0.95
    else:
        assert accuracy <= 0.25  # chance is one in eight
