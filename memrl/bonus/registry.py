"""The menu of bonuses: ``agent.bonus.kind=WORD``."""

from __future__ import annotations

from typing import Final

from memrl.bonus.bonus import Bonus
from memrl.registry import Registry

# The word for no bonus; it has no class.
NONE: Final = "none"
BONUSES: Final[Registry[Bonus]] = Registry(
    "bonus", "bonuses", Bonus, "memrl.bonuses", key="agent.bonus.kind", nothing=NONE
)
