"""memrl compare: folders of runs, tables for narrow terminals and for programs."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import pytest
from compared_runs import compared_run as run
from small_fits import SMALL

import memrl
from memrl.cli.compare import common_levels, comparison_table, csv_row, in_common
from memrl.cli.main import main
from memrl.evaluation.compare import group_runs
from memrl.pipeline.directories import dump
from memrl.run.directory import RunDirectory
from memrl.supervised.config import compose_fit
from memrl.supervised.fitting import fit_task

TINY = ["+run=smoke", "threads=1", "total_steps=256", "evaluate.episodes=4", "memory=gru",
        "run.pictures=false"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with two runs of memrl train, at different depths."""
    folder = tmp_path_factory.mktemp("compare") / "runs"
    for seed, place in ((1, "one"), (2, "deep/two")):
        config = memrl.compose([*TINY, f"seed={seed}", f"run.dir={folder / place}"])
        memrl.train(config, style="quiet", say=lambda line: None)
    return folder


@pytest.fixture
def compare(monkeypatch, capfd, tmp_path):
    """Call the command in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["memrl", "compare", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code or 0
        return code, *capfd.readouterr()

    return call


def test_a_folder_of_runs_is_compared(compare, folder):
    code, out, err = compare(folder, "--json")
    assert (code, err) == (0, "")
    (row,) = json.loads(out)
    assert row["memory"] == "gru"
    assert sorted(row["seeds"]) == [1, 2]
    assert 0 <= row["success"]["low"] <= row["success"]["mean"] <= row["success"]["high"] <= 1
    assert Path("compare.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_run_counts_once_however_it_is_named(compare, folder, tmp_path):
    (tmp_path / "link").symlink_to(folder / "one")
    code, out, _ = compare(folder, folder / "one", "link", tmp_path / "link", "--json")
    assert code == 0
    assert len(json.loads(out)[0]["runs"]) == 2


def test_a_run_of_a_folder_that_has_not_ended_is_left_out_and_named(compare, folder, tmp_path):
    runs = Path(shutil.copytree(folder, tmp_path / "copy"))
    (runs / "one" / "summary.json").unlink()
    code, out, err = compare(runs, "--json")
    assert code == 0
    assert json.loads(out)[0]["seeds"] == [2]
    assert err == f"not finished, so left out: {runs / 'one'}\n"
    (runs / "deep" / "two" / "summary.json").unlink()
    assert f"memrl: there is no finished run in {runs}" in compare(runs)[2]
    assert "has not finished yet" in compare(runs / "one")[2]


def test_csv_has_a_column_for_each_end_of_an_interval(compare, folder):
    code, out, _ = compare(folder, "--csv")
    assert code == 0
    (row,) = csv.DictReader(io.StringIO(out))
    assert row["seeds"] == "2"
    assert float(row["success_low"]) <= float(row["success"]) <= float(row["success_high"])


@pytest.mark.parametrize("width", [40, 80])
def test_the_table_fits_the_terminal_and_loses_nothing(compare, folder, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = compare(folder)
    assert code == 0
    assert max(map(len, out.splitlines())) <= width
    for word in ("memory", "gru", "probe/Recall-v0", "success", "return", "256", "wall"):
        assert word in out


@pytest.mark.slow
def test_supervised_runs_are_compared_by_accuracy(compare, folder, tmp_path):
    for seed in (1, 2):
        config = compose_fit([*SMALL, "sequences=12", f"seed={seed}", "evaluate.lengths=[3]"])
        fit_task(config, tmp_path / f"fit{seed}", style="quiet", say=lambda line: None)
    code, out, err = compare("fit1", "fit2", "--json")
    assert (code, err) == (0, "")
    (row,) = json.loads(out)
    assert (row["task"], row["seeds"], row["sequences"]) == ("copy", [1, 2], 12)
    assert 0 <= row["accuracy"]["low"] <= row["accuracy"]["high"] <= 1
    assert "accuracy" in compare("fit1")[1]
    assert "compare those of one command" in compare("fit1", folder)[2]


def test_the_table_says_what_was_compared():
    text = comparison_table(group_runs([run("dnc", 0, 0.5), run("dnc", 1, 0.7)]), width=140)
    for word in ("dnc", "Maze", "60.0% [0%, 100%]", "env steps", "900", "18 s", "95 % t-interval"):
        assert word in text


def test_a_single_seed_has_no_interval():
    (group,) = group_runs([run("dnc", 0, 0.5)])
    assert "[" not in comparison_table([group], width=140)
    assert csv_row(group)["success_low"] is None


def test_a_task_without_success_is_compared_by_return():
    groups = group_runs([run("dnc", 0, 0.5), run("dnc", 0, 0.5, task="B", measure="return")])
    _, one, other = comparison_table(groups, width=140).splitlines()
    assert "50.0%" in one
    assert "–" in other


def test_each_task_of_a_comparison_has_its_own_levels(tmp_path):
    tasks = ("probe/Recall-v0", "probe/TMaze-v0", "probe/Recall-v0")
    runs = [run("dnc", seed, 0.5, task=task) for seed, task in enumerate(tasks)]
    made = [
        RunDirectory.create(tmp_path / str(seed), dump(memrl.compose([f"env={task}"])))
        for seed, task in enumerate(tasks)
    ]
    levels = common_levels(runs, made)
    assert levels.keys() == {*tasks}
    assert levels["probe/Recall-v0"]["memoryless"] == 0.25
    assert levels["probe/TMaze-v0"]["memoryless"] == 0.5


def test_levels_in_which_the_runs_of_a_task_differ_are_left_out():
    one, other = {"optimal": 1.0, "memoryless": 0.5}, {"optimal": 1.0, "memoryless": 0.25}
    assert in_common(one, other) == {"optimal": 1.0}
    assert in_common(one, {"optimal": 1.0}) == {"optimal": 1.0}
