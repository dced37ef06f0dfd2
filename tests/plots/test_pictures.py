from __future__ import annotations

import math

import numpy as np
import pytest
from film_frames import note_frames, title_of, words_in
from overwriting import Overwriting
from PIL import Image
from run_fakes import Countdown, WalkAgent
from small_agents import make_agent

from memrl.errors import RunError
from memrl.evaluation.acting import Acting
from memrl.evaluation.learning_curve import moving_mean, read_curve
from memrl.evaluation.recording import record_episode
from memrl.evaluation.statistics import Estimate
from memrl.plots import style
from memrl.plots.curve import draw_curve
from memrl.plots.episode import draw_episode
from memrl.plots.memory import colour_range, draw_memory, plain_name
from memrl.tracking.metrics_file import MetricsFile


def metrics(path, rows=211, success=True):
    file = MetricsFile(path)
    for i in range(1, rows + 1):
        score = {"episode/success": i / rows} if success else {}
        row = {"env_steps": 700 * i, "wall_seconds": float(i), **score}
        file.append({**row, "episode/return": i / 3, "episode/count": 5.0})
    return path


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def record(seed_of_length, view=None, **how):
    for seed in range(50):
        recording = record_episode(WalkAgent(), Countdown(1), Acting(seed, **how), view=view)
        if recording.length == seed_of_length:
            return recording
    raise AssertionError("no such episode")


def test_a_curve_has_axes_with_units_a_legend_and_its_references(tmp_path):
    figure = draw_curve(
        metrics(tmp_path / "m.csv"),
        tmp_path / "curve.png",
        references={"no memory": 0.5, "published": 0.97},
        title="dnc",
    )
    axes = figure.axes[0]
    assert axes.get_xlabel() == "env steps"
    assert axes.get_ylabel() == "success (% of episodes)"
    assert axes.get_title(loc="left") == "dnc"
    name = "success, mean over 5 iterations"
    few = f"{name}, of fewer than 20 episodes"  # 15 at the ends
    assert labels(axes) == ["success", few, name, "no memory, 50 %", "published, 97 %"]
    levels = {line.get_label(): line.get_ydata()[0] for line in axes.lines}
    assert (levels["no memory, 50 %"], levels["published, 97 %"]) == (0.5, 0.97)
    with Image.open(tmp_path / "curve.png") as image:
        assert image.width >= 1000


def test_equal_levels_are_one_line_with_both_names(tmp_path):
    levels = {"optimal": 1.0, "blind guess": 0.25, "memoryless": 0.2501}
    figure = draw_curve(metrics(tmp_path / "m.csv"), tmp_path / "c.png", references=levels)
    assert labels(figure.axes[0])[-2:] == ["optimal, 100 %", "blind guess = memoryless, 25 %"]


def test_levels_that_can_be_told_apart_are_two_lines(tmp_path):
    levels = {"blind guess": 20.0, "memoryless": 21.0}
    file = metrics(tmp_path / "m.csv", success=False)
    figure = draw_curve(file, tmp_path / "c.png", references=levels)
    assert labels(figure.axes[0])[-2:] == ["blind guess, 20", "memoryless, 21"]


def test_points_of_few_episodes_are_faint(tmp_path):
    file = MetricsFile(tmp_path / "m.csv")
    for i, count in enumerate([2.0, 20.0, 30.0], start=1):
        file.append({"env_steps": i, "episode/success": 0.5, "episode/count": count})
    faint, solid = draw_curve(tmp_path / "m.csv", tmp_path / "c.png").axes[0].lines
    assert faint.get_alpha() < 0.5
    assert np.isnan(solid.get_ydata()).tolist() == [True, False, False]


@pytest.mark.parametrize(("rows", "marker"), [(1, "o"), (2, "None")])
def test_a_curve_of_one_point_has_a_marker(tmp_path, rows, marker):
    figure = draw_curve(metrics(tmp_path / "m.csv", rows=rows), tmp_path / "curve.png")
    assert [line.get_marker() for line in figure.axes[0].lines] == [marker]


