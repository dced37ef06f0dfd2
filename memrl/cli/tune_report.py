"""What a search came to: a table of its trials, and the command of the best one."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from typing import Final

from memrl.checkpoint.atomic import write_atomically
from memrl.cli.error_text import one_sentence
from memrl.cli.output import NO_BREAK, table
from memrl.cluster.search import Trial
from memrl.cluster.trial import Search
from memrl.errors import Interrupted, RunError
from memrl.plugins import plugin_words
from memrl.run.summary import standard

FILE: Final = "trials.json"  # in the root of a search
_ORDER: Final = ("finished", "stopped", "left", "failed")
_MEASURES: Final = {"success": "success", "returns": "return"}  # with their headings


def conclude(
    search: Search, trials: Sequence[Trial], again: str, *, signum: int, as_json: bool
) -> None:
    """Write and print what became of the trials, and the commands that could be next.

    Args:
        search: what was searched for.
        trials: those that were drawn so far.
        again: the command that goes on.
        signum: of the signal that stopped it, if some trials have not ended.
        as_json: print one JSON value.

    Raises:
        Interrupted: some trials have not ended.
        RunError: none was finished.
    """
    told = [
        {**trial._asdict(), "path": str(trial.path), "fault": fault_of(trial)} for trial in trials
    ]
    text = json.dumps(standard(told), indent=1)
    write_atomically(search.root / FILE, f"{text}\n".encode())
    print(text if as_json else f"\n{trials_table(trials)}")
    ended = sum(trial.state != "left" for trial in trials)
    if ended < search.trials:
        raise Interrupted(
            f"stopped after {ended} of {search.trials} trials; continue with: {again}", signum
        )
    finished = [trial for trial in trials if trial.state == "finished"]
    if not finished:
        failed = next(trial for trial in trials if trial.state == "failed")
        raise RunError(f"no trial came to its end; {failed.name}: {fault_of(failed)}")
    if not as_json:
        print("\n".join(["", *next_commands(search, max(finished, key=_score))]))


def trials_table(trials: Sequence[Trial], *, width: int | None = None) -> str:
    """A row for each trial, the best first; those that were stopped come after all others."""
    ordered = sorted(trials, key=lambda trial: (_ORDER.index(trial.state), -_score(trial)))
    known = [key for key in _MEASURES if any(getattr(trial, key) is not None for trial in trials)]
    numbers = [*(_MEASURES[key] for key in known), "env steps"]
    rows = [
        [
            " ".join(trial.words) or trial.name,
            *(_shown(key, getattr(trial, key)) for key in known),
            f"{trial.env_steps:,}",
            _ending(trial),
            str(trial.path).replace(" ", NO_BREAK),
        ]
        for trial in ordered
    ]
    return table(["trial", *numbers, "ended", "directory"], rows, right=numbers, width=width)


def next_commands(search: Search, best: Trial) -> list[str]:
    """The words of the best trial as a command, and how to look at it and at the others."""
    words = [*plugin_words(), *search.space.fixed, *best.words]
    return [
        f"the best of them  {shlex.join(['memrl', 'train', *words])}",
        f"watch it          {shlex.join(['memrl', 'watch', str(best.path)])}",
        f"compare them      {shlex.join(['memrl', 'compare', str(search.root)])}",
    ]


def fault_of(trial: Trial) -> str | None:
    """Why a trial failed, in a sentence."""
    if trial.fault is None or isinstance(trial.fault, str):
        return trial.fault
    cause = getattr(trial.fault, "cause", None)  # what Ray's own error wraps
    return one_sentence(cause if isinstance(cause, Exception) else trial.fault)


def _ending(trial: Trial) -> str:
    if trial.state == "failed":
        return f"failed: {fault_of(trial)}"
    return f"stopped at {trial.score:.3g}" if trial.state == "stopped" else trial.state


def _score(trial: Trial) -> float:
    return -math.inf if trial.score is None else trial.score


def _shown(key: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1%}" if key == "success" else f"{value:.4g}"
