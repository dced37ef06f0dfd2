"""What an environment returns or raises against the rules is told in one sentence that names it."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal

import gymnasium
import pytest
import torch

from memrl.envs import make
from memrl.errors import EnvError, EnvOutputError

HOWS = ["sync", "async"]


def odd(name, how="sync", num=2, **options):
    return make(f"odd_environments:odd/{name}-v0", num, vectorization=how, **options)


def played(name, how="sync", steps=12, **options):
    """The transitions of a few steps."""
    env = odd(name, how, **options)
    try:
        env.reset(seed=0)
        return [env.step(torch.ones(2, dtype=torch.int64)) for _ in range(steps)]
    finally:
        env.close()


@pytest.mark.parametrize("how", HOWS)
def test_a_list_is_a_mask(how):
    assert all(step.obs["action_mask"].tolist() == 2 * [[False, True, False]]
               for step in played("MaskIsList", how))  # fmt: skip


@pytest.mark.parametrize("how", HOWS)
def test_an_environment_is_asked_for_its_mask(how):
    allowed = [step.obs["action_mask"].int().argmax(-1).tolist()
               for step in played("MaskByMethod", how, steps=6)]  # fmt: skip
    assert allowed == [2 * [t % 3] for t in (1, 2, 3, 4, 0, 1)]


@pytest.mark.parametrize("how", HOWS)
def test_infos_that_do_not_agree_stop_nothing(how):
    steps = played("MixedInfos", how)
    assert all(step.metrics["success"].isnan().all() for step in steps)
    assert sum(int(step.ended.sum()) for step in steps) == 4


def test_an_info_that_is_none_is_empty():
    assert played("NoInfo")[0].metrics["success"].isnan().all()


SENTENCES = {
    "MaskTooShort": r"^env \d of X: the info of reset has the action_mask of 2 entries, allowed: 3",
    "MaskTooShortLater": r"^env \d of X: the info of step has the action_mask of 4 .* allowed: 3",
    "MaskFromFirstStep": r"^env \d of X: the info has an action_mask, the first info of reset had",
    "MaskByMethodTooShort": r"^env \d of X: action_masks returned a mask of 2 entries, allowed: 3",
    "FourValues": r"^env \d of X: step returned 4 values, allowed: 5, .*GymV21CompatibilityV0",
    "ObservationAlone": r"^env \d of X: reset returned a ndarray, allowed: .*GymV21Compatibility",
    "NoSeed": r"^env \d of X: reset raised TypeError: .*'seed'.*GymV21CompatibilityV0",
    "Infinite": r"^X: 'obs' of env 0 is inf at \[1\], allowed: finite numbers",
    "BeyondFloat32": r"^X: 'obs' of env 0 is -1e\+300 at \[1, 0\], allowed: finite .* float32",
    "SymbolsOutside": r"^X: 'obs' of env 0 is \[\[\[-1 .*…, outside Box\(-1, 10, \(5, 7, 3\)",
    "DoesNotReset": r"^env \d of X: reset raised ValueError: this wrapper needs a level",
    "ExitsInStep": r"^env \d of X: step raised SystemExit: window closed",
    "NoSpaces": r"^env 0 of X: observation_space raised AttributeError: 'NoSpaces' object has no",
    "DoesNotBegin": r"^X cannot be made: AttributeError: module 'simulator' has no attribute",
}


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", SENTENCES)
@pytest.mark.filterwarnings("error")  # Gymnasium would announce a worker's error with three
def test_a_fault_is_one_sentence_that_names_the_environment(name, how):
    words = SENTENCES[name].replace("X", re.escape(f"odd_environments:odd/{name}-v0"))
    with pytest.raises((EnvError, EnvOutputError), match=words) as told:
        played(name, how)
    assert "\n" not in str(told.value)


def test_a_mask_in_the_observation_has_an_entry_for_each_action():
    with pytest.raises(ValueError, match="an action_mask of 2 entries, allowed: 3"):
        odd("MaskInObservationTooShort")


def test_an_environment_that_only_one_process_may_make_is_named(capfd):
    assert odd("BeginsOnce").num_envs == 2
    with pytest.raises(EnvError, match="BeginsOnce-v0 cannot be made in a process of its own"):
        odd("BeginsOnce", "async")
    told = capfd.readouterr().err
    assert re.search(r"env [01]: .*/BeginsOnce-v0 cannot be made: OSError: the only", told)
    assert "Traceback" not in told


def test_a_ctrl_c_is_the_main_process_s_affair():
    env = odd("Plain", "async")
    env.reset(seed=0)
    for process in multiprocessing.active_children():
        if "Worker" in process.name:
            os.kill(process.pid, signal.SIGINT)
    for _ in range(3):
        assert env.step(torch.zeros(2, dtype=torch.int64)).reward.tolist() == [1, 1]
    env.close()


def test_a_picture_with_its_channels_in_front_is_turned():
    env = odd("ChannelsFirst")
    assert env.observation_space["obs"].shape == (40, 48, 3)
    picture = env.reset(seed=0)["obs"]
    assert (picture[:, :, 0, 0] == 200).all()
    assert picture.sum() == 2 * 40 * 200


def test_symbols_are_counted_from_the_low_of_their_channel():
    env, original = odd("Symbols"), gymnasium.make("odd/Symbols-v0")
    seen = env.reset(seed=7)["obs"]
    assert seen.dtype == torch.uint8
    raw, _ = original.reset(seed=7)
    assert seen[0].tolist() == (raw - [0, 3, -1]).tolist()
    assert env.observation_space["obs"].high[0, 0].tolist() == [10, 7, 11]


def test_too_many_actions_are_refused():
    with pytest.raises(ValueError, match="has 10,000,002 choices, allowed: at most 65,536"):
        odd("TooManyActions")


GONE = {
    "DoesNotClose": r"env 0 of .*: close raised RuntimeError: simulator already gone",
    "ExitsWhenClosed": r"env 0 of .*: close raised SystemExit: 3",
}


@pytest.mark.parametrize("name", GONE)
def test_an_environment_that_does_not_close_is_warned_about(name):
    env = odd(name, num=1)
    with pytest.warns(UserWarning, match=GONE[name]):
        env.close()


@pytest.mark.parametrize("name", GONE)
def test_an_environment_that_does_not_close_in_its_process_is_warned_about(name):
    # Gymnasium makes and closes one more, to see its spaces.
    with pytest.warns(UserWarning, match=GONE[name]):
        env = odd(name, "async")
    env.reset()
    env.close()


def test_a_picture_that_fails_is_the_environment_s_error():
    with pytest.raises(EnvError, match=r"env 0 of .* render raised OSError: no display"):
        odd("DoesNotDraw", render_mode="rgb_array").render()


@pytest.mark.parametrize("seed", [2**32 - 1, 2**31 - 1, 2**31])
def test_seeds_of_environments_fit_31_bits(seed):
    env = odd("ShortSeeds", num=2)
    first = env.reset(seed)["obs"]
    assert torch.equal(env.reset(seed)["obs"], first)
    env.load_state_dict({"seed": seed, "steps": 5})


def test_small_seeds_are_those_of_the_environments():
    one = odd("Plain", num=1)
    assert torch.equal(odd("Plain").reset(6)["obs"][1], one.reset(7)["obs"][0])
