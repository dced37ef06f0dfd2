"""Memories on top of each other are one memory: what a layer offers, the stack offers."""

from __future__ import annotations

import pytest
from gymnasium import spaces

from memrl.memory import build
from memrl.policies.backbone import PolicyConfig, Stacked, build_parts
from memrl.policies.critic import TwoMemories

WITH_READS, WITHOUT = {"memory": "dnc", "slots": 3, "word_dim": 2}, {"memory": "gru"}


def layer(in_dim, memory="gru", **options):
    return build(memory, in_dim, {"hidden_dim": 5, **options})


def stack(*kinds):
    cores = [layer(7, **kinds[0])]
    for kind in kinds[1:]:
        cores.append(layer(cores[-1].out_dim, **kind))
    return Stacked(cores)


@pytest.mark.parametrize("kinds", [(WITH_READS, WITH_READS), (WITHOUT, WITH_READS)])
def test_a_stack_ablates_what_its_layers_can(kinds):
    core = stack(*kinds)
    assert core.ablations == {"reads"}
    core.silence("reads")
    assert [bool(each.ablate) for each in core.cores] == [kind == WITH_READS for kind in kinds]
    core.silence(None)
    assert not any(each.ablate for each in core.cores)


def test_a_critic_of_two_layers_is_ablated_with_the_actor():
    """Its ablations were empty, so that its reads went on."""
    actor, critic = stack(WITH_READS, WITH_READS), stack(WITH_READS, WITH_READS)
    both = TwoMemories(actor, critic, split=False)
    assert both.ablations == {"reads"}
    both.silence("reads")
    assert all(each.ablate for each in (*actor.cores, *critic.cores))


def test_a_part_that_no_layer_has_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match=r"cannot ablate 'read'; did you mean reads\? \(allowed"):
        stack(WITH_READS, WITHOUT).silence("read")
    with pytest.raises(ValueError, match=r"allowed: state"):
        stack(WITHOUT, WITHOUT).silence("reads")


@pytest.mark.parametrize(
    ("kinds", "stacked", "beside"),
    [
        ([{"memory": "framestack", "frames": 3}, {"memory": "framestack", "frames": 4}], 5, 3),
        ([{"memory": "framestack", "frames": 3}, WITHOUT], None, None),
    ],
)
def test_reaches_add_up_in_a_stack_and_the_longest_counts_side_by_side(kinds, stacked, beside):
    assert stack(*kinds).horizon == stacked
    one, two = (layer(7, **kind) for kind in kinds)
    assert TwoMemories(one, two, split=False).horizon == beside


def test_a_memory_that_draws_what_it_reads_is_refused():
    memory = {"name": "memnn", "read": "sampled"}
    with pytest.raises(ValueError, match=r"memory=memnn draws .* which only memrl fit has"):
        build_parts(spaces.Dict({"obs": spaces.Discrete(5)}), memory, PolicyConfig())


def test_a_context_is_refused_where_a_layer_above_would_not_see_it():
    space = spaces.Dict({"obs": spaces.MultiBinary(3)})
    memory = {"name": "eplstm", "context": 3}
    build_parts(space, memory, PolicyConfig(beside=["obs"]))
    with pytest.raises(ValueError, match=r"memory.context=3 with policy.layers=2: .*layers=1"):
        build_parts(space, memory, PolicyConfig(beside=["obs"], layers=2))
