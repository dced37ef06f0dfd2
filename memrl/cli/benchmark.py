"""memrl benchmark: run what a table lacks, then write it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from annotated_types import Ge
from rich.console import Console
from rich.progress import track

from memrl.benchmark.picture import draw_table
from memrl.benchmark.plan import Cell, Plan, cells, read_plan
from memrl.benchmark.runs import finished, run_missing
from memrl.benchmark.scores import Row, rows_of, totals_of
from memrl.benchmark.table import as_json, as_markdown, write_table
from memrl.benchmark.width import matched_width
from memrl.cli.arguments import parse
from memrl.cli.output import Say, listener
from memrl.config.models import LaxPath
from memrl.errors import RunError
from memrl.options import Strict
from memrl.run.machine import usable_cores

CHECKED = 3  # cells that --check runs again


class Options(Strict):
    """Keys of ``memrl benchmark``."""

    root: LaxPath | None = None  # of all runs; benchmarks/NAME
    workers: Annotated[int, Ge(1)] | None = None  # runs at once; one for each core
    runs: Annotated[int, Ge(0)] | None = None  # at most as many new ones; all
    memories: str | None = None  # that are run, of the plan's, separated by commas; all
    tasks: str | None = None


def start_benchmark(
    name: str, words: Sequence[str], *, check: bool, show: bool, as_json_value: bool
) -> None:
    """Run what is missing, then write the table, the figure and print what they hold.

    Args:
        name: of a benchmark, or a YAML file.
        words: of `Options`.
        check: run three finished cells again, and compare.
        show: print the table of what is there, and run nothing.
        as_json_value: print one JSON value.

    Raises:
        ValueError: a name or a key is unknown.
        RunError: runs failed, a cell came out otherwise, or nothing is finished.
    """
    plan, options, say = read_plan(name), parse(Options, words), listener(as_json=as_json_value)
    chosen = cells(_narrowed(plan, options))
    root = options.root or Path("benchmarks") / plan.name
    workers = options.workers or usable_cores()
    wanted = cells(plan)
    done = finished(wanted, root)
    if check:
        _check(plan, rows_of(plan, done), done, root, workers, say)
        return
    missing = [] if show else [cell for cell in chosen if cell not in done][: options.runs]
    failed = {}
    if missing:
        say(f"{len(missing)} of {len(wanted)} runs are made, {workers} at once, in {root}")
        failed = run_missing(plan, missing, root, _widths(plan, missing), workers, say)
    done = finished(wanted, root)
    if not done:
        raise RunError(f"{root} holds no finished run of {plan.name}")
    rows = rows_of(plan, done)
    totals = totals_of(plan, rows)
    write_table(plan, rows, totals, root)
    draw_table(plan, rows, root / "table.png")
    print(as_json(plan, rows, totals) if as_json_value else as_markdown(plan, rows, totals), end="")
    say(f"{len(done)} of {len(wanted)} runs; tables and figure: {root}/table.*")
    if failed:
        cell, fault = next(iter(failed.items()))
        raise RunError(f"{len(failed)} runs failed; {cell}: {fault}")


def _narrowed(plan: Plan, options: Options) -> Plan:
    """The plan with some of its tasks and memories.

    Raises:
        ValueError: one is not in the plan.
    """
    changes = {}
    for key, known in (("memories", list(plan.memories)), ("tasks", list(plan.tasks))):
        chosen = getattr(options, key)
        if chosen is None:
            continue
        for word in chosen.split(","):
            if word not in known:
                raise ValueError(
                    f"{key}={chosen}: {plan.name} has no {word!r} (it has {', '.join(known)})"
                )
        changes[key] = chosen.split(",")
    if "tasks" in changes:
        changes["tasks"] = {task: plan.tasks[task] for task in changes["tasks"]}
    return plan.model_copy(update=changes)


def _widths(plan: Plan, missing: Sequence[Cell]) -> dict[tuple[str, str], int | None]:
    """The width of each memory on each task; empty where the plan leaves them as they are."""
    if plan.parameters is None:
        return {}
    pairs = list(dict.fromkeys((cell.task, cell.memory) for cell in missing))
    screen = Console(stderr=True)
    return {
        (task, memory): matched_width(
            [*plan.words, *plan.tasks[task].words, f"memory={memory}"], plan.parameters
        )
        for task, memory in track(pairs, "matching parameters", console=screen, transient=True)
    }


def _check(
    plan: Plan,
    rows: Sequence[Row],
    done: dict[Cell, dict[str, object]],
    root: Path,
    workers: int,
    say: Say,
) -> None:
    """Run some finished cells again, elsewhere.

    Raises:
        RunError: nothing is finished, a run failed, or a score lies outside of its interval.
    """
    if not done:
        raise RunError(f"{root} holds no finished run of {plan.name}")
    chosen = random.Random().sample(sorted(done), min(CHECKED, len(done)))
    outside = []
    with TemporaryDirectory(prefix="check-", dir=root) as folder:
        failed = run_missing(plan, chosen, Path(folder), _widths(plan, chosen), workers, say)
        if failed:
            raise RunError("; ".join(f"{cell}: {fault}" for cell, fault in failed.items()))
        again = finished(chosen, Path(folder))
    for cell, summary in again.items():
        (row,) = [row for row in rows if (row.task, row.memory) == cell[:2]]
        score = float(summary[plan.tasks[cell.task].score])
        inside = row.score.low <= score <= row.score.high
        say(f"{cell}: {score:.4g}, the table has {row.score} ({'inside' if inside else 'outside'})")
        outside += [] if inside else [str(cell)]
    if outside:
        raise RunError(f"outside of the table's interval: {', '.join(outside)}")
