"""Episodic novelty bonuses: rewards for observations that are new in an episode."""

from memrl.bonus.bonus import Bonus, BonusContext, Experience
from memrl.bonus.count import Count
from memrl.bonus.elliptical import Elliptical
from memrl.bonus.first_visit import FirstVisit
from memrl.bonus.novelty_difference import NoveltyDifference
from memrl.bonus.registry import BONUSES

__all__ = [
    "BONUSES",
    "Bonus",
    "BonusContext",
    "Count",
    "Elliptical",
    "Experience",
    "FirstVisit",
    "NoveltyDifference",
]
