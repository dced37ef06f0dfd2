"""Where a read comes from, against contents that are tracked in plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_cores import draw, perturbed
from run_fakes import Countdown, WalkAgent
from small_agents import make_agent
from suites import slow_but

from memrl.envs.make import make
from memrl.evaluation.acting import Acting
from memrl.evaluation.recording import record_episode
from memrl.memory import build
from memrl.memory.registry import names
from memrl.probing.provenance import METHODS, sources, sources_of

T, IN, N, W, R = 7, 3, 5, 2, 2
SIZES = {"slots": N, "word_dim": W, "hidden_dim": 11, "read_heads": R}
WRITERS = [
    ("ntm", {"write_heads": 2}),
    ("dnc", {}),
    ("dnc", {"masking": True, "deallocation": True, "link_sharpness": True}),
    ("dnc", {"controller": "feedforward"}),
    ("lrua", {}),
]


def core_of(name, options):
    return perturbed(build(name, IN, {**SIZES, **options}))


def steps_of(core, x):
    """The state before and after each step."""
    state, start = core.initial_state(1), torch.zeros(1, dtype=torch.bool)
    for x_t in x:
        _, after = core.step(x_t[None], state, start)
        yield x_t[None], state, after
        state = after


@pytest.mark.parametrize(("name", "options"), WRITERS)
@torch.no_grad()
def test_an_edit_is_what_a_step_did_to_the_memory(name, options):
    core = core_of(name, options)
    for x, before, after in steps_of(core, draw(T, IN)):
        edit = core.edit(x, before, after)
        torch.testing.assert_close(edit.keep * before.memory + edit.add, after.memory)
        assert 0 <= float(edit.keep.min())
        assert float(edit.keep.max()) <= 1


@pytest.mark.parametrize(("name", "options"), WRITERS)
@torch.no_grad()
def test_shares_are_those_of_contents_that_are_tracked_slot_by_slot(name, options):
    core, x = core_of(name, options), draw(T, IN)
    want, contents = np.zeros((T, T)), {"first": core.initial_state(1).memory[0].numpy()}
    for t, (x_t, before, after) in enumerate(steps_of(core, x)):
        edit, seen = core.edit(x_t, before, after), dict(contents)
        contents = {s: content * edit.keep[0].numpy() for s, content in contents.items()}
        contents[t] = edit.add[0].numpy()
        if not core.reads_first:
            seen = contents
        looks, sizes, total = after.read_weights[0].numpy(), {}, np.zeros((R, W))
        for writer, content in seen.items():
            parts = [sum(looks[r, n] * content[n] for n in range(N)) for r in range(R)]
            sizes[writer] = sum(np.linalg.norm(part) for part in parts)
            total += np.stack(parts)
        np.testing.assert_allclose(total, after.reads[0].numpy(), atol=1e-12)  # nothing is lost
        for writer, size in sizes.items():
            if writer != "first" and size:
                want[t, writer] = size / sum(sizes.values())
    got = sources(core, x)
    assert got.method == "writes"
    np.testing.assert_allclose(got.weights, want, atol=1e-12)


def test_attention_to_stored_steps_is_their_share():
    core, x = perturbed(build("pointer", IN, {"slots": N})), draw(T, IN)
    got = sources(core, x)
    assert got.method == "attention"
    for t, (_, _, after) in enumerate(steps_of(core, x)):
        want = [0.0] * T
        for back in range(1, min(t, N) + 1):
            want[t - back] = float(after.read_weights[0, N - back])
        np.testing.assert_allclose(got.weights[t], want)


def test_elsewhere_the_gradient_tells():
    core, x = perturbed(build("gru", IN, {"hidden_dim": 11})), draw(T, IN)
    got = sources(core, x)
    assert got.method == "gradient"

    def outputs(features):
        return core(features[:, None], core.initial_state(1), torch.zeros(T, 1, dtype=torch.bool)).y

    jacobian = torch.autograd.functional.jacobian(outputs, x)[:, 0]  # [T, O, T, I]
    y = outputs(x)[:, 0].detach()
    for t in range(T):
        sizes = [float((y[t] @ jacobian[t, :, s]).norm()) for s in range(T)]
        np.testing.assert_allclose(got.weights[t], np.array(sizes) / sum(sizes), atol=1e-12)


@pytest.mark.parametrize("name", slow_but({"gtrxl", "sam", "none"}, names()))
def test_of_every_memory_no_step_reads_what_comes_later(name):
    torch.manual_seed(3)
    got = sources(build(name, IN), torch.randn(T, IN))
    assert got.method in METHODS
    assert got.weights.shape == (T, T)
    assert (got.weights >= 0).all()
    assert (got.weights.sum(axis=1) <= 1 + 1e-5).all()
    np.testing.assert_array_equal(np.triu(got.weights, 1), 0)


def test_the_reads_of_a_recorded_episode_are_those_of_its_observations():
    env = make("probe/Recall-v0", 1, delay=2, prev_action=True, prev_reward=True)
    agent = make_agent("dnc", env)
    recording = record_episode(agent, env, Acting(3))
    got = sources_of(agent, recording)
    obs = {
        key: torch.as_tensor(np.stack([entry[key] for entry in recording.observations]))
        for key in env.observation_space
    }
    with torch.no_grad():
        want = sources(agent.policy.core, agent.policy.encoder(obs))
    assert got.method == want.method == "writes"
    np.testing.assert_array_equal(got.weights, want.weights)
    assert got.weights.shape == (recording.length,) * 2


def test_an_agent_without_a_core_has_no_reads():
    env = Countdown(1)
    recording = record_episode(WalkAgent(), env, Acting(3))
    with pytest.raises(ValueError, match="WalkAgent has no memory core that reads"):
        sources_of(WalkAgent(), recording)
