"""Episodic control: NEC and MFEC, which act by the returns of earlier episodes."""
