"""Films: what does not change is drawn once, and every frame is as if all of it were drawn."""

from __future__ import annotations

import io

import numpy as np
import pytest
from film_frames import note_frames, words_in
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import IdentityTransform
from PIL import Image
from rich.console import Console

from memrl.evaluation.recording import Recording
from memrl.plots import episode, style
from memrl.plots.bars import Bars
from memrl.plots.episode import draw_episode
from memrl.plots.gif import Palette, encode_gif
from memrl.plots.panels import memory_panel, picture_panel, text_panel, vector_panel
from memrl.plots.signals import Signal
from memrl.plots.stage import Stage
from memrl.plots.words import Words

T = 5


def drawn(rng, *shape):
    return rng.integers(0, 256, (*shape, 3), dtype=np.uint8)


def recording(steps, *, size=(13, 17), memory=None):
    rng = np.random.default_rng(0)
    return Recording(
        frames=[drawn(rng, *size) for _ in range(steps)],
        views=[drawn(rng, 7, 7) for _ in range(steps)],
        last_view=drawn(rng, 7, 7),
        observations=[{}] * steps,
        last_observation={},
        actions=np.zeros(steps, dtype=np.int64),
        rewards=np.eye(steps)[-1],
        memory=memory or {"gate": rng.random((steps, 1)), "hidden": rng.normal(size=(steps, 67))},
        cue_step=None,
        success=True,
        ended=True,
        seed=0,
    )


def panels(axes):
    """One of each kind, with numbers that an episode can have."""
    rng = np.random.default_rng(1)
    frames = [*(drawn(rng, 30, 40) for _ in range(T)), None]
    hidden = rng.normal(size=(T, 67))
    hidden[2, 3] = np.nan
    vector = Signal("obs", rng.normal(size=(T + 1, 3)), ("x", "y", "z"), chosen=False)
    return [
        picture_panel(axes[0], "world", frames),
        memory_panel(axes[1], "write_weights", rng.random((T, 7))),
        memory_panel(axes[2], "read_weights", rng.random((T, 2, 7))),
        memory_panel(axes[3], "hidden", hidden),
        memory_panel(axes[4], "gate", rng.normal(size=(T, 1))),
        vector_panel(axes[5], vector),
        text_panel(axes[6], "seen", [f"the number {t}\nand {t * t}" for t in range(T + 1)]),
    ]


def staged():
    figure = style.new_figure(8.0, 8.0)
    moving = panels(figure.subplots(4, 2).flat)
    for panel in moving:
        panel.show(0)
    return figure, moving, Stage(figure, [a for panel in moving for a in panel.artists])


def drawn_whole(figure):
    """The figure as matplotlib draws it without a stage."""
    for artist in figure.findobj(lambda artist: artist.get_animated()):
        artist.set_animated(False)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


@pytest.mark.parametrize("t", [0, 2, T])
def test_a_frame_is_what_drawing_everything_gives(t):
    figure, moving, stage = staged()
    for step in (T, 1, t):  # in any order
        for panel in moving:
            panel.show(step)
        frame = stage.picture().copy()
    np.testing.assert_array_equal(frame[..., :3], drawn_whole(figure)[..., :3])


def test_an_image_that_changes_its_size_still_fills_its_place():
    figure = style.new_figure(3.0, 2.0)
    image = figure.subplots().imshow(np.zeros((3, 5)), aspect="auto", vmin=0, vmax=1)
    stage = Stage(figure, [image])
    stage.picture()
    image.set_data(np.arange(77).reshape(7, 11) / 77)
    frame = stage.picture().copy()
    np.testing.assert_array_equal(frame[..., :3], drawn_whole(figure)[..., :3])


@pytest.mark.parametrize("steps", [2, 7])
def test_the_layout_is_made_once_and_the_background_drawn_once(steps, tmp_path, monkeypatch):
    calls = []

    def note(kind, owner, name):
        real = getattr(owner, name)

        def noted(*given, **named):
            calls.append(kind)
            return real(*given, **named)

        monkeypatch.setattr(owner, name, noted)

    note("layout", ConstrainedLayoutEngine, "execute")
    note("draw", style.FigureCanvasAgg, "draw")
    draw_episode(recording(steps), tmp_path / "e.gif")
    assert calls == ["layout", "draw"]


def read_gif(path):
    with Image.open(path) as image:
        frames = []
        for index in range(image.n_frames):
            image.seek(index)
            frames.append((np.asarray(image.convert("RGB")), image.info["duration"]))
        return frames, image.info


def test_every_step_is_shown_for_its_time_and_the_last_one_longer(tmp_path):
    count = draw_episode(recording(T), tmp_path / "e.gif")
    frames, info = read_gif(tmp_path / "e.gif")
    assert count == len(frames) == T + 1  # one after the last action
    assert [duration for _, duration in frames] == [160] * T + [1500]
    assert info["loop"] == 0


