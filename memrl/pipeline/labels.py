"""What a run is called among others at W&B: its group, its tags, and the numbers it ends with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from memrl.config.models import Common, Config
from memrl.pipeline.directories import path_name
from memrl.pipeline.earlier import essence

_LONGEST_GROUP: Final = 100  # characters of the part that is read; W&B takes 128
_LONGEST_TAG: Final = 64  # characters that W&B takes
_MEASURES: Final = ("success", "return", "length", "accuracy")


def group_of(config: Common) -> str:
    """One name for the runs that differ by their seed only.

    Task and learner, and a digest of every key that makes a run but for the seed.
    """
    text = json.dumps(essence(config, without=("seed",)), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    name = path_name(f"{config.subject}-{config.learner_name}")[:_LONGEST_GROUP]
    return f"{name}-{digest}"


def tags_of(config: Common) -> list[str]:
    """The memory, the environment or task, and the agent, each once."""
    tags = [str(config.memory["name"]), config.subject]
    if not isinstance(config, Config):
        tags.append(config.command)
    elif config.agent.any_memory:
        tags.append(config.agent.kind)
    else:
        tags[0] = config.agent.kind
    return [*dict.fromkeys(tag[:_LONGEST_TAG] for tag in tags)]


def headline(result: Mapping[str, Any]) -> dict[str, float]:
    """The final evaluation and the sizes of a run as flat names, without what it has not.

    ``evaluation/success`` is a mean over episodes; ``evaluation/success_low`` and ``_high`` are the
    ends of its interval. A metric that is logged in training has another name.
    """
    told: dict[str, float] = {}
    details = result.get("evaluation")
    intervals = details if isinstance(details, Mapping) else {}  # a list for supervised tasks
    for name in _MEASURES:
        if result.get(name) is None:
            continue
        told[f"evaluation/{name}"] = float(result[name])
        if interval := intervals.get(name):
            told |= {f"evaluation/{name}_{end}": float(interval[end]) for end in ("low", "high")}
    told |= {name: float(result[name]) for name in ("parameters", "state_bytes") if name in result}
    return told
