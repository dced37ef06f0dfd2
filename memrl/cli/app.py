"""The command line: what can be asked of memrl."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memrl.cli.bench_app import Json, Words, bench

# Every command imports what it needs when it is called: ``memrl --help`` answers at once.

app = typer.Typer(
    epilog="Any command: --plugin MODULE imports a module of your own that a run needs; "
    "--debug shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(bench, name="bench")


def _print_version(asked: bool) -> bool:
    if asked:
        import memrl

        print(f"memrl {memrl.__version__}")
        raise typer.Exit
    return asked


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Reinforcement-learning agents that remember."""


OWN_MODULE = "If a run needs a module of your own, add --plugin MODULE."
PASS_ON = {"ignore_unknown_options": True}  # -m and other flags of Hydra are among the words
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]


@app.command(context_settings=PASS_ON, epilog=OWN_MODULE)
def train(
    words: Words = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Continue this run where it was saved.")
    ] = None,
    json: Json = False,
) -> None:
    """Train an agent, evaluate it on fresh episodes, and draw pictures of it.

    KEY=VALUE changes the config and -m sweeps, as in Hydra:

    memrl train memory=dnc env=MiniGrid-MemoryS13-v0 seed=3

    memrl train -m memory=lstm,gru,dnc,ntm seed=1,2,3

    memrl train --resume runs/NAME total_steps=2_000_000

    Keys: run.dir=PATH (the run directory; in a sweep, the folder of its runs), total_steps=N (the
    length in env steps), workers=N (train with N processes), env=[ID,ID] (several tasks at once).
    `memrl config` prints every key; `memrl memories` and `memrl envs` list what you can choose.

    To continue a sweep that was stopped, give the same command again. hydra/launcher=joblib runs
    its jobs side by side; +sweep=ppo searches.

    Your own code, in the current folder: memory=MODULE:CLASS, env=MODULE:ID. --config-dir DIR adds
    YAML files.
    """
    from memrl.cli.train import resume_run, start_runs

    if resume is not None:
        resume_run(resume, words or [], as_json=json)
    else:
        start_runs(words or [], as_json=json)


@app.command(context_settings=PASS_ON, epilog=OWN_MODULE)
def fit(
    words: Words = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Continue this run where it was saved.")
    ] = None,
    json: Json = False,
) -> None:
    """Train a memory on a supervised task, and evaluate it at lengths it was not trained on.

    KEY=VALUE changes the config and -m sweeps, as in Hydra:

    memrl fit memory=ntm task=copy

    memrl fit -m memory=lstm,ntm,dnc task=first_input

    memrl fit --resume runs/NAME sequences=1_000_000

    `memrl config --fit` prints every key; `memrl memories` and `memrl tasks` list what you can
    choose. Your own code, in the current folder: memory=MODULE:CLASS, task=MODULE:CLASS.
    """
    from memrl.cli.fit import resume_fit, start_fits

    if resume is not None:
        resume_fit(resume, words or [], as_json=json)
    else:
        start_fits(words or [], as_json=json)


@app.command(context_settings=PASS_ON, epilog=OWN_MODULE)
def distil(words: Words = None, json: Json = False) -> None:
    """Train an agent with any memory to act as trained agents do, in their environment.

    The new agent acts; it learns what the trained ones would have done. It is a run of `memrl
    train`.

    memrl distil runs/dnc memory=gru

    memrl distil runs/gru-1 runs/gru-2 memory=lstm total_steps=500_000

    KEY=VALUE are those of `memrl train`. agent.teacher.weight and agent.teacher.value_weight are
    the weights of the teachers' policy and values; agent.policy_coef=1 also learns from rewards.
    """
    from memrl.cli.distil import distil_runs

    distil_runs(words or [], as_json=json)


@app.command(context_settings=PASS_ON, epilog=OWN_MODULE)
def continual(words: Words = None, json: Json = False) -> None:
    """Learn tasks one after another, evaluate all of them after each, and measure forgetting.

    memrl continual tasks=[MiniGrid-MemoryS7-v0,MiniGrid-MemoryS9-v0] methods=[finetune,clear]

    Keys: tasks (ids of equal spaces, each with its options after blanks: [ID,ID env.delay=4]),
    methods=[finetune,clear,distil,progressive], root=FOLDER (continual), alone=true (also learn
    each task from scratch: forward transfer needs it). All other keys are those of `memrl train`,
    for each task. The same command continues what was stopped.
    """
    from memrl.cli.continual import run_course

    run_course(words or [], as_json=json)