def test_a_task_without_success_is_drawn_by_its_return(tmp_path):
    figure = draw_curve(metrics(tmp_path / "m.csv", success=False), tmp_path / "curve.png")
    assert figure.axes[0].get_ylabel() == "return (sum of rewards of an episode)"


@pytest.mark.parametrize(("success", "told"), [(True, [0.9, 0.6, 1.0]), (False, [3.0, 2.0, 4.0])])
def test_how_an_agent_does_at_the_end_stands_on_its_curve(tmp_path, success, told):
    """An agent that explores while it learns has a curve that stays low."""
    evaluated = {
        "success": Estimate(0.9, 0.6, 1.0, 0.1, 7) if success else None,
        "return": Estimate(3.0, 2.0, 4.0, 0.5, 7),
    }
    file = metrics(tmp_path / "m.csv", success=success)
    axes = draw_curve(file, tmp_path / "c.png", evaluated=evaluated).axes[0]
    assert labels(axes)[-1] == "7 fresh episodes at the end"
    (point, _, (bar,)) = axes.containers[0]
    assert [*point.get_xdata(), *point.get_ydata()] == [700 * 211, told[0]]
    assert np.allclose(bar.get_segments()[0][:, 1], told[1:])


def test_an_evaluation_of_one_episode_has_no_interval(tmp_path):
    evaluated = {"success": Estimate(1.0, -math.inf, math.inf, math.nan, 1)}
    axes = draw_curve(metrics(tmp_path / "m.csv"), tmp_path / "c.png", evaluated=evaluated).axes[0]
    assert labels(axes)[-1] == "a fresh episode at the end"
    assert not axes.containers[0].has_yerr


def test_iterations_without_an_episode_are_left_out_of_a_curve(tmp_path):
    file = MetricsFile(tmp_path / "m.csv")
    for i, success in enumerate([math.nan, 0.25, math.nan, 0.75], start=1):
        file.append({"env_steps": i, "episode/success": success, "episode/count": 1.0})
    curve = read_curve(tmp_path / "m.csv")
    assert curve.experience.tolist() == [2, 4]
    assert curve.smooth.tolist() == [0.25, 0.75]


def test_a_curve_before_the_first_episode_says_why_there_is_none(tmp_path):
    MetricsFile(tmp_path / "m.csv").append({"env_steps": 1, "episode/success": math.nan})
    with pytest.raises(RunError, match="no episode has ended"):
        read_curve(tmp_path / "m.csv")


def test_smoothing_is_the_weighted_mean_of_the_neighbours():
    rng = np.random.default_rng(0)
    values, weights = rng.random(11), rng.integers(1, 5, 11).astype(float)
    want = []
    for i in range(11):
        near = [j for j in range(11) if abs(i - j) <= 2]
        want.append(sum(values[j] * weights[j] for j in near) / sum(weights[j] for j in near))
    np.testing.assert_allclose(moving_mean(values, weights, 5), want)


def test_smoothing_is_right_when_the_window_is_wider_than_the_run():
    values = np.array([1.0, 2.0])
    np.testing.assert_allclose(moving_mean(values, np.ones(2), 7), [1.5, 1.5])


def test_a_recording_keeps_what_was_seen_even_where_an_environment_writes_over_it():
    recording = record_episode(
        make_agent("none", Overwriting()), Overwriting(), Acting(0, max_steps=5)
    )
    assert [int(o["obs"]) for o in recording.observations] == [0, 1, 2, 3, 4]


def test_a_recording_holds_the_episode_and_dates_the_cue():
    recording = record(11)
    assert recording.length == len(recording.frames) == 11
    assert [int(o["obs"][0]) for o in recording.observations] == list(range(11))
    assert recording.cue_step == 3
    assert recording.success is False
    assert recording.rewards.sum() == 0
    shapes = {name: values.shape for name, values in recording.memory.items()}
    assert shapes == {
        "write_weights": (11, 5),
        "read_weights": (11, 2, 5),
        "hidden": (11, 67),
        "gate": (11, 1),
    }


