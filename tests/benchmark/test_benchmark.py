"""`memrl benchmark`: what a plan says, which runs are made, what the table holds."""

from __future__ import annotations

import csv
import json
import math
from contextlib import closing
from itertools import product

import numpy as np
import pytest
from tiny_benchmark import SCORES, TINY, no_processes, summaries, tiny

import memrl
from memrl.benchmark.picture import draw_table
from memrl.benchmark.plan import Cell, Plan, cells, names, read_plan
from memrl.benchmark.repeats import verdict
from memrl.benchmark.runs import finished, run_missing
from memrl.benchmark.scores import rows_of, totals_of
from memrl.benchmark.table import as_csv, as_json, as_latex, as_markdown, write_table
from memrl.benchmark.width import count_parameters, matched_width, solve
from memrl.cli import benchmark
from memrl.cli.benchmark import start_benchmark
from memrl.errors import RunError
from memrl.pipeline.build import make_env

__all__ = ["no_processes", "tiny"]  # fixtures


LONG = {"full", "rewriting"}  # half a second a task


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n in LONG else []) for n in names()],
)
def test_every_benchmark_of_memrl_composes_and_knows_its_levels(name):
    plan = read_plan(name)
    assert {"none", "framestack"} <= set(plan.memories)
    for task in plan.tasks.values():
        assert task.low < task.high


def test_levels_are_the_cards_unless_the_plan_has_its_own(tiny):
    assert tiny.name == "tiny"
    assert (tiny.tasks["short"].score, tiny.tasks["short"].low) == ("success", 0.25)
    assert (tiny.tasks["long"].low, tiny.tasks["long"].high) == (0.2, 1.0)


def test_the_first_seed_of_everything_comes_first(tiny):
    assert cells(tiny)[:5] == [
        Cell("short", "none", "default", 3),
        Cell("short", "gru", "default", 3),
        Cell("long", "none", "default", 3),
        Cell("long", "gru", "default", 3),
        Cell("short", "none", "default", 5),
    ]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[none, gru]", "[none, gruu]", r"unknown memory 'gruu'; did you mean gru"),
        ("seeds: [3, 5]", "seeds: []", "seeds"),
        (
            "seeds: [3, 5]",
            "seeds: [3]\nparameter: 9",
            "did you mean parameters",
        ),
        ("env.delay=2", "env.dely=2", "dely"),
        ("{words: [env.delay=2]}", "{words: []}", "at least 1 item"),
        ("env.delay=2", "env=CartPole-v1", "levels of CartPole-v1 are not known: give low"),
        (TINY, "just text", "holds no keys"),
        (TINY, "a: [", "is no YAML"),
        ("  long:", "  short:", r"tiny\.yaml has 'short' twice in one place, in line 7"),
        ("words: [+run", "seeds: [1]\nwords: [+run", "has 'seeds' twice in one place, in line 4"),
        ("seeds: [3, 5]", "seeds: [3, 3]", r"seeds=\[3, 3\] names one of them twice"),
        ("seeds: [3, 5]", "seeds: [3]\nsizes: [matched]", "matched needs a number of parameters"),
        ("seeds: [3, 5]", "seeds: [3]\nparameters: 9\nsizes: [default]", "nothing else reads it"),
        ("seeds: [3, 5]", "seeds: [3]\nsizes: [big]", "sizes"),
        ("low: 0.2", "low: abc", r"tasks\.long\.low='abc': it should be a valid number"),
        ("[env.delay=2]", "[3]", r"tasks\.short\.words\.0=3: it should be a valid string"),
        ("low: 0.2", "lo: 0.2", r"unknown key tasks\.long\.lo; did you mean low\? \(known: words"),
        (
            "low: 0.2",
            "grid: {agent.lr: 3}",
            r"tasks\.long\.grid\.agent\.lr=3: it should be a valid",
        ),
        ("  short:", "  ../short:", r"'\.\./short' is no name: benchmarks and tasks are called as"),
        ("low: 0.2", "low: 1.0", r"task long: low=1 counts as 0 and high=1 as 1 \(allowed: low"),
    ],
)
def test_a_wrong_plan_is_one_sentence(tiny, tmp_path, old, new, sentence):
    (tmp_path / "tiny.yaml").write_text(TINY.replace(old, new))
    with pytest.raises(ValueError, match=sentence) as caught:
        read_plan("tiny.yaml")
    assert "\n" not in str(caught.value)