@app.command(context_settings=PASS_ON, epilog=OWN_MODULE)
def tune(words: Words = None, json: Json = False) -> None:
    """Search for good hyperparameters with Ray Tune; ASHA stops the worse trials early.

    memrl tune memory=gru memory.hidden_dim=64,128 'agent.lr=tag(log,interval(1e-4,3e-3))' trials=8

    Write a search space as in Hydra's sweeps: a,b or choice(a,b), range(a,b), interval(a,b),
    int(interval(a,b)), tag(log,interval(a,b)). All other words are those of `memrl train`, for each
    trial.

    Keys: trials=16, root=FOLDER (of the runs; tune/TASK-MEMORY), grace=STEPS (no trial is stopped
    before; a ninth of total_steps), reduction=3 (one in 3 trials continues after grace, and one in
    3 of these after 3 times as many steps, and so on), cpus=1 and gpus (of each trial),
    cluster=auto|HOST:PORT (of Ray; default: this machine). Ctrl-C stops all trials; the same
    command continues.
    """
    from memrl.cli.tune import start_search

    start_search(words or [], as_json=json)


@app.command(epilog=OWN_MODULE)
def evaluate(run: RunPath, options: Words = None, json: Json = False) -> None:
    """Evaluate a trained agent on fresh episodes, or a run of `memrl fit` on fresh sequences.

    Keys: episodes=1000, checkpoint=last|best, greedy=false|true, seed, device, num
    (environments at once), max_steps (env steps after which an episode is cut off),
    ablate=state|reads|PART (a part of the memory to switch off), bank (the seed of levels that
    training did not see), memory.slots=N (another number of slots, if the memory allows it).

    Of a run of `memrl fit`: lengths=[10,20], sequences (of each length), seed, device,
    memory.slots=N.
    """
    from memrl.cli.runs import evaluate_run

    evaluate_run(run, options or [], as_json=json)


@app.command(epilog=OWN_MODULE)
def watch(
    run: RunPath,
    options: Words = None,
    live: Annotated[
        bool, typer.Option("--live", help="Serve the page of `memrl inspect` while a run trains.")
    ] = False,
) -> None:
    """Draw one episode as a GIF: what the agent sees, and its memory at each step.

    Keys: ablate=state|reads|PART (switch off a part of the memory, and print the change in
    success), window=false|true, out=PATH.gif|PATH.png|FOLDER, checkpoint=last|best,
    greedy=false|true, seed, device, bank, max_steps (at most 1000 are drawn), episodes (of each
    evaluation that an ablation compares), memory.slots=N.

    With --live: serve a page on this machine only, updated with each checkpoint, until Ctrl-C.
    Keys: port (default: a free one), and those of `memrl inspect` except out; episodes=16.
    """
    if live:
        from memrl.cli.live import follow_run

        follow_run(run, options or [])
        return
    from memrl.cli.runs import watch_run

    watch_run(run, options or [])


@app.command(epilog=OWN_MODULE)
def inspect(
    words: Annotated[
        list[str], typer.Argument(metavar="RUN", help="Run directories, then KEY=VALUE.")
    ],
) -> None:
    """Show fresh episodes as one HTML page: observations, decisions and memory at each step.

    The page also shows the results of `memrl probe RUN`, below the episodes.

    Keys: episodes=64, out=PATH.html|FOLDER (inspect.html in the first RUN), browser=true|false
    (open it), max_steps=500 (at most 2000), source_steps=200 (show where reads come from in the
    first episodes with this many steps in all), checkpoint=last|best, greedy=false|true, seed,
    device, ablate=state|reads|PART, bank, memory.slots=N.
    """
    from memrl.cli.inspect import inspect_runs

    inspect_runs(words)


@app.command(epilog=OWN_MODULE)
def probe(run: RunPath, options: Words = None, json: Json = False) -> None:
    """Experiments on the memory of a trained agent: is it used, when, and what does it hold?

    Measures success with reads switched off and with the state reset, frozen, or taken from an
    episode with another cue; how well the cue can be decoded from the memory at each step; and from
    which steps its reads come. Writes probe.json and probe.png into the run.

    Keys: episodes=500, step=T (change the memory at step T, from 1 on; default: several steps
    between the cue and the end), gap=N (leave out episodes that end fewer than N steps after the
    cue was last visible), out=FOLDER, checkpoint=last|best, greedy=false|true, seed,
    device, max_steps (env steps of an undisturbed episode).
    """
    from memrl.cli.probe import probe_run

    probe_run(run, options or [], as_json=json)


