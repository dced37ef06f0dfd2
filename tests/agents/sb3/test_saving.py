"""Saving a `MemoryPPO`: everything comes back, nothing of a file is run, every mistake is named."""

from __future__ import annotations

import io
import json
import zipfile

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from stable_baselines3 import PPO
from stable_baselines3.common import utils
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from suites import slow_but

from memrl.agents.sb3 import MemoryPolicy, MemoryPPO, archive, saving
from memrl.checkpoint.spaces import space_from_data, space_to_data
from memrl.memory.registry import names
from memrl.rollout.tokens import Tokens

SMALL = {
    "dnc": {"slots": 5, "word_dim": 3, "hidden_dim": 7},
    "ntm": {"slots": 5, "word_dim": 3, "hidden_dim": 7},
    "gru": {"hidden_dim": 7},
    "lstm": {"hidden_dim": 7},
}


class Counter(gymnasium.Env):
    """A deterministic game: its whole state is two numbers that tests can copy."""

    observation_space = spaces.Box(-9, 9, (2,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self):
        self.clock = self.score = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.clock = self.score = 0
        return self.seen(), {}

    def step(self, action):
        self.clock += 1
        self.score = (self.score + int(action)) % 5
        return self.seen(), float(self.score == 2), self.clock % 7 == 6, False, {}

    def seen(self):
        return np.array([self.clock % 3, self.score], np.float32)


def vec(copies=2, env=Counter):
    return DummyVecEnv([env for _ in range(copies)])


def model(env, memory="gru", **kwargs):
    options = {"memory": memory, "memory_kwargs": SMALL.get(memory, {}), "head_dim": 5}
    sizes = {"n_steps": 8, "batch_size": 8, "n_epochs": 2, "seed": 3}
    return MemoryPPO("MlpPolicy", env, policy_kwargs=options, **{**sizes, **kwargs})


def same(a, b):
    for (name, x), (_, y) in zip(
        a.policy.state_dict().items(), b.policy.state_dict().items(), strict=True
    ):
        assert torch.equal(x, y), name


@pytest.mark.parametrize("memory", slow_but({"none", "lstm"}, names()))
def test_learning_goes_on_bit_for_bit_after_save_and_load(memory, tmp_path):
    env = vec()
    whole = model(env, memory).learn(16)
    whole.save(tmp_path / "half")
    games = [(game.unwrapped.clock, game.unwrapped.score) for game in env.envs]
    whole.learn(48, reset_num_timesteps=False)
    for game, (clock, score) in zip(env.envs, games, strict=True):
        game.unwrapped.clock, game.unwrapped.score = clock, score
    loaded = MemoryPPO.load(tmp_path / "half", env, force_reset=False)
    assert loaded.num_timesteps == 16
    loaded.learn(48, reset_num_timesteps=False)
    assert loaded.num_timesteps == whole.num_timesteps
    same(loaded, whole)


def test_a_loaded_model_acts_as_the_saved_one(tmp_path):
    saved = model(vec()).learn(16)
    saved.save(tmp_path / "m.zip")
    loaded = MemoryPPO.load(tmp_path / "m")
    state = other = None
    for t in range(11):
        obs = np.array([[t % 3, t % 5], [1, 2]], np.float32)
        action, state = saved.predict(obs, state)
        again, other = loaded.predict(obs, other)
        assert (action == again).all()


def test_a_model_saved_before_it_learned_learns_as_if_it_had_not_been(tmp_path):
    model(vec()).save(tmp_path / "fresh")
    loaded = MemoryPPO.load(tmp_path / "fresh", vec())
    same(loaded.learn(16), model(vec()).learn(16))


def test_a_model_can_be_saved_into_a_stream():
    stream = io.BytesIO()
    saved = model(vec())
    saved.save(stream)
    stream.seek(0)
    same(MemoryPPO.load(stream), saved)


def test_the_zip_is_laid_out_as_sb3s_and_holds_no_pickle(tmp_path):
    model(vec()).learn(16).save(tmp_path / "m")
    with zipfile.ZipFile(tmp_path / "m.zip") as file:
        assert set(file.namelist()) == {
            *("data", "policy.safetensors", "policy.optimizer.safetensors"),
            *("pytorch_variables.safetensors", "_stable_baselines3_version", "system_info.txt"),
        }
        assert json.loads(file.read("data"))["class"] == "memrl.MemoryPPO"


def test_parameters_of_a_file_go_into_a_model(tmp_path):
    saved = model(vec(), seed=3)
    saved.save(tmp_path / "m")
    other = model(vec(), seed=5)
    other.set_parameters(tmp_path / "m")
    same(other, saved)


def test_parameters_go_from_model_to_model_as_in_sb3():
    saved, other = model(vec(), seed=3), model(vec(), seed=5)
    other.set_parameters(saved.get_parameters())
    same(other, saved)


def test_the_statistics_of_vecnormalize_lie_in_the_file(tmp_path):
    env = VecNormalize(vec(), clip_obs=4.0, gamma=0.9)
    model(env).learn(32).save(tmp_path / "m")
    loaded = MemoryPPO.load(tmp_path / "m", vec())
    other = loaded.get_vec_normalize_env()
    assert other.clip_obs == 4.0
    assert other.gamma == 0.9
    np.testing.assert_array_equal(other.obs_rms.mean, env.obs_rms.mean)
    np.testing.assert_array_equal(other.obs_rms.var, env.obs_rms.var)
    assert other.ret_rms.var == env.ret_rms.var
    assert other.obs_rms.count == env.obs_rms.count


def test_a_vecnormalize_around_the_given_environment_is_filled_in(tmp_path):
    env = VecNormalize(vec())
    model(env).learn(32).save(tmp_path / "m")
    mine = VecNormalize(vec(), training=False)
    loaded = MemoryPPO.load(tmp_path / "m", mine)
    assert loaded.get_vec_normalize_env() is mine
    assert not mine.training
    np.testing.assert_array_equal(mine.obs_rms.mean, env.obs_rms.mean)


def test_statistics_are_not_lost_when_a_model_is_loaded_and_saved_without_environments(tmp_path):
    env = VecNormalize(vec())
    model(env).learn(32).save(tmp_path / "a")
    MemoryPPO.load(tmp_path / "a").save(tmp_path / "b")
    other = MemoryPPO.load(tmp_path / "b", vec()).get_vec_normalize_env()
    np.testing.assert_array_equal(other.obs_rms.mean, env.obs_rms.mean)


def test_statistics_of_other_observations_are_refused(tmp_path):
    space = spaces.Dict({"a": spaces.Box(-9, 9, (2,)), "b": spaces.Box(-9, 9, (3,))})

    class Pair(Counter):
        observation_space = space

        def seen(self):
            return {"a": np.zeros(2, np.float32), "b": np.ones(3, np.float32)}

    kwargs = {"memory": "gru", "memory_kwargs": {"hidden_dim": 7}}
    saved = MemoryPPO(
        "MultiInputPolicy",
        VecNormalize(vec(env=Pair), norm_obs_keys=["a"]),
        n_steps=8,
        batch_size=8,
        policy_kwargs=kwargs,
    )
    saved.save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"normalises \['b'\] here, allowed: \['a'\]"):
        MemoryPPO.load(tmp_path / "m", VecNormalize(vec(env=Pair), norm_obs_keys=["b"]))


