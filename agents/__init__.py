"""Agents that learn with a memory core: PPO, R2D2, NEC and MFEC."""

if __name__ != "memrl.agents":
    raise ImportError(f"import this package as memrl.agents, not as {__name__}")
