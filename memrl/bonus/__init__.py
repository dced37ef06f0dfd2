"""Episodic novelty bonuses: what an agent is paid for seeing something new in this episode."""
