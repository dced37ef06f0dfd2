"""memrl probe: experiments on the memory of a trained agent, as a table, a file and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from annotated_types import Ge, Lt
from pydantic import model_validator
from rich.console import Console

from memrl.checkpoint.atomic import write_atomically
from memrl.cli.arguments import parse
from memrl.cli.output import listener, table
from memrl.config.models import Config, Count, LaxPath
from memrl.evaluation.acting import Acting
from memrl.options import Strict
from memrl.pipeline.build import make_env
from memrl.pipeline.env_card import references
from memrl.pipeline.loading import read_config
from memrl.pipeline.report import picture_title
from memrl.pipeline.setup import prepare, seed_for
from memrl.pipeline.trained import load
from memrl.plots.probe import draw_probe
from memrl.probing.experiments import OTHER, WIPED, Experiments, Result
from memrl.probing.provenance import METHODS
from memrl.probing.report import checkpoint_of, report_of, when_as_text
from memrl.run.directory import RunDirectory

_FEWEST: Final = 10  # episodes


class ProbeOptions(Strict):
    """Keys of ``memrl probe``; None is what the run was configured with."""

    episodes: Annotated[int, Ge(_FEWEST)] = 500
    step: Annotated[int, Ge(0)] | None = None  # None: moments between the cue and the end
    gap: Annotated[int, Ge(1)] | None = None
    checkpoint: Literal["last", "best"] = "last"
    greedy: bool | None = None
    seed: Annotated[int, Ge(0), Lt(2**32)] | None = None
    device: str | None = None
    max_steps: Count | None = None
    out: LaxPath | None = None

    @model_validator(mode="after")
    def _what_is_set_is_read(self) -> ProbeOptions:
        if self.gap is not None and self.step is not None:
            raise ValueError(f"gap={self.gap} is not read with step={self.step}, which is a moment")
        return self


def probe_run(path: Path, words: Sequence[str], *, as_json: bool) -> None:
    """Experiment on the memory of a run's agent; write probe.json and probe.png.

    Raises:
        ValueError: ``out`` is a file, or as ``memrl.probing.experiments.Experiments``.
    """
    options = parse(ProbeOptions, words)
    folder = options.out or path
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out={folder} is a file, allowed: a folder")
    config = read_config(RunDirectory.open(path), device=options.device)
    prepare(config)
    agent = load(path, options.checkpoint, device=options.device)
    env = make_env(config, num=options.episodes)
    try:
        experiments = Experiments(
            agent,
            env,
            _acting(config, options),
            step=options.step,
            gap=options.gap or 1,
        )
        results = _played(experiments)
    finally:
        env.close()
    known = references(config, success=experiments.measure == "success")
    checkpoint = checkpoint_of(agent, options.checkpoint)
    report = report_of(experiments, results, run=str(path), checkpoint=checkpoint, known=known)
    file, picture = RunDirectory(folder).probe, folder / "probe.png"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(file, f"{report.model_dump_json(indent=1)}\n".encode())
    draw_probe(experiments, results, picture, title=picture_title(config), references=known)
    if as_json:
        print(report.model_dump_json())
    say = listener(as_json=as_json)
    say(_table(experiments.measure, results))
    say("")
    for line in notes(experiments, results, config, known):
        say(line)
    say(f"{picture} and {file}; one episode: memrl watch {path}")
    if folder == path:
        say(f"these results beside episodes, step by step: memrl inspect {path}")


def _acting(config: Config, options: ProbeOptions) -> Acting:
    """How the agent acts: as the run is evaluated, unless ``options`` say otherwise."""
    return Acting(
        seed_for(config.seed, "evaluate") if options.seed is None else options.seed,
        greedy=config.evaluate.greedy if options.greedy is None else options.greedy,
        max_steps=options.max_steps or config.evaluate.max_steps,
    )


def _played(experiments: Experiments) -> list[Result]:
    """All results, with a word on the last one while the next is played."""
    console, results = Console(stderr=True), []
    with console.status("the first experiments") as status:
        for result in experiments.results():
            results.append(result)
            status.update(f"{len(results)} experiments so far, the last: {result.name}")
    return results


def _table(measure: str, results: Sequence[Result]) -> str:
    headings = ["experiment", "when", measure, "interval", "change", "other cue", "again"]
    rows = [
        [
            result.name,
            when_as_text(result.when),
            f"{result.score.mean:.3g}",
            f"{result.score.low:.2f}–{result.score.high:.2f}",
            f"{result.change.mean:+.3g}" if result.change else "",
            f"{result.other.mean:.3g}" if result.other else "",
            f"{result.again.mean:.3g}" if result.again else "",
        ]
        for result in results
    ]
    return table(headings, rows, right=headings[2:])


def notes(
    experiments: Experiments, results: Sequence[Result], config: Config, known: dict[str, float]
) -> Iterator[str]:
    """What the table does not say."""
    counted = int(experiments.rows.sum())
    yield f"{counted:,} of {len(experiments.rows):,} episodes count: those that reach every moment"
    for result in results:
        if result.name == WIPED and result.again and result.again.mean > 0:
            others = result.unaided_score or "none"
            yield (
                f"{WIPED}, {when_as_text(result.when)}: {result.again.mean:.0%} see the cue again "
                f"afterwards; {experiments.measure} of the others: {others}"
            )
    first = next((result for result in results if result.name == OTHER), None)
    if first is not None and first.again and first.again.mean > 0 and first.unaided_other:
        yield (
            f"with the state of another cue, {first.again.mean:.0%} see their own cue again; of "
            f"the others, {first.unaided_other} act on the other cue"
        )
    cut_off = {r.name: r.cut_off for r in reversed(results) if r.cut_off}
    if cut_off:
        yield (
            f"cut off after {experiments.longest} env steps (twice the longest episode), counted "
            "as failed: "
            + ", ".join(f"{name} {count}" for name, count in reversed(cut_off.items()))
        )
    if (level := known.get("memoryless")) is not None:
        yield f"{experiments.measure} of the best policy without a memory: {level:.3g}"
    if experiments.plain.cue is None:
        yield (
            f"{config.env.id} has no cue that experiments know of: no state is exchanged, and no "
            "cue is decoded"
        )
    for name, readout in experiments.readouts.items():
        if readout.after:
            yield (
                f"{name}, decoded {readout.after[-1]} steps after the cue was first seen: "
                f"{readout.memory[-1]} from the memory, {readout.observation[-1]} from the "
                "observation"
            )
    if (reads := experiments.reads) is not None:
        yield (
            f"written by steps that saw the cue: {reads.later} of what later steps read "
            f"({reads.later_even:.3g} if spread evenly), {reads.last} of what the last step reads "
            f"({reads.last_even:.3g}); "
            f"{METHODS[reads.example.method]}"
        )
