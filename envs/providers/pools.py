"""EnvPool: environments stepped by C++ threads, as a Gymnasium vector environment with seeds.

``envpool/NAME`` is any id that EnvPool lists. It has NEXT_STEP autoreset. Its random generators
differ from the original's, so a seed gives other levels. An episode that succeeds at its time limit
is truncated, not terminated.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any, Final, final

import envpool
import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from memrl.envs.missions import LONGEST_BABYAI, VOCABULARY, encode_one
from memrl.errors import nearest
from memrl.rollout.tokens import Tokens

PREFIX: Final = "envpool/"
MISSION: Final = "mission"
LETTERS: Final = 4  # the smallest mean length of a word and its space, over all missions


def register(id: str) -> None:
    """Register one id.

    Raises:
        ValueError: EnvPool has no such environment.
    """
    name, known = id.removeprefix(PREFIX), envpool.list_all_envs()
    if name not in known:
        hint = nearest(id, [f"{PREFIX}{each}" for each in known])
        raise ValueError(f"id is {id!r}, allowed: {PREFIX} and a name that EnvPool lists{hint}")
    gymnasium.register(id, vector_entry_point=f"{__name__}:Pool", kwargs={"name": name})


@final
class Pool(VectorEnv[Any, Any, Any]):
    """A vector environment of EnvPool.

    EnvPool seeds a pool at its construction, so ``reset(seed=…)`` makes a new pool. Missions, which
    EnvPool returns as bytes, become tokens. Infos are empty, because EnvPool's hold hidden state.

    Args:
        num_envs: number of environments.
        name: EnvPool's name of the environment.
        options: of ``envpool.make_gymnasium``.
    """

    def __init__(self, num_envs: int, *, name: str, **options: Any) -> None:
        self.num_envs = num_envs
        self._make = partial(_make, name, num_envs=num_envs, **options)
        self._pool = self._make()
        self.metadata = self._pool.metadata
        self.single_action_space = self._pool.single_action_space
        self.single_observation_space = _with_tokens(self._pool.single_observation_space)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)
        self.observation_space = gymnasium.vector.utils.batch_space(
            self.single_observation_space, num_envs
        )

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._pool.close()
            self._pool = self._make(seed=int(seed) % 2**31)  # its largest seed
        return self._read(self._pool.reset()[0]), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        obs, reward, terminated, truncated, _ = self._pool.step(actions)
        return self._read(obs), reward, terminated, truncated, {}

    def close_extras(self, **kwargs: Any) -> None:
        self._pool.close()

    def _read(self, obs: Any) -> Any:
        if isinstance(obs, dict) and MISSION in obs:
            return {**obs, MISSION: _tokens(obs[MISSION])}
        return obs


def _make(name: str, **options: Any) -> Any:
    """Make a pool and its spaces, without the warning about rounded float64 bounds."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        pool = envpool.make_gymnasium(name, **options)
        _ = pool.observation_space, pool.action_space  # the pool keeps them
    return pool


def _with_tokens(space: Any) -> Any:
    """The space, with MiniGrid's mission as tokens instead of bytes."""
    if not isinstance(space, spaces.Dict) or MISSION not in space.spaces:
        return space
    words = _num_words(space.spaces[MISSION].shape or ())
    return spaces.Dict({**space.spaces, MISSION: Tokens(len(VOCABULARY), words)})


def _tokens(letters: NDArray[np.uint8]) -> NDArray[np.int64]:
    """From zero-padded bytes [B, letters] to the indices of words: int64 [B, words]."""
    sentences = [bytes(row).rstrip(b"\0").decode() for row in letters]
    words = _num_words(letters.shape[1:])
    return np.array([encode_one(sentence, words) for sentence in sentences])


def _num_words(letters: tuple[int, ...]) -> int:
    return min(LONGEST_BABYAI, letters[0] // LETTERS)
