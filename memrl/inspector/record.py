"""Many episodes at once: one in each environment of a batch, kept whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memrl.bonus.bonus import Bonus
from memrl.evaluation.acting import Acting
from memrl.evaluation.recording import Picture
from memrl.inspector.attention import Attention
from memrl.inspector.camera import Camera
from memrl.inspector.contents import contents
from memrl.inspector.kept import Numbers, Running
from memrl.inspector.model import Episode
from memrl.inspector.sources import MemoryInputs
from memrl.inspector.tiles import TileSheet
from memrl.rollout.env import BatchedEnv, Obs, Transition
from memrl.run.agent import Agent, TellsOutputs

Row: TypeAlias = Mapping[str, NDArray[Any]]


class Recorded(NamedTuple):
    """Episodes, and the tiles that their pictures are made of."""

    episodes: list[Episode]
    sheets: dict[str, TileSheet]


@torch.no_grad()
def record_episodes(
    agent: Agent,
    env: BatchedEnv,
    acting: Acting,
    *,
    view: Callable[[Obs], Picture | None] | None = None,
    tell: Callable[[Row, NDArray[Any]], dict[str, str]] | None = None,
    numbers: Sequence[str] = (),
    gamma: float = 1.0,
    bonus: Bonus | None = None,
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
        acting: how, and for how long.
        view: draws what the agent sees, from a batch of one observation; None leaves views out.
        tell: says in words what was observed and done, from an observation and an action.
        numbers: the entries of observations that are kept as numbers.
        gamma: discount of the agent, for ``surprise``.
        bonus: for these environments; what it would pay is kept before it is normalised.
        source_steps: of episodes with so many steps altogether it is worked out where the reads of
            the memory come from (``memrl.probing.provenance``).
    """
    acting.begin(agent)
    obs = env.reset(acting.seed)
    given: Obs | Transition = obs
    rows = [Running(cue) for cue in _cues(env)]
    camera, steps = Camera(env, view), Numbers()
    inputs = MemoryInputs(agent, forgets=acting.ablate == "state")
    attention = Attention(agent.policy)
    if bonus is not None:
        bonus.begin(obs)
    for _ in range(acting.max_steps):
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


def _unnamed(stored: dict[str, Tensor], told: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of what is stored, that which the diagnostics do not have under the same name."""
    return {name: value for name, value in stored.items() if name not in told}


def _numpy(obs: Obs) -> dict[str, NDArray[Any]]:
    """Copies, since an environment may write its next step into the same tensors."""
    return {name: np.array(value.cpu().numpy()) for name, value in obs.items()}
