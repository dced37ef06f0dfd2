"""Environments as users write them train to the end, or are answered with a sentence."""

from __future__ import annotations

import pytest
from odd_runs import AGENTS, learned, odd_config, odd_words

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
@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize(
    "name", ["DoesNotClose", "ShortSeeds", "MixedInfos", "NoInfo", "MaskIsList"]
)
def test_what_is_odd_but_no_fault_trains(name, agent):
    result = learned(odd_config(name, agent=agent))
    assert result.length.mean == result.return_.mean == 5


@pytest.mark.slow  # fast: tests/envs/adapters/test_odd_environments.py, of the environment alone
def test_what_does_not_draw_or_close_loses_nothing_else(tmp_path, capsys):
    words = odd_words("DoesNotDraw", tmp_path)
    call("train", *words, "+env.render_mode=rgb_array")
    said = capsys.readouterr().out
    assert "3 episodes:  return 5" in said
    assert "env 0 of odd_environments:odd/DoesNotDraw-v0: render raised OSError: no dis" in said
    assert {"summary.json", "curve.png"} <= {path.name for path in (tmp_path / "run").iterdir()}


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
    assert "2 episodes (2 cut off after evaluate.max_steps, counted as far as they went)" in said
    call("evaluate", str(tmp_path / "run"), "max_steps=7", "num=1")
    assert "1 episodes (1 cut off" in capsys.readouterr().out
    call("watch", str(tmp_path / "run"), "max_steps=9")
    assert "9 steps, cut off: " in capsys.readouterr().out