def test_a_long_episode_is_thinned_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(episode, "_MAX_FRAMES", 3)
    seen = note_frames(monkeypatch, lambda figure: words_in(figure)[0].splitlines()[0])
    assert draw_episode(recording(7), tmp_path / "e.gif") == 4
    assert seen == [
        f"{where} of 7  ·  1 of 3 steps shown"
        for where in ("step 1", "step 4", "step 7", "after step 7")
    ]


def test_a_gif_shows_every_picture_whatever_came_before_it():
    colours = np.array([[0, 0, 0], [255, 255, 255], [200, 30, 40], [0, 90, 178]], dtype=np.uint8)
    rng = np.random.default_rng(2)
    pictures = [colours[rng.integers(0, 4, (11, 13))] for _ in range(T)]
    pictures.insert(2, pictures[1])  # one that is no other than the one before
    rgba = [np.dstack([p, np.full((11, 13), 255, np.uint8)]) for p in pictures]
    data = encode_gif(iter(rgba), Palette(rgba), [100 * (1 + i) for i in range(T + 1)])
    frames, _ = read_gif(io.BytesIO(data))
    times = np.cumsum([duration for _, duration in frames])
    shown = [frames[int(np.searchsorted(times, t))][0] for t in (100, 300, 600, 1000, 1500, 2100)]
    np.testing.assert_array_equal(shown, pictures)


def test_a_colour_becomes_the_nearest_of_the_palette():
    rng = np.random.default_rng(3)
    palette = Palette([rng.integers(0, 256, (31, 37, 4), dtype=np.uint8)])
    asked = rng.integers(0, 256, (41, 3))
    codes = (asked[:, 0] | asked[:, 1] << 8 | asked[:, 2] << 16).astype(np.uint32)
    for colour, index in zip(asked, palette.indices(codes), strict=True):
        apart = [sum((int(a) - int(b)) ** 2 for a, b in zip(colour, p, strict=True))
                 for p in palette.colours]  # fmt: skip
        assert apart[index] == min(apart)


def test_one_number_a_step_is_a_line_up_to_now_with_its_value():
    axes = style.new_figure(4.0, 2.0).subplots()
    numbers = np.array([0.5, -0.25, 2.0, 1.0, 0.125])
    panel = memory_panel(axes, "gate", numbers[:, None])
    course, now = axes.lines
    for t in (T, 0, 2):
        panel.show(t)
        last = min(t + 1, T)
        assert course.get_xdata().tolist() == [*range(1, last + 1)]
        assert course.get_ydata().tolist() == numbers[:last].tolist()
        assert (*now.get_xdata(), *now.get_ydata()) == (last, numbers[last - 1])
        assert words_in(axes) == [f"{numbers[last - 1]:.3g}"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["step 1", "step 5"]


def test_an_episode_of_one_step_has_a_line_too(tmp_path):
    assert draw_episode(recording(1), tmp_path / "e.gif") == 2


def test_words_take_the_room_that_they_fill():
    figure = style.new_figure(4.0, 2.0)
    for right in (False, True):
        for anchor in ("top", "middle", "baseline"):
            figure.clear()
            words = Words(
                200, 100, IdentityTransform(), colour="black", size=11, anchor=anchor, right=right
            )
            words.text = "a glyph: 17\nof two lines"
            figure.add_artist(words)
            figure.canvas.draw()
            ink = np.asarray(figure.canvas.buffer_rgba())[::-1, :, 0] < 128
            rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
            box = words.get_window_extent()
            assert box.x0 - 1 <= columns[0] < columns[-1] <= box.x1 + 1
            assert box.y0 - 1 <= rows[0] < rows[-1] <= box.y1 + 1
            assert columns[-1] - columns[0] > 0.9 * box.width
            assert (box.x1 if right else box.x0) == 200


def test_a_bar_reaches_from_zero_to_its_height():
    axes = style.new_figure(4.0, 2.0).subplots()
    bars = Bars(np.array([1.0, np.nan, 0.0, -2.0]), width=0.5, colour="black")
    axes.add_patch(bars)
    assert bars.get_path().to_polygons()[1].tolist() == [
        [2.75, 0.0], [2.75, -2.0], [3.25, -2.0], [3.25, 0.0], [2.75, 0.0]
    ]  # fmt: skip
    assert len(bars.get_path().to_polygons()) == 2  # none where there is no height


@pytest.mark.parametrize(("patience", "told"), [(-1.0, True), (1000.0, False)])
def test_a_film_that_takes_long_has_a_progress_bar(tmp_path, monkeypatch, patience, told):
    screen = io.StringIO()
    monkeypatch.setattr(episode, "_SILENT_SECONDS", patience)
    monkeypatch.setattr(
        episode, "Console", lambda stderr: Console(file=screen, force_terminal=True)
    )
    draw_episode(recording(2), tmp_path / "e.gif")
    assert ("drawing the episode" in screen.getvalue()) is told


def test_of_many_heads_some_are_named():
    axes = style.new_figure(4.0, 2.0).subplots()
    memory_panel(axes, "memory", np.random.default_rng(4).normal(size=(3, 64, 5)))
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"head {1 + 8 * i}" for i in range(8)
    ]
