"""probe.png shows what was found, and has no panel for what is not known."""

from __future__ import annotations

import pytest
from rememberer import Rememberer

from memrl.envs.make import make
from memrl.evaluation.acting import Acting
from memrl.plots.probe import draw_probe
from memrl.probing.experiments import Experiments


def drawn(tmp_path, *, cues=True, step=None):
    env = make("probe/Recall-v0", 41, cues=2, delay=2)
    if not cues:
        env.cue = lambda: None
    here = Experiments(Rememberer(env), env, Acting(5, max_steps=9), step=step)
    found, known = list(here.results()), {"memoryless": 0.5, "blind guess": 0.5}
    picture = draw_probe(here, found, tmp_path / "probe.png", title="held", references=known)
    assert (tmp_path / "probe.png").read_bytes().startswith(b"\x89PNG")
    return found, picture.axes


def titles(axes):
    return [panel.get_title(loc="left") for panel in axes]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("drawn"))


def test_every_experiment_has_a_row_and_every_finding_a_panel(whole):
    found, axes = whole
    rows = [label.get_text() for label in axes[0].get_yticklabels()]
    assert rows == list(dict.fromkeys(result.name for result in found))
    assert titles(axes)[1:3] == [
        "when the memory is changed",
        "accuracy of naming the cue, linear and cross-validated",
    ]
    assert titles(axes)[3].startswith("where reads come from, one episode (gradient of")


def test_levels_that_are_equal_are_named_together(whole):
    _, axes = whole
    assert [text.get_text() for text in axes[0].texts] == ["memoryless, blind guess"]


@pytest.mark.parametrize(
    ("options", "want"),
    [({"cues": False}, ["", "when the memory is changed"]), ({"cues": False, "step": 2}, [""])],
)
def test_what_is_not_known_has_no_panel(tmp_path, options, want):
    _, axes = drawn(tmp_path, **options)
    assert titles(axes) == want
