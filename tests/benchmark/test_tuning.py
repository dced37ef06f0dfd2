"""`memrl benchmark --tune`: a grid, seeds of its own, one recipe a task for all memories."""

from __future__ import annotations

import json

import pytest
from tiny_benchmark import TINY, leave, no_processes, tiny

from memrl.benchmark import runs
from memrl.benchmark.plan import Cell, cells, read_plan
from memrl.benchmark.scores import rows_of
from memrl.benchmark.tuning import candidates, choose, trials, untuned, with_recipes
from memrl.cli.benchmark import start_benchmark
from memrl.errors import RunError

__all__ = ["no_processes", "tiny"]  # fixtures
GRID = (
    TINY.replace("[none, gru]", "[none, gru, lstm]")
    + """\
grid: {agent.lr: [1e-3, 3e-3], policy.skip: [false, true]}
tune_seeds: [11, 13]
"""
)
BEST = "agent.lr=3e-3", "policy.skip=true"


@pytest.fixture
def tuned(tiny, tmp_path):
    (tmp_path / "tiny.yaml").write_text(GRID)
    return read_plan("tiny.yaml")


@pytest.fixture
def best_last(monkeypatch):
    """Of ``short`` the GRU learns with BEST alone, and the LSTM a little with all others."""
    made = []

    def run(words, path):
        made.append((words, path))
        gru, best = "memory=gru" in words, set(BEST) <= set(words)
        score = (1.0 if best else 0.25) if gru else (0.3 if best else 0.4)
        leave(path, words, [score] * 3)

    monkeypatch.setattr(runs, "_run", run)
    return made


def test_a_grid_is_every_combination(tuned):
    assert candidates(tuned, "long") == [
        ["agent.lr=1e-3", "policy.skip=false"],
        ["agent.lr=1e-3", "policy.skip=true"],
        ["agent.lr=3e-3", "policy.skip=false"],
        ["agent.lr=3e-3", "policy.skip=true"],
    ]


def test_the_grid_of_a_task_is_in_place_of_the_plans(tiny, tmp_path):
    own = "grid: {agent.lr: [0.002]}"
    (tmp_path / "tiny.yaml").write_text(GRID.replace("low: 0.2", f"low: 0.2, {own}"))
    plan = read_plan("tiny.yaml")
    assert candidates(plan, "long") == [["agent.lr=0.002"]]
    assert len(candidates(plan, "short")) == 4


def test_trials_have_their_own_seeds_and_no_controls(tuned):
    trial = trials(tuned)
    assert {cell.seed for cell in cells(trial)} == {11, 13}
    assert {cell.memory for cell in cells(trial)} == {"gru", "lstm"}
    assert len(cells(trial)) == 2 * 4 * 2 * 2
    name = "short/agent.lr-3e-3_policy.skip-true"
    assert trial.tasks[name].words == ["env.delay=2", *BEST]
    assert trial.tasks[name].low == 0.25


def test_the_recipe_is_the_best_on_average_over_memories(tuned):
    trial, done = trials(tuned), {}
    for cell in cells(trial):
        best = cell.task.endswith("agent.lr-3e-3_policy.skip-true")
        score = (1.0 if best else 0.25) if cell.memory == "gru" else (0.3 if best else 0.4)
        done[cell] = {"success": score, "parameters": 7, "bptt": 16, "env_steps": 1} | {
            "env_steps_per_s": 1.0
        }
    recipes = choose(tuned, rows_of(trial, done))
    assert recipes["short"]["words"] == list(BEST)
    assert recipes["short"]["score"] == pytest.approx((1.0 + 0.05 / 0.75) / 2)
    assert [len(recipe["tried"]) for recipe in recipes.values()] == [4, 4]
    some = {cell: run for cell, run in done.items() if cell[::3] != (cells(trial)[0].task, 13)}
    assert list(choose(tuned, rows_of(trial, some))) == ["long"]  # a trial of short lacks a seed