def test_a_plan_that_is_no_text_is_named(tiny, tmp_path):
    (tmp_path / "tiny.yaml").write_bytes(b"\xffmemories")
    with pytest.raises(ValueError, match=r"tiny\.yaml is no YAML"):
        read_plan("tiny.yaml")


def test_an_unknown_benchmark_names_those_that_are_there():
    with pytest.raises(ValueError, match=r"unknown benchmark 'quik'; did you mean quick\?"):
        read_plan("quik")
    with pytest.raises(ValueError, match=r"there is no file none\.yaml"):
        read_plan("none.yaml")


@pytest.mark.parametrize(("parameters", "width"), [(10_000, 100), (9_500, 96), (400, 20), (17, 4)])
def test_a_width_is_the_multiple_of_four_that_comes_nearest(parameters, width):
    assert solve(lambda w: w * w, parameters) == width


def test_a_width_that_is_a_tenth_off_is_none():
    assert solve(lambda w: 1000 + w, 500) is None
    assert solve(lambda w: w, 10**6) is None


@pytest.mark.slow
def test_a_matched_policy_has_the_parameters_within_a_tenth(tiny):
    words = [*tiny.words, "env.delay=2", "memory=dnc"]
    width = matched_width(words, 50_000)
    config = memrl.compose(words)
    with closing(make_env(config)) as env:
        assert abs(count_parameters(config, width, env) - 50_000) <= 5_000


def test_a_memory_remembers_only_where_its_interval_is_above_the_controls(tiny):
    rows = {(row.task, row.memory): row for row in rows_of(tiny, summaries(tiny))}
    assert rows["short", "gru"].remembers is True
    assert rows["long", "gru"].remembers is False  # 0.6 on average, and anything between
    assert rows["short", "none"].remembers is None
    assert rows["short", "gru"].score.mean == pytest.approx(0.99)
    assert rows["short", "gru"].env_steps_per_s == 100.5


def test_beside_a_control_of_one_seed_nobody_can_say_whether_a_memory_remembers(tiny):
    few = summaries(tiny)
    del few["short", "none", "default", 5]
    rows = {(row.task, row.memory): row for row in rows_of(tiny, few)}
    assert rows["short", "gru"].remembers is None
    assert rows["long", "gru"].remembers is False


def test_while_a_control_lacks_its_runs_nobody_can_say_whether_a_memory_remembers(tiny):
    plan = tiny.model_copy(update={"memories": ["none", "framestack", "gru"]})
    rows = {(row.task, row.memory): row for row in rows_of(plan, summaries(tiny))}
    assert rows["short", "gru"].score.low > rows["short", "none"].score.high
    assert rows["short", "gru"].remembers is None


def test_a_score_that_a_task_does_not_have_is_told(tiny):
    runs = {cell: {**run, "success": None} for cell, run in summaries(tiny).items()}
    with pytest.raises(RunError, match="task short of tiny has score: success, and a run of none"):
        rows_of(tiny, runs)


def test_totals_are_the_middle_half_of_runs_and_shares_of_pairs(tiny):
    totals = {total.memory: total for total in totals_of(tiny, rows_of(tiny, summaries(tiny)))}
    scaled = [(score - 0.25) / 0.75 for score in SCORES["short", "gru"]]
    scaled += [(score - 0.2) / 0.8 for score in SCORES["long", "gru"]]
    assert totals["gru"].iqm == pytest.approx(np.mean(sorted(scaled)[1:3]))
    assert totals["gru"].low <= totals["gru"].iqm <= totals["gru"].high
    assert totals["gru"].better_than == 0.5
    assert totals["none"].better_than == 0.0
    assert list(totals) == ["gru", "none"]


