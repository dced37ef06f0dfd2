"""summary.json: the results of a run, as standard JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from memrl.checkpoint.atomic import write_atomically
from memrl.errors import RunError
from memrl.run.loop import TrainingResult
from memrl.run.machine import commit, machine, peak_rss_bytes, versions


def provenance(result: TrainingResult, unit: str, device: torch.device) -> dict[str, Any]:
    """The entries that every summary has: experience, time, commit, versions and machine.

    They describe the last checkpoint, not the best one. Seconds and ``unit`` (env steps or
    sequences) include all parts of a resumed run.
    """
    seconds = result.wall_seconds
    return {
        unit: result.experience,
        "wall_seconds": seconds,
        f"{unit}_per_s": result.experience / seconds if seconds else None,
        "peak_rss_bytes": peak_rss_bytes(),
        "commit": commit(),
        "versions": versions(),
        "machine": machine(device),
    }


def write_summary(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Write a summary atomically, as `standard` has it, and return what was written.

    Raises:
        RunError: the disk is full.
    """
    summary: dict[str, Any] = standard(content)
    text = json.dumps(summary, indent=2, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())
    return summary


def read_summary(path: Path) -> dict[str, Any]:
    """Read a summary.

    Raises:
        RunError: the file does not exist or is not a JSON object.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise RunError(f"{path} does not exist: the run has not finished yet") from None
    except (ValueError, OSError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is not the summary of a run")
    return content


def standard(value: Any) -> Any:
    """Plain values as JSON has them: NaN and infinities become None, tuples lists."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): standard(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [standard(item) for item in value]
    return value
