"""What SB3's users do with files, parameters and environments, done with `MemoryPPO`."""

from __future__ import annotations

import base64
import json
import pickle
import tempfile
import zipfile

import numpy as np
import pytest
import torch
from gymnasium import spaces
from small_models import BOX, STEPS, Sampled, copies, make_model, parameters
from stable_baselines3.common.vec_env import VecNormalize
from suites import slow

from memrl.agents.sb3 import MemoryPolicy, MemoryPPO

PER = 2 * STEPS
PICTURE = spaces.Box(0, 255, (36, 36, 2), np.uint8)


def randomised(model):
    """Its parameters, those of the policy drawn anew but for the last one."""
    given = model.get_parameters()
    *names, _ = given["policy"]
    given["policy"] = {name: torch.rand_like(given["policy"][name].float()) for name in names}
    return given


@pytest.mark.parametrize("exact", [True, False])
def test_parameters_of_an_unknown_part_are_refused(exact):
    model = make_model()
    given = model.get_parameters() | {"nobodys": {}}
    with pytest.raises(ValueError, match="nobodys"):
        model.set_parameters(given, exact_match=exact)


def test_an_exact_match_misses_parts_and_entries():
    model = make_model()
    given = model.get_parameters()
    with pytest.raises(ValueError, match=r"policy\.optimizer"):
        model.set_parameters({"policy": given["policy"]})
    with pytest.raises(RuntimeError, match="Missing key"):
        model.set_parameters(randomised(model))


def test_some_parameters_are_set_and_the_others_stay():
    model = make_model()
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    model.set_parameters(randomised(model), exact_match=False)
    *names, last = before
    after = model.policy.state_dict()
    assert after[last].equal(before[last])
    assert not any(after[name].equal(before[name]) for name in names if before[name].dim())


@pytest.mark.parametrize("device", [slow("auto"), slow("cpu"), "cuda"])
def test_a_model_is_loaded_on_any_device_and_acts_and_learns_there(device, tmp_path):
    saved = make_model()
    saved.set_parameters(randomised(saved), exact_match=False)
    saved.save(tmp_path / "m.zip")
    model = MemoryPPO.load(str(tmp_path / "m.zip"), copies(), device=device)
    wanted = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    assert model.device.type == model.policy.device.type == wanted
    obs = np.stack([BOX.sample() for _ in range(9)])
    mine, yours = (m.predict(obs, deterministic=True)[0] for m in (model, saved))
    assert mine.tolist() == yours.tolist()
    assert model.learn(PER).num_timesteps == PER