def test_an_episode_without_a_cue_dates_none():
    recording = record(2)
    assert recording.cue_step is None
    assert recording.success is True
    assert recording.rewards.tolist() == [0.0, 1.0]


def test_an_episode_that_does_not_end_is_kept_as_far_as_it_went():
    assert record(3, max_steps=3).success is None


def test_memory_png_has_a_panel_for_each_diagnostic_and_marks_the_cue(tmp_path):
    recording = record(11)
    figure = draw_memory(recording, tmp_path / "memory.png", title="dnc")
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    names = [axes.get_title(loc="left") for axes in panels]
    most = "hidden (the 32 of 67 units that vary most)"
    assert names == ["reward after the action", "write weights", "read weights", most, "gate"]
    assert panels[-1].get_xlabel() == "step of the episode"
    for axes in panels:
        assert any(list(line.get_xdata()) == [3, 3] for line in axes.lines)
    np.testing.assert_array_equal(
        panels[1].images[0].get_array(), recording.memory["write_weights"].T
    )
    assert [t.get_text() for t in panels[2].get_yticklabels()] == ["head 1", "head 2"]
    assert "dashed: cue first seen, step 3" in figure.get_suptitle()
    assert (tmp_path / "memory.png").exists()


def test_memory_png_marks_no_cue_where_none_was_seen(tmp_path):
    figure = draw_memory(record(2), tmp_path / "memory.png")
    assert "cue" not in figure.get_suptitle()
    lines = [list(line.get_xdata()) for axes in figure.axes if axes.images for line in axes.lines]
    assert not any(start == end for start, end in lines)  # only the lines between heads


def test_a_memory_without_diagnostics_has_no_picture(tmp_path):
    with pytest.raises(RunError, match="no diagnostics"):
        draw_memory(record(2)._replace(memory={}), tmp_path / "memory.png")


def test_an_entropy_has_its_unit():
    assert plain_name("read_entropy") == "read entropy (nats)"
    assert plain_name("read_weights") == "read weights"


def test_steps_of_a_short_episode_are_whole_numbers(tmp_path):
    figure = draw_memory(record(2), tmp_path / "memory.png")
    below = figure.axes[4]
    assert below.get_xlabel() == "step of the episode"
    assert all(float(tick).is_integer() for tick in below.get_xticks())


def test_white_is_always_zero():
    assert colour_range(np.array([0.0, 0.25])) == ("Blues", 0.0, 0.25)
    assert colour_range(np.array([-0.5, 0.25])) == ("RdBu_r", -0.5, 0.5)
    assert colour_range(np.zeros(3)) == ("Blues", 0.0, 1.0)


def seen_by_the_agent(obs):
    return np.full((7, 7, 3), int(obs["obs"][0]), dtype=np.uint8)


@pytest.mark.slow
def test_the_gif_has_a_frame_for_every_step(tmp_path):
    assert draw_episode(record(11), tmp_path / "e.gif") == 11
    with Image.open(tmp_path / "e.gif") as image:
        assert image.n_frames == 11
        assert image.info["loop"] == 0


@pytest.mark.slow
def test_a_recording_keeps_the_view_that_the_last_action_led_to(tmp_path):
    recording = record(11, view=seen_by_the_agent)
    assert [int(view.max()) for view in [*recording.views, recording.last_view]] == [*range(12)]
    assert draw_episode(recording, tmp_path / "e.gif") == 12


BEFORE = "world, before the last step"


def titled(figure):
    return [axes for axes in figure.axes if axes.get_title(loc="left") or words_in(axes)]


def headlines(recording, tmp_path, monkeypatch, **options):
    """The headlines of the frames of a GIF, and the titles of the world in them."""
    seen = note_frames(monkeypatch, lambda f: (words_in(f)[0], title_of(f.axes[0])))
    draw_episode(recording, tmp_path / "e.gif", **options)
    return seen


