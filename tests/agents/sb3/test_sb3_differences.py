"""What SB3's classes have is here, or on the page that says why not."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from small_models import Sampled, copies, make_model
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy

from memrl.agents.sb3 import MemoryPPO
from memrl.agents.sb3.architecture import UNSUPPORTED, Architecture
from memrl.agents.sb3.recurrent_words import CRITIC_WORDS, WORDS

PAGE = Path(__file__).parents[3] / "docs" / "sb3-differences.md"
METHODS = ["__init__", "learn", "predict", "save", "load", "set_parameters", "set_env"]


def explained() -> set[str]:
    """Names on the page, in code."""
    code = re.findall(r"`([^`]+)`", PAGE.read_text(encoding="utf-8"))
    return {word for each in code for word in re.findall(r"\w+", each)}


def contrib(name: str) -> Any:
    return getattr(pytest.importorskip("sb3_contrib", reason="pip install sb3-contrib"), name)


def classes(kind: str) -> tuple[Any, Any, str]:
    if kind == "PPO":
        return PPO, ActorCriticPolicy, "MlpPolicy"
    cls, policy = contrib(kind), "MlpLstmPolicy" if kind == "RecurrentPPO" else "MlpPolicy"
    return cls, cls.policy_aliases[policy], policy


class AllAllowed(Sampled):
    """With action masks, as MaskablePPO needs them."""

    def action_masks(self) -> list[bool]:
        return [True, True, True]


KINDS = pytest.mark.parametrize("kind", ["PPO", "RecurrentPPO", "MaskablePPO"])


@KINDS
@pytest.mark.parametrize("method", METHODS)
def test_every_argument_is_there_or_explained(kind, method):
    theirs, ours = (
        list(inspect.signature(getattr(cls, method)).parameters)
        for cls in (classes(kind)[0], MemoryPPO)
    )
    assert set(theirs) - set(ours) <= explained()


def test_arguments_by_position_are_recurrent_ppos():
    theirs = list(inspect.signature(contrib("RecurrentPPO").__init__).parameters)
    ours = list(inspect.signature(MemoryPPO.__init__).parameters)
    assert ours[: len(theirs)] == theirs


@KINDS
def test_every_word_of_a_policy_is_there_or_explained(kind):
    words = set(inspect.signature(classes(kind)[1].__init__).parameters)
    ours = {"self", "observation_space", "action_space", *UNSUPPORTED}
    ours |= {*Architecture._fields, *WORDS, *CRITIC_WORDS}
    assert words - ours <= explained()


@KINDS
def test_every_public_attribute_is_there_or_explained(kind):
    cls, _, policy = classes(kind)
    theirs = cls(
        policy, copies(AllAllowed), n_steps=8, batch_size=8, n_epochs=1, device="cpu"
    ).learn(16)
    ours = make_model().learn(16)
    pairs = {
        "model": (theirs, ours),
        "policy": (theirs.policy, ours.policy),
        "rollout_buffer": (theirs.rollout_buffer, ours.rollout_buffer),
    }
    for name, (one, other) in pairs.items():
        public = {each for each in dir(one) if not each.startswith("_")}
        missing = {each for each in public if not hasattr(other, each)}
        assert missing <= explained(), name
