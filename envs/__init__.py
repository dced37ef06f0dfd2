"""Environments behind one batched interface: tensor environments, adapters, wrappers, exports."""

if __name__ != "memrl.envs":
    raise ImportError(f"import this package as memrl.envs, not as {__name__}")
