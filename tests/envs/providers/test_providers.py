"""Packages of environments, each where it is installed: made by id, stepped, seeded, quiet."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest
import torch
from gymnasium import spaces

from memrl.envs import make
from memrl.envs.providers import PROVIDERS, Provider, provide, provider_of

IDS = [
    ("ale_py", "ALE/Pong-v5"),
    ("envpool", "envpool/MiniGrid-MemoryS13-v0"),
    ("envpool", "envpool/CartPole-v1"),
    ("memory_gym", "MysteryPath-Grid-v0"),
    ("memory_gym", "MortarMayhem-v0"),
    ("memory_gym", "SearingSpotlights-v0"),
    ("memory_gym", "Endless-MysteryPath-v0"),
    ("miniworld", "MiniWorld-Sign-v0"),
    ("crafter", "crafter/Reward-v1"),
    ("bsuite", "bsuite/memory_len-3"),
    ("bsuite", "bsuite/memory_size-16"),
]


def needs(package: str, id: str) -> None:
    provider = provider_of(id)
    assert provider is not None
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}: {provider.install}")


def played(id: str, seed: int, steps: int = 20) -> list[torch.Tensor]:
    env = make(id, 2, seed=seed)
    generator = torch.Generator().manual_seed(0)
    obs, seen = env.reset(seed), []
    for _ in range(steps):
        space = env.action_space
        nvec = torch.as_tensor(space.n if isinstance(space, spaces.Discrete) else space.nvec)
        drawn = torch.randint(1 << 30, (2, *nvec.shape), generator=generator)
        transition = env.step(drawn % nvec)
        seen += [transition.reward, *(obs[key].float() for key in sorted(obs))]
        obs = transition.obs
    env.close()
    return seen


@pytest.mark.parametrize(("package", "id"), IDS)
def test_a_package_is_played_by_id_and_a_seed_repeats_it(package, id):
    needs(package, id)
    # Crafter's creatures move in the order of a set, by their addresses: only its worlds repeat.
    steps = 1 if package == "crafter" else 20
    first, second = played(id, 3, steps), played(id, 3, steps)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize(("package", "id"), IDS)
@pytest.mark.parametrize("seed", [2**31, 2**32 - 1])  # training hands out all of 32 bits
def test_every_seed_that_training_hands_out_is_taken(package, id, seed):
    needs(package, id)
    assert played(id, seed, steps=1)


QUIET = """
import sys
from memrl.envs import make
env = make(sys.argv[1], 2, seed=1)
env.reset(1)
env.close()
"""


@pytest.mark.parametrize(("package", "id"), [entry for entry in IDS if "CartPole" not in entry[1]])
def test_making_an_environment_of_a_package_prints_nothing(package, id):
    needs(package, id)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", QUIET, id], capture_output=True, text=True, env=env, check=True
    )
    assert done.stdout == "", done.stdout
    assert done.stderr == "", done.stderr


def test_a_missing_package_is_one_sentence_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "popgym", None)
    with pytest.raises(ValueError, match=r"popgym-X-v0 needs the package popgym \(pip install"):
        provide("popgym-X-v0")


def test_every_provider_is_found_by_each_of_its_prefixes():
    for provider in PROVIDERS:
        for prefix in provider.prefixes:
            assert provider_of(f"{prefix}Something-v0") == provider
    assert provider_of("CartPole-v1") is None


def test_every_module_of_a_provider_exists():
    folder = Path(__file__).parents[3] / "envs" / "providers"
    own = {p.module.rsplit(".", 1)[1] for p in PROVIDERS if p.module.startswith("memrl.")}
    assert own == {path.stem for path in folder.glob("*.py")} - {"__init__"}


def test_an_unknown_name_of_envpool_is_met_with_the_nearest():
    needs("envpool", "envpool/x")
    with pytest.raises(ValueError, match="did you mean envpool/CartPole-v1"):
        make("envpool/CartPol-v1")


def test_a_pool_marks_the_steps_that_it_spends_on_resets():
    needs("envpool", "envpool/CartPole-v1")
    env = make("envpool/CartPole-v1", 3, seed=1)
    env.reset(1)
    valid = []
    for _ in range(60):
        transition = env.step(torch.ones(3, dtype=torch.int64))
        assert transition.valid is not None
        valid.append(transition.valid)
    env.close()
    assert not torch.stack(valid).all()


def test_death_ends_a_world_of_crafter_and_time_cuts_it_off():
    needs("crafter", "crafter/Reward-v1")
    provide("crafter/Reward-v1")
    env = gymnasium.make("crafter/Reward-v1").unwrapped
    env.reset(seed=1)
    env._world._player.health = 0  # the package offers no quicker way to die
    *_, terminated, truncated, info = env.step(0)
    assert (terminated, truncated, info) == (True, False, {})
    env.reset(seed=1)
    env._world._length = 1
    *_, terminated, truncated, _ = env.step(0)
    assert (terminated, truncated) == (False, True)


def test_the_memory_chain_pays_for_the_bit_of_its_first_step():
    needs("bsuite", "bsuite/memory_len-3")
    provide("bsuite/memory_len-3")
    env = gymnasium.make("bsuite/memory_len-3").unwrapped
    for seed in range(5):
        obs, _ = env.reset(seed=seed)
        bit, ended, reward = int(obs[0, 2] > 0), False, 0.0
        while not ended:
            _, reward, terminated, truncated, _ = env.step(bit)
            ended = terminated or truncated
        assert (reward, terminated) == (1.0, True)


def test_a_provider_says_what_to_install():
    assert all(isinstance(p, Provider) and p.install.startswith("pip install") for p in PROVIDERS)
