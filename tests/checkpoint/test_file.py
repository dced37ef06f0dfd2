from __future__ import annotations

import errno
import json
import math
import os
import struct
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memrl.checkpoint import file as checkpoint
from memrl.errors import CheckpointError, RunError

DTYPES = [
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.complex64, torch.complex128),
]

plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just(-0.0), st.just(2**200)
)
tensors = st.builds(
    lambda dtype, shape, seed: torch.randint(
        0, 200, shape, generator=torch.Generator().manual_seed(seed)
    ).to(dtype),
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 99),
)
keys = st.one_of(st.text(), st.integers(), st.sampled_from(["$tensor", "$dict", "__metadata__"]))
trees = st.recursive(
    plain | tensors,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and bytes_of(a) == bytes_of(b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b) or (math.isnan(a) and math.isnan(b))
    return type(a) is type(b) and a == b


def bytes_of(tensor):
    real = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    return real.contiguous().reshape(-1).view(torch.uint8).tolist() if real.numel() else []


def small(path, **kwargs):
    state = {"weight": torch.arange(5.0), "rng": torch.get_rng_state(), "count": 3}
    checkpoint.save(path, state, experience=11, **kwargs)
    return state


@settings(max_examples=150, deadline=None)
@given(state=st.dictionaries(st.text(), trees, max_size=4))
def test_what_is_saved_comes_back_bit_for_bit(tmp_path_factory, state):
    path = tmp_path_factory.mktemp("checkpoint") / "state"
    checkpoint.save(path, state, experience=1)
    assert same(state, checkpoint.load(path))


def test_tuples_come_back_as_lists(tmp_path):
    checkpoint.save(tmp_path / "x", {"betas": (0.9, (0.99,))}, experience=1)
    assert checkpoint.load(tmp_path / "x") == {"betas": [0.9, [0.99]]}


def test_a_tied_tensor_is_stored_once_and_tied_again(tmp_path):
    tied = torch.zeros(1000)
    checkpoint.save(tmp_path / "x", {"a": tied, "b": {"c": tied}}, experience=1)
    state = checkpoint.load(tmp_path / "x")
    assert state["a"] is state["b"]["c"]
    assert (tmp_path / "x").stat().st_size < 2 * 4 * 1000


def test_views_of_one_storage_keep_their_own_values(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    views = {"whole": whole, "turned": whole.T, "row": whole[1], "column": whole[:, 2]}
    checkpoint.save(tmp_path / "x", views, experience=1)
    assert same(views, checkpoint.load(tmp_path / "x"))


def test_conjugates_are_stored_as_what_they_show(tmp_path):
    z = torch.tensor([1 + 2j, 3 - 4j])
    checkpoint.save(tmp_path / "x", {"z": z, "conjugate": z.conj()}, experience=1)
    assert checkpoint.load(tmp_path / "x")["conjugate"].tolist() == [1 - 2j, 3 + 4j]


def test_an_optimiser_continues_from_its_checkpoint(tmp_path):
    def trained(optimiser, weight, steps):
        for _ in range(steps):
            optimiser.zero_grad()
            (weight**2).sum().backward()
            optimiser.step()

    weight = torch.nn.Parameter(torch.arange(3.0))
    optimiser = torch.optim.Adam([weight], lr=0.1)
    trained(optimiser, weight, 2)
    state = {"weight": weight, "optimiser": optimiser.state_dict()}
    checkpoint.save(tmp_path / "x", state, experience=1)
    trained(optimiser, weight, 3)

    loaded = checkpoint.load(tmp_path / "x")
    again = torch.nn.Parameter(loaded["weight"])
    fresh = torch.optim.Adam([again], lr=0.5)
    fresh.load_state_dict(loaded["optimiser"])
    trained(fresh, again, 3)
    assert torch.equal(again, weight)


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), torch.eye(2).to_sparse()])
def test_what_cannot_be_stored_is_named_with_its_place(tmp_path, value):
    with pytest.raises(TypeError, match=r"cannot hold .*agent\.odd\.1"):
        checkpoint.save(tmp_path / "x", {"agent": {"odd": [1, value]}}, experience=1)
    assert not (tmp_path / "x").exists()


def test_keys_other_than_words_and_numbers_are_refused(tmp_path):
    with pytest.raises(TypeError, match="keys are str or int"):
        checkpoint.save(tmp_path / "x", {"a": {(1, 2): 3}}, experience=1)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    small(tmp_path / "x")
    whole = (tmp_path / "x").read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    cuts = {
        0,
        1,
        7,
        8,
        9,
        header - 1,
        header,
        header + 1,
        len(whole) - 1,
        *range(0, len(whole), 97),
    }
    for cut in sorted(cuts):
        (tmp_path / "x").write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match="truncated"):
            checkpoint.load(tmp_path / "x")


