"""summary.json: what a run came to, as standard JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from memrl.errors import RunError
from memrl.run.evaluation import Evaluation
from memrl.run.loop import Fitted
from memrl.run.machine import commit, machine, peak_rss_bytes, versions
from memrl.saved.atomic import write_atomically


class About(NamedTuple):
    """What was trained."""

    agent: str  # its name in the menu
    memory: str  # and its own
    env: str  # its id
    seed: int
    parameters: int  # trained numbers of the whole policy
    device: torch.device


def summarize(about: About, fitted: Fitted, evaluation: Evaluation) -> dict[str, Any]:
    """The content of summary.json; it speaks of the last checkpoint, never of the best one.

    ``success``, ``return`` and ``length`` are means over the evaluation's episodes, whose
    intervals stand under ``evaluation``; seconds and steps count all parts of a resumed run.
    """
    details = evaluation.as_dict()
    return {
        "agent": about.agent,
        "memory": about.memory,
        "env": about.env,
        "seed": about.seed,
        "success": evaluation.success.mean if evaluation.success else None,
        "return": evaluation.return_.mean,
        "length": evaluation.length.mean,
        "evaluation": details,
        "env_steps": fitted.experience,
        "wall_seconds": fitted.wall_seconds,
        "env_steps_per_s": fitted.experience / fitted.wall_seconds if fitted.wall_seconds else None,
        "parameters": about.parameters,
        "peak_rss_bytes": peak_rss_bytes(),
        "commit": commit(),
        "versions": versions(),
        "machine": machine(about.device),
    }


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write a summary atomically; NaN and infinities, which JSON lacks, become null.

    Raises:
        RunError: the disk is full.
    """
    text = json.dumps(_standard(summary), indent=2, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def read_summary(path: Path) -> dict[str, Any]:
    """Read a summary.

    Raises:
        RunError: there is none, or it is no JSON object.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise RunError(f"{path} does not exist: the run has not come to its end yet") from None
    except (ValueError, OSError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is not the summary of a run")
    return content


def _standard(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _standard(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_standard(item) for item in value]
    return value
