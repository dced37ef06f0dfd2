"""memrl benchmark: run what a table lacks, then write it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple, TypeAlias

from annotated_types import Ge
from rich.console import Console
from rich.progress import track

from memrl.benchmark.curves import draw_curves, read_curves
from memrl.benchmark.earlier import earlier_runs
from memrl.benchmark.page import write_page
from memrl.benchmark.picture import draw_table
from memrl.benchmark.plan import Cell, Plan, cells, composed, read_plan
from memrl.benchmark.recipe import Key, refuse_mixtures
from memrl.benchmark.repeats import verdict
from memrl.benchmark.runs import finished, run_missing
from memrl.benchmark.scores import Row, Total, rows_of, totals_of
from memrl.benchmark.table import as_json, as_markdown, write_table
from memrl.benchmark.tuning import FILE, choose, trials, untuned, with_recipes, write_recipes
from memrl.benchmark.width import matched_width, refuse_unmatched
from memrl.cli.arguments import parse
from memrl.cli.output import Say, listener
from memrl.config.models import LaxPath
from memrl.distributed.group import need_one_process
from memrl.errors import RunError
from memrl.options import Strict
from memrl.run.machine import usable_cores

Runs: TypeAlias = dict[Cell, dict[str, Any]]  # the summaries of finished ones
CHECKED = 3  # cells that --check runs again


class Options(Strict):
    """Keys of ``memrl benchmark``."""

    root: LaxPath | None = None  # of all runs; benchmarks/NAME
    table: LaxPath | None = None  # a table.json, whose runs count as made
    workers: Annotated[int, Ge(1)] | None = None  # runs at once; one for each core
    runs: Annotated[int, Ge(0)] | None = None  # at most as many new ones; all
    memories: str | None = None  # that are run, of the plan's, separated by commas; all
    tasks: str | None = None
    seeds: int | str | None = None  # 1,2,3; one alone is a number


def start_benchmark(
    name: str,
    words: Sequence[str],
    *,
    check: bool = False,
    show: bool = False,
    tune: bool = False,
    page: Path | None = None,
    as_json_value: bool = False,
) -> None:
    """Run what is missing, then write the table, the figures and print what they hold.

    Args:
        name: of a benchmark, or a YAML file.
        words: of `Options`.
        check: run three finished cells again, and compare.
        show: print the table of what is there, and run nothing.
        tune: run the grid instead, and choose a recipe for each task.
        page: a file for the leader board.
        as_json_value: print one JSON value.

    Raises:
        ValueError: a name or a key is unknown, or options exclude each other.
        RunError: runs failed, have another recipe, a cell came out otherwise, or nothing is
            finished.
    """
    need_one_process("memrl benchmark")
    if check + show + tune > 1:
        raise ValueError("--check, --show and --tune exclude each other: give one of them")
    options, say = parse(Options, words), listener(as_json=as_json_value)
    _refuse_unread(options, page, check=check, tune=tune)
    plan = read_plan(name)
    narrowed = _narrowed(plan, options)
    place = _Place(
        options.root or Path("benchmarks") / plan.name, options.workers or usable_cores(), say
    )
    if tune:
        _tune(plan, narrowed, options.runs, place)
        return
    plan = with_recipes(plan, place.root)
    if check:
        _check(plan, cells(narrowed), place)
        return
    earlier = earlier_runs(plan, options.table) if options.table else {}
    failed = _run_wanted(plan, cells(narrowed), earlier, 0 if show else options.runs, place)
    _report(plan, earlier, failed, place, page=page, as_json_value=as_json_value)


class _Place(NamedTuple):
    """Where runs are, and how they are made."""

    root: Path
    workers: int  # runs at once
    say: Say


def _run_wanted(
    plan: Plan, wanted: Sequence[Cell], earlier: Runs, most: int | None, place: _Place
) -> dict[Cell, str]:
    """Run those of the wanted cells that are not made yet; no more than ``most`` unless it is None.

    Returns:
        The cells that failed, and why.

    Raises:
        ValueError: a task has no recipe yet.
        RunError: runs that are there have another recipe.
    """
    made = {**earlier, **finished(cells(plan), place.root)}
    missing = [cell for cell in wanted if cell not in made][:most]
    if open_ := {cell.task for cell in missing}.intersection(untuned(plan, place.root)):
        raise ValueError(
            f"no recipe is chosen yet for {', '.join(sorted(open_))}: memrl benchmark "
            f"{plan.called} --tune goes through the grid"
        )
    return _run(plan, missing, place)


def _report(
    plan: Plan,
    earlier: Runs,
    failed: dict[Cell, str],
    place: _Place,
    *,
    page: Path | None,
    as_json_value: bool,
) -> None:
    """Write what the finished runs come to, and print the table.

    Raises:
        RunError: runs failed or have another number of parameters, or nothing is finished and no
            ``page`` is wanted.
    """
    own = finished(cells(plan), place.root)
    done = {cell: run for cell in cells(plan) if (run := own.get(cell) or earlier.get(cell))}
    if not done:
        _raise_failures(failed)
    if not done and page is None:
        raise RunError(f"{place.root} holds no finished run of {plan.name}")
    rows = rows_of(plan, done)
    refuse_unmatched(plan, rows)
    totals = totals_of(plan, rows)
    table = as_json(plan, rows, totals)
    if done:
        _write(plan, rows, totals, own, place.root)
        place.say(f"{len(done)} of {len(cells(plan))} runs; tables and figures: {place.root}/")
    if page is not None:
        write_page(page, plan.name, table)
        place.say(f"leader board: {page}")
    print(table if as_json_value else as_markdown(plan, rows, totals), end="")
    _raise_failures(failed)


def _refuse_unread(options: Options, page: Path | None, *, check: bool, tune: bool) -> None:
    """Raise ValueError for what ``--check`` and ``--tune`` do not read."""
    if page is not None and (page.suffix != ".md" or check or tune):
        raise ValueError(f"--page {page}: a file.md is wanted, without --check and --tune")
    if options.table is not None and (check or tune):
        raise ValueError(f"table={options.table} is not read with --check or --tune")
    if options.runs is not None and check:
        raise ValueError(f"runs={options.runs} is not read with --check: it runs {CHECKED} cells")
    if options.seeds is not None and tune:
        raise ValueError(
            f"seeds={options.seeds} is not read with --tune: trials have the tune_seeds of the plan"
        )


def _write(
    plan: Plan,
    rows: Sequence[Row],
    totals: Sequence[Total],
    own: Runs,
    root: Path,
) -> None:
    """The table and its figures; learning curves, of the runs in ``root``, are ``curves.png``."""
    write_table(plan, rows, totals, root)
    draw_table(plan, rows, root / "table.png")
    curves = read_curves(plan, own, root)
    for size in plan.sizes:
        if any(key[2] == size for key in curves):
            of = "" if size == plan.sizes[0] else f"-{size}"
            draw_curves(plan, curves, size, root / f"curves{of}.png")


def _run(plan: Plan, missing: Sequence[Cell], place: _Place) -> dict[Cell, str]:
    """Run cells; returns those that failed, and why.

    Raises:
        RunError: runs that are there have another recipe.
    """
    widths, (root, workers, say) = _widths(plan, missing), place
    refuse_mixtures(plan, root, widths)
    if not missing:
        return {}
    whole = len(cells(plan))
    say(f"starting {len(missing)} of {whole} runs, {workers} at once, in {root}")
    return run_missing(plan, missing, root, widths, workers, say)


def _tune(plan: Plan, narrowed: Plan, most: int | None, place: _Place) -> None:
    """Run what the grid lacks, and write the recipes of tasks of which all is there.

    ``most``: no more new runs than that; None: all.

    Raises:
        ValueError: the plan has no grid.
        RunError: runs failed.
    """
    root, _, say = place
    trial, folder = trials(plan), root / "tune"
    if not trial.tasks:
        raise ValueError(f"{plan.name} has no grid: {plan.called} needs grid: and tune_seeds:")
    done = finished(cells(trial), folder)
    missing = [cell for cell in cells(trials(narrowed)) if cell not in done][:most]
    for task in dict.fromkeys(cell.task for cell in missing):
        composed(
            (*plan.words, *trial.tasks[task].words)
        )  # a wrong key is told before anything runs
    failed = _run(trial, missing, place._replace(root=folder))
    recipes = choose(plan, rows_of(trial, finished(cells(trial), folder)))
    write_recipes(root, recipes)
    for task, recipe in recipes.items():
        say(f"{task}: {' '.join(recipe['words'])} (mean normalised score {recipe['score']:.3f})")
    say(f"{len(recipes)} recipes of {len(list(filter(plan.grid_of, plan.tasks)))}: {root / FILE}")
    _raise_failures(failed)


def _raise_failures(failed: dict[Cell, str]) -> None:
    if failed:
        cell, fault = next(iter(failed.items()))
        raise RunError(f"{len(failed)} runs failed; {cell}: {fault}")


def _narrowed(plan: Plan, options: Options) -> Plan:
    """The plan with some of its tasks, memories and seeds.

    Raises:
        ValueError: one is not in the plan.
    """
    changes: dict[str, Any] = {}
    for key in ("memories", "tasks", "seeds"):
        if (chosen := getattr(options, key)) is not None:
            changes[key] = _chosen(plan, key, str(chosen).split(","))
    if "tasks" in changes:
        changes["tasks"] = {task: plan.tasks[task] for task in changes["tasks"]}
    return plan.model_copy(update=changes)


def _chosen(plan: Plan, key: str, words: Sequence[str]) -> list[Any]:
    known = {str(value): value for value in getattr(plan, key)}
    for word in words:
        if word not in known:
            raise ValueError(
                f"{key}={','.join(words)}: {plan.name} has no {word!r} (it has {', '.join(known)})"
            )
    return [known[word] for word in dict.fromkeys(words)]


def _widths(plan: Plan, missing: Sequence[Cell]) -> dict[Key, int | None]:
    """The width of each memory that is matched on each task."""
    keys = list(dict.fromkeys(cell[:3] for cell in missing if cell.size == "matched"))
    if plan.parameters is None or not keys:
        return {}
    screen = Console(stderr=True)
    return {
        key: matched_width(
            [*plan.words, *plan.tasks[key[0]].words, f"memory={key[1]}"], plan.parameters
        )
        for key in track(keys, "matching parameters", console=screen, transient=True)
    }


def _check(plan: Plan, wanted: Sequence[Cell], place: _Place) -> None:
    """Run some finished cells of those that are wanted again, elsewhere.

    Raises:
        RunError: none of them is finished, runs have another recipe, one failed, or a score does
            not agree with the table's (``memrl.benchmark.repeats``).
    """
    root, workers, say = place
    done = finished(cells(plan), root)
    refuse_mixtures(plan, root, {})
    rows = rows_of(plan, done)
    refuse_unmatched(plan, rows)
    there = sorted(done.keys() & set(wanted))
    if not there:
        which = " among those that are named" if len(wanted) < len(cells(plan)) else ""
        raise RunError(f"{root} holds no finished run of {plan.name}{which}")
    chosen = random.Random().sample(there, min(CHECKED, len(there)))
    otherwise = []
    with TemporaryDirectory(prefix="check-", dir=root) as folder:
        failed = run_missing(plan, chosen, Path(folder), _widths(plan, chosen), workers, say)
        if failed:
            raise RunError("; ".join(f"{cell}: {fault}" for cell, fault in failed.items()))
        again = finished(chosen, Path(folder))
    for cell, summary in again.items():
        (row,) = [row for row in rows if row[:3] == cell[:3]]
        score = float(summary[plan.tasks[cell.task].score])
        agrees, reason = verdict(row, cell.seed, score)
        line = f"{cell}: {score:.4g}, the table has {row.score}: {reason}"
        say(line)
        otherwise += [] if agrees else [line]
    if otherwise:
        raise RunError(f"{len(otherwise)} cells came out otherwise; {otherwise[0]}")