def test_schedules_are_data(tmp_path):
    if not hasattr(utils, "LinearSchedule"):
        pytest.skip("LinearSchedule came later: pip install --upgrade stable-baselines3")
    falling = utils.LinearSchedule(1e-3, 0.0, 1.0)
    model(vec(), learning_rate=falling, clip_range_vf=0.3).save(tmp_path / "m")
    loaded = MemoryPPO.load(tmp_path / "m")
    assert loaded.lr_schedule(0.5) == pytest.approx(5e-4)
    assert loaded.clip_range_vf(0.5) == 0.3


def test_functions_must_be_given_again_to_learn_and_all_are_named_at_once(tmp_path):
    function = lambda left: 0.2 * left  # noqa: E731
    model(vec(), clip_range=function, learning_rate=function).save(tmp_path / "m")
    loaded = MemoryPPO.load(tmp_path / "m", vec())
    loaded.predict(np.zeros(2, np.float32))
    with pytest.raises(ValueError, match=r"load\(path, learning_rate=…, clip_range=…\)"):
        loaded.learn(16)
    loaded.save(tmp_path / "again")
    with pytest.raises(ValueError, match=r"learning_rate .*<lambda>.*clip_range .*<lambda>"):
        MemoryPPO.load(tmp_path / "again", vec()).learn(16)
    loaded = MemoryPPO.load(tmp_path / "m", vec(), learning_rate=1e-3, clip_range=0.1)
    assert loaded.learn(16).num_timesteps == 16