def test_a_gif_ends_after_the_last_step_and_says_what_its_world_is_of(tmp_path, monkeypatch):
    recording = record(2, view=seen_by_the_agent)
    assert headlines(recording, tmp_path, monkeypatch, title="dnc", mission="fetch a key") == [
        ("dnc  ·  step 1 of 2\naction: 0  ·  reward: 0\nmission: fetch a key", "world"),
        ("dnc  ·  step 2 of 2\naction: 0  ·  reward: 1\nmission: fetch a key", "world"),
        ("dnc  ·  after step 2 of 2\nsolved\nmission: fetch a key", BEFORE),
    ]


def test_a_gif_without_views_ends_with_the_last_step(tmp_path, monkeypatch):
    assert headlines(record(2), tmp_path, monkeypatch) == [
        ("step 1 of 2\naction: 0  ·  reward: 0", "world"),
        ("step 2 of 2\naction: 0  ·  reward: 1  ·  solved", "world"),
    ]


def observed(obs):
    return {"obs": f"the number {obs['obs'][0]:g}", "more": "words " * 400}


def test_where_nothing_is_a_picture_the_gif_says_what_is_seen_and_done(tmp_path, monkeypatch):
    seen = note_frames(monkeypatch, lambda f: (words_in(f)[0], words_in(f.axes[0])[0].splitlines()))
    recording = record(2)._replace(frames=[None, None], memory={})
    draw_episode(recording, tmp_path / "e.gif", observed=observed, done=lambda a: f"wait {a}")
    headlines_, texts = zip(*seen, strict=True)
    assert headlines_[0] == "step 1 of 2\naction: wait 0  ·  reward: 0"
    assert headlines_[1] == "step 2 of 2\naction: wait 0  ·  reward: 1"
    assert headlines_[2] == "after step 2 of 2\nsolved"
    assert [lines[0] for lines in texts] == [f"obs: the number {t}" for t in (0, 1, 2)]
    assert texts[0][-1] == "…"  # what is long is cut


def test_where_there_is_a_picture_the_gif_needs_no_words(tmp_path, monkeypatch):
    assert headlines(record(2), tmp_path, monkeypatch, observed=observed)[0][1] == "world"


def test_a_row_of_one_memory_has_no_tick_and_says_what_its_entries_are(tmp_path, monkeypatch):
    seen = note_frames(monkeypatch, lambda f: {title_of(axes): axes for axes in titled(f)})
    draw_episode(record(2), tmp_path / "e.gif")
    panels = seen[-1]
    assert len(panels["hidden"].get_yticks()) == 0
    assert len(panels["read weights"].get_yticks()) == 2
    assert panels["hidden"].get_xlabel() == "67 units, row by row"
    assert panels["gate"].get_xlabel() == ""  # one number
    assert panels["write weights"].get_xlabel() == "slot"


def test_the_colours_of_a_strip_have_a_scale(tmp_path, monkeypatch):
    scales = []
    monkeypatch.setattr(style, "colour_bar", lambda axes, image: scales.append(image.get_clim()))
    draw_episode(record(2), tmp_path / "e.gif")
    assert scales == [(0.0, 1.0), (-0.5, 0.5)]  # of the two read heads and of 67 hidden units


def test_a_small_world_is_drawn_large(tmp_path):
    recording = record(2, view=seen_by_the_agent)
    draw_episode(recording._replace(memory={"gate": np.ones((2, 1))}), tmp_path / "e.gif")
    with Image.open(tmp_path / "e.gif") as image:
        assert image.height > 2 * 260  # the world and, below it, the view


def test_a_memory_can_be_watched_without_a_world_and_a_world_without_a_memory(tmp_path):
    recording = record(2)
    blind = recording._replace(frames=[None, None])
    assert draw_episode(blind, tmp_path / "blind.gif") == 2
    assert draw_episode(recording._replace(memory={}), tmp_path / "empty.gif") == 2
    with pytest.raises(RunError, match="neither"):
        draw_episode(blind._replace(memory={}), tmp_path / "nothing.gif")


def test_a_success_that_is_no_share_is_not_drawn_in_percent(tmp_path):
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("env_steps,episode/success,episode/return\n8,20,1\n16,100,3\n")
    curve = read_curve(metrics)
    assert (curve.measure, curve.is_share) == ("return", False)