def test_a_stratified_interval_draws_seeds_within_each_task(tiny):
    """A plain loop draws as often; both intervals are those of the same distribution."""
    rows = rows_of(tiny, summaries(tiny))
    (gru,) = [total for total in totals_of(tiny, rows) if total.memory == "gru"]
    short = (np.array(SCORES["short", "gru"]) - 0.25) / 0.75
    long = (np.array(SCORES["long", "gru"]) - 0.2) / 0.8
    random, means = np.random.default_rng(1), []
    for _ in range(2000):
        drawn = np.concatenate([random.choice(short, 2), random.choice(long, 2)])
        means.append(np.sort(drawn)[1:3].mean())
    assert (gru.low, gru.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.02)


def test_a_memory_without_runs_on_every_task_has_no_total(tiny):
    some = {cell: run for cell, run in summaries(tiny).items() if cell[:2] != ("long", "none")}
    assert [total.memory for total in totals_of(tiny, rows_of(tiny, some))] == ["gru"]


def test_one_seed_has_no_interval_and_says_nothing_of_remembering(tiny):
    some = {cell: run for cell, run in summaries(tiny).items() if cell.seed == 3}
    rows = rows_of(tiny, some)
    assert all(row.remembers is None for row in rows)
    told = json.loads(as_json(tiny, rows, totals_of(tiny, rows)))
    assert told["rows"][0]["score"]["low"] is None
    assert next(csv.DictReader(as_csv(tiny, rows, []).splitlines()))["low"] == ""


def test_the_table_says_the_same_in_every_form(tiny, tmp_path):
    rows = rows_of(tiny, summaries(tiny))
    totals = totals_of(tiny, rows)
    write_table(tiny, rows, totals, tmp_path / "out")
    draw_table(tiny, rows, tmp_path / "out" / "table.png")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        f"table.{suffix}" for suffix in ("csv", "json", "md", "png", "tex")
    ]
    told = json.loads((tmp_path / "out" / "table.json").read_text())
    lines = list(csv.DictReader((tmp_path / "out" / "table.csv").read_text().splitlines()))
    assert [float(line["mean"]) for line in lines] == [row["score"]["mean"] for row in told["rows"]]
    markdown, latex = as_markdown(tiny, rows, totals), as_latex(tiny, rows, totals)
    assert "| gru | 0.99 [0.863, 1] | 2 of 2 | 7 | 512 | 16 | 100 | yes |" in markdown
    assert "### All tasks" in markdown
    assert r"gru & $0.99 \pm 0.13$ & $0.60 \pm 0.60$ \\" in latex  # cut off at 0 and 1


def test_the_table_says_of_how_many_seeds_a_mean_is(tiny):
    """A seed that failed is missing from its mean."""
    runs = summaries(tiny)
    del runs["long", "gru", "default", 3]
    rows = rows_of(tiny, runs)
    assert "| gru | 0.9 | 1 of 2 |" in as_markdown(tiny, rows, [])
    assert r"gru & $0.99 \pm 0.13$ & $0.90$ (1 of 2) \\" in as_latex(tiny, rows, [])


def test_only_what_is_missing_is_run_with_the_recipe_of_its_task(tiny, tmp_path, no_processes):
    made, _ = no_processes
    start_benchmark("tiny.yaml", ["runs=3"])
    assert len(made) == 3
    start_benchmark("tiny.yaml", [])
    assert len(made) == 8
    assert len({path for _, path in made}) == 8
    words, path = made[0]
    assert words[:5] == [*tiny.words, "env.delay=2"]
    assert {"memory=none", "seed=3", f"run.dir='{path}'", "threads=1"} <= set(words)
    start_benchmark("tiny.yaml", [], show=True)
    assert len(made) == 8


