"""memrl play: a person acts in the agent's place, and sees what the agent would see."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Final, final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text
from torch import Tensor

from memrl.cli.keyboard import QUIT, Keyboard, split_keys
from memrl.cli.observation_view import draw_observation
from memrl.cli.terminal import ReadKeys, single_keys
from memrl.config.composition import compose
from memrl.config.models import Config
from memrl.envs.catalogue import EnvCard
from memrl.envs.description import action_text
from memrl.nn.actions import allowed
from memrl.pipeline.build import make_env
from memrl.pipeline.env_card import card_of
from memrl.rollout.env import BatchedEnv
from memrl.rollout.spaces import MASK

LEVELS: Final = 128  # of a bank: more than a person plays, and drawn in a second


def play(id: str, words: Sequence[str]) -> None:
    """Play the task that ``memrl train env=ID WORDS`` would train on, until Q is pressed.

    Raises:
        ValueError: no such task or key, or this is no terminal.
    """
    config = few_levels(compose([f"env={id}", *words]), words)
    env = make_env(config, num=1)  # mistakes in the words come first
    try:
        for name, stream in (("stdin", sys.stdin), ("stdout", sys.stdout)):
            if not stream.isatty():
                raise ValueError(f"memrl play needs a terminal, and {name} is no terminal")
        game = Game(env, card_of(config), config.env.id, seed=config.seed)
        with single_keys() as read_keys:
            take_turns(game, read_keys, Console())
    finally:
        env.close()


def few_levels(config: Config, words: Sequence[str]) -> Config:
    """The config with a level bank that is drawn at once, unless ``words`` ask for another size."""
    asked = any(word.lstrip("+").startswith("env.bank_size=") for word in words)
    if asked or "bank_size" not in (config.env.model_extra or {}):
        return config
    env = config.env.model_copy(update={"bank_size": LEVELS})
    return config.model_copy(update={"env": env})


def take_turns(game: Game, read_keys: ReadKeys, console: Console) -> None:
    """Show, wait for keys, act; at the end print what the finished episodes came to."""
    with Live(game, console=console, auto_refresh=False) as live:
        while True:
            live.refresh()
            try:
                keys = split_keys(read_keys())
            except (KeyboardInterrupt, EOFError):
                break
            if any(key in QUIT for key in keys):
                break
            for key in keys:
                game.press(key)
    console.print(game.tally(), highlight=False)


@final
class Game:
    """Episodes of one environment under a person's keys, as a rich renderable."""

    def __init__(self, env: BatchedEnv, card: EnvCard, title: str, *, seed: int) -> None:
        self.env, self.card, self.title = env, card, title
        self.keyboard = Keyboard(env.action_space, card.actions)
        self.seen = self.next_seen = env.reset(seed)
        self.steps, self.earned, self.reward = 0, 0.0, 0.0
        self.verdict = ""  # how the episode ended; empty while it goes on
        self.complaint = ""
        self.finished: list[dict[str, float]] = []

    def press(self, key: str) -> None:
        """Act on a key; after an episode any key shows the next one."""
        self.complaint = ""
        if self.verdict:
            self.seen, self.verdict = self.next_seen, ""
            self.steps, self.earned, self.reward = 0, 0.0, 0.0
            return
        try:
            action = self.keyboard.press(key)
        except ValueError as error:
            self.complaint = str(error)
            return
        if action is not None and not self._allowed(action):
            name = action_text(action[0].numpy(), self.card)
            self.complaint = f"{name} is forbidden here: action_mask shows what is allowed"
        elif action is not None:
            self._take(action)

    def _allowed(self, action: Tensor) -> bool:
        mask = self.seen.get(MASK)
        return mask is None or action.dim() != 1 or bool(allowed(mask)[0, action[0]])

    def _take(self, action: Tensor) -> None:
        after = self.env.step(action)
        self.steps += 1
        self.reward = float(after.reward)
        self.earned += self.reward
        self.seen, self.next_seen = after.final_obs, after.obs
        if bool(after.ended):
            if after.valid is not None:  # NEXT_STEP autoreset: the reset takes a step of its own
                self.next_seen = self.env.step(action).obs
            metrics = {name: float(value) for name, value in after.metrics.items()}
            known = {name: value for name, value in metrics.items() if not math.isnan(value)}
            result = {"return": self.earned, "length": float(self.steps), **known}
            self.finished.append(result)
            why = "over" if bool(after.terminated) else "out of time"
            self.verdict = f"{why}:  {described(result)}"

    def tally(self) -> str:
        """The means over the finished episodes."""
        if not self.finished:
            return "no episode was finished"
        count = len(self.finished)
        names = dict.fromkeys(name for result in self.finished for name in result)
        known = {name: [r[name] for r in self.finished if name in r] for name in names}
        means = {name: sum(values) / len(values) for name, values in known.items()}
        return f"{count} episode{'s' * (count > 1)}:  {described(means)}"

    def __rich__(self) -> RenderableType:
        line = f"step {self.steps}   reward {self.reward:g}   return {self.earned:g}"
        parts: list[RenderableType] = [
            draw_observation(self.seen, self.env.observation_space, self.card),
            Text(line),
        ]
        if self.keyboard.typed:
            parts.append(Text(f"> {self.keyboard.typed}"))
        if self.complaint:
            parts.append(Text(self.complaint, "red"))
        if self.verdict:
            parts.append(Text(f"{self.verdict}\nany key: next episode", "bold"))
        hint = Text(f"{self.keyboard.hint}   q quit", "dim")
        return Panel(Group(*parts, hint), title=self.title, expand=False)


def described(result: dict[str, float]) -> str:
    """Numbers by name, in a line."""
    return "  ".join(f"{name} {value:.3g}" for name, value in result.items())