def test_rates_of_zero_are_numbers_as_in_sb3(tmp_path):
    model(vec()).save(tmp_path / "m")
    zero = {"learning_rate": 0.0, "lr_schedule": lambda _: 0.0, "clip_range": lambda _: 0.0}
    loaded = MemoryPPO.load(tmp_path / "m", vec(), custom_objects=zero)
    before = loaded.get_parameters()["policy"]
    before = {name: value.clone() for name, value in before.items() if "net" in name}
    after = loaded.learn(16).get_parameters()["policy"]
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_function_may_be_given_again(tmp_path):
    model(vec(), clip_range=lambda left: 0.2 * left).save(tmp_path / "m")
    loaded = MemoryPPO.load(tmp_path / "m", clip_range=lambda left: 0.4 * left)
    assert loaded.clip_range(0.5) == 0.2


def test_custom_objects_replace_a_learning_rate_as_in_sb3(tmp_path):
    model(vec(), learning_rate=lambda left: left).save(tmp_path / "m")
    schedules = {"lr_schedule": lambda _: 0.5, "clip_range": 0.1}
    loaded = MemoryPPO.load(tmp_path / "m", custom_objects=schedules)
    assert loaded.lr_schedule(1.0) == 0.5
    assert loaded.clip_range(0.5) == 0.1


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-np.inf, np.inf, (2, 3)),
        spaces.Box(np.array([0.0, -1.5]), np.array([2.0, np.inf]), dtype=np.float64),
        spaces.Box(0, 255, (5, 7, 3), np.uint8),
        spaces.Discrete(5, start=-2),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiDiscrete(np.array([[2, 3], [5, 7]])),
        spaces.MultiBinary((2, 3)),
        Tokens(7, 3),
        spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Dict({"c": spaces.MultiBinary(3)})}),
    ],
    ids=str,
)
def test_a_space_is_the_same_after_json(space):
    again = space_from_data(json.loads(json.dumps(space_to_data(space))))
    assert again == space
    assert again.dtype == space.dtype
    assert type(again) is type(space)


def test_what_describes_no_space_is_refused():
    with pytest.raises(ValueError, match="does not describe a space"):
        space_from_data({"Boxx": {}})
    with pytest.raises(ValueError, match="Sequence space cannot be written"):
        space_to_data(spaces.Sequence(spaces.Discrete(2)))


def test_a_policy_alone_is_saved_and_loaded(tmp_path):
    saved = model(vec()).policy
    saved.save(tmp_path / "p")
    loaded = MemoryPolicy.load(tmp_path / "p")
    obs = np.ones((2, 2), np.float32)
    a, b = (p.predict(obs, deterministic=True)[0] for p in (saved, loaded))
    assert (a == b).all()
    with pytest.raises(ValueError, match=r"holds a memrl.MemoryPolicy, not a memrl.MemoryPPO"):
        MemoryPPO.load(tmp_path / "p")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*nowhere\(.zip\)"):
        MemoryPPO.load(tmp_path / "nowhere")


def test_a_file_of_sb3_is_not_opened(tmp_path):
    PPO("MlpPolicy", Counter(), n_steps=8, batch_size=8).save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"saved by a class of Stable-Baselines3 .*pickled"):
        MemoryPPO.load(tmp_path / "m")


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_named(kept, tmp_path):
    model(vec()).save(tmp_path / "m.zip")
    whole = (tmp_path / "m.zip").read_bytes()
    (tmp_path / "m.zip").write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match=r"m.zip is not a complete zip file"):
        MemoryPPO.load(tmp_path / "m.zip")


def test_a_damaged_file_is_named(tmp_path):
    model(vec()).save(tmp_path / "m.zip")
    whole = bytearray((tmp_path / "m.zip").read_bytes())
    at = whole.index(b"policy.safetensors") + 500
    whole[at] ^= 255
    (tmp_path / "m.zip").write_bytes(whole)
    with pytest.raises(
        ValueError, match=r"m.zip is not a complete zip file: it is truncated or damaged"
    ):
        MemoryPPO.load(tmp_path / "m.zip")


def test_any_other_zip_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as file:
        file.writestr("readme", "hello")
    with pytest.raises(ValueError, match="was not saved by MemoryPPO"):
        MemoryPPO.load(tmp_path / "m.zip")


def test_a_file_from_a_newer_version_asks_for_an_update(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "FORMAT", 99)
    model(vec()).save(tmp_path / "m")
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"has format 99.*update memrl"):
        MemoryPPO.load(tmp_path / "m")


def test_another_memory_is_named(tmp_path):
    model(vec(), "gru").save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"a policy with memory 'gru', not 'lstm'"):
        MemoryPPO.load(tmp_path / "m", policy_kwargs={"memory": "lstm"})
    with pytest.raises(ValueError, match=r"a policy with memory 'gru', not 'lstm'"):
        model(vec(), "lstm").set_parameters(tmp_path / "m")


