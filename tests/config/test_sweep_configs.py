"""Search spaces in configs/sweep, and the sweep that W&B plans: their words make configs."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

import memrl
from memrl.supervised.config import compose_fit

CONFIGS = Path(memrl.__file__).parent / "configs"
OF_WANDB = yaml.safe_load((CONFIGS / "wandb_sweep" / "ppo.yaml").read_text())
BASES = {
    "ppo": (memrl.compose, ["env=probe/Recall-v0", "memory=gru"]),
    "r2d2": (memrl.compose, ["env=probe/Recall-v0", "agent=r2d2", "memory=gru"]),
    "width": (memrl.compose, ["env=probe/Recall-v0", "memory=lstm"]),
    "slots": (memrl.compose, ["env=probe/Recall-v0", "memory=dnc"]),
    "fit": (compose_fit, ["task=copy", "memory=ntm"]),
}


def ends(space):
    """The ends of a search space: values that it can have."""
    parsed = OverridesParser.create().parse_override(f"x={space}").value()
    return [parsed.start, parsed.end] if hasattr(parsed, "start") else parsed.list


def corners(spaces):
    """Words that set each key to one of its ends, until each end has been taken."""
    rows = itertools.zip_longest(*spaces.values())
    first = [values[0] for values in spaces.values()]
    for row in rows:
        values = [one if given is None else given for given, one in zip(row, first, strict=True)]
        yield [f"{key}={value}" for key, value in zip(spaces, values, strict=True)]


def test_every_search_space_is_tested():
    assert {path.stem for path in (CONFIGS / "sweep").glob("*.yaml")} == {*BASES}


@pytest.mark.parametrize("name", BASES)
def test_the_ends_of_a_search_space_make_configs(name):
    compose, base = BASES[name]
    params = yaml.safe_load((CONFIGS / "sweep" / f"{name}.yaml").read_text())
    params = params["hydra"]["sweeper"]["params"]
    for words in corners({key: ends(space) for key, space in params.items()}):
        compose([*base, *words])


def wandb_values(parameter):
    return parameter.get("values") or [parameter["min"], parameter["max"]]


def test_a_job_of_wandbs_agent_makes_a_config():
    program, command, *words = OF_WANDB["command"]
    assert (program, command, words.pop()) == ("${program}", "train", "${args_no_hyphens}")
    assert OF_WANDB["program"] == "memrl"
    spaces = {key: wandb_values(given) for key, given in OF_WANDB["parameters"].items()}
    for job in corners(spaces):
        config = memrl.compose([*words, *job])
        assert config.track.wandb == "online"


def test_wandb_plans_by_the_evaluation_that_ends_a_run():
    assert OF_WANDB["metric"] == {"name": "evaluation/success", "goal": "maximize"}
