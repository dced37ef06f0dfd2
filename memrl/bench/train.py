"""Training throughput beside sb3-contrib's RecurrentPPO, with equal task, sizes and machine."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from memrl.agents.ppo.agent import PPO
from memrl.agents.ppo.config import PPOConfig
from memrl.bench.device_rates import product_rate
from memrl.bench.learner_process import LearnerProcess, LearnerSpec
from memrl.config.models import Count
from memrl.envs.make import make
from memrl.policies.actor_critic import build_policy
from memrl.policies.backbone import PolicyConfig
from memrl.rollout.env import BatchedEnv, Obs, Transition
from memrl.run.allocator import keep_freed_memory

DEFAULT_BATCH, WIDE_BATCH = 128, 512  # RecurrentPPO's default; as many minibatches as memrl

PRODUCT = 2048  # side of the square matrices whose product measures the machine


class TimedEnv(BatchedEnv):
    """Wraps environments and measures the time of their steps."""

    def __init__(self, env: BatchedEnv) -> None:
        self.env, self.seconds = env, 0.0
        self.num_envs, self.device = env.num_envs, env.device
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.metric_names, self.exact_resume = env.metric_names, env.exact_resume

    def reset(self, seed: int | None = None) -> Obs:
        return self.env.reset(seed)

    def step(self, action: Tensor) -> Transition:
        begin = time.perf_counter()
        transition = self.env.step(action)
        self.seconds += time.perf_counter() - begin
        return transition

    def state_dict(self) -> dict[str, Any]:
        return self.env.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> Obs:
        return self.env.load_state_dict(state)


class IterationTimes(NamedTuple):
    """Seconds of one iteration, by activity."""

    environment: float
    acting: float
    learning: float

    @property
    def total(self) -> float:
        """Seconds of the whole iteration."""
        return sum(self)


def bench_train(
    env: str = "MiniGrid-MemoryS17Random-v0",
    memory: str = "lstm",
    hidden_dim: Count = 128,
    num: Count = 256,
    iterations: Count = 6,
    windows: Count = 8,
    peer_steps: Count = 8192,
    precision: Literal["float32", "bf16"] = "float32",
    device: str = "cpu",
) -> dict[str, Any]:
    """Env steps per second of whole training iterations; medians of alternating windows.

    memrl's PPO uses ``num`` environments and 64 steps, the peer RecurrentPPO 16 environments and
    128 steps, both with 4 epochs and an LSTM (or ``memory``) of ``hidden_dim``. The peer runs in
    two processes: with its default minibatch of 128 env steps, and with one of 512, which gives
    as many minibatches as memrl's. The FLOPs of memrl's learner, counted by torch's
    FlopCounterMode, are compared with a square float32 product on the same threads. On a GPU the
    shares of time are those of the host's clock.

    The peer pads episodes to the longest, so that its speed changes as it trains: eight windows are
    its first 65,000 env steps.

    Returns:
        ``ratio`` (memrl's speed over the peer's), ``env_steps_per_s``, ``peer_env_steps_per_s``;
        ``ratio_wide`` and ``peer_wide_env_steps_per_s`` for the peer's wide minibatch; the shares
        of time ``environment``, ``acting``, ``learning`` (they add up to 1); ``learner_gflops``,
        ``product_gflops`` and their quotient ``arithmetic``; and the settings.

    Raises:
        ValueError: an environment or a memory is unknown.
    """
    keep_freed_memory()
    agent, timed = _ours(env, memory, hidden_dim, num, precision, device)
    specs = [
        LearnerSpec(env=env, hidden_dim=hidden_dim, batch_size=batch)
        for batch in (DEFAULT_BATCH, WIDE_BATCH)
    ]
    with ExitStack() as stack:
        peers = [stack.enter_context(LearnerProcess(spec)) for spec in specs]
        ours, theirs = _alternate(agent, timed, peers, peer_steps, iterations, windows)
    steps = agent.rollout.start.numel()
    speed = steps / statistics.median(window.total for window in ours)
    narrow, wide = (statistics.median(speeds) for speeds in theirs)
    return {
        "ratio": speed / narrow,
        "env_steps_per_s": speed,
        "peer_env_steps_per_s": narrow,
        "ratio_wide": speed / wide,
        "peer_wide_env_steps_per_s": wide,
        **_time_shares(agent, ours, device),
        "env": env,
        "memory": memory,
        "hidden_dim": hidden_dim,
        "num": num,
        "precision": precision,
        "peer": specs[0].name,
        "peer_wide": specs[1].name,
        "threads": torch.get_num_threads(),
        "device": device,
    }


def _alternate(
    agent: PPO,
    timed: TimedEnv,
    peers: list[LearnerProcess],
    peer_steps: int,
    iterations: int,
    windows: int,
) -> tuple[list[IterationTimes], list[list[float]]]:
    """Our iterations and each peer's speeds, in turns after a first one that warms up."""
    ours: list[IterationTimes] = []
    theirs: list[list[float]] = [[] for _ in peers]
    _iteration(agent, timed)
    for peer in peers:
        peer.speed(peer_steps)
    for _ in range(windows):
        ours += [_iteration(agent, timed) for _ in range(iterations)]
        for peer, speeds in zip(peers, theirs, strict=True):
            speeds.append(peer.speed(peer_steps))
    return ours, theirs


def _time_shares(agent: PPO, windows: list[IterationTimes], device: str) -> dict[str, float]:
    """The shares of time in an iteration, and the FLOP rates of the learner and of a product."""
    shares = [statistics.median(w[i] / w.total for w in windows) for i in range(3)]
    learner = _flops(agent) / statistics.median(w.learning for w in windows) / 1e9
    product = product_rate(torch.device(device), "float32", PRODUCT) / 1e9
    return {
        **dict(zip(IterationTimes._fields, shares, strict=True)),
        "learner_gflops": learner,
        "product_gflops": product,
        "arithmetic": learner / product,
    }


def _ours(
    env: str, memory: str, hidden_dim: int, num: int, precision: str, device: str
) -> tuple[PPO, TimedEnv]:
    timed = TimedEnv(make(env, num, device, prev_action=True, prev_reward=True))
    torch.manual_seed(0)
    options = {"name": memory, "hidden_dim": hidden_dim}
    policy = build_policy(timed.observation_space, timed.action_space, options, PolicyConfig())
    config = PPOConfig.model_validate({"epochs": 4, "minibatches": 4, "precision": precision})
    return PPO(timed, policy.to(timed.device), config, seed=0), timed


def _iteration(agent: PPO, timed: TimedEnv) -> IterationTimes:
    timed.seconds = 0.0
    begin = time.perf_counter()
    agent.collector.collect(agent.rollout)
    middle = time.perf_counter()
    agent.improve(progress=0.0)
    end = time.perf_counter()
    return IterationTimes(timed.seconds, middle - begin - timed.seconds, end - middle)


def _flops(agent: PPO) -> int:
    """Floating-point operations of the matrix products of one learning pass."""
    with FlopCounterMode(display=False) as counter:
        agent.improve(progress=0.0)
    return int(counter.get_total_flops())
