"""memrl compare: the curves and results of several runs, as a picture and a table."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from memrl.cli.arguments import file_to_write, parse
from memrl.cli.output import NO_BREAK, paragraph, table
from memrl.config.models import LaxPath
from memrl.errors import RunError
from memrl.evaluation.compare import ComparedRun, Group, group_runs, read_run, task_heading
from memrl.evaluation.run_labels import labels_of
from memrl.evaluation.statistics import Estimate
from memrl.options import Strict
from memrl.pipeline.env_card import references
from memrl.pipeline.loading import read_config, read_plain
from memrl.plots import style
from memrl.plots.comparison import draw_comparison
from memrl.run.directory import RunDirectory, runs_in
from memrl.run.summary import standard
from memrl.tracking.metrics_file import unit_as_text

Form: TypeAlias = Literal["table", "json", "csv"]


class CompareOptions(Strict):
    """Keys of ``memrl compare``."""

    out: LaxPath = Path("compare.png")


def compare_runs(words: Sequence[str], *, form: Form) -> None:
    """Draw the curves of several runs and print their table.

    A word with ``=`` is an option, unless it is a folder, as a user may have named one.

    Raises:
        ValueError: no run is named, or an option is not known.
        RunError: a word is no run and no folder with a finished run in it.
    """
    given = {word: "=" in word and not Path(word).exists() for word in words}
    options = parse(CompareOptions, [word for word, is_option in given.items() if is_option])
    out = file_to_write("out", options.out, suffixes=style.FORMATS, name="compare.png")
    named = [Path(word) for word, is_option in given.items() if not is_option]
    if not named:
        raise ValueError("compare asks for at least one run directory")
    runs = [*distinct(run for path in named for run in finished_runs(path))]
    labels = labels_of([read_plain(run) for run in runs])
    compared = [read_run(run)._replace(memory=name) for run, name in zip(runs, labels, strict=True)]
    groups = group_runs(compared)
    draw_comparison(groups, out, references=common_levels(compared, runs))
    if form == "table":
        print(comparison_table(groups))
        print(f"\n{out}")
    elif form == "json":
        print(json.dumps([standard(group.as_dict()) for group in groups]))
    else:
        _print_csv([*map(csv_row, groups)])


def finished_runs(path: Path) -> Iterator[RunDirectory]:
    """The run at ``path``, or those in the folders below it that have come to their end.

    Raises:
        RunError: there is none.
    """
    if not path.is_dir() or (found := [*runs_in(path)]) == [path]:
        yield RunDirectory.open(path)
        return
    finished = [run for run in map(RunDirectory, found) if run.summary.exists()]
    if len(finished) < len(found):
        left_out = ", ".join(str(run) for run in found if not RunDirectory(run).summary.exists())
        print(f"not finished, so left out: {left_out}", file=sys.stderr)
    if not finished:
        raise RunError(f"there is no finished run in {path}: give the directory of a run")
    yield from finished


def distinct(runs: Iterable[RunDirectory]) -> Iterator[RunDirectory]:
    """Each run once, also where it is named twice or through a link."""
    seen = set()
    for run in runs:
        if (place := run.path.resolve()) not in seen:
            seen.add(place)
            yield run


def common_levels(
    runs: Sequence[ComparedRun], directories: Sequence[RunDirectory]
) -> dict[str, dict[str, float]]:
    """For each environment the reference levels that all its runs have: its options change them."""
    common: dict[str, dict[str, float]] = {}
    for run, directory in zip(runs, directories, strict=True):
        levels = levels_of(directory, success=run.curve.is_share)
        common[run.task] = in_common(common.get(run.task, levels), levels)
    return common


def levels_of(run: RunDirectory, *, success: bool) -> dict[str, float]:
    """The reference levels of a run's environment; none where a module of one's own is needed."""
    if run.read_plugins() or "task" in read_plain(run):
        return {}
    return references(read_config(run), success=success)


def in_common(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """The entries that both have, with the same value."""
    return {name: level for name, level in one.items() if other.get(name) == level}


def comparison_table(groups: Sequence[Group], *, width: int | None = None) -> str:
    """A table for the terminal; ranges are 95 % t-intervals over seeds."""
    unit = unit_as_text(groups[0].unit)
    measures = [*dict.fromkeys(name for group in groups for name in group.scores)]
    numbers = [
        "seeds",
        *measures,
        unit,
        f"{unit.split()[-1]}/s",
        "wall time",
    ]
    rows = [
        [
            group.memory,
            group.task,
            str(len(group.seeds)),
            *(_shown(group.scores.get(name), share=name != "return") for name in measures),
            f"{group.experience:,.0f}",
            f"{group.experience_per_s:,.0f}",
            f"{group.wall_seconds:,.0f}{NO_BREAK}s",
        ]
        for group in groups
    ]
    text = table(["memory", task_heading(unit), *numbers], rows, right=numbers, width=width)
    if all(len(group.seeds) == 1 for group in groups):
        return text
    note = f"mean over seeds [95 % t-interval]; {unit_as_text(unit)} and times are means"
    return f"{text}\n\n{paragraph(note, width=width)}"


def csv_row(group: Group) -> dict[str, Any]:
    """A group by column; an interval has two of its own, empty for a single seed."""
    row = {**group.as_dict(), "seeds": len(group.seeds), "runs": " ".join(map(str, group.paths))}
    for name, estimate in group.scores.items():
        known = estimate.samples > 1
        row[name] = estimate.mean
        row[f"{name}_low"] = estimate.low if known else None
        row[f"{name}_high"] = estimate.high if known else None
    return row


def _print_csv(rows: Sequence[dict[str, Any]]) -> None:
    columns = [*dict.fromkeys(name for row in rows for name in row)]
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _shown(estimate: Estimate | None, *, share: bool) -> str:
    if estimate is None:
        return "–"
    if share:
        centre, ends = f"{estimate.mean:.1%}", (f"{estimate.low:.0%}", f"{estimate.high:.0%}")
    else:
        centre, ends = f"{estimate.mean:.3g}", (f"{estimate.low:.3g}", f"{estimate.high:.3g}")
    return f"{centre} [{f',{NO_BREAK}'.join(ends)}]" if estimate.samples > 1 else centre
