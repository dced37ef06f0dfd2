"""Every config composes, builds and learns; every mistake is a sentence that names the key."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from suites import KINDS, slow_but

import memrl
from memrl.agents.auxiliary import AuxiliaryConfig
from memrl.agents.ppo.config import (
    BonusConfig,
    PPOConfig,
    RehearsalConfig,
    SelfImitationConfig,
    TeacherConfig,
)
from memrl.agents.r2d2.config import HindsightConfig, R2D2Config, ReplayConfig
from memrl.agents.r2d2.config import RehearsalConfig as R2D2RehearsalConfig
from memrl.benchmark.plan import names as benchmark_names
from memrl.config.env_overrides import expand
from memrl.config.models import Config, check
from memrl.envs.adapters.gymnasium_env import GymnasiumAdapter
from memrl.envs.wrappers import Previous
from memrl.memory import registry
from memrl.pipeline.build import make_agent, make_env
from memrl.pipeline.directories import dump, name_of
from memrl.pipeline.loading import read_config
from memrl.pipeline.setup import find_device, seed_for
from memrl.policies.backbone import PolicyConfig, Stacked
from memrl.run.directory import RunDirectory

CONFIGS = Path(memrl.__file__).parent / "configs"
TINY = ["env.num=4", "agent.steps=4", "agent.bptt=4", "agent.minibatches=2", "agent.epochs=1"]
TINY_OF = {  # by the agent: few and short env steps, from which something is learned all the same
    "ppo": TINY,
    "nec": ["env.num=4", "agent.steps=32", "agent.horizon=8", "agent.warmup=16"],
    "mfec": ["env.num=4", "agent.steps=4", "agent.every=4"],
    "plan": ["env.num=4", "agent.steps=4", "agent.every=4"],
    "r2d2": ["env.num=4", "agent.steps=9", "agent.burn_in=1", "agent.unroll=4", "agent.batch=2",
             "agent.replay.fill=0", "agent.replay.capacity=400"],
}  # fmt: skip
AGENT_OF_RUN = {"goal": "r2d2"}  # of the whole runs; else ppo


def files(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def learn_once(config: Config) -> None:
    env = make_env(config)
    agent = make_agent(config, env)
    before = [weight.detach().clone() for weight in agent.policy.parameters()]
    agent.learn(1, lambda metrics: None)
    assert agent.env_steps == config.env.num * config.agent.steps
    moved = [
        not torch.equal(old, new)
        for old, new in zip(before, agent.policy.parameters(), strict=True)
    ]
    assert any(moved) or not before  # some agents only remember
    env.close()


def test_no_config_file_is_left_out_of_these_tests():
    groups = ("env", "memory", "agent", "suited", "track", "run", "task", "recipe", "sweep")
    known = {f"{group}/{name}" for group in groups for name in files(group)}
    known |= {"config", "fit", "wandb_sweep/ppo"}  # sweeps: test_sweep_configs.py
    known |= {f"benchmark/{name}" for name in benchmark_names()}
    found = {p.relative_to(CONFIGS).with_suffix("").as_posix() for p in CONFIGS.glob("**/*.yaml")}
    assert found == known


@pytest.mark.parametrize("name", files("env"))
def test_every_env_learns(name):
    learn_once(memrl.compose([f"env={name}", *TINY]))


@pytest.mark.parametrize("name", slow_but(KINDS, files("memory")))
def test_a_memory_s_config_makes_an_agent_on_that_class(name):
    config = memrl.compose([f"memory={name}", "env=probe", *TINY])
    agent = make_agent(config, make_env(config))
    assert config.memory["name"] == name
    assert type(agent.policy.core) is registry.core_class(name)


@pytest.mark.parametrize("name", slow_but(KINDS, files("memory")))
def test_every_memory_learns(name):
    learn_once(memrl.compose([f"memory={name}", "env=probe", *TINY]))


@pytest.mark.parametrize("name", files("agent"))
def test_every_agent_learns(name):
    learn_once(memrl.compose([f"agent={name}", "env=probe", *TINY_OF[name]]))


@pytest.mark.parametrize("name", files("run"))
def test_every_whole_run_learns(name):
    learn_once(memrl.compose([f"+run={name}", *TINY_OF[AGENT_OF_RUN.get(name, "ppo")]]))


@pytest.mark.parametrize("name", files("track"))
def test_every_tracking_composes(name):
    assert memrl.compose([f"track={name}"]).track.project == "memrl"


def test_stacked_cores_are_built_from_one_memory():
    config = memrl.compose(["env=probe", "policy.layers=3", *TINY])
    core = make_agent(config, make_env(config)).policy.core
    assert isinstance(core, Stacked)
    assert len(core.cores) == 3


def test_menus_agree():
    assert files("memory") == registry.names()


def test_yaml_keys_are_the_models_fields():
    root = OmegaConf.load(CONFIGS / "config.yaml")
    ppo = OmegaConf.load(CONFIGS / "agent" / "ppo.yaml")
    r2d2 = OmegaConf.load(CONFIGS / "agent" / "r2d2.yaml")
    assert list(root.policy) == list(PolicyConfig.model_fields)
    assert set(ppo) == set(PPOConfig.model_fields)
    assert set(ppo.bonus) == set(BonusConfig.model_fields)
    assert set(ppo.self_imitation) == set(SelfImitationConfig.model_fields)
    assert set(ppo.teacher) == set(TeacherConfig.model_fields)
    assert set(ppo.rehearsal) == set(RehearsalConfig.model_fields)
    assert list(ppo.auxiliary) == list(r2d2.auxiliary) == list(AuxiliaryConfig.model_fields)
    assert list(r2d2) == list(R2D2Config.model_fields)
    assert list(r2d2.replay) == list(ReplayConfig.model_fields)
    assert list(r2d2.hindsight) == list(HindsightConfig.model_fields)
    assert set(r2d2.rehearsal) == set(R2D2RehearsalConfig.model_fields)
    assert {"defaults", "hydra", *Config.model_fields} == {
        *root, "env", "memory", "agent", "track",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["nec", "mfec", "plan"])
def test_yaml_of_an_episodic_agent_holds_the_models_defaults(kind):
    config = memrl.compose([f"agent={kind}", "env=CartPole-v1"])
    named = OmegaConf.load(CONFIGS / "agent" / f"{kind}.yaml").agent
    assert set(named) == set(type(config.agent).model_fields)
    assert config.agent == type(config.agent)()
    assert config.memory["name"] == "none"


@pytest.mark.parametrize("name", registry.names())
def test_yaml_of_a_memory_names_every_option(name):
    given = set(OmegaConf.load(CONFIGS / "memory" / f"{name}.yaml"))
    assert given == {"name", *registry.schema(name).model_fields}


def test_the_memory_family_brings_the_bonus_it_needs_and_others_do_not():
    kinds = [memrl.compose(words).agent.bonus.kind for words in ([], ["env=CartPole-v1"])]
    assert kinds == ["first_visit", "none"]


def test_yaml_defaults_are_the_models_defaults():
    config = memrl.compose(["env=gymnasium"])
    assert config.agent == PPOConfig()
    assert memrl.compose(["env=gymnasium", "agent=r2d2"]).agent == R2D2Config()
    assert config.policy == PolicyConfig()


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("env=MiniGrid-MemoryS13-v0", ["env=minigrid_memory", "env.id=MiniGrid-MemoryS13-v0"]),
        ("env=MiniGrid-Fetch-5x5-N2-v0", ["env=minigrid", "env.id=MiniGrid-Fetch-5x5-N2-v0"]),
        ("env=CartPole-v1", ["env=gymnasium", "env.id=CartPole-v1"]),
        ("env=probe/Recall-v0", ["env=probe", "env.id=probe/Recall-v0"]),
        ("env=probe", ["env=probe"]),
        ("env.id=CartPole-v1", ["env.id=CartPole-v1"]),
        (
            "env=MiniGrid-MemoryS13-v0,MiniGrid-MemoryS11-v0",
            ["env=minigrid_memory", "env.id=MiniGrid-MemoryS13-v0,MiniGrid-MemoryS11-v0"],
        ),
    ],
)
def test_an_id_is_short_for_its_family_and_the_id(word, expanded):
    assert expand([word]) == expanded


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["env.observation=rgb"], {"observation": "rgb"}),
        (["env=MiniGrid-DoorKey-5x5-v0", "env.tile_size=4"], {"tile_size": 4}),
        (["env=probe", "env.delay=5"], {"delay": 5}),
        (["+run=recall", "env.delay=5"], {"delay": 5}),
        (["env=CartPole-v1", "env.sutton_barto_reward=true"], {"sutton_barto_reward": True}),
        (["env=CartPole-v1", "env.max_episode_steps=9"], {"max_episode_steps": 9}),
        (["env=MiniGrid-WFC-MazeSimple-v0", "env.size=9"], {"size": 9}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_of_the_task_is_a_key_like_any_other(words, options):
    assert options.items() <= memrl.compose(words).env.model_extra.items()


def test_a_plus_before_an_option_of_the_task_changes_nothing():
    same = [memrl.compose([f"{plus}env.observation=rgb"]) for plus in ("", "+", "++")]
    assert same[0] == same[1] == same[2]


@pytest.mark.parametrize("words", [["env.family=gymnasium"], ["env.tile_size=4"]])
def test_words_that_were_expanded_once_stay_as_they_are(words):
    once = expand(["env=MiniGrid-DoorKey-5x5-v0", *words])
    assert len(once) > 3 or once[-1].startswith("+")
    assert expand(once) == once


def test_an_option_that_is_given_twice_has_its_last_value():
    assert memrl.compose(["env=probe", "env.delay=5", "env.delay=2"]).env.model_extra == {
        "delay": 2
    }


def test_an_option_may_be_swept():
    assert expand(["-m", "env=probe", "env.delay=2,3"])[-1] == "++env.delay=2,3"


def test_a_sweep_over_files_is_left_to_hydra():
    words = ["-m", "env=probe,popgym", "env.delay=2"]
    assert expand(words) == words


@pytest.mark.parametrize(
    "id", ["MiniGrid-DoorKey-5x5-v0", "MiniGrid-MemoryS7-v0", "popgym-RepeatFirstEasy-v0"]
)
def test_the_original_of_a_task_is_asked_for_by_its_family_alone(id):
    if id.startswith("popgym"):
        pytest.importorskip("popgym")
    env = make_env(memrl.compose([f"env={id}", "env.family=gymnasium"]), num=2)
    assert isinstance(env.env if isinstance(env, Previous) else env, GymnasiumAdapter)
    env.close()


def test_a_sweep_over_families_is_refused():
    with pytest.raises(ValueError, match="several families: gymnasium, probe"):
        expand(["env=CartPole-v1,probe/Recall-v0"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["memory=dncc"], "unknown memory 'dncc'; did you mean dnc?"),
        (["env=prob"], "unknown env 'prob'; did you mean probe?"),
        (["+run=smok"], "unknown run 'smok'; did you mean smoke?"),
        (["run=smoke"], r"write \+run=NAME"),
        (["agent.lrr=1"], "unknown key agent.lrr; did you mean agent.lr?"),
        (["+agent.lrr=1"], "unknown key agent.lrr; did you mean lr?"),
        (["totl_steps=1"], "unknown key totl_steps; did you mean total_steps?"),
        (["memory.hiden_dim=1"], "unknown key memory.hiden_dim; did you mean memory.hidden_dim?"),
        (["memory=ntm", "memory.slts=3"], "memory.slts; did you mean memory.slots?"),
        (["+run=recall", "memory=sam", "memory.slts=3"], "did you mean memory.slots?"),
        (["memory.hidden_dim=0"], "memory.hidden_dim=0: it should be greater than or equal to 1"),
        (["memory.hidden_dim=2.5"], "memory.hidden_dim=2.5: it should be a valid integer"),
        (["seed=three"], "seed='three': it should be a valid integer"),
        (["seed=-1"], "seed=-1: it should be greater than or equal to 0"),
        (["seed=true"], "seed=True: it should be a valid integer"),
        (["agent.lr=-1"], "agent.lr=-1: it should be greater than 0"),
        (["agent.gamma=1.5"], "agent.gamma=1.5: it should be less than or equal to 1"),
        (["agent.precision=fp8"], "agent.precision='fp8': it should be 'float32' or 'bf16'"),
        (
            ["env=probe", "agent.bonus.alpha=1"],
            "agent.bonus.alpha=1 is not read by agent.bonus.kind=none",
        ),
        (["agent.bonus.kind=x"], "unknown bonus 'x' .known: none, count, elliptical, first_visit"),
        (["env.num=0"], "env.num=0: it should be greater than or equal to 1"),
        (["threads=0"], "threads=0: it should be greater than or equal to 1"),
        (["total_steps=0.5"], "total_steps=0.5: it should be a valid integer"),
        (["track.wandb=maybe"], "track.wandb='maybe': it should be 'online', 'offline' or"),
        (["evaluate.episodes=0"], "evaluate.episodes=0: it should be greater"),
        (["~seed"], "seed is missing"),
        (["seed"], "'seed' is no change to the config: write KEY=VALUE"),
        (["env.observatoin=rgb"], "key env.observatoin; did you mean env.observation?"),
        (["env=CartPole-v1", "env.nmu=3"], "env.nmu; did you mean env.num?.*max_episode_steps"),
        (
            ["env=MiniGrid-DorKey-5x5-v0", "env.bank=3"],
            "'MiniGrid-DorKey-5x5-v0' is unknown, did you mean MiniGrid-DoorKey-5x5-v0?",
        ),
        (
            ["env=MiniGrid-DoorKey-5x5-v0", "env.family=gymnasium", "env.bank=3"],
            "env.bank is no option of MiniGrid-DoorKey-5x5-v0 with env.family=gymnasium",
        ),
        (["env.id=MiniGrid-MemoryS7-v0", "env.famly=gymnasium"], "did you mean env.family?"),
        (["seed=1,2"], "seed=1,2 holds several values: add -m"),
        (["agent.lr=${nothing}"], "'nothing' not found"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence_that_names_the_key(words, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        memrl.compose(words)
    assert "\n" not in str(caught.value)


def test_a_million_may_be_written_as_people_write_it():
    assert memrl.compose(["total_steps=1e6"]).total_steps == 1_000_000
    assert memrl.compose(["total_steps=1_000_000"]).total_steps == 1_000_000


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["env=MiniGrid-MemoryS14-v0"], "'MiniGrid-MemoryS14-v0' is unknown, did you mean"),
        (["env=CartPole-v9"], "CartPole"),
        (["env=CartPole-v1", "+env.colour=red"], "colour"),
        (["env=MiniGrid-DorKey-5x5-v0", "+env.bank=3"], "'MiniGrid-DorKey-5x5-v0' is unknown"),
        (["+env.colour=red"], "has no option 'colour'"),
        (["env.agent_view_size=4"], "agent_view_size is 4"),
        (["device=tpu"], "device=tpu cannot be used on this machine, allowed: cpu"),
        (["device=cuda:99"], "device=cuda:99 cannot be used on this machine"),
        (["env=probe", "agent.burn_in=64"], "burn_in is 64; allowed: from 0, below bptt 64"),
        (
            ["env=probe", "agent.bonus={kind: first_visit, key: image}"],
            "'image' is no entry of the observation",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_parts_that_do_not_fit_are_one_sentence(words, sentence):
    config = memrl.compose(words)
    with pytest.raises(ValueError, match=sentence):
        make_agent(config, make_env(config))


def test_a_device_of_this_machine_is_found():
    assert find_device("cpu") == torch.device("cpu")


def test_streams_differ_by_seed_and_purpose():
    seeds = {seed_for(seed, purpose) for seed in range(50) for purpose in ("train", "evaluate")}
    assert len(seeds) == 100
    assert seed_for(3, "watch") == seed_for(3, "watch")


def test_a_run_reads_back_the_config_it_wrote(tmp_path):
    config = memrl.compose(["memory=dnc", "run.dir=somewhere", "agent.lr=1e-5", "+env.max_steps=9",
                            "env=CartPole-v1"])  # fmt: skip
    run = RunDirectory.create(tmp_path / "run", dump(config))
    assert read_config(run) == config
    assert read_config(run, seed=None, total_steps=7).total_steps == 7


@given(
    seed=st.integers(0, 2**32 - 1),
    lr=st.floats(1e-8, 1e2),
    steps=st.integers(1, 10**12),
    skip=st.booleans(),
    entropy_end=st.none() | st.floats(0, 1),
)
@settings(max_examples=25, deadline=None)
def test_any_config_survives_yaml(default_config, seed, lr, steps, skip, entropy_end):
    plain = default_config.model_dump(mode="json")
    plain |= {"seed": seed, "total_steps": steps}
    plain["agent"] |= {"lr": lr, "entropy_end": entropy_end}
    plain["policy"]["skip"] = skip
    config = check(plain, Config)
    assert check(OmegaConf.to_container(OmegaConf.create(dump(config))), Config) == config


@given(key=st.text("abcdefgh_", min_size=1, max_size=9), group=st.sampled_from(["", "agent"]))
@settings(max_examples=50, deadline=None)
def test_no_unknown_key_passes(default_config, key, group):
    plain = default_config.model_dump(mode="json")
    node = plain[group] if group else plain
    if key in node:
        return
    node[key] = 1
    with pytest.raises(ValueError, match=f"unknown key {group}.?{key}"):
        check(plain, Config)


@pytest.fixture(scope="module")
def default_config() -> Config:
    return memrl.compose()


@pytest.mark.parametrize(
    ("words", "name"),
    [([], "gru"), (["agent=r2d2", "memory=dnc"], "r2d2-dnc"), (["agent=nec"], "nec")],
)
def test_titles_and_names_of_runs_say_what_learns(words, name):
    config = memrl.compose(["env=CartPole-v1", *words])
    assert name_of(config) == f"CartPole-v1-{name}-seed1"
