"""What was observed and done stands above the memory, on the same time axis."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from film_frames import note_frames, words_in
from gymnasium import spaces

import memrl
from memrl.envs.catalogue import EnvCard
from memrl.evaluation.recording import Recording
from memrl.pipeline.episode_signals import done_signal, observed_signals, vectors
from memrl.pipeline.report import draw_episode_memory, draw_film
from memrl.plots.memory import draw_memory
from memrl.plots.panels import vector_panel
from memrl.plots.signals import Signal
from memrl.plots.style import new_figure

T = 5
SYMBOLS = [{"obs": np.array(value), "prev_action": np.array(3)} for value in (2, 0, 0, 0, 1)]
SYMBOL_SPACE = spaces.Dict({"obs": spaces.Discrete(3), "prev_action": spaces.Discrete(4)})
CARD = EnvCard(symbols=("blank", "now", "cue"), actions=("stay", "left", "right"))


def recording(observations, actions, memory=None, views=None):
    steps = len(observations)
    return Recording(
        frames=[None] * steps,
        views=views or [None] * steps,
        last_view=None,
        observations=observations,
        last_observation=observations[-1],
        actions=np.asarray(actions),
        rewards=np.eye(steps)[-1],
        memory=memory or {"hidden": np.random.default_rng(0).normal(size=(steps, 3))},
        cue_step=1,
        success=True,
        ended=True,
        seed=1,
    )


def vector(count):
    """A recording of vectors, and the space of its observations."""
    space = spaces.Dict({"obs": spaces.Box(-9, 9, (count,)), "flag": spaces.Box(0, 1, (1,))})
    seen = [
        {"obs": np.arange(count) * (t - 2.0), "flag": np.array([float(t == 3)])} for t in range(T)
    ]
    return recording(seen, np.linspace(-1, 1, T)[:, None]), space


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def test_symbols_and_actions_have_a_row_for_each_that_occurs_with_its_name():
    kept = recording(SYMBOLS, [0, 0, 2, 2, 0])
    (seen,) = observed_signals(kept, SYMBOL_SPACE, CARD)  # the action before is told once
    assert (seen.name, seen.entries, seen.chosen) == ("observation", ("blank", "now", "cue"), True)
    np.testing.assert_array_equal(
        seen.values.T, [[0, 1, 1, 1, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]]
    )
    done = done_signal(kept, CARD)
    assert (done.name, done.entries) == ("action", ("stay", "right"))
    assert done.values[:, 1].tolist() == [0, 0, 1, 1, 0]


def test_what_has_no_name_is_called_by_its_number():
    (seen,) = observed_signals(recording(SYMBOLS, [0] * T), SYMBOL_SPACE, EnvCard())
    assert seen.entries == ("0", "1", "2")


def test_many_symbols_are_drawn_as_a_number():
    space = spaces.Dict({"obs": spaces.Discrete(99)})
    kept = recording([{"obs": np.array(t)} for t in range(11)], [0] * 11)
    (seen,) = observed_signals(kept, space, EnvCard())
    assert not seen.chosen
    assert seen.values[:, 0].tolist() == [*range(11)]


def test_a_vector_is_a_signal_and_a_picture_is_none():
    kept, space = vector(4)
    both = observed_signals(kept, space, EnvCard())
    assert {s.name: s.values.shape for s in both} == {"observation": (T, 4), "flag": (T, 1)}
    assert [s.name for s in vectors(both)] == ["observation"]
    assert done_signal(kept, EnvCard()).values.shape == (T, 1)
    image = spaces.Dict({"image": spaces.Box(0, 255, (7, 7, 3), np.uint8)})
    seen = [{"image": np.zeros((7, 7, 3), np.uint8)}] * T
    assert observed_signals(recording(seen, [0] * T), image, EnvCard()) == []


def test_one_time_axis_holds_what_was_seen_done_earned_and_remembered(tmp_path):
    kept = recording(SYMBOLS, [0, 0, 2, 2, 0], views=[np.zeros((7, 7, 3), np.uint8)] * T)
    seen, done = observed_signals(kept, SYMBOL_SPACE, CARD), done_signal(kept, CARD)
    figure = draw_memory(kept, tmp_path / "m.png", observed=seen, done=done)
    names = ["what the agent sees", "observation", "action", "reward after the action", "hidden"]
    assert titles(figure) == names
    panels = figure.axes[: len(names)]
    assert {axes.get_xlim() for axes in panels} == {(-0.5, T - 0.5)}
    assert all(any([*line.get_xdata()] == [1, 1] for line in axes.lines) for axes in panels)
    assert [text.get_text() for text in panels[1].get_yticklabels()] == ["blank", "now", "cue"]
    assert [text.get_text() for text in panels[2].get_yticklabels()] == ["stay", "right"]
    (bars,) = panels[3].patches
    assert bars.heights.tolist() == [0, 0, 0, 0, 1]
    edges = {(axes.get_position().x0, axes.get_position().x1) for axes in panels}
    assert len({tuple(np.round(edge, 6)) for edge in edges}) == 1  # steps stand below each other


@pytest.mark.parametrize(("count", "named"), [(3, True), (40, False)])
def test_a_vector_tells_its_scale(tmp_path, count, named):
    kept, space = vector(count)
    seen = vectors(observed_signals(kept, space, EnvCard()))
    figure = draw_memory(kept, tmp_path / "m.png", observed=seen, done=done_signal(kept, CARD))
    told = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert ("each entry on its own scale" in titles(figure)[0]) is named
    assert (told == ["0: ±0", "1: ±2", "2: ±4"]) is named


def test_the_views_of_a_long_episode_do_not_overlap(tmp_path):
    views = [np.full((7, 7, 3), t, np.uint8) for t in range(61)]
    kept = recording([{}] * 61, [0] * 61, views=views)
    axes = draw_memory(kept, tmp_path / "m.png").axes[0]
    assert axes.get_title(loc="left") == "what the agent sees, at 11 of 61 steps"
    spans = [image.get_extent()[:2] for image in axes.images]
    assert spans[0][0] >= -0.5
    assert spans[-1][1] <= 60.5
    assert all(end < start for (_, end), (start, _) in pairwise(spans))
    for image, (left, right) in zip(axes.images, spans, strict=True):
        assert abs(image.get_array().max() - (left + right) / 2) <= 0.5  # it is of that step


def test_many_units_are_those_that_vary_most_beside_their_like(tmp_path):
    wave = np.sin(np.arange(11))[:, None]
    sign = np.where(np.arange(128) % 2, 1.0, -1.0)
    size = np.where(np.arange(128) < 32, 1.0, 0.01)
    kept = recording([{}] * 11, [0] * 11, {"hidden": wave * sign * size})
    panel = draw_memory(kept, tmp_path / "m.png").axes[1]
    shown = np.asarray(panel.images[0].get_array())
    assert shown.shape == (32, 11)
    assert np.abs(shown).max(axis=1).min() > 0.9
    assert len({tuple(np.sign(row)) for row in shown[:16]}) == 1
    assert len({tuple(np.sign(row)) for row in shown[16:]}) == 1
    assert len(panel.get_yticks()) == 0


def test_the_film_of_a_vector_has_bars_that_move(tmp_path, monkeypatch):
    kept, space = vector(4)
    kept = kept._replace(last_observation={"obs": np.arange(4) * 3.0, "flag": np.ones(1)})
    config = memrl.compose(["env=CartPole-v1"])

    def look(figure):
        observation, words = figure.axes[1], words_in(figure.axes[0])[0]
        assert observation.get_title(loc="left") == "observation"
        return [bar.get_width() for bar in observation.patches], words_in(observation), words

    seen = note_frames(monkeypatch, look)
    draw_film(config, kept, space, tmp_path / "e.gif", title="gru")
    widths, told, words = zip(*seen, strict=True)
    assert widths[0] == [0, -2, -4, -6]
    assert widths[-2] == [0, 2, 4, 6]
    assert widths[-1] == [0, 3, 6, 9]  # after the last action
    assert len(widths) == T + 1
    assert [line.split() for line in told[0]] == [
        ["0", "-0.000"], ["1", "-2.000"], ["2", "-4.000"], ["3", "-6.000"]
    ]  # fmt: skip
    assert len({len(line) for line in told[0]}) == 1  # one below the other
    assert words[3] == "flag: 1.000"


def test_the_pictures_of_a_run_have_the_names_of_its_task(tmp_path, monkeypatch):
    kept = recording([{"obs": np.array(4)}] * T, [0] * T)
    drawn = {}
    monkeypatch.setattr(
        "memrl.pipeline.report.draw_memory", lambda *_, **given: drawn.update(given)
    )
    config, space = memrl.compose(["env=probe/Recall-v0"]), spaces.Dict({"obs": spaces.Discrete(6)})
    draw_episode_memory(config, kept, space, tmp_path / "m.png", title="gru")
    assert drawn["observed"][0].entries == ("blank",)
    assert isinstance(drawn["done"], Signal)


def test_bars_of_a_vector_that_is_always_zero_have_room():
    axes = new_figure(4.0, 2.0).subplots()
    vector_panel(axes, Signal("obs", np.zeros((5, 2)), (), False))
    low, high = axes.get_xlim()
    assert low == 0.0
    assert high > 0.0
