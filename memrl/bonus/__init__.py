"""Episodic novelty bonuses: what an agent is paid for seeing something new in this episode."""

from memrl.bonus.bonus import Bonus, Experience

__all__ = ["Bonus", "Experience"]
