"""Progressive networks: a new column reads earlier ones, which nothing changes."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from small_agents import learn, make_agent
from small_r2d2 import learn_r2d2, make_r2d2
from suites import slow_but

import memrl
from memrl.agents.auxiliary import Auxiliary, AuxiliaryConfig
from memrl.envs.make import make
from memrl.errors import RunError
from memrl.memory.state import leaves, map_state
from memrl.nn.observation_heads import ObservationHeads
from memrl.pipeline.inheritance import Weights, fill
from memrl.policies.actor_critic import build_policy
from memrl.policies.backbone import PolicyConfig
from memrl.policies.columns import Lateral, as_columns, earlier_columns
from memrl.policies.export import export_step

T, B = 7, 5


def network(columns=0, memory="gru", seed=3, options=None, **config):
    """A policy for Recall, in double precision."""
    torch.manual_seed(seed)
    env = make("probe/Recall-v0", 1, prev_reward=True)
    return build_policy(
        env.observation_space,
        env.action_space,
        {"name": memory, "hidden_dim": 11, **(options or {})},
        PolicyConfig(encoder_dim=3, columns=columns, **config),
    ).double()


def grown(earlier, tmp_path, **config):
    """A network with one column more than an earlier one, whose weights it has taken."""
    number = len(getattr(earlier.core, "columns", [0]))
    new = network(number, seed=number + 10, **config)
    fill(new, Weights(tmp_path, earlier.state_dict()))
    return new


def observed():
    """Observations and starts [T, B]."""
    generator = torch.Generator().manual_seed(1)
    obs = {
        "obs": torch.randint(6, (T, B), generator=generator),
        "prev_reward": torch.randn(T, B, 1, generator=generator).double(),
    }
    start = torch.rand(T, B, generator=generator) < 0.3
    start[0] = True
    return obs, start


def test_a_lateral_connection_is_that_of_the_paper():
    torch.manual_seed(1)
    layer, h = Lateral(2, 3).double(), torch.randn(2, 3, dtype=torch.float64)
    layer.requires_grad_(False)
    layer.scale.data = torch.tensor([0.5, -2.0], dtype=torch.float64)
    scaled = [0.5 * x for x in h[0].tolist()] + [-2.0 * x for x in h[1].tolist()]
    rows = [sum(w * x for w, x in zip(row, scaled, strict=True)) for row in layer.narrow.weight]
    hidden = [max(0.0, float(row)) for row in rows]
    want = [sum(w * x for w, x in zip(row, hidden, strict=True)) for row in layer.widen.weight]
    torch.testing.assert_close(layer([h[0], h[1]]), torch.stack(want))


@pytest.mark.parametrize("memory", slow_but(["gru"], ["gru", "lstm", "mingru"]))
def test_steps_are_the_sequence_and_a_start_forgets_in_all_columns(memory):
    policy = network(2, memory)
    obs, start = observed()
    whole = policy(obs, policy.initial_state(B), start)
    state, values = policy.initial_state(B), []
    for t in range(T):
        now = {key: x[t] for key, x in obs.items()}
        step = policy.step(now, state, start[t])
        state = step.state
        values.append(step.value)
    torch.testing.assert_close(torch.stack(values), whole.value)
    torch.testing.assert_close(leaves(state), leaves(whole.state))
    spoiled = map_state(lambda leaf: torch.full_like(leaf, torch.nan), whole.state)
    torch.testing.assert_close(policy(obs, spoiled, start).value, whole.value)


def test_an_earlier_column_computes_what_the_earlier_network_did(tmp_path):
    """So nothing can be forgotten: with the heads of its run, column k is the network of run k."""
    obs, start = observed()
    first = network()
    second = grown(first, tmp_path)
    third = grown(second, tmp_path)
    states = [each(obs, each.initial_state(B), start).state for each in (first, second, third)]
    one, two, three = (leaves(state) for state in states)
    assert [len(each) for each in (one, two, three)] == [1, 2, 3]
    torch.testing.assert_close(two[0], one[0])
    torch.testing.assert_close(three[:2], two)


def test_learning_leaves_earlier_columns_as_they_were():
    agent = make_agent("gru", policy={"columns": 2})
    before, frozen = deepcopy(agent.policy.state_dict()), earlier_columns(agent.policy)
    learn(agent, 1)
    after = agent.policy.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert not changed & {*frozen}
    own = {name for name, x in agent.policy.named_parameters() if x.requires_grad}
    assert own <= changed
    assert {"core.inputs.1.scale", "core.heads.scale", "core.columns.2.cell.weight_ih"} & own


def test_an_agent_of_columns_goes_on_bit_for_bit():
    first, second = (make_agent("gru", policy={"columns": 1}) for _ in "ab")
    learn(first, 1)
    second.load_state_dict(deepcopy(first.state_dict()))
    rows = [learn(agent, 1) for agent in (first, second)]
    torch.testing.assert_close(*rows, rtol=0, atol=0, equal_nan=True)


@pytest.mark.slow
def test_a_q_network_of_columns_learns_with_the_new_one_only():
    agent = make_r2d2("gru", policy={"columns": 1})
    before, frozen = deepcopy(agent.policy.state_dict()), earlier_columns(agent.policy)
    learn_r2d2(agent, 2)
    changed = {n for n, x in agent.policy.state_dict().items() if not torch.equal(x, before[n])}
    assert frozen
    assert not changed & {*frozen}
    assert "core.heads.scale" in changed


def test_all_columns_are_taken_and_the_new_one_is_new(tmp_path):
    second = grown(network(), tmp_path)
    third = network(2, seed=20)
    new = deepcopy(third.state_dict())
    fill(third, Weights(tmp_path, second.state_dict()))
    names, taken = earlier_columns(third), as_columns(second.state_dict())
    assert all(torch.equal(third.state_dict()[name], taken[name]) for name in names)
    others = {*third.state_dict()} - {*names}
    assert all(torch.equal(third.state_dict()[name], new[name]) for name in others)
    assert {"encoder", "core"} == {name.partition(".")[0] for name in names}


def test_a_run_without_the_earlier_columns_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"lacks an earlier column of policy.columns: .*differ"):
        fill(network(1, "lstm"), Weights(tmp_path, network().state_dict()))


@pytest.mark.parametrize(("there", "here"), [(1, 2), (2, 1), (3, 1)])
def test_a_run_of_another_number_of_columns_is_refused(there, here):
    with pytest.raises(RunError) as caught:
        fill(network(here), Weights(Path("run"), network(there - 1).state_dict()))
    has = f"{there} column{'s' * (there > 1)}"
    assert str(caught.value) == (
        f"init=run has {has}, and policy.columns={here} (allowed: policy.columns={there}, or "
        "another run)"
    )


@pytest.mark.slow
def test_columns_export(tmp_path):
    env = make("probe/Recall-v0", 1, prev_reward=True)
    path = tmp_path / "policy.pt2"
    export_step(network(1).float(), env.observation_space, path)
    assert path.exists()


def test_columns_need_a_run_that_has_them():
    with pytest.raises(ValueError, match=r"policy.columns=2 needs init=RUN, which has those"):
        memrl.compose(["policy.columns=2"])


def test_a_memory_that_grows_has_no_columns():
    with pytest.raises(ValueError, match=r"memory.grow=9 with policy.columns=1: columns have one"):
        network(1, "dnc", options={"grow": 9})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"critic": "own"}, r"policy.critic=own with policy.columns=1 \(allowed: shared, detached"),
        ({"beside": ("obs",)}, r"policy.beside=\['obs'\] with policy.columns=1 \(allowed: \[\]\)"),
    ],
)
def test_what_columns_do_not_have_is_one_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        PolicyConfig(columns=1, **options)


def test_numbers_are_predicted_on_the_scale_of_the_new_column():
    env = make("CartPole-v1", 2)
    space = env.observation_space
    torch.manual_seed(3)
    policy = build_policy(
        space, env.action_space, {"name": "none"}, PolicyConfig(encoder_dim=3, columns=1)
    ).double()
    seen = 100 * torch.randn(T, B, 4).double()
    policy.encoder.update({"obs": seen}, torch.ones(T, B, dtype=torch.bool))
    loss = Auxiliary(policy, space, AuxiliaryConfig(kind="reconstruct"))
    heads, memory = loss.heads, torch.randn(T, B, policy.memory_dim).double()
    alone = ObservationHeads(space, policy.memory_dim, policy.encoder.columns[-1]).double()
    alone.load_state_dict(heads.state_dict())
    torch.testing.assert_close(heads(memory, {"obs": seen}), alone(memory, {"obs": seen}))
