"""memrl export: one step of a run's policy as a file that other programs can run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from memrl.agents.acting import ActsWithMemory
from memrl.cli.arguments import file_to_write, parse
from memrl.config.models import Config, LaxPath
from memrl.options import Strict
from memrl.pipeline.env_card import card_of
from memrl.pipeline.trained import open_run
from memrl.policies.actor_critic import Policy
from memrl.policies.export import SUFFIXES, export_step


class ExportOptions(Strict):
    """Keys of ``memrl export``."""

    to: LaxPath | None = None
    checkpoint: Literal["last", "best"] = "last"


def export_run(path: Path, words: Sequence[str]) -> None:
    """Write the policy of a run and print what goes in and comes out."""
    options = parse(ExportOptions, words)
    to = path / "policy.onnx"
    if options.to is not None:
        to = file_to_write("to", options.to, suffixes=SUFFIXES, name="policy.onnx")
    run = open_run(path, options.checkpoint, device="cpu")
    agent, policy = run.agent, run.agent.policy
    if not (isinstance(agent, ActsWithMemory) and isinstance(policy, Policy)):
        raise ValueError(
            f"{path} is no run of agent=ppo, nor of one of your own with an actor and a critic: "
            "their step is what can be exported"
        )
    space = agent.actor.observer.space
    written = export_step(policy, space, to, about(run.config))
    print(f"{written.path}: one step for any batch size B")
    for direction, ports in (("in", written.inputs), ("out", written.outputs)):
        for port in ports:
            print(f"{direction:4}{port}")


def about(config: Config) -> dict[str, str]:
    """What a file says of the run that it comes from."""
    named = {"memrl.memory": config.memory["name"], "memrl.env": config.env.id}
    actions = card_of(config).actions
    return named | ({"memrl.actions": ", ".join(actions)} if actions else {})
