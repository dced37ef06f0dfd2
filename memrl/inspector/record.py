"""Many episodes at once: one in each environment of a batch, kept whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memrl.bonus.bonus import Bonus
from memrl.evaluation.recording import Picture
from memrl.inspector.attention import Attention
from memrl.inspector.model import Episode
from memrl.inspector.sources import MemoryInputs
from memrl.inspector.tiles import Tiler, TileSheet
from memrl.rollout.env import BatchedEnv, Obs, Transition
from memrl.run.agent import Agent, TellsOutputs

Row: TypeAlias = Mapping[str, NDArray[Any]]
# Fields of a state that hold what a memory stores.
CONTENTS: Final = ("memory", "items", "facts", "keys", "values", "link")
_FINE: Final = 1024  # numbers of a step; of more, each is kept in half precision
_MOST: Final = 16_384  # numbers of a part of the memory that are kept at each step
_FRAME, _VIEW = "frame", "view"


class Recorded(NamedTuple):
    """Episodes, and the tiles that their pictures are made of."""

    episodes: list[Episode]
    sheets: dict[str, TileSheet]


@torch.no_grad()
def record_episodes(
    agent: Agent,
    env: BatchedEnv,
    *,
    seed: int,
    greedy: bool = False,
    ablate: str | None = None,
    view: Callable[[Obs], Picture | None] | None = None,
    tell: Callable[[Row, NDArray[Any]], dict[str, str]] | None = None,
    numbers: Sequence[str] = (),
    gamma: float = 1.0,
    bonus: Bonus | None = None,
    max_steps: int = 500,
    source_steps: int = 0,
) -> Recorded:
    """Play one episode in every environment and keep what happened.

    Beside what the agent was given and did, an episode has the rewards, what the agent's network
    said (``TellsOutputs``), the diagnostics of its memory and what the memory stores. Where the
    network tells a value, ``surprise`` is the error r + γ V' − V of its prediction; NaN at the
    last step unless the episode terminated there.

    Args:
        agent: its acting memory is used, its training state is untouched.
        env: one environment for each episode; it is reset.
        seed: of the environments and of acting.
        greedy: take the likeliest action instead of a sampled one.
        ablate: the part of the memory to silence, as in ``Agent.begin``.
        view: draws what the agent sees, from a batch of one observation; None leaves views out.
        tell: says in words what was observed and done, from an observation and an action.
        numbers: the entries of observations that are kept as numbers.
        gamma: discount of the agent, for ``surprise``.
        bonus: for these environments; what it would pay is kept before it is normalised.
        max_steps: an episode that has not ended by then is kept as far as it went.
        source_steps: of episodes with so many steps altogether it is worked out where the reads of
            the memory come from (``memrl.probing.provenance``).
    """
    agent.begin(seed, greedy=greedy, ablate=ablate)
    obs = env.reset(seed)
    given: Obs | Transition = obs
    rows = [_Row(cue) for cue in _cues(env)]
    camera, steps = _Camera(env, view), _Steps()
    inputs = MemoryInputs(agent, forgets=ablate == "state")
    attention = Attention(agent.policy)
    if bonus is not None:
        bonus.begin(obs)
    for _ in range(max_steps):
        running = [index for index, row in enumerate(rows) if not row.over]
        pictures = {index: camera.take(obs, index) for index in running}
        during = inputs.add(obs)
        action = agent.act(given)
        said = {name: obs[name] for name in numbers} | outputs(agent)
        cue = env.cue()
        held = {**agent.memory(), **during, **attention.weights()}
        visible = None if cue is None else np.array(cue.visible.cpu().numpy())
        seen, done = _numpy(obs), np.array(action.cpu().numpy())
        step = env.step(action)
        if bonus is not None:
            said["bonus"] = bonus.reward(step.obs, step.start)
        steps.add(said | held | _unnamed(contents(agent.memory_state()), held), step.reward)
        for index in running:
            observed = {name: np.asarray(value[index]) for name, value in seen.items()}
            words = tell(observed, np.asarray(done[index])) if tell is not None else {}
            shows_cue = None if visible is None else bool(visible[index])
            rows[index].add(pictures[index], words, step, index, shows_cue=shows_cue)
        if all(row.over for row in rows):
            break
        obs, given = step.obs, step
    attention.close()
    kept = steps.stacked()
    episodes = [row.episode(kept, index, gamma) for index, row in enumerate(rows)]
    return Recorded(inputs.with_sources(episodes, source_steps), camera.sheets())


def _cues(env: BatchedEnv) -> list[int | None]:
    """Which cue each present episode has; None where the environment does not tell."""
    cue = env.cue()
    return [None] * env.num_envs if cue is None else cue.identity.tolist()


def outputs(agent: Agent) -> dict[str, Tensor]:
    """What the agent's network said at the last ``act``; empty if the agent does not tell."""
    return agent.outputs() if isinstance(agent, TellsOutputs) else {}


def contents(state: Any) -> dict[str, Tensor]:
    """What a memory stores: the matrices [B, N, W] of its state, by their fields."""
    return dict(_matrices(state, ""))