def test_a_table_of_another_machine_counts_as_made(tiny, tmp_path, no_processes):
    made, _ = no_processes
    start_benchmark("tiny.yaml", ["tasks=short"])
    there = tmp_path / "there.json"
    (tmp_path / "benchmarks/tiny/table.json").rename(there)
    start_benchmark("tiny.yaml", ["root=here", f"table={there}"])
    assert [path.parts[-4] for _, path in made[4:]] == ["long"] * 4
    joint = json.loads((tmp_path / "here/table.json").read_text())
    start_benchmark("tiny.yaml", ["root=alone"])
    alone = json.loads((tmp_path / "alone/table.json").read_text())
    assert joint == alone


def test_some_tasks_are_run_and_the_table_still_shows_all(tiny, no_processes, capsys):
    made, _ = no_processes
    start_benchmark("tiny.yaml", [])
    capsys.readouterr()
    words = ["tasks=long", "memories=gru"]
    start_benchmark("tiny.yaml", words)
    assert len(made) == 8
    assert "### short" in capsys.readouterr().out


def test_a_seed_that_is_named_twice_is_run_once(tiny, no_processes):
    made, _ = no_processes
    start_benchmark("tiny.yaml", ["seeds=5,5", "tasks=short"])
    assert len(made) == 2


def test_some_seeds_are_run_alone(tiny, no_processes):
    made, _ = no_processes
    start_benchmark("tiny.yaml", ["seeds=5"])
    assert [path.name for _, path in made] == ["seed-5"] * 4


def test_as_json_the_output_is_one_value(tiny, no_processes, capsys, monkeypatch):
    plan = TINY.replace("seeds:", "parameters: 50_000\nseeds:")
    with open("tiny.yaml", "w") as file:
        file.write(plan)
    monkeypatch.setattr(benchmark, "matched_width", lambda words, parameters: 8)
    start_benchmark("tiny.yaml", [], as_json_value=True)
    told = json.loads(capsys.readouterr().out)
    assert {row["memory"] for row in told["rows"]} == {"none", "gru"}
    assert all("memory.hidden_dim=8" in words for words, _ in no_processes[0])


def test_a_memory_is_run_at_equal_parameters_and_as_it_is(tiny, no_processes, monkeypatch, capsys):
    sizes = "parameters: 50_000\nsizes: [matched, default]\nseeds:"
    with open("tiny.yaml", "w") as file:
        file.write(TINY.replace("seeds:", sizes))
    monkeypatch.setattr(benchmark, "matched_width", lambda words, parameters: 8)
    start_benchmark("tiny.yaml", ["tasks=short"], as_json_value=True)
    told = json.loads(capsys.readouterr().out)
    rows = [(row["memory"], row["size"]) for row in told["rows"]]
    assert rows == list(product(["none", "gru"], ["matched", "default"]))
    wide = {path.parent.name: "memory.hidden_dim=8" in words for words, path in no_processes[0]}
    assert wide == {"matched": True, "default": False}
    start_benchmark("tiny.yaml", ["tasks=short"], show=True)
    assert "| gru, default size |" in capsys.readouterr().out
    monkeypatch.setattr(benchmark, "matched_width", lambda words, parameters: 12)
    with open("tiny.yaml", "w") as file:
        file.write(TINY.replace("seeds:", sizes).replace("[3, 5]", "[3, 5, 7]"))
    with pytest.raises(RunError, match=r"made with memory\.hidden_dim=8, and tiny asks for 12"):
        start_benchmark("tiny.yaml", ["tasks=short"])


def test_runs_of_another_number_of_parameters_than_the_plans_are_refused(
    tiny, no_processes, monkeypatch
):
    widths = {50_000: 8, 70_000: 12, 10**9: None}
    for room in ("memrl.cli.benchmark", "memrl.benchmark.width"):
        monkeypatch.setattr(f"{room}.matched_width", lambda words, parameters: widths[parameters])
    for parameters in widths:
        with open("tiny.yaml", "w") as file:
            file.write(TINY.replace("seeds:", f"parameters: {parameters}\nseeds:"))
        if parameters == 70_000:
            sentence = r"none on short have 50,000 parameters, and tiny asks for 70,000"
            for flags in ({"show": True}, {"check": True}):
                with pytest.raises(RunError, match=sentence):
                    start_benchmark("tiny.yaml", [], **flags)
        else:  # no memory can have a thousand million: each keeps its own width
            start_benchmark("tiny.yaml", [])
    assert len(no_processes[0]) == 8


