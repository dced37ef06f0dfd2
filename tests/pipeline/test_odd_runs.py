"""Environments as users write them train to the end, or are answered with a sentence."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from odd_runs import AGENTS, learned, odd_config, odd_words
from suites import slow_but

from memrl.cli.app import app
from memrl.pipeline.report import evaluation_line


def call(*words: str) -> None:
    app(list(words), standalone_mode=False)


@pytest.mark.parametrize("agent", AGENTS)
def test_an_environment_without_an_end_is_evaluated_up_to_a_limit(agent):
    result = learned(odd_config("Endless", agent=agent))
    assert (result.episodes, result.cut_off) == (2, 2)
    assert result.length.mean == result.return_.mean == 20


@pytest.mark.filterwarnings("ignore:.*simulator already gone:UserWarning")
@pytest.mark.parametrize("agent", slow_but({"ppo"}, AGENTS))
@pytest.mark.parametrize(
    "name",
    [
        *("DoesNotClose", "ShortSeeds", "MixedInfos", "NoInfo", "MaskIsList"),
        *("ChannelsFirst", "Symbols", "ManySymbols"),
    ],
)
def test_what_is_odd_but_no_fault_trains(name, agent):
    result = learned(odd_config(name, agent=agent))
    assert result.length.mean == result.return_.mean == 5


@pytest.mark.slow  # fast: tests/envs/adapters/test_odd_environments.py, the environment alone
def test_what_does_not_draw_or_close_loses_nothing_else(tmp_path, capsys):
    words = odd_words("DoesNotDraw", tmp_path)
    call("train", *words, "+env.render_mode=rgb_array")
    said = capsys.readouterr().out
    assert "3 episodes:  return 5" in said
    assert "env 0 of odd_environments:odd/DoesNotDraw-v0: render raised OSError: no dis" in said
    assert {"summary.json", "curve.png"} <= {path.name for path in (tmp_path / "run").iterdir()}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("TooManyStates", r"'obs' is a Discrete\(10000000\), allowed: at most 16,384 values"),
        (
            "Strip",
            r"'obs' is a Box\(0, 255, \(4, 64, 3\), uint8\), allowed: .* sides of at least 8",
        ),
    ],
)
def test_what_has_no_encoder_is_one_short_sentence(name, words):
    with pytest.raises(ValueError, match=words) as told:
        learned(odd_config(name))
    assert len(str(told.value)) < 250


@pytest.mark.slow  # fast: tests/run/test_loop.py and tests/envs/adapters/test_odd_environments.py
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_all_processes_of_a_run_is_one_sentence(tmp_path, signum, code):
    words = [*odd_words("Plain", tmp_path), "+env.vectorization=async", "total_steps=10_000_000"]
    command = [sys.executable, "-m", "memrl", "train", *words, "run.checkpoint_seconds=0"]
    # As of a terminal: the signal reaches the run and the processes of its environments.
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    checkpoints = tmp_path / "run" / "checkpoints"
    while not list(checkpoints.glob("*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signum)
    _, told = process.communicate(timeout=300)
    assert process.returncode == code
    assert re.search(
        r"^memrl: stopped after [\d,]+ env steps; continue with: memrl train", told, re.M
    )
    assert "Traceback" not in told
    assert "Warning" not in told


@pytest.mark.parametrize("agent", AGENTS)
def test_a_success_in_percent_is_a_number_and_no_share(agent):
    result = learned(odd_config("SuccessInPercent", agent=agent))
    assert result.success is None
    assert result.success_number == 100
    assert "success 100 on average (not a share" in evaluation_line(result)


@pytest.mark.slow  # fast: the evaluation above, and the sentence in tests/pipeline/test_report.py
def test_a_run_without_an_end_is_drawn_evaluated_and_watched(tmp_path, capsys):
    call("train", *odd_words("Endless", tmp_path))
    said = capsys.readouterr().out
    assert "2 episodes (2 cut off after evaluate.max_steps, counted up to that step)" in said
    call("evaluate", str(tmp_path / "run"), "max_steps=7", "num=1")
    assert "1 episode (1 cut off" in capsys.readouterr().out
    call("watch", str(tmp_path / "run"), "max_steps=9")
    assert "9 steps, cut off: " in capsys.readouterr().out
