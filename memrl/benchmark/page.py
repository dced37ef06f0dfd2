"""The leader board: a page in Markdown, made of nothing but tables that were written as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Final

from memrl.benchmark.plan import CONTROLS, Cell, cells
from memrl.benchmark.scores import ENOUGH, Row, controls_of, is_ahead
from memrl.benchmark.table import lined, number, score_of, seeds_of
from memrl.benchmark.told import Told, read_table
from memrl.checkpoint.atomic import write_atomically

TABLES: Final = Path("assets/benchmark")  # beside the page: NAME.json of every benchmark on it
INTRO: Final = f"""\
# Leader board

Every number is of a run of [`memrl benchmark`](benchmark.md); `--page` writes this page, and nobody
else does.

- **Bold**: the 95 % interval lies above that of both controls (`none` and `framestack`) at the same
  size.
- *ahead of*: the memories of the same size whose intervals lie wholly below, where both have
  {ENOUGH} seeds or more. With fewer, an order is no finding, and the column has a dash.
- *score*: mean of fresh episodes and Student's interval over seeds. *IQM*: interquartile mean of
  scores between the level without a memory, 0, and the optimum, 1, with a stratified bootstrap
  interval.
- *minutes*: of training, one seed, one thread, by the median speed; machines differ.
"""
_ROW_HEADS: Final = (
    "rank",
    "memory",
    "score",
    "seeds",
    "ahead of",
    "parameters",
    "state bytes",
    "bptt",
    "env steps/s",
    "minutes",
)
_TOTAL_HEADS: Final = ("rank", "memory", "IQM", "better than GRU", "minutes, all tasks")


def write_page(page: Path, name: str, table: str) -> None:
    """Keep a table beside a page, and write the page of all tables that are kept there.

    Args:
        page: the file to write.
        name: of the benchmark.
        table: its ``table.json``.

    Raises:
        RunError: a table is damaged, or the disk is full.
    """
    folder = page.parent / TABLES
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{name}.json", table.encode())
    write_atomically(page, as_page(read_tables(folder)).encode())


def read_tables(folder: Path) -> list[Told]:
    """The tables in a folder, the smallest benchmark first.

    Raises:
        RunError: one is no table of this version.
    """
    told = [read_table(path) for path in sorted(folder.glob("*.json"))]
    return sorted(told, key=lambda one: len(cells(one.plan)))


def as_page(tables: Sequence[Told]) -> str:
    """The page of some tables."""
    parts = [INTRO.rstrip()]
    for told in tables:
        parts += [_opening(told), *([_over_all(told)] if told.totals else [])]
        parts += [_of_task(told, task) for task in told.plan.tasks]
    return "\n\n".join(parts) + "\n"


def _opening(told: Told) -> str:
    """How large a benchmark is, and what made its runs."""
    plan = told.plan
    matched = f", {plan.parameters:,} parameters where matched" if plan.parameters else ""
    commits = sorted({commit for row in told.rows for commit in row.commits})
    made_by = f" Commits: {', '.join(commits)}." if commits else ""
    return (
        f"## {plan.name}\n\n{len(plan.memories)} memories × {len(plan.tasks)} tasks × "
        f"{len(plan.seeds)} seeds (sizes: {', '.join(plan.sizes)}{matched}).{made_by}"
    )


def _over_all(told: Told) -> str:
    plan = told.plan
    bars = {size: _bar(told, size) for size in plan.sizes}
    lines = []
    for rank, total in enumerate(sorted(told.totals, key=lambda one: -one.iqm), 1):
        bar = bars[total.size]
        name = plan.label(total.memory, total.size)
        better = "–" if total.better_than is None else f"{total.better_than:.2f}"
        own = [row for row in told.rows if row[1:3] == total[:2]]
        is_bold = bar is not None and total.memory not in CONTROLS and total.low > bar
        minutes = f"{sum(map(_minutes, own)):.1f}"
        lines.append([str(rank), _bold(name, is_bold), score_of(total), better, minutes])
    return "\n".join([f"### {plan.name}: all tasks", "", *lined(_TOTAL_HEADS, lines)])


def _bar(told: Told, size: str) -> float | None:
    """The upper bound of the best control; None unless all controls have runs on every task."""
    wanted = controls_of(told.plan)
    found = [total.high for total in told.totals if total.size == size and total.memory in wanted]
    return max(found) if found and len(found) == len(wanted) else None


def _of_task(told: Told, task: str) -> str:
    plan, recipe = told.plan, told.plan.tasks[task]
    rows = sorted((row for row in told.rows if row.task == task), key=lambda row: -row.score.mean)
    lines = [
        [
            str(rank),
            _bold(plan.label(row.memory, row.size), row.remembers is True),
            str(row.score),
            seeds_of(plan, row),
            _ahead_of(row, rows),
            f"{row.parameters:,}",
            number(row.state_bytes),
            number(row.bptt),
            f"{row.env_steps_per_s:,.0f}",
            f"{_minutes(row):.1f}",
        ]
        for rank, row in enumerate(rows, 1)
    ]
    levels = f"{recipe.low:.3g} counts as 0, {recipe.high:.3g} as 1"
    recipe_words = f"Recipe: `{' '.join([*plan.words, *recipe.words])}`"
    parts = [
        f"### {plan.name}: {task}",
        "",
        f"{recipe.score.capitalize()}; {levels}.",
        "",
        recipe_words,
    ]
    parts += ["", *lined(_ROW_HEADS, lines)] if lines else []
    return "\n".join([*parts, *_not_yet_run(told, task)])


def _ahead_of(row: Row, rows: Sequence[Row]) -> str:
    if len(row.scores) < ENOUGH:
        return "–"
    behind = [other.memory for other in rows if other.size == row.size and is_ahead(row, other)]
    return ", ".join(behind) or "none of them"


def _not_yet_run(told: Told, task: str) -> list[str]:
    """A sentence with the command for what a task lacks; seeds are counted."""
    plan = told.plan
    made = {row[:3]: len(row.scores) for row in told.rows}
    lacking = [
        (plan.label(memory, size), memory)
        for size, memory in product(plan.sizes, plan.memories)
        if made.get(Cell(task, memory, size, 0)[:3], 0) < len(plan.seeds)
    ]
    if not lacking:
        return []
    labels = "all" if len(lacking) == len(plan.sizes) * len(plan.memories) else ""
    labels = labels or ", ".join(label for label, _ in lacking)
    names = ",".join(dict.fromkeys(memory for _, memory in lacking))
    return [
        "",
        f"Not yet run: {labels} (`memrl benchmark {plan.called} tasks={task} memories={names}`).",
    ]


def _minutes(row: Row) -> float:
    return row.env_steps / row.env_steps_per_s / 60


def _bold(text: str, is_bold: bool) -> str:
    return f"**{text}**" if is_bold else text
