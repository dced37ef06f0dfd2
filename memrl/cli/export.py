"""memrl export: one step of a run's policy as a file that other programs can run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from memrl.agents.ppo.agent import PPO
from memrl.cli.arguments import parse
from memrl.config.models import LaxPath, Strict
from memrl.pipeline.trained import load
from memrl.policies.export import export_step


class ExportOptions(Strict):
    """Keys of ``memrl export``."""

    to: LaxPath | None = None
    checkpoint: Literal["last", "best"] = "last"


def export_run(path: Path, words: Sequence[str]) -> None:
    """Write the policy of a run and print what goes in and comes out."""
    options = parse(ExportOptions, words)
    agent = load(path, options.checkpoint, device="cpu")
    if not isinstance(agent, PPO):
        raise ValueError(f"{path} is no run of agent=ppo, whose step is what can be exported")
    space = agent.collector.env.observation_space
    written = export_step(agent.policy, space, options.to or path / "policy.onnx")
    print(f"{written.path}: one step for any batch size B")
    for direction, ports in (("in", written.inputs), ("out", written.outputs)):
        for port in ports:
            print(f"{direction:4}{port}")
