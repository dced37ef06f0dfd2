"""The table of a benchmark as JSON, CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

from memrl.benchmark.plan import Plan
from memrl.benchmark.scores import Row, Total
from memrl.checkpoint.atomic import write_atomically

HEADINGS: Final = (
    "memory",
    "score",
    "seeds",
    "parameters",
    "state bytes",
    "bptt",
    "env steps/s",
    "remembers",
)


def write_table(plan: Plan, rows: Sequence[Row], totals: Sequence[Total], folder: Path) -> None:
    """Write ``table.json``, ``table.csv``, ``table.md`` and ``table.tex``.

    Raises:
        RunError: the disk is full.
    """
    writers: Mapping[str, Callable[[Plan, Sequence[Row], Sequence[Total]], str]] = {
        "json": as_json,
        "csv": as_csv,
        "md": as_markdown,
        "tex": as_latex,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, write in writers.items():
        write_atomically(folder / f"table.{suffix}", write(plan, rows, totals).encode())


def as_json(plan: Plan, rows: Sequence[Row], totals: Sequence[Total]) -> str:
    """All that is known; an interval that one seed leaves open is null."""
    told = {
        "benchmark": plan.model_dump(mode="json"),
        "rows": [{**row._asdict(), "score": _interval(row)} for row in rows],
        "totals": [total._asdict() for total in totals],
    }
    return json.dumps(_finite(told), indent=1) + "\n"


def as_csv(plan: Plan, rows: Sequence[Row], totals: Sequence[Total]) -> str:
    """A line for each task, memory and size."""
    text = io.StringIO()
    heads = ("task", "memory", "size", "mean", "low", "high", "seeds", "parameters", "state_bytes")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*heads, "bptt", "env_steps", "env_steps_per_s", "remembers"])
    for row in rows:
        score = row.score
        known = [score.mean, score.low, score.high] if score.samples > 1 else [score.mean, "", ""]
        size = [row.parameters, _or_empty(row.state_bytes), _or_empty(row.bptt)]
        cost = [row.env_steps, f"{row.env_steps_per_s:.0f}", _or_empty(row.remembers)]
        writer.writerow([*row[:3], *known, score.samples, *size, *cost])
    return text.getvalue()


def as_markdown(plan: Plan, rows: Sequence[Row], totals: Sequence[Total]) -> str:
    """A table a task, best first, and one over all tasks."""
    parts = []
    for task in dict.fromkeys(row.task for row in rows):
        ours = _of(rows, task)
        parts.append(
            "\n".join([f"### {task}\n", *lined(HEADINGS, [_cells(plan, r) for r in ours])])
        )
    if totals:
        heads = ("memory", "interquartile mean", "better than gru")
        cells = [_total_cells(plan, total) for total in totals]
        parts.append("\n".join(["### All tasks\n", *lined(heads, cells)]))
    return "\n\n".join(parts) + "\n"


def as_latex(plan: Plan, rows: Sequence[Row], totals: Sequence[Total]) -> str:
    """One tabular (booktabs): a row a memory, a column a task."""
    tasks = list(dict.fromkeys(row.task for row in rows))
    cells = {row[:3]: _plain(plan, row) for row in rows}
    lines = [
        rf"\begin{{tabular}}{{l{'r' * len(tasks)}}}",
        r"\toprule",
        " & ".join(["memory", *map(_escaped, tasks)]) + r" \\",
        r"\midrule",
        *(
            " & ".join(
                [
                    _escaped(plan.label(memory, size)),
                    *(cells.get((task, memory, size), "--") for task in tasks),
                ]
            )
            + r" \\"
            for size, memory in product(plan.sizes, plan.memories)
        ),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def lined(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def score_of(total: Total) -> str:
    """An interquartile mean with its interval, if there is one."""
    span = f" [{total.low:.3g}, {total.high:.3g}]" if math.isfinite(total.low) else ""
    return f"{total.iqm:.3g}{span}"


def _interval(row: Row) -> dict[str, Any]:
    return row.score._asdict() | ({"low": None, "high": None} if row.score.samples == 1 else {})


def _of(rows: Sequence[Row], task: str) -> list[Row]:
    return sorted((row for row in rows if row.task == task), key=lambda row: -row.score.mean)


def _cells(plan: Plan, row: Row) -> tuple[str, ...]:
    said = {True: "yes", False: "no", None: "–"}[row.remembers]
    size = f"{row.parameters:,}", number(row.state_bytes), number(row.bptt)
    name = plan.label(row.memory, row.size)
    speed = f"{row.env_steps_per_s:,.0f}"
    return name, str(row.score), seeds_of(plan, row), *size, speed, said


def _total_cells(plan: Plan, total: Total) -> tuple[str, ...]:
    better = "–" if total.better_than is None else f"{total.better_than:.2f}"
    return plan.label(total.memory, total.size), score_of(total), better


def seeds_of(plan: Plan, row: Row) -> str:
    """How many of the plan's seeds a row has: one that failed is missing from its mean."""
    return f"{len(row.seeds)} of {len(plan.seeds)}"


def number(value: int | None) -> str:
    """A count, – where none is known."""
    return "–" if value is None else f"{value:,}"


def _or_empty(value: int | bool | None) -> str:
    return "" if value is None else str(value)


def _plain(plan: Plan, row: Row) -> str:
    # An interval may end early at 0 or 1: the farther end is Student's.
    reach = max(row.score.high - row.score.mean, row.score.mean - row.score.low)
    score = f"${row.score.mean:.2f}" + (rf" \pm {reach:.2f}$" if row.score.samples > 1 else "$")
    return score if len(row.seeds) == len(plan.seeds) else f"{score} ({seeds_of(plan, row)})"


def _escaped(text: str) -> str:
    return re.sub(r"[_&%#$]", r"\\\g<0>", text)


def _finite(value: Any) -> Any:
    """The value with null for infinities and what is not a number: JSON has none."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