def test_an_unknown_argument_of_load_is_named(tmp_path):
    model(vec()).save(tmp_path / "m")
    with pytest.raises(ValueError, match="no argument 'n_epoch'; did you mean n_epochs"):
        MemoryPPO.load(tmp_path / "m", n_epoch=3)


def test_an_excluded_argument_has_its_default_again(tmp_path):
    saved = model(vec(), gamma=0.5, tensorboard_log=str(tmp_path))
    saved.save(tmp_path / "m", exclude=["gamma", "tensorboard_log", "env", "rollout_buffer"])
    loaded = MemoryPPO.load(tmp_path / "m")
    assert loaded.gamma == 0.99
    assert loaded.tensorboard_log is None
    same(loaded, saved)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"exclude": ["policy_kwargs"]}, "exclude='policy_kwargs': a model cannot be loaded"),
        ({"include": ["env"]}, "include='env': a file contains tensors and plain values only"),
    ],
)
def test_what_a_file_must_or_cannot_contain_is_named(given, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        model(vec()).save(tmp_path / "m", **given)
    model(vec()).save(tmp_path / "m", include=["gamma", "num_timesteps"])


def test_custom_objects_may_be_spaces_and_counters(tmp_path):
    model(vec()).learn(16).save(tmp_path / "m")
    spaces_of = {name: getattr(Counter, name) for name in ("observation_space", "action_space")}
    objects = {**spaces_of, "num_timesteps": np.int64(5), "verbose": 0, "n_envs": 2}
    loaded = MemoryPPO.load(tmp_path / "m", vec(), device="cpu", custom_objects=objects)
    assert loaded.num_timesteps == 5
    with pytest.raises(ValueError, match=r"action_space is Discrete\(4\), allowed: Discrete\(3\)"):
        MemoryPPO.load(tmp_path / "m", custom_objects={"action_space": spaces.Discrete(4)})


def test_a_file_of_an_earlier_version_is_loaded(tmp_path):
    """Statistics of returns lay outside of the policy, and the optimiser had several groups."""
    saved = model(vec()).learn(16)
    parts = saving.model_parts(saved)
    names = [name for name in parts["policy"] if name.startswith("return_norm.")]
    norm = {name.removeprefix("return_norm."): parts["policy"].pop(name) for name in names}
    parts["pytorch_variables"]["return_norm"] = norm
    (group,) = parts["policy.optimizer"]["param_groups"]
    halves = group["params"][:2], group["params"][2:]
    parts["policy.optimizer"]["param_groups"] = [group | {"params": half} for half in halves]
    archive.write(tmp_path / "m.zip", parts, kind=saving.KIND)
    loaded = MemoryPPO.load(tmp_path / "m")
    same(loaded, saved)
    assert loaded.return_norm.count == 16


def test_another_number_of_environments_is_named(tmp_path):
    model(vec(2)).save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"env has 3 environments, allowed: 2.*n_envs=3"):
        MemoryPPO.load(tmp_path / "m", vec(3))
    loaded = MemoryPPO.load(tmp_path / "m", vec(3), n_envs=3)
    assert loaded.learn(24).num_timesteps == 24


def test_the_memory_of_another_number_of_environments_cannot_be_continued(tmp_path):
    model(vec(2)).learn(16).save(tmp_path / "m")
    with pytest.raises(ValueError, match="n_envs=3 with force_reset=False, allowed: 2"):
        MemoryPPO.load(tmp_path / "m", vec(3), n_envs=3, force_reset=False)


def test_other_spaces_are_named(tmp_path):
    class Wider(Counter):
        observation_space = spaces.Box(-9, 9, (3,), np.float32)

    model(vec()).save(tmp_path / "m")
    with pytest.raises(ValueError, match="the observation_space of env is"):
        MemoryPPO.load(tmp_path / "m", vec(env=Wider))


def test_a_model_without_environments_says_so_when_it_shall_be_made():
    with pytest.raises(ValueError, match="env is None, allowed: an environment"):
        MemoryPPO("MlpPolicy", None)


def test_a_single_environment_can_be_given_to_load(tmp_path):
    model(TimeLimit(Counter(), 5)).learn(16).save(tmp_path / "m")
    assert MemoryPPO.load(tmp_path / "m", Counter()).learn(16).num_timesteps == 16


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_a_step_of_the_policy_is_exported(suffix, tmp_path):
    if suffix == ".onnx":
        pytest.importorskip("onnxscript", reason="pip install 'memrl[onnx]'")
    written = model(vec()).export(tmp_path / f"step{suffix}")
    assert written.path.stat().st_size > 0
    assert [port.name for port in written.inputs] == ["obs", "start", "state.h"]