@app.command(epilog=OWN_MODULE)
def export(run: RunPath, options: Words = None) -> None:
    """Write one step of a policy with its memory as ONNX or torch.export; it runs without memrl.

    Keys: to=PATH.onnx|PATH.pt2 (RUN/policy.onnx), checkpoint=last|best.

    Inputs: each observation, `start` (True at the first step of an episode) and `state.*`.
    Outputs: `action`, and `next_state.*` for the next step. Where `start` is True, any `state.*`
    will do.
    """
    from memrl.cli.export import export_run

    export_run(run, options or [])


@app.command()
def compare(
    words: Annotated[
        list[str], typer.Argument(metavar="RUN", help="Run directories, or folders of them.")
    ],
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the table as CSV.")] = False,
) -> None:
    """Draw learning curves and print a table; runs that differ only by seed are averaged.

    Takes runs of `memrl train`, or of `memrl fit`. One or two seeds are drawn as thin lines, more
    as a mean with a confidence band.

    Keys: out=PATH.png|PATH.pdf|PATH.svg|FOLDER (compare.png).
    """
    from memrl.cli.compare import compare_runs

    compare_runs(words, form="json" if json else "csv" if csv else "table")


@app.command(epilog=OWN_MODULE)
def benchmark(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="quick, rewriting, full, or a YAML file.")
    ],
    options: Words = None,
    check: Annotated[
        bool, typer.Option("--check", help="Run three finished cells again and compare.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Run nothing; show what is there.")] = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Run the grid instead, and choose a recipe a task.")
    ] = False,
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FILE.md", help="Write a leader board.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a table of memories by tasks: run what is missing, continue what was stopped.

    Every run is a process with one thread. Ctrl-C stops all; the same command continues. It writes
    table.json, .csv, .md, .tex, table.png and curves.png: scores with 95 % intervals over seeds,
    parameters, state and speed, and the interquartile mean over all tasks.

    Keys: root=FOLDER (benchmarks/NAME), workers, runs (new ones at most), memories, tasks and seeds
    (run or check only these of the benchmark's, separated by commas), table=FILE.json (a table.json
    from elsewhere: its runs count as done).
    """
    from memrl.cli.benchmark import start_benchmark

    start_benchmark(
        name, options or [], check=check, show=show, tune=tune, page=page, as_json_value=json
    )


@app.command(context_settings=PASS_ON)
def play(
    env: Annotated[str, typer.Argument(metavar="ENV", help="An id, as in `memrl envs`.")],
    words: Words = None,
) -> None:
    """Play a task yourself in this terminal: you see what the agent would see, and nothing else.

    KEY=VALUE are those of `memrl train`: env.prev_action=true, seed=3. Q quits.
    """
    from memrl.cli.play import play as play_task

    play_task(env, words or [])


@app.command()
def memories(json: Json = False) -> None:
    """List the memories, with their papers and state sizes."""
    from memrl.cli.lists import list_memories

    list_memories(as_json=json)


@app.command()
def envs(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORD]", help="Only ids that contain these.")
    ] = None,
    json: Json = False,
) -> None:
    """List the environments: is a memory needed, which scores are known, what is observed.

    memory: strict (the deciding observation is out of sight when it is needed), search (it helps to
    remember where one has been), not needed; empty: not measured. Scores are success or return.
    """
    from memrl.cli.lists import list_envs

    list_envs(words or [], as_json=json)


@app.command()
def tasks(json: Json = False) -> None:
    """List the supervised tasks of `memrl fit`."""
    from memrl.cli.lists import list_tasks

    list_tasks(as_json=json)


@app.command()
def plugins(json: Json = False) -> None:
    """List what installed packages add: memories, tasks, encoders, bonuses and agents."""
    from memrl.cli.lists import list_plugins

    list_plugins(as_json=json)


@app.command(context_settings=PASS_ON)
def config(
    words: Words = None,
    fit: Annotated[bool, typer.Option("--fit", help="The config of `memrl fit` instead.")] = False,
) -> None:
    """Print the config that `memrl train` would run with, after KEY=VALUE changes.

    Keys that the other values make irrelevant are left out.
    """
    from memrl.cli.lists import show_config

    show_config(words or [], fit=fit)


@app.command()
def check(
    target: Annotated[str, typer.Argument(metavar="MODULE:CLASS", help="A class of yours.")],
    options: Words = None,
) -> None:
    """Check a memory, task, encoder, bonus or agent of your own; KEY=VALUE are its options.

    A memory is tested against the contract. Anything else is tried in a short run: build, train,
    save, continue bit for bit, evaluate. env=ID chooses the environment.
    """
    from memrl.cli.check import check_class

    check_class(target, options or [])