def _matrices(state: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if not isinstance(state, tuple):
        return
    names = getattr(state, "_fields", map(str, range(len(state))))
    for name, value in zip(names, state, strict=True):
        if not isinstance(value, Tensor):
            layer = prefix if hasattr(state, "_fields") else f"{prefix}{name}."
            yield from _matrices(value, layer)
        elif name in CONTENTS and value.dim() == 3 and value.is_floating_point():
            if 0 < value[0].numel() <= _MOST:
                yield f"{prefix}{name}", value


def _unnamed(stored: dict[str, Tensor], told: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of what is stored, that which the diagnostics do not have under the same name."""
    return {name: value for name, value in stored.items() if name not in told}


class _Camera:
    """Takes the pictures of an episode's steps, as numbers of tiles."""

    def __init__(self, env: BatchedEnv, view: Callable[[Obs], Picture | None] | None) -> None:
        self._env, self._view = env, view
        self._tilers: dict[str, Tiler] = {}
        self._views: dict[bytes, NDArray[np.uint16]] = {}  # drawn before, by what was observed

    def take(self, obs: Obs, index: int) -> dict[str, NDArray[np.uint16]]:
        """The pictures of one environment before it acts."""
        taken = {}
        frame = self._env.render(index)
        if frame is not None:
            taken[_FRAME] = self._cut(_FRAME, frame)
        if self._view is not None and (seen := self._seen(obs, index)) is not None:
            taken[_VIEW] = seen
        return taken

    def sheets(self) -> dict[str, TileSheet]:
        return {name: tiler.sheet() for name, tiler in self._tilers.items()}

    def _seen(self, obs: Obs, index: int) -> NDArray[np.uint16] | None:
        assert self._view is not None
        one = {name: value[index : index + 1] for name, value in obs.items()}
        key = one["image"].cpu().numpy().tobytes() if "image" in one else b""
        if key not in self._views:
            picture = self._view(one)
            if picture is None:
                return None
            self._views[key] = self._cut(_VIEW, picture)
        return self._views[key]

    def _cut(self, name: str, picture: Any) -> NDArray[np.uint16]:
        return self._tilers.setdefault(name, Tiler()).cut(np.asarray(picture, dtype=np.uint8))


@final
class _Steps:
    """Numbers of all environments, step by step."""

    def __init__(self) -> None:
        self._kept: dict[str, list[NDArray[Any]]] = {}

    def add(self, values: Mapping[str, Tensor], reward: Tensor) -> None:
        for name, value in {**values, "reward": reward}.items():
            kept = _single(value)
            self._kept.setdefault(name, []).append(
                kept.astype(np.float16) if kept[0].size > _FINE else kept
            )

    def stacked(self) -> dict[str, NDArray[Any]]:
        """Each [T, B, ...]."""
        return {name: np.stack(values) for name, values in self._kept.items()}


class _Row:
    """The episode of one environment while it runs."""

    def __init__(self, cue: int | None) -> None:
        self.over = False
        self._cue = cue
        self._pictures: list[dict[str, NDArray[np.uint16]]] = []
        self._words: list[dict[str, str]] = []
        self._cue_step: int | None = None
        self._success: bool | None = None
        self._terminated = False

    def add(
        self,
        pictures: dict[str, NDArray[np.uint16]],
        words: dict[str, str],
        step: Transition,
        index: int,
        *,
        shows_cue: bool | None,
    ) -> None:
        """Keep a step; ``shows_cue`` speaks of the observation before it, None if that is unknown.

        Then ``metrics["cue_seen"]`` may tell it, of the observation that the step led to.
        """
        if shows_cue and self._cue_step is None:
            self._cue_step = len(self._words)
        self._pictures.append(pictures)
        self._words.append(words)
        if shows_cue is None and self._cue_step is None and "cue_seen" in step.metrics:
            if float(step.metrics["cue_seen"][index]) == 1:
                self._cue_step = len(self._words)
        if bool(step.ended[index]):
            self.over, self._terminated = True, bool(step.terminated[index])
            success = float(step.metrics["success"][index]) if "success" in step.metrics else -1.0
            self._success = bool(success) if success in (0.0, 1.0) else None

    def episode(self, kept: Mapping[str, NDArray[Any]], index: int, gamma: float) -> Episode:
        length = len(self._words)
        arrays = {name: values[:length, index] for name, values in kept.items()}
        if "value" in arrays:
            arrays["surprise"] = _surprise(arrays, gamma, terminated=self._terminated)
        everywhere = set.intersection(*(set(pictures) for pictures in self._pictures))
        return Episode(
            arrays=arrays,
            pictures={
                name: np.stack([pictures[name] for pictures in self._pictures])
                for name in (_FRAME, _VIEW)
                if name in everywhere
            },
            words={name: [words[name] for words in self._words] for name in self._words[0]},
            cue_step=self._cue_step if (self._cue_step or 0) < length else None,
            success=self._success,
            ended=self.over,
            length=length,
            cue=self._cue,
        )


def _surprise(
    arrays: Mapping[str, NDArray[Any]], gamma: float, *, terminated: bool
) -> NDArray[np.float32]:
    value = arrays["value"].astype(np.float32)
    after = np.append(value[1:], np.float32(0.0 if terminated else np.nan))
    return np.asarray(arrays["reward"] + gamma * after - value, np.float32)


def _numpy(obs: Obs) -> dict[str, NDArray[Any]]:
    """Copies, since an environment may write its next step into the same tensors."""
    return {name: np.array(value.cpu().numpy()) for name, value in obs.items()}


def _single(value: Tensor) -> NDArray[np.float32]:
    return np.array(value.detach().cpu().numpy(), dtype=np.float32)
