"""The runs of a benchmark: what is there is kept, what was interrupted goes on, the rest begins."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from memrl.benchmark.plan import Cell, Plan
from memrl.benchmark.recipe import Widths, made_with
from memrl.config.quoting import text_word
from memrl.distributed.launch import LAUNCHER
from memrl.run.directory import RunDirectory
from memrl.run.summary import read_summary


def finished(cells: Sequence[Cell], root: Path) -> dict[Cell, dict[str, Any]]:
    """The summaries of the runs that are done, with ``bptt``, env steps, of their configs.

    Raises:
        RunError: a file is damaged.
    """
    done = {}
    for cell in cells:
        run = RunDirectory(cell.path(root))
        if run.summary.exists():
            config = made_with(run)
            bptt = config.get("agent.bptt", config.get("agent.unroll"))  # PPO's and R2D2's word
            done[cell] = {**read_summary(run.summary), "bptt": bptt}
    return done


def run_missing(
    plan: Plan,
    cells: Sequence[Cell],
    root: Path,
    widths: Widths,
    workers: int,
    say: Callable[[str], None],
) -> dict[Cell, str]:
    """Run what has no summary, each in a process of one thread; returns what failed, and why.

    A run that was interrupted goes on from its last checkpoint.
    """
    failed: dict[Cell, str] = {}
    with ThreadPoolExecutor(workers) as pool:
        try:
            runs = {
                pool.submit(_run, _words(plan, cell, root, widths), cell.path(root)): cell
                for cell in cells
            }
            for n, run in enumerate(as_completed(runs), 1):
                cell, fault = runs[run], run.result()
                say(f"{n} of {len(runs)}: {cell}" + (f" failed: {fault}" if fault else ""))
                if fault:
                    failed[cell] = fault
        finally:
            pool.shutdown(cancel_futures=True)
    return failed


def _words(plan: Plan, cell: Cell, root: Path, widths: Widths) -> list[str]:
    """The words of ``memrl train`` for a new run."""
    width = widths.get(cell[:3])
    return [
        *plan.words,
        *plan.tasks[cell.task].words,
        f"memory={cell.memory}",
        *([] if width is None else [f"memory.hidden_dim={width}"]),
        f"seed={cell.seed}",
        text_word("run.dir", str(cell.path(root))),
        *("run.pictures=false", "threads=1"),
    ]


def _run(words: list[str], path: Path) -> str | None:
    """Train in a process that ends with this one; returns the last line of a failure."""
    if RunDirectory(path).config.exists():
        words = ["--resume", str(path)]  # which begins anew if nothing was saved yet
    log = path.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        done = subprocess.run(
            [sys.executable, "-m", "memrl", "train", *words],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", LAUNCHER: str(os.getpid())},
        )
    if done.returncode == 0:
        return None
    lines = log.read_text().strip().splitlines()
    return f"{lines[-1] if lines else f'exit status {done.returncode}'} ({log})"