def test_a_run_that_fails_is_named_and_the_others_are_made(tiny, tmp_path, no_processes, capsys):
    _, failing = no_processes
    failing.add(Cell("short", "gru", "default", 5).path(tmp_path / "runs"))
    options = [f"root={tmp_path / 'runs'}", "workers=1"]
    with pytest.raises(
        RunError, match=r"1 runs failed; short gru, default size, seed 5: memrl: it diverged"
    ):
        start_benchmark("tiny.yaml", options)
    assert len(finished(cells(tiny), tmp_path / "runs")) == 7
    assert "7 of 8 runs" in capsys.readouterr().out


def test_where_all_runs_fail_the_reason_is_told(tiny, tmp_path, no_processes):
    no_processes[1].update(cell.path(tmp_path / "runs") for cell in cells(tiny))
    with pytest.raises(RunError, match=r"2 runs failed; .*: memrl: it diverged"):
        start_benchmark("tiny.yaml", [f"root={tmp_path / 'runs'}", "runs=2"])


def test_a_damaged_summary_is_named(tiny, tmp_path, no_processes):
    start_benchmark("tiny.yaml", ["runs=1"])
    (summary,) = tmp_path.rglob("summary.json")
    summary.write_text("{")
    with pytest.raises(RunError, match=r"seed-3/summary\.json cannot be read"):
        start_benchmark("tiny.yaml", [], show=True)


def test_a_check_and_a_grid_read_no_table(tiny):
    for flag in ("check", "tune"):
        with pytest.raises(ValueError, match=r"table=t\.json is not read with --check or --tune"):
            start_benchmark("tiny.yaml", ["table=t.json"], **{flag: True})


def test_a_check_runs_three_cells_again_and_compares_them(tiny, tmp_path, no_processes, capsys):
    made, _ = no_processes
    start_benchmark("tiny.yaml", [])
    start_benchmark("tiny.yaml", [], check=True)
    assert len(made) == 8 + 3
    assert capsys.readouterr().out.count(": repeated, seed ") == 3
    start_benchmark("tiny.yaml", [], check=True)
    assert len({path for _, path in made}) == 8 + 3 + 3  # made anew, elsewhere


def test_a_check_runs_those_again_that_are_named(tiny, no_processes, capsys):
    made, _ = no_processes
    start_benchmark("tiny.yaml", [])
    start_benchmark("tiny.yaml", ["tasks=long", "memories=gru", "seeds=5"], check=True)
    assert len(made) == 8 + 1
    assert "long gru, default size, seed 5: 0.9, the table has 0.9" in capsys.readouterr().out
    with pytest.raises(RunError, match="no finished run of tiny among those that are named"):
        start_benchmark("tiny.yaml", ["tasks=long", "root=empty"], check=True)


@pytest.mark.parametrize(("word", "flag"), [("runs=5", "check"), ("seeds=3", "tune")])
def test_a_key_that_is_not_read_is_refused(tiny, word, flag):
    with pytest.raises(ValueError, match=f"{word} is not read with --{flag}"):
        start_benchmark("tiny.yaml", [word], **{flag: True})


@pytest.mark.parametrize(
    ("seeds", "sentence"),
    [
        ("seeds=3,5", r"3 cells came out otherwise; .* had 0\.\d+; outside of the interval"),
        ("seeds=3", "one seed has no interval, so its score must repeat exactly"),
    ],
)
def test_a_check_of_scores_that_no_run_reached_fails(tiny, tmp_path, no_processes, seeds, sentence):
    start_benchmark("tiny.yaml", [seeds])
    for path in (tmp_path / "benchmarks").rglob("summary.json"):
        doctored = json.loads(path.read_text())
        doctored["success"] += 0.05
        path.write_text(json.dumps(doctored))
    with pytest.raises(RunError, match=sentence):
        start_benchmark("tiny.yaml", [], check=True)


