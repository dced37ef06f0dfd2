"""The entries of a step in one flat dict; the names of observations have a prefix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from torch import Tensor

OBS: Final = "obs."  # prefix of observations


def named(obs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Observations as entries of a step."""
    return {OBS + key: value for key, value in obs.items()}


def observed(entries: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The observations among the entries of a step."""
    return {key.removeprefix(OBS): x for key, x in entries.items() if key.startswith(OBS)}
