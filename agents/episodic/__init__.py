"""Episodic control: NEC and MFEC, which estimate action values from stored returns."""