def test_a_score_that_is_repeated_agrees_though_the_interval_of_the_mean_lacks_it(tiny):
    plan = tiny.model_copy(update={"seeds": [3, 5, 7, 11, 13]})
    (run, *_) = summaries(tiny).values()
    scores = dict(zip(plan.seeds, [0.2, 0.8, 0.8, 0.8, 0.8], strict=True))
    runs = {
        Cell("short", "gru", "default", seed): {**run, "success": score}
        for seed, score in scores.items()
    }
    (row,) = rows_of(plan, runs)
    assert row.score.low > 0.2
    assert verdict(row, 3, 0.2).agrees
    assert not verdict(row, 5, 0.2).agrees
    assert verdict(row, 5, 0.79).agrees


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["memories=lstm"], r"tiny has no 'lstm' \(it has none, gru\)"),
        (["tasks=shrt"], "tiny has no 'shrt'"),
        (["seeds=3,4"], r"seeds=3,4: tiny has no '4' \(it has 3, 5\)"),
        (["workers=0"], "workers"),
        (["worker=2"], r"did you mean workers\?"),
    ],
)
def test_a_wrong_key_is_one_sentence(tiny, words, sentence):
    with pytest.raises(ValueError, match=sentence):
        start_benchmark("tiny.yaml", words)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("env.delay=2", "env.delay=3", "another plan than tiny: task short differ"),
        ("{words: [env.delay=2]}", "", "is no table of this version"),
    ],
)
def test_a_table_of_another_plan_is_refused(tiny, tmp_path, no_processes, old, new, sentence):
    start_benchmark("tiny.yaml", ["tasks=short"])
    table = tmp_path / "benchmarks/tiny/table.json"
    table.write_text(table.read_text().replace(old, new) if new else "{}")
    with pytest.raises(RunError, match=sentence):
        start_benchmark("tiny.yaml", ["root=here", f"table={table}"])


def test_a_table_of_another_score_is_refused(tiny, tmp_path, no_processes):
    """The words may be alike: returns would stand in a column of successes."""
    start_benchmark("tiny.yaml", ["tasks=long"])
    (tmp_path / "tiny.yaml").write_text(TINY.replace("low: 0.2", "low: 0.2, score: return"))
    table = "table=benchmarks/tiny/table.json"
    with pytest.raises(RunError, match="another plan than tiny: task long differ"):
        start_benchmark("tiny.yaml", ["root=here", table], show=True)


def test_runs_of_unequal_parameters_are_no_row(tiny):
    runs = summaries(tiny)
    runs["short", "gru", "default", 5]["parameters"] = 8
    with pytest.raises(RunError, match="gru on short of tiny have 7 and 8 parameters"):
        rows_of(tiny, runs)


def test_nothing_finished_is_said(tiny):
    with pytest.raises(RunError, match="holds no finished run of tiny"):
        start_benchmark("tiny.yaml", [], show=True)


@pytest.mark.slow
def test_runs_are_made_and_interrupted_ones_go_on(tiny, tmp_path):
    few = [Cell("short", "gru", "default", 3), Cell("short", "none", "default", 3)]
    assert run_missing(tiny, few, tmp_path / "a", {}, 2, lambda line: None) == {}
    done = finished(few, tmp_path / "a")
    summary = few[0].path(tmp_path / "a") / "summary.json"
    summary.unlink()  # as if it had been stopped after its last checkpoint
    assert run_missing(tiny, few[:1], tmp_path / "a", {}, 1, lambda line: None) == {}
    again = finished(few, tmp_path / "a")
    assert again[few[0]]["success"] == done[few[0]]["success"]
    assert math.isfinite(again[few[0]]["wall_seconds"])
    log = few[0].path(tmp_path / "a").with_suffix(".log").read_text()
    assert "--resume" not in log
    words = ["+run=smoke", "env.num=-1"]
    broken = Plan(name="b", called="b", memories=["gru"], seeds=[1], tasks=tiny.tasks, words=words)
    failed = run_missing(broken, few[:1], tmp_path / "b", {}, 1, lambda line: None)
    assert "env.num=-1" in failed[few[0]]