class Within(torch.nn.Module):
    """Has a module within itself, as what ``torch.compile`` returns has it."""

    def __init__(self, module):
        super().__init__()
        self._orig_mod = module

    def __getattr__(self, name):
        within = self.__dict__["_modules"]["_orig_mod"]
        return within if name == "_orig_mod" else getattr(within, name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, in itself
@pytest.mark.parametrize("compiled", [Within, slow(torch.compile)])
def test_a_compiled_policy_is_saved_and_loaded(compiled, tmp_path):
    model = make_model().learn(PER)
    model.policy = compiled(model.policy)
    model.save(tmp_path / "m")
    loaded = MemoryPPO.load(tmp_path / "m", copies())
    assert parameters(loaded).equal(parameters(model))
    loaded.learn(PER)


def test_one_model_moves_through_many_environments(tmp_path):
    """Set, wrapped, set again without a reset, saved, and loaded with and without a reset."""
    model = make_model(copies(B=1)).learn(STEPS)
    model.set_env(copies(B=1), force_reset=True)
    assert model._last_obs is None
    assert model.learn(STEPS, reset_num_timesteps=True).num_timesteps == STEPS
    model.set_env(Sampled())
    model.learn(STEPS)
    model.set_env(model.get_env(), force_reset=False)
    assert model._last_obs is not None
    assert model.learn(STEPS, reset_num_timesteps=False).num_timesteps == 2 * STEPS
    model.save(tmp_path / "m")
    model = MemoryPPO.load(tmp_path / "m", model.get_env(), force_reset=False)
    assert model._last_obs is not None
    assert model.learn(STEPS, reset_num_timesteps=False).num_timesteps == 3 * STEPS
    model = MemoryPPO.load(tmp_path / "m", Sampled(), force_reset=True)
    assert model._last_obs is None
    assert model.learn(STEPS, reset_num_timesteps=False).num_timesteps == 3 * STEPS


def test_the_normalisation_of_the_environments_follows_set_env():
    train, held_out = VecNormalize(copies()), VecNormalize(copies(), training=False)
    model = make_model(train)
    assert model.get_vec_normalize_env() is train
    model.set_env(held_out)
    assert model.get_vec_normalize_env() is held_out
    model.learn(PER)
    assert held_out.obs_rms.count < 1
    model.set_env(train)
    model.learn(PER)
    assert train.obs_rms.count > PER


def test_what_is_excluded_and_included_is_in_the_file(tmp_path, capsys):
    model = make_model(verbose=2)
    model.save(tmp_path / "m", exclude=["verbose"])
    assert MemoryPPO.load(tmp_path / "m").verbose == 0
    model.save(tmp_path / "m", exclude=["verbose"], include=["verbose"])
    replaced = {"learning_rate": 2e-5}
    loaded = MemoryPPO.load(tmp_path / "m", custom_objects=replaced, print_system_info=True)
    assert loaded.verbose == 2
    assert loaded.learning_rate == 2e-5
    assert "PyTorch" in capsys.readouterr().out


@pytest.mark.parametrize("policy", ["MlpPolicy", "CnnPolicy"])
def test_a_policy_of_random_parameters_is_saved_alone_and_loaded(policy, tmp_path):
    space = BOX if policy == "MlpPolicy" else PICTURE
    model = make_model(copies(lambda: Sampled(space)))
    model.set_parameters(randomised(model), exact_match=False)
    model.policy.save(tmp_path / "policy.pkl")
    loaded = MemoryPolicy.load(tmp_path / "policy.pkl")
    for name, value in model.policy.state_dict().items():
        assert loaded.state_dict()[name].equal(value), name
    obs = np.stack([space.sample() for _ in range(5)])
    mine, yours = (p.predict(obs, deterministic=True)[0] for p in (loaded, model.policy))
    assert mine.tolist() == yours.tolist()


@pytest.mark.slow
def test_a_model_of_pictures_goes_on_in_one_environment(tmp_path):
    env, words = Sampled(PICTURE), {"encoder_dim": 7, "memory": "gru"}
    sizes = {"n_steps": STEPS, "batch_size": STEPS, "device": "cpu"}
    MemoryPPO("CnnPolicy", env, policy_kwargs=words, **sizes).learn(STEPS).save(tmp_path / "m")
    loaded = MemoryPPO.load(tmp_path / "m", env=env, policy_kwargs=words)
    assert loaded.learn(STEPS).num_timesteps == STEPS


def test_a_file_that_is_open_is_written_and_read_and_stays_open():
    with tempfile.TemporaryFile() as file:
        saved = make_model()
        saved.save(file)
        assert parameters(MemoryPPO.load(file)).equal(parameters(saved))
        assert not file.closed


def test_files_are_closed(tmp_path):
    model = make_model()
    for path in (tmp_path / "m", str(tmp_path / "m")):
        model.save(path)
        MemoryPPO.load(path, device="cpu")  # a ResourceWarning would be an error here


def test_a_rate_that_is_a_numpy_number_is_a_plain_one():
    model = make_model(learning_rate=lambda left: left * np.sin(1.0))
    assert type(model.lr_schedule(0.5)) is float
    assert model.lr_schedule(0.5) == pytest.approx(0.5 * np.sin(1.0))


def test_a_width_list_of_none_is_saved_and_loaded(tmp_path):
    model = make_model()
    words = {"net_arch": None, "features_extractor_kwargs": None, "optimizer_kwargs": None}
    model = MemoryPPO("MlpPolicy", copies(), policy_kwargs=words, n_steps=8, batch_size=8)
    model.save(tmp_path / "m")
    assert parameters(MemoryPPO.load(tmp_path / "m")).equal(parameters(model))


class Payload:
    """Leaves a trace where it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (open, (self.place, "w"))


def test_pickled_code_that_was_put_into_a_file_is_not_run(tmp_path):
    make_model().save(tmp_path / "m.zip")
    trace = tmp_path / "trace"
    code = base64.b64encode(pickle.dumps(Payload(str(trace)))).decode()
    with zipfile.ZipFile(tmp_path / "m.zip") as file:
        entries = {name: file.read(name) for name in file.namelist()}
    data = json.loads(entries["data"])
    data["parts"]["data"]["evil"] = data["evil"] = {":type:": "object", ":serialized:": code}
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        for name, content in (entries | {"data": json.dumps(data).encode()}).items():
            file.writestr(name, content)
    MemoryPPO.load(tmp_path / "evil.zip")  # what it does not know it does not read
    assert not trace.exists()
