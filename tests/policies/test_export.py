"""An exported step does what the policy does, for every memory, in both formats, at any batch."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from gymnasium import spaces
from suites import KINDS, nightly, slow, slow_but
from torch import Tensor

from memrl.errors import install_command
from memrl.memory import registry
from memrl.memory import state as states
from memrl.memory.core import MemoryCore
from memrl.memory.state import flatten
from memrl.policies import export
from memrl.policies.actor_critic import Policy, build_policy
from memrl.policies.backbone import PolicyConfig
from memrl.policies.export import SUFFIXES, export_step
from memrl.rollout.spaces import tensor_dtype
from memrl.rollout.tokens import Tokens
from memrl.testing.core_runs import worst_values

ROOT = Path(export.__file__).parent
SMALL = {"hidden_dim": 11, "slots": 5, "word_dim": 3, "frames": 3, "read_heads": 2, "neighbours": 2}
SPACE = spaces.Dict(
    {
        "image": spaces.Box(0, 255, (3, 5, 2), np.uint8),
        "speed": spaces.Box(-9.0, 9.0, (3,), np.float32),
        "action_mask": spaces.MultiBinary(4),
    }
)
PLAIN = spaces.Dict({"speed": SPACE["speed"], "floor": spaces.Discrete(7)})
ACTIONS = {
    "Discrete": spaces.Discrete(4),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(3),
    "Box": spaces.Box(-1.0, 1.0, (2,), np.float32),
}
STARTS = [[1, 1, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]  # [T, B]
Tensors = dict[str, Tensor]
Step = Callable[[Tensors], Tensors]


def make_policy(
    memory: str = "lstm",
    space: spaces.Dict = PLAIN,
    action: str = "Discrete",
    options: dict[str, Any] | None = None,
    **config: Any,
) -> Policy:
    """A small policy whose every parameter and statistic matters."""
    space.seed(3)
    known = registry.schema(memory).model_fields
    sizes = {name: size for name, size in SMALL.items() if name in known}
    settings = PolicyConfig(**{"encoder_dim": 7, "cell_dim": 2, **config})
    chosen = {"name": memory, **sizes, **(options or {})}
    policy = build_policy(space, ACTIONS[action], chosen, settings)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    seen = {key: part.unsqueeze(0) for key, part in observe(space, 17).items()}
    policy.encoder.update(seen, torch.ones(1, 17, dtype=torch.bool))
    return policy


def observe(space: spaces.Dict, rows: int) -> Tensors:
    """Random observations of a batch."""
    drawn = {key: np.stack([part.sample() for _ in range(rows)]) for key, part in space.items()}
    return {key: torch.from_numpy(drawn[key]).to(tensor_dtype(space[key])) for key in drawn}


def open_file(path: Path) -> Step:
    """The step that a file holds."""
    if path.suffix == ".pt2":
        module = torch.export.load(path).module()
        return lambda inputs: module(inputs)
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Tensors) -> Tensors:
        outputs = session.run(names, {name: part.numpy() for name, part in inputs.items()})
        return {name: torch.from_numpy(part) for name, part in zip(names, outputs, strict=True)}

    return run


# What the oldest torch and onnxscript that memrl runs with leave out, and the sentence for it.
OLD = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9)
INFINITE = {"DMN", "DND", "KeyValueMemNN", "MemN2N", "PointerMemory"}
BEYOND_OLD = {
    **{(".pt2", name): "writes no infinities to .pt2" for name in INFINITE},
    **{(".onnx", name): "cannot index with an unknown batch size" for name in ("SAM", "SDNC")},
}


def check_export(policy: Policy, space: spaces.Dict, path: Path) -> list[str]:
    """Export, and follow policy and file, each with its own state; returns the names of inputs."""
    refusal = BEYOND_OLD.get((path.suffix, type(policy.core).__name__)) if OLD else None
    if refusal is not None:
        with pytest.raises(ValueError, match=refusal):
            export_step(policy, space, path)
        return []
    exported = export_step(policy, space, path)
    step = open_file(path)
    for rows in (3, 1, 13):
        repeats = -(-rows // len(STARTS[0]))
        follow(policy, space, step, torch.tensor(STARTS).bool().repeat(1, repeats)[:, :rows])
    return [port.name for port in exported.inputs]


def test_an_ablation_is_not_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []

    def trace(step: export.Step, inputs: Tensors) -> None:
        traced.append(step.policy.core.ablate)
        raise RuntimeError("enough is known")

    monkeypatch.setattr(export, "_trace", trace)
    policy = make_policy("lrua")
    policy.core.silence("reads")
    with pytest.raises(ValueError, match="enough is known"):
        export_step(policy, PLAIN, tmp_path / "policy.pt2")
    assert traced == [frozenset()]
    assert policy.core.ablate == {"reads"}


def follow(policy: Policy, space: spaces.Dict, step: Step, starts: Tensor) -> None:
    rows = starts.shape[1]
    state = policy.initial_state(rows)
    fed = {f"state.{name}": torch.zeros_like(leaf) for name, leaf in flatten(state).items()}
    for start in starts:
        # A start forgets it all, though it may leave what it will not read where it is.
        state = states.where(start, states.map_state(worst_values, state), state)
        for leaf in fed.values():
            leaf[start] = worst_values(leaf[start])
        obs = observe(space, rows)
        with torch.no_grad():
            want = policy.step(obs, state, start)
            expected = {"action": want.actions.mode(), **want.actions.parameters()}
        state = want.state
        expected |= {"value": want.value}
        expected |= {f"next_state.{name}": leaf for name, leaf in flatten(state).items()}
        got = step({**obs, "start": start, **fed})
        assert list(got) == list(expected)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
        assert got["value"].isfinite().all()
        fed = {f"state.{name}": got[f"next_state.{name}"].clone() for name in flatten(state)}


@pytest.fixture(params=slow_but({".pt2"}, SUFFIXES))
def path(request, tmp_path) -> Path:
    """Where a step is written, once for each format."""
    if request.param == ".onnx":
        need_onnx()
    return tmp_path / f"policy{request.param}"


def need_onnx() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"pip install {package}")


# Of every memory one format, of one of each kind both; an ONNX file takes twenty seconds.
EXPORTS = [
    (slow if suffix == ".pt2" or memory in KINDS else nightly)(memory, suffix)
    if (memory, suffix) not in {("none", ".pt2"), ("lstm", ".pt2")}
    else (memory, suffix)
    for memory in registry.names()
    for suffix in SUFFIXES
]


@pytest.mark.parametrize(("memory", "path"), EXPORTS, indirect=["path"])
def test_an_exported_step_is_the_policys_own_at_any_batch_size(memory, path):
    check_export(make_policy(memory, SPACE), SPACE, path)


@pytest.mark.parametrize("action", [slow("MultiDiscrete"), "MultiBinary", slow("Box")])
def test_every_action_space_is_exported(action, path):
    check_export(make_policy("none", action=action), PLAIN, path)


def test_every_kind_of_observation_is_exported(path):
    space = spaces.Dict(
        {
            "bits": spaces.MultiBinary(3),
            "mission": Tokens(11, 5),
            "picture": spaces.Box(0, 255, (33, 34, 3), np.uint8),
            "prev_action": spaces.MultiDiscrete([2, 5]),
            "prev_reward": spaces.Box(-1.0, 1.0, (1,), np.float32),
        }
    )
    check_export(make_policy("none", space), space, path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("memory", "options"),
    [
        slow("dnc", {"controller": "feedforward"}),
        slow("dnd", {"neighbours": 2}),
        slow("memnn", {"write": "merge", "read": "topk", "topk": 2, "forget": "importance"}),
        slow("dnc", {"masking": True, "deallocation": True, "link_sharpness": True}),
        ("ntm", {"memory_init": "learned"}),
        ("fart", {"feature_map": "shares"}),
    ],
)
def test_variants_of_a_memory_are_exported(memory, options, path):
    check_export(make_policy(memory, options=options), PLAIN, path)


@pytest.mark.slow
def test_stacked_cores_with_skips_and_bodies_are_exported(path):
    policy = make_policy("gru", layers=2, skip=True, head_dim=5)
    names = check_export(policy, PLAIN, path)
    assert names == ["floor", "speed", "start", "state.0.h", "state.1.h"]


def test_a_masked_action_is_never_taken(path):
    policy = make_policy("none", SPACE)
    export_step(policy, SPACE, path)
    obs = observe(SPACE, 4) | {"action_mask": torch.eye(4, dtype=torch.bool)}
    got = open_file(path)({**obs, "start": torch.zeros(4, dtype=torch.bool)})
    assert got["action"].tolist() == [0, 1, 2, 3]


def test_ports_say_what_goes_in_and_out(tmp_path):
    exported = export_step(make_policy("lstm", SPACE), SPACE, tmp_path / "policy.pt2")
    assert [str(port) for port in exported.inputs] == [
        "action_mask: bool [B, 4]", "image: uint8 [B, 3, 5, 2]", "speed: float32 [B, 3]",
        "start: bool [B]", "state.h: float32 [B, 11]", "state.c: float32 [B, 11]",
    ]  # fmt: skip
    assert [str(port) for port in exported.outputs] == [
        "action: int64 [B]", "logits: float32 [B, 4]", "value: float32 [B]",
        "next_state.h: float32 [B, 11]", "next_state.c: float32 [B, 11]",
    ]  # fmt: skip


@pytest.mark.slow
def test_an_onnx_file_names_its_tensors_and_its_batch_axis(tmp_path):
    need_onnx()
    import onnxruntime

    file = tmp_path / "policy.onnx"
    exported = export_step(make_policy("none", action="Box"), PLAIN, file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for found, ports in (
        (session.get_inputs(), exported.inputs),
        (session.get_outputs(), exported.outputs),
    ):
        assert [(part.name, part.shape) for part in found] == [
            (port.name, ["B", *port.shape]) for port in ports
        ]


def test_exporting_leaves_the_policy_and_the_terminal_alone(path, capfd):
    policy = make_policy("gru").train()
    policy.critic.eval()
    policy.critic.weight.grad = torch.ones_like(policy.critic.weight)
    before = {name: part.clone() for name, part in policy.state_dict().items()}
    export_step(policy, PLAIN, path)
    assert policy.training
    assert not policy.critic.training
    assert all(parameter.requires_grad for parameter in policy.parameters())
    torch.testing.assert_close(policy.critic.weight.grad, torch.ones_like(policy.critic.weight))
    torch.testing.assert_close(dict(policy.state_dict()), before, rtol=0, atol=0)
    assert [*path.parent.iterdir()] == [path]
    assert capfd.readouterr() == ("", "")
    assert str(ROOT).encode() not in path.read_bytes()  # nor does it tell of this machine


# What cannot be exported


class Count(NamedTuple):
    n: Tensor  # [B, 1]


class Base(MemoryCore[Count]):
    def __init__(self) -> None:
        super().__init__(39, 39)

    def initial_state(self, batch_size: int) -> Count:
        return Count(torch.zeros(batch_size, 1))


class Asks(Base):
    """Looks at a value on the host."""

    def _update(self, x: Tensor, state: Count) -> tuple[Tensor, Count]:
        return (x if state.n.sum() > 3 else -x), Count(state.n + 1)


class Fixed(Base):
    """Works for one batch size only."""

    def _update(self, x: Tensor, state: Count) -> tuple[Tensor, Count]:
        return x + torch.zeros(2, 39), state


class Foreign(Base):
    """Uses an operation that ONNX does not have."""

    def _update(self, x: Tensor, state: Count) -> tuple[Tensor, Count]:
        return torch.special.i1e(x), state


@pytest.mark.parametrize(
    ("core", "reason"),
    [
        (Asks, "branches on tensor values"),
        (Fixed, "works for one batch size only"),
        slow(Foreign, r"ONNX has no operator for prims\.bessel_i1e"),
    ],
)
def test_a_core_that_cannot_be_exported_says_why_in_one_sentence(core, reason, tmp_path, capfd):
    need_onnx()
    policy = make_policy("none")
    policy.core = core()
    policy.actor.layer, policy.critic = torch.nn.Linear(39, 4), torch.nn.Linear(39, 1)
    with pytest.raises(ValueError, match=reason) as caught:
        export_step(policy, PLAIN, tmp_path / "policy.onnx")
    assert core.__name__ in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [*tmp_path.iterdir()] == []


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in '\.pth', allowed: \.onnx and \.pt2"):
        export_step(make_policy(), PLAIN, tmp_path / "policy.pth")


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        export.importlib.util,
        "find_spec",
        lambda name: None if name == "onnxscript" else find(name),
    )
    with pytest.raises(ValueError, match=f"needs onnxscript: {re.escape(install_command('onnx'))}"):
        export_step(make_policy(), PLAIN, tmp_path / "policy.onnx")


@pytest.mark.parametrize("name", ["start", "state.h", "value"])
def test_an_observation_that_takes_the_name_of_another_tensor_is_refused(name, tmp_path):
    space = spaces.Dict({name: spaces.Discrete(3)})
    with pytest.raises(ValueError, match=f"'{name}' has the name of another"):
        export_step(make_policy("gru", space), space, tmp_path / "policy.pt2")