def test_what_is_chosen_is_what_later_runs_get(tuned, tmp_path, best_last, monkeypatch, capsys):
    for name in ("draw_table", "draw_curves"):
        monkeypatch.setattr(f"memrl.cli.benchmark.{name}", lambda *given: None)
    root = tmp_path / "benchmarks" / "tiny"
    with pytest.raises(
        ValueError, match=r"no recipe is chosen yet for short: memrl benchmark tiny"
    ):
        start_benchmark("tiny.yaml", ["tasks=short"])
    assert best_last == []
    start_benchmark("tiny.yaml", ["tasks=short", "runs=3"], tune=True)
    assert "0 recipes of 2" in capsys.readouterr().out
    start_benchmark("tiny.yaml", ["tasks=short"], tune=True)
    assert len(best_last) == 4 * 2 * 2
    told = json.loads((root / "recipes.json").read_text())
    assert list(told) == ["short"]
    assert told["short"]["words"] == list(BEST)
    assert untuned(tuned, root) == ["long"]
    start_benchmark("tiny.yaml", ["tasks=short", "memories=none"])
    words, _ = best_last[-1]
    assert set(BEST) < set(words)


def test_a_recipe_of_another_grid_is_refused(tuned, tmp_path):
    recipe = {"words": ["agent.lr=0.5"], "score": 1.0, "tried": []}
    (tmp_path / "recipes.json").write_text(json.dumps({"short": recipe}))
    with pytest.raises(RunError, match=r"has agent\.lr=0\.5 for short, which is not in its grid"):
        with_recipes(tuned, tmp_path)
    (tmp_path / "recipes.json").write_text("{")
    with pytest.raises(RunError, match=r"recipes\.json is damaged"):
        with_recipes(tuned, tmp_path)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (GRID.replace("[1e-3, 3e-3]", "[]"), "at least 1 item"),
        (TINY + "tune_seeds: [11]", "a grid needs tune_seeds"),
        (TINY + "grid: {agent.lr: [0.1]}", "a grid needs tune_seeds"),
        (TINY + "grid: {agent.lr: [0.1]}\ntune_seeds: [5]", "5 is among seeds"),
        (GRID.replace("[1e-3, 3e-3]", "[1, 2, 3, 4]"), r"4 values of agent\.lr, allowed: 3"),
        (GRID.replace("policy.skip: [false, true]", "env.delay: [3]"), r"grid has env\.delay"),
        (GRID.replace("[none, gru, lstm]", "[none]"), "all of .* are controls"),
    ],
)
def test_a_wrong_grid_is_one_sentence(tiny, tmp_path, changed, sentence):
    (tmp_path / "tiny.yaml").write_text(changed)
    with pytest.raises(ValueError, match=sentence) as caught:
        read_plan("tiny.yaml")
    assert "\n" not in str(caught.value)


def test_a_wrong_point_of_a_grid_is_told_before_anything_runs(tiny, tmp_path, best_last):
    (tmp_path / "tiny.yaml").write_text(GRID.replace("policy.skip", "policy.skp"))
    with pytest.raises(ValueError, match=r"policy\.skp"):
        start_benchmark("tiny.yaml", [], tune=True)
    assert best_last == []


def test_a_plan_without_a_grid_has_nothing_to_tune(tiny):
    with pytest.raises(ValueError, match=r"tiny has no grid"):
        start_benchmark("tiny.yaml", [], tune=True)


def test_runs_of_two_recipes_are_not_mixed(tiny, tmp_path, no_processes):
    made, _ = no_processes
    start_benchmark("tiny.yaml", ["runs=1"])
    (tmp_path / "tiny.yaml").write_text(TINY.replace("env.delay=2", "env.delay=2, agent.lr=0.005"))
    for options in ({}, {"show": True}, {"check": True}):
        with pytest.raises(
            RunError, match=r"was made with agent\.lr=0\.003, and tiny asks for 0\.005"
        ):
            start_benchmark("tiny.yaml", [], **options)
    assert len(made) == 1


def test_seeds_of_one_memory_have_the_same_options(tiny, tmp_path, no_processes):
    start_benchmark("tiny.yaml", [])
    config = Cell("short", "gru", "default", 5).path(tmp_path / "benchmarks/tiny") / "config.yaml"
    config.write_text(config.read_text().replace("name: gru", "name: lstm"))
    with pytest.raises(RunError, match=r"seed-5 was made with memory\.name=lstm"):
        start_benchmark("tiny.yaml", [], show=True)
    config.write_text("- [")
    with pytest.raises(RunError, match=r"config\.yaml is damaged"):
        start_benchmark("tiny.yaml", [], show=True)
