"""From environment to chunks: the BatchedEnv protocol, the rollout storage, the collector.

An environment of tensors derives from `BatchedEnv` and answers steps with a `Transition`.
"""

from memrl.rollout.env import BatchedEnv, Cue, Obs, Transition

__all__ = ["BatchedEnv", "Cue", "Obs", "Transition"]
