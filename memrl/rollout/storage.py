"""Rollout storage: preallocated [T, B] arrays, and core states at chunk starts only."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memrl.memory.state import map_state
from memrl.rollout.env import BatchedEnv, Obs, Transition


class Chunk(NamedTuple):
    """M sequences of L steps, each with the core state before its first step."""

    obs: Obs  # each [L, M, ...]
    start: Tensor  # bool [L, M]
    action: Tensor  # [L, M, ...]
    log_prob: Tensor  # [L, M]
    value: Tensor  # [L, M]
    advantage: Tensor  # [L, M]
    target: Tensor  # [L, M]
    valid: Tensor  # bool [L, M]  False for burn-in and for rows that are no step
    state: Any  # leaves [M, ...]
    taught: Mapping[str, Tensor] = MappingProxyType({})  # each [L, M, ...]


class Spans(NamedTuple):
    """Where chunks lie in a rollout. One of length 0 is none: nothing of it is valid."""

    position: Tensor  # int64 [M]  among the chunks of its row
    row: Tensor  # int64 [M]
    begin: Tensor  # int64 [M]
    length: Tensor  # int64 [M]  steps, those of the burn-in among them
    warm: Tensor  # int64 [M]  the first steps, which have no loss

    def longest(self) -> int:
        """The steps of the longest."""
        return int(self.length.max())

    def to(self, device: torch.device) -> Spans:
        """The same on a device."""
        return Spans(*(part.to(device) for part in self))


class Rollout:
    """T steps of B environments, with the policy's values and log-probabilities.

    A chunk is ``bptt`` steps long; the last one of a row ends with the row and may be shorter.
    Chunks overlap by ``burn_in`` steps, which have a loss in the earlier chunk and only warm up the
    state in the later one. So every step has a loss once.

    Attributes:
        bptt: steps of the longest chunk: at most T.
        chunk_starts: the first step of each chunk of a row.
        taught: by name, each [T, B, ...]: what others would do at these steps, or what else is
            learned from; chunks hold it, too.

    Raises:
        ValueError: ``burn_in`` leaves no step of a chunk with a loss.
    """

    def __init__(
        self,
        env: BatchedEnv,
        state: Any,
        *,
        steps: int,
        bptt: int,
        burn_in: int,
        action: Tensor,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        stride = bptt - burn_in
        if not 0 <= burn_in < bptt:
            raise ValueError(f"burn_in is {burn_in}; allowed: from 0, below bptt {bptt}")
        T, B, device = steps, env.num_envs, env.device
        self.bptt, self.burn_in = min(bptt, T), burn_in
        self.chunk_starts = list(range(0, max(1, T - burn_in), stride))
        self.obs: Obs = {}
        self.taught: dict[str, Tensor] = {}
        self.start = torch.zeros(T, B, dtype=torch.bool, device=device)
        self.action = action.new_zeros(T, *action.shape)
        self.log_prob, self.value, self.reward, self.bonus, self.bootstrap = (
            torch.zeros(T, B, dtype=dtype, device=device) for _ in range(5)
        )
        self.terminated, self.truncated = torch.zeros_like(self.start), torch.zeros_like(self.start)
        self.valid = torch.ones_like(self.start)
        self.episode_return, self.episode_length = (torch.zeros(T, B, device=device) for _ in "rl")
        self.metrics = {name: torch.zeros(T, B, device=device) for name in env.metric_names}
        self.hold(state)
        self.last_value = self.value.new_zeros(B)
        self.advantage, self.target = torch.zeros_like(self.value), torch.zeros_like(self.value)

    def hold(self, state: Any) -> None:
        """Make room for states such as ``state`` at the starts of chunks; those of before go."""
        C = len(self.chunk_starts)
        self.states = map_state(lambda leaf: leaf.new_zeros(C, *leaf.shape), state)

    @property
    def ended(self) -> Tensor:
        """The last steps of episodes, and rows that are no step."""
        return self.terminated | self.truncated | ~self.valid

    def put_observation(self, t: int, obs: Obs, start: Tensor, state: Any) -> None:
        """Store the observation of step t, and the state if a chunk begins there."""
        if not self.obs:
            T = len(self.reward)
            self.obs = {key: value.new_empty(T, *value.shape) for key, value in obs.items()}
        for key, value in obs.items():
            self.obs[key][t] = value
        self.start[t] = start
        if t in self.chunk_starts:
            c = self.chunk_starts.index(t)
            map_state(lambda kept, leaf: kept[c].copy_(leaf), self.states, state)

    def put_transition(self, t: int, transition: Transition) -> None:
        """Store the transition of step t."""
        self.reward[t] = transition.reward
        self.terminated[t] = transition.terminated
        self.truncated[t] = transition.truncated
        if transition.valid is not None:
            self.valid[t] = transition.valid
        for name, kept in self.metrics.items():
            kept[t] = transition.metrics[name]

    def num_chunks(self) -> int:
        """Number of chunks over all environments."""
        return len(self.chunk_starts) * self.start.shape[1]

    def chunks(self, index: Tensor) -> Chunk:
        """The chunks with indices [M] in 0 … num_chunks - 1, as long as the longest of them.

        What follows the end of a shorter one repeats its last step and is marked invalid.
        """
        spans = self.spans(index)
        return self.gather(spans, spans.longest())

    def gather(self, spans: Spans, steps: int) -> Chunk:
        """The chunks at ``spans``, padded to ``steps`` as above.

        It does not synchronise with the device if ``spans`` are there.
        """
        spans = spans.to(self.start.device)
        offset, at = self._places(spans, steps)

        def cut(x: Tensor) -> Tensor:
            return x[at]

        return Chunk(
            obs={key: cut(value) for key, value in self.obs.items()},
            start=cut(self.start) & (offset < spans.length),
            action=cut(self.action),
            log_prob=cut(self.log_prob),
            value=cut(self.value),
            advantage=cut(self.advantage),
            target=cut(self.target),
            valid=cut(self.valid) & _has_loss(spans, offset),
            state=map_state(lambda kept: kept[spans.position, spans.row], self.states),
            taught={name: cut(value) for name, value in self.taught.items()},
        )

    def advantages(self, spans: Spans, steps: int) -> tuple[Tensor, Tensor]:
        """What ``gather`` cuts of the advantages [L, M], and whether each is valid."""
        spans = spans.to(self.start.device)
        offset, at = self._places(spans, steps)
        return self.advantage[at], self.valid[at] & _has_loss(spans, offset)

    def _places(self, spans: Spans, steps: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The number [L, 1] of each step in its chunk, and its indices [L, M] and [M]."""
        offset = torch.arange(steps, device=self.start.device).unsqueeze(1)
        return offset, ((spans.begin + offset).clamp(max=len(self.start) - 1), spans.row)

    def spans(self, index: Tensor) -> Spans:
        """Where the chunks with indices [M] lie, on the host."""
        B, index = self.start.shape[1], index.cpu()
        position = index // B
        begin = torch.tensor(self.chunk_starts)[position]
        length = (begin + self.bptt).clamp(max=len(self.start)) - begin
        warm = torch.where(begin > 0, self.burn_in, 0)
        return Spans(position, index % B, begin, length, warm)


def _has_loss(spans: Spans, offset: Tensor) -> Tensor:
    """Whether the step with a number [L, 1] in each chunk has a loss, bool [L, M]."""
    return (offset >= spans.warm) & (offset < spans.length)
