"""Trials of Gymnasium environments: several episodes from one seed, played as one."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.utils.env_checker import data_equivalence

from memrl.envs.trials import PREV_DONE, RETURNS, refuse_goals
from memrl.envs.wrappers import previous_action, refuse_key
from memrl.errors import EnvOutputError

PREV_ACTION, PREV_REWARD = "prev_action", "prev_reward"


@final
class Trial(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Plays ``episodes`` episodes of one task as one episode, a trial (RL², Duan et al. 2016).

    The task is a seed. A trial draws one, and resets all of its episodes with it, so that they
    share the level and everything else that a reset draws. They share the random numbers of the
    steps, too: an environment that draws rewards from its own generator draws the same ones in
    every episode.

    The trial terminates with its last episode, whatever ended that one, and nothing truncates it.
    Its last info has ``first_return`` and ``last_return``, the returns of its first and last
    episode. The observation becomes a ``Dict``, in which the one of a plain environment is
    ``obs``, with ``prev_done`` (1 in the first observation of a later episode of the trial, else
    0), ``prev_action`` (one more than the largest action before the first step) and
    ``prev_reward``. The wrapper belongs outside of all that change observations and rewards.

    `memrl.make` with ``trial=K`` uses it within its vector environments; in Stable-Baselines3 it
    is used as any wrapper.

    Args:
        env: the environment, whose ``reset`` takes seeds.
        episodes: of a trial, at least 1. With 1 a trial is an episode.
        previous: add ``prev_action`` and ``prev_reward``.

    Raises:
        ValueError: ``episodes`` is less than 1; the observation has goals or one of the keys; the
            action space has no previous action.
        EnvOutputError: in the first ``reset``: the environment has no seeds. It takes none, or two
            resets with one seed give different observations.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], *, episodes: int, previous: bool = True
    ) -> None:
        RecordConstructorArgs.__init__(self, episodes=episodes, previous=previous)
        gymnasium.Wrapper.__init__(self, env)
        if episodes < 1:
            raise ValueError(f"episodes is {episodes}, allowed: at least 1 in a trial")
        given = env.observation_space
        self._plain = not isinstance(given, spaces.Dict)
        space = given if isinstance(given, spaces.Dict) else spaces.Dict({"obs": given})
        refuse_goals("desired_goal" in space.keys())
        added: dict[str, spaces.Space[Any]] = {PREV_DONE: spaces.Discrete(2)}
        self._none: dict[str, Any] = {}
        if previous:
            added[PREV_ACTION], none = previous_action(env.action_space)
            added[PREV_REWARD] = spaces.Box(-np.inf, np.inf, (1,), np.float32)
            self._none = {PREV_ACTION: none.numpy()[()], PREV_REWARD: np.zeros(1, np.float32)}
        for key in added:
            refuse_key(key, space)
        self._space = self.observation_space = spaces.Dict({**space.spaces, **added})
        self.episodes = episodes
        self._tasks = np.random.default_rng()  # draws the seeds of trials
        self._checked = False
        self._episode = 0  # of the present trial
        self._return = self._first_return = 0.0  # of the present and the first episode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start a trial of a new task; a seed makes it and all later ones repeatable."""
        if seed is not None:
            self._tasks = np.random.default_rng(seed)
        self._episode, self._return = 0, 0.0
        self._task, self._options = int(self._tasks.integers(2**31)), options
        if not self._checked:
            self._check_seeds()
        obs, info = self._repeat()
        return self._with(obs, self._none, done=False), info

    def step(self, action: Any) -> tuple[dict[str, Any], Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._return += float(reward)
        previous = self._previous(action, reward) if self._none else {}
        ended = bool(terminated or truncated)
        if not ended:
            return self._with(obs, previous, done=False), reward, False, False, info
        if self._episode == 0:
            self._first_return = self._return
        if self._episode == self.episodes - 1:
            returns = dict(zip(RETURNS, (self._first_return, self._return), strict=True))
            return self._with(obs, previous, done=False), reward, True, False, {**info, **returns}
        self._episode, self._return = self._episode + 1, 0.0
        obs, info = self._repeat()
        return self._with(obs, previous, done=True), reward, False, False, info

    def _repeat(self) -> tuple[Any, dict[str, Any]]:
        return self.env.reset(seed=self._task, options=self._options)

    def _check_seeds(self) -> None:
        try:
            one = deepcopy(self._repeat()[0])  # some environments reuse one buffer
            two = self._repeat()[0]
        except TypeError as error:
            raise EnvOutputError(
                f"a trial on an environment without seeds: {self._name} takes none ({error})"
            ) from error
        if not data_equivalence(one, two, exact=True):
            raise EnvOutputError(
                f"a trial on an environment without seeds: two resets of {self._name} with one "
                "seed give different observations, so that its episodes would differ in their task"
            )
        self._checked = True

    @property
    def _name(self) -> str:
        spec = self.env.spec
        return type(self.env.unwrapped).__name__ if spec is None else spec.id

    def _with(self, obs: Any, previous: dict[str, Any], *, done: bool) -> dict[str, Any]:
        entries = {"obs": obs} if self._plain else obs
        copies = {key: value.copy() for key, value in previous.items()}
        return {**entries, **copies, PREV_DONE: np.int64(done)}

    def _previous(self, action: Any, reward: Any) -> dict[str, Any]:
        given, shown = self.env.action_space, self._space[PREV_ACTION]
        taken = np.asarray(action)
        if isinstance(given, spaces.Discrete):
            taken = taken - given.start
        elif isinstance(given, spaces.Box):
            taken = taken.clip(given.low, given.high)
        return {
            PREV_ACTION: taken.astype(shown.dtype)[()],
            PREV_REWARD: np.array([reward], np.float32),
        }
