from __future__ import annotations

import io
import math

from rich.console import Console
from rich.progress import Progress as RichProgress
from run_fakes import Clock

from memrl.run.progress import BarProgress, LineProgress, Progress, describe, progress_bar

ROW = {
    "env_steps": 5000,
    "episode/success": 0.5,
    "episode/cue_seen": 0.75,
    "episode/return": 0.3,
    "train/entropy": 1.5,
}


def test_success_is_shown_instead_of_return():
    line = describe(ROW, 1234.4, 10_000)
    want = [
        "5,000 of 10,000 env steps",
        "1,234 steps/s",
        "success 50%",
        "cue seen 75%",
        "entropy 1.5",
    ]
    assert line == "  ".join(want)


def test_return_is_shown_where_there_is_no_success():
    row = {"env_steps": 5, "episode/return": 0.3}
    assert describe(row, math.nan, 10) == "5 of 10 env steps  return 0.3"


def test_return_is_shown_where_a_success_is_not_known():
    row = {"env_steps": 5, "episode/success": math.nan, "episode/return": 0.3}
    assert describe(row, math.nan, 10) == "5 of 10 env steps  return 0.3"


def test_lines_come_every_ten_seconds_and_at_the_end():
    clock, lines = Clock(), []
    progress = LineProgress(100, 40, lines.append, clock)
    for step in range(50, 101, 10):
        clock.now += 4.0
        progress.update({"env_steps": step})
    assert lines == [
        "70 of 100 env steps  2 steps/s  0:12 left",
        "100 of 100 env steps  2 steps/s  0:00 left",
    ]


def test_a_bar_keeps_the_last_success_that_was_known():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    with RichProgress("{task.description}", console=console) as bar:
        shown = BarProgress(bar, 10_000, 0)
        shown.update(ROW)
        shown.update({"env_steps": 6000, "episode/success": math.nan})
        shown.say("hello [world]")
        assert bar.tasks[0].completed == 6000
        assert "6,000 of 10,000" in bar.tasks[0].description
        assert "success 50%" in bar.tasks[0].description
    assert "hello [world]" in screen.getvalue()


def test_quiet_is_quiet(capsys):
    with progress_bar(100, style="quiet") as progress:
        progress.update({"env_steps": 100})
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_there_are_lines_and_nothing_on_the_output(capsys):
    with progress_bar(100) as progress:
        assert isinstance(progress, Progress)
        progress.update({"env_steps": 100})
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("100 of 100 env steps")


def test_a_bar_can_be_asked_for(capsys):
    with progress_bar(100, style="bar") as progress:
        progress.update(ROW)
    assert "success 50%" in capsys.readouterr().err


def test_a_success_that_is_no_share_is_shown_as_a_number():
    row = {"env_steps": 8, "episode/success": 100.0}
    assert describe(row, 1.0, 16).endswith("success 100")
