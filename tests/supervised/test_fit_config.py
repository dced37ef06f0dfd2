"""Every task's config composes and learns; every mistake is a sentence that names the key."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from small_fits import TINY, needed
from suites import MEMORIES

import memrl
from memrl.memory import registry
from memrl.supervised.config import FitConfig, build_task, compose_fit
from memrl.supervised.curriculum import CurriculumConfig
from memrl.supervised.fitting import make_learner
from memrl.supervised.learner import LearnerConfig
from memrl.tasks import REGISTRY

CONFIGS = Path(memrl.__file__).parent / "configs"


def learn_once(config: FitConfig) -> None:
    learner = make_learner(config)
    before = [weight.detach().clone() for weight in learner.model.parameters()]
    learner.learn(1, lambda metrics: None)
    assert learner.experience == 6
    pairs = zip(before, learner.model.parameters(), strict=True)
    assert any(not torch.equal(old, new) for old, new in pairs)


@pytest.mark.parametrize("name", REGISTRY.names())
def test_every_task_learns_and_its_yaml_names_every_option(name):
    config = compose_fit([f"task={name}", "memory=gru", *TINY, *needed(name)])
    assert type(build_task(config)) is REGISTRY.find(name)
    assert set(config.task) == {"name", *REGISTRY.schema(name).model_fields}
    learn_once(config)


def test_menus_agree():
    assert sorted(path.stem for path in (CONFIGS / "task").glob("*.yaml")) == REGISTRY.names()


@pytest.mark.parametrize("name", MEMORIES)
def test_a_memory_s_config_makes_a_learner_on_that_class(name):
    config = compose_fit([f"memory={name}", "task=mqar", *TINY])
    assert type(make_learner(config).model.core) is registry.core_class(name)


@pytest.mark.parametrize("name", MEMORIES)
def test_every_memory_learns(name):
    learn_once(compose_fit([f"memory={name}", "task=mqar", *TINY]))


@pytest.mark.parametrize("path", [*(CONFIGS / "recipe").glob("*.yaml")], ids=lambda path: path.stem)
def test_a_recipe_is_used_by_its_memory_on_its_task_and_yields_to_the_command_line(path):
    task, memory = next(
        (task, path.stem.removeprefix(f"{task}_"))
        for task in REGISTRY.names()
        if path.stem.startswith(f"{task}_")
    )
    words = [f"task={task}", f"memory={memory}", *needed(task)]
    recipe = OmegaConf.load(path)
    config = compose_fit(words)
    for key, value in recipe.get("memory", {}).items():
        assert config.memory[key] == value
        if type(value) is int:
            changed = compose_fit([*words, f"memory.{key}={value + 1}"])
            assert changed.memory[key] == value + 1
    for key, value in recipe.get("learner", {}).items():
        assert getattr(config.learner, key) == value
    learn_once(compose_fit([*words, *TINY]))


def test_what_a_task_needs_is_asked_for_by_its_key():
    with pytest.raises(ValueError, match=r"task\.folder has no default: write task\.folder=…"):
        compose_fit(["task=babi"])


def test_yaml_defaults_are_the_models_defaults():
    config = compose_fit(["memory=lstm"])
    assert config.learner == LearnerConfig()
    assert config.curriculum == CurriculumConfig()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["task=cpoy"], "unknown task 'cpoy'; did you mean copy?"),
        (["memory=ntn"], "unknown memory 'ntn'; did you mean ntm?"),
        (["task.bitz=3"], "unknown key task.bitz; did you mean task.bits?.*memrl config --fit"),
        (["task=mqar", "task.kyes=3"], "unknown key task.kyes; did you mean task.keys?"),
        (["+task.repeats=3"], "unknown key task.repeats.*known: bits, min_length, max_length"),
        (["task.bits=many"], "task.bits='many': it should be a valid integer"),
        (["learner.lr=0"], "learner.lr=0: it should be greater than 0"),
        (["learner.stop_at=1.5"], "learner.stop_at=1.5: it should be less than or equal to 1"),
        (["sequences=0"], "sequences=0: it should be greater than 0"),
        (["evaluate.lengths=3"], r"a list is wanted, as in evaluate.lengths=\[3\]"),
        (["evaluate.lengths=[3,x]"], "evaluate.lengths.1='x': it should be a valid integer"),
        (
            ["curriculum.kind=grow", "curriculum.growth=0"],
            r"^curriculum.growth=0: it should be greater than or equal to 1 or 'double'$",
        ),
        (
            ["curriculum.kind=grow", "curriculum.growth=dubble"],
            r"^curriculum.growth='dubble': it should be a valid integer or 'double'",
        ),
        (["env=CartPole-v1"], "memrl fit has no env: it teaches a memory a task; memrl train"),
        (["agent=r2d2"], "memrl fit has no agent: "),
        (["curriculum.kind=slow"], "curriculum.kind='slow': it should be 'uniform' or 'grow'"),
        (["memory=ntm", "memory.hidden_dim=0"], "memory.hidden_dim=0: it should be greater"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence_that_names_the_key(words, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        compose_fit(words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["evaluate.lengths=[0]"], "evaluate.lengths=0, allowed in this task: at least 1"),
        (["task.min_length=11"], "task.min_length=11 is above task.max_length=10"),
        (["task=mqar", "evaluate.lengths=[33]"], "evaluate.lengths=33, .*at most 32"),
        (["memory=ntm", "memory.slots=2"], "shift_range is 1; allowed: at most 0 with 2 slots"),
        (["device=cuda:99"], "device=cuda:99 cannot be used on this machine"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_parts_that_do_not_fit_are_one_sentence(words, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_learner(compose_fit(words))