def test_a_flipped_bit_anywhere_is_refused(tmp_path):
    small(tmp_path / "x")
    whole = (tmp_path / "x").read_bytes()
    for place in range(0, len(whole), 41):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        (tmp_path / "x").write_bytes(damaged)
        with pytest.raises(CheckpointError):
            checkpoint.load(tmp_path / "x")


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04" + bytes(300), b"\x80\x04" + b"x" * 300, b"memrl: 1\n" * 50, bytes(100)],
)
def test_another_kind_of_file_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        checkpoint.load(tmp_path / "x")


def test_a_safetensors_file_of_others_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2)}, tmp_path / "x")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        checkpoint.load(tmp_path / "x")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*nowhere"):
        checkpoint.load(tmp_path / "nowhere")


def test_a_newer_format_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    small(tmp_path / "x")
    monkeypatch.setattr(checkpoint, "FORMAT", 1)
    with pytest.raises(CheckpointError, match=r"has format 2.*update memrl") as caught:
        checkpoint.load(tmp_path / "x")
    assert caught.value.another


def test_another_configuration_is_refused_and_the_keys_are_named(tmp_path):
    small(tmp_path / "x", fingerprint={"memory": {"name": "dnc", "slots": 7}, "sizes": (1, 2)})
    same_config = {"memory": {"name": "dnc", "slots": 7}, "sizes": [1, 2]}
    assert checkpoint.load(tmp_path / "x", fingerprint=same_config)["count"] == 3
    other = {"memory": {"name": "dnc", "slots": 11}, "sizes": (1, 2), "extra": True}
    with pytest.raises(CheckpointError, match="another configuration") as caught:
        checkpoint.load(tmp_path / "x", fingerprint=other)
    assert "memory.slots (7 there, 11 here)" in str(caught.value)
    assert "extra (None there, True here)" in str(caught.value)
    assert "sizes" not in str(caught.value)
    assert caught.value.another


def test_a_checkpoint_is_a_safetensors_file_with_standard_json_in_it(tmp_path):
    from safetensors import safe_open

    checkpoint.save(tmp_path / "x", {"w": torch.ones(2), "nan": math.nan}, experience=5, score=0.5)

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    with safe_open(tmp_path / "x", "pt") as file:
        assert set(file.keys()) == {"w"}
        content = json.loads(file.metadata()["memrl"], parse_constant=refuse)
    assert content["env_steps"] == 5


def test_the_header_can_be_read_alone(tmp_path):
    small(tmp_path / "x", score=0.75, fingerprint={"a": 1})
    header = checkpoint.read_header(tmp_path / "x")
    assert (header.experience, header.score, header.fingerprint) == (11, 0.75, {"a": 1})


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_older_checkpoint_intact(tmp_path, monkeypatch, call):
    old = small(tmp_path / "x")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(RunError, match="disk is full"):
        checkpoint.save(tmp_path / "x", {"weight": torch.zeros(3)}, experience=12)
    monkeypatch.undo()
    assert same(old, checkpoint.load(tmp_path / "x"))
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.slow
def test_a_kill_before_the_rename_leaves_the_older_checkpoint_intact(tmp_path):
    old = small(tmp_path / "x")
    script = (
        "import os, pathlib, sys, torch; from memrl.checkpoint import file;"
        "os.replace = lambda *_: os._exit(9);"
        "file.save(pathlib.Path(sys.argv[1]), {'weight': torch.zeros(3)}, experience=12)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "x")], check=False)
    assert killed.returncode == 9
    assert len(os.listdir(tmp_path)) == 2  # the half-finished file has another name
    assert same(old, checkpoint.load(tmp_path / "x"))


def test_options_newer_than_a_checkpoint_count_as_their_defaults(tmp_path):
    path, defaults = tmp_path / "x", {"agent": {"lr": 1, "coef": 1.0, "teacher": {"runs": []}}}
    state = small(path, fingerprint={"agent": {"lr": 3}, "env": {"id": "a"}})
    present = {"agent": {"lr": 3, "coef": 1.0, "teacher": {"runs": []}}, "env": {"id": "a"}}
    assert same(state, checkpoint.load(path, fingerprint=present, defaults=defaults))
    for group, key, value in (("agent", "coef", 2.0), ("agent", "lr", 1), ("env", "delay", 5)):
        changed = {**present, group: {**present[group], key: value}}
        with pytest.raises(CheckpointError, match=rf"configuration: {group}\.{key} \("):
            checkpoint.load(path, fingerprint=changed, defaults=defaults)
