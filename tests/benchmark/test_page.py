"""The leader board: made of table.json alone, and equal to it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from tiny_benchmark import TINY, no_processes, summaries, tiny

from memrl.benchmark.page import TABLES, as_page, read_tables, write_page
from memrl.benchmark.plan import Cell, names, read_plan
from memrl.benchmark.scores import is_ahead, rows_of, totals_of
from memrl.benchmark.table import as_json
from memrl.benchmark.tuning import candidates
from memrl.cli.benchmark import start_benchmark
from memrl.errors import RunError

__all__ = ["no_processes", "tiny"]  # fixtures
DOCS = Path(__file__).parents[2] / "docs"
MANUAL = DOCS / "benchmark.md"


def table(plan, runs):
    rows = rows_of(plan, runs)
    return as_json(plan, rows, totals_of(plan, rows))


def page_of(plan, runs, folder):
    write_page(folder / "page.md", plan.name, table(plan, runs))
    return (folder / "page.md").read_text()


def many(plan, scores):
    """Runs of as many seeds as there are scores, by task and memory."""
    seeds = list(range(len(next(iter(scores.values())))))
    (run, *_) = summaries(plan).values()
    plan = plan.model_copy(update={"seeds": seeds})
    return plan, {
        Cell(task, memory, "default", seed): {**run, "success": value}
        for (task, memory), values in scores.items()
        for seed, value in zip(seeds, values, strict=True)
    }


def test_the_page_of_the_documentation_is_that_of_its_tables():
    tables = read_tables(DOCS / TABLES)
    assert (DOCS / "leaderboard.md").read_text() == as_page(tables)
    assert {told.plan.name for told in tables} == set(names())


@pytest.mark.parametrize("name", names())
def test_tables_of_the_documentation_are_of_the_present_plans(name):
    told = json.loads((DOCS / TABLES / f"{name}.json").read_text())["benchmark"]
    plan = yaml.safe_load((DOCS.parent / f"configs/benchmark/{name}.yaml").read_text())
    assert list(told["tasks"]) == list(plan["tasks"])
    assert (told["memories"], told["seeds"]) == (plan["memories"], plan["seeds"])


def test_the_plan_of_the_documentation_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (text,) = re.findall(r"```yaml\n# file: mine.yaml\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    Path("mine.yaml").write_text(text)
    plan = read_plan("mine.yaml")
    assert len(candidates(plan, "maze")) == 6
    assert plan.sizes == ["matched", "default"]


def test_rows_are_sorted_and_what_is_ahead_of_the_controls_is_bold(tiny, tmp_path):
    page = page_of(tiny, summaries(tiny), tmp_path)
    assert "| 1 | **gru** | 0.99 [0.863, 1] | 2 of 2 | – | 7 | 512 | 16 | 100 | 0.0 |" in page
    assert "| 2 | none | 0.26 [0.133, 0.387] | 2 of 2 |" in page
    assert "| 1 | gru | 0.6 [" in page  # on long, its interval reaches down to the control's
    assert "Recipe: `+run=smoke total_steps=256 evaluate.episodes=5 track=off env.delay=2`" in page
    assert "Commits: 0123456." in page
    assert "Not yet run" not in page


def test_nothing_is_bold_while_a_control_lacks_its_runs(tiny, tmp_path):
    higher = {("short", "none"): [0.2, 0.21], ("short", "gru"): [0.9, 0.91]}
    plan, runs = many(tiny, higher | {("long", memory): s for (_, memory), s in higher.items()})
    assert "| 1 | **gru** | 0.8" in page_of(plan, runs, tmp_path)  # over all tasks
    both = plan.model_copy(update={"memories": ["none", "framestack", "gru"]})
    assert "**gru**" not in page_of(both, runs, tmp_path)


def test_one_is_ahead_of_another_only_with_five_seeds_and_intervals_apart(tiny, tmp_path):
    apart = {("short", "none"): [0.2, 0.25, 0.2, 0.25, 0.2], ("short", "gru"): [0.9] * 5}
    plan, runs = many(tiny, apart)
    gru, none = sorted(rows_of(plan, runs), key=lambda row: row.memory)
    assert is_ahead(gru, none)
    assert not is_ahead(none, gru)
    assert "| 5 of 5 | none |" in page_of(plan, runs, tmp_path)
    few = {key: values[:4] for key, values in apart.items()}
    gru, none = sorted(rows_of(*many(tiny, few)), key=lambda row: row.memory)
    assert gru.score.low > none.score.high
    assert not is_ahead(gru, none)
    wide = {("short", "none"): [0.2, 0.3, 0.2, 0.3, 0.2], ("short", "gru"): [0.0, 1.0, 0, 1, 1]}
    gru, none = sorted(rows_of(*many(tiny, wide)), key=lambda row: row.memory)
    assert not is_ahead(gru, none)


def test_what_was_not_run_has_its_command(tiny, tmp_path):
    page = page_of(tiny, {}, tmp_path)
    assert "Not yet run: all (`memrl benchmark tiny.yaml tasks=short memories=none,gru`)." in page
    some = {c: run for c, run in summaries(tiny).items() if c[1:] != ("gru", "default", 5)}
    page = page_of(tiny, some, tmp_path)
    assert "Not yet run: gru (`memrl benchmark tiny.yaml tasks=long memories=gru`)." in page
    assert "1 of 2" in page


def test_a_command_names_the_file_that_was_given(tiny, tmp_path):
    (tmp_path / "my plans").mkdir()
    given = "my plans/tiny.yaml"
    (tmp_path / given).write_text(f"name: quick\n{TINY}")
    page = page_of(read_plan(given), {}, tmp_path)
    (command,) = re.findall(r"`(memrl benchmark .*) tasks=short", page)
    assert shlex.split(command) == ["memrl", "benchmark", given]


def test_a_page_holds_every_table_beside_it(tiny, tmp_path):
    page_of(tiny, summaries(tiny), tmp_path)
    page = page_of(tiny.model_copy(update={"name": "other", "seeds": [3]}), {}, tmp_path)
    assert page.index("## other") < page.index("## tiny")
    assert as_page(read_tables(tmp_path / TABLES)) == page
    (tmp_path / TABLES / "tiny.json").write_text("{}")
    with pytest.raises(RunError, match=r"tiny\.json is no table of this version"):
        read_tables(tmp_path / TABLES)


@pytest.mark.parametrize("damage", [{"score": None}, {"scores": [1.0]}, {"task": "lost"}])
def test_a_damaged_row_is_one_sentence(tiny, tmp_path, damage):
    told = json.loads(table(tiny, summaries(tiny)))
    told["rows"][0] |= damage
    (tmp_path / "table.json").write_text(json.dumps(told))
    with pytest.raises(RunError, match=r"table\.json is no table of this version: "):
        read_tables(tmp_path)


def test_a_table_is_read_as_it_was_written(tiny, tmp_path):
    one_seed = {cell: run for cell, run in summaries(tiny).items() if cell.seed == 3}
    for runs in (summaries(tiny), one_seed):
        page_of(tiny, runs, tmp_path)
        (told,) = read_tables(tmp_path / TABLES)
        assert as_json(*told) == table(tiny, runs)


def test_the_command_writes_the_page_beside_its_table(tiny, tmp_path, no_processes):
    start_benchmark("tiny.yaml", [], show=True, page=tmp_path / "board.md")
    assert "Not yet run: all" in (tmp_path / "board.md").read_text()
    start_benchmark("tiny.yaml", [], page=tmp_path / "board.md")
    assert "| 1 | **gru** |" in (tmp_path / "board.md").read_text()
    kept = (tmp_path / TABLES / "tiny.json").read_text()
    assert kept == (tmp_path / "benchmarks" / "tiny" / "table.json").read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"page": Path("board.html")}, r"--page board\.html: a file\.md is wanted"),
        ({"page": Path("board.md"), "tune": True}, "without --check and --tune"),
        ({"show": True, "tune": True}, "exclude each other"),
    ],
)
def test_options_that_do_not_go_together_are_one_sentence(tiny, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        start_benchmark("tiny.yaml", [], **options)
