"""``memrl bench``: what can be measured, and with which keys."""

from __future__ import annotations

from typing import Annotated

import typer

# Every command imports what it needs when it is called: ``memrl --help`` answers at once.

bench = typer.Typer(help="Measure speed side by side with installed peers.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout, nothing else.")]
Words = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]")]


@bench.command("train")
def bench_train(options: Words = None, json: Json = False) -> None:
    """Training throughput against a peer's recurrent PPO; ratio > 1: memrl is faster.

    Keys: env, memory, hidden_dim, num, iterations, windows, peer_steps, precision, device.
    """
    from memrl.cli.bench import measure_training

    measure_training(options or [], as_json=json)


@bench.command("ranks")
def bench_ranks(options: Words = None, json: Json = False) -> None:
    """Training by several processes beside one, and what waiting for each other takes.

    Keys: env, memory, num (environments of each), ranks, iterations, windows.
    """
    from memrl.cli.bench import measure_ranks

    measure_ranks(options or [], as_json=json)


@bench.command("env")
def bench_env(
    words: Annotated[list[str] | None, typer.Argument(metavar="[ID] [KEY=VALUE]")] = None,
    json: Json = False,
) -> None:
    """Env steps per second of tensor environments, their packages and EnvPool, where installed.

    Without an ID one task of every kind is measured. Keys: num=16,256,4096,65536, seconds (of a
    turn), windows (turns of each), device.
    """
    from memrl.cli.bench import measure_environments

    measure_environments(words or [], as_json=json)


@bench.command("cores")
def bench_cores(options: Words = None, json: Json = False) -> None:
    """Env steps per second of every memory, learning and acting, beside the LSTM's.

    Keys: memories=lstm,dnc, steps, rows, in_dim, episode_steps, windows, compile=true|false,
    device.
    """
    from memrl.cli.bench import measure_cores

    measure_cores(options or [], as_json=json)


@bench.command("dnc")
def bench_dnc(options: Words = None, json: Json = False) -> None:
    """The DNC, eager and compiled, against the `dnc` package from PyPI.

    Keys: steps, rows, slots, word_dim, read_heads, hidden_dim, in_dim, windows,
    compile=true|false.
    """
    from memrl.cli.bench import measure_dnc

    measure_dnc(options or [], as_json=json)


@bench.command("sb3")
def bench_sb3(options: Words = None, json: Json = False) -> None:
    """MemoryPPO's speed and storage against RecurrentPPO's, both behind Stable-Baselines3's loop.

    Keys: env, source=tensor|package, memories=lstm, hidden_dim, num, n_steps, batch_size,
    n_epochs, bptt, windows, steps.
    """
    from memrl.cli.bench import measure_sb3

    measure_sb3(options or [], as_json=json)


@bench.command("cartpole")
def bench_cartpole(options: Words = None, json: Json = False) -> None:
    """What MemoryPPO and RecurrentPPO learn on CartPole without velocities; runs for an hour.

    Keys: learners=RecurrentPPO,lstm,dnc,none, seeds, total_steps, episodes, hidden_dim, bptt,
    threads.
    """
    from memrl.cli.bench import measure_cartpole

    measure_cartpole(options or [], as_json=json)


@bench.command("bandit")
def bench_bandit(options: Words = None, json: Json = False) -> None:
    """The regret of a run on probe/Bandit-v0 beside Gittins', Thompson's and UCB1's.

    Keys: run (its directory; needed), trials, seed. Gittins plays trials of at most 200 pulls.
    """
    from memrl.cli.bench import measure_bandit

    measure_bandit(options or [], as_json=json)


@bench.command("parity")
def bench_parity(options: Words = None, json: Json = False) -> None:
    """What MemoryPPO learns beside PPO, RecurrentPPO and MaskablePPO at equal options; hours.

    Keys: file (of runs that are done; needed), tasks, memories=none,lstm,gru, seeds, episodes,
    workers, runs (at most so many new ones; 0 shows the table), picture.
    """
    from memrl.cli.bench import measure_parity

    measure_parity(options or [], as_json=json)


@bench.command("gpu")
def bench_gpu(options: Words = None, json: Json = False) -> None:
    """Environments, collecting, learning and training on a GPU, eager, compiled and captured.

    Keys: env, memories, num=4096,16384, modes=eager,compiled,captured, steps, hidden_dim, minutes,
    device=cuda, precision=float32|bf16, tf32=false, file=gpu.json,
    tests=FOLDER (its tests of CUDA run first).
    """
    from memrl.cli.bench import measure_gpu

    measure_gpu(options or [], as_json=json)


@bench.command("sam")
def bench_sam(options: Words = None, json: Json = False) -> None:
    """Time and memory of learning with SAM, exact and indexed, beside a dense NTM.

    Keys: slots=1024,…, lengths=10,100, memories=ntm,exact,ivf, batch, word_dim, heads,
    neighbours, hidden_dim, repeats, limit_gb (where the dense memory stops), dense_batch.
    """
    from memrl.cli.bench import measure_sam

    measure_sam(options or [], as_json=json)


@bench.command("nec")
def bench_nec(options: Words = None, json: Json = False) -> None:
    """Look-ups of a batch in one of NEC's dictionaries: one by one, all at once, by two indexes.

    Keys: keys, key_dim, queries, neighbours, latent, clusters, probes, repeats, threads.
    """
    from memrl.cli.bench import measure_nec

    measure_nec(options or [], as_json=json)


@bench.command("store")
def bench_store(options: Words = None, json: Json = False) -> None:
    """Look-ups in a dictionary of NEC that several processes share, beside the same in one.

    Keys: keys, key_dim, queries, neighbours, ranks, repeats.
    """
    from memrl.cli.bench import measure_store

    measure_store(options or [], as_json=json)


@bench.command("nec-dqn")
def bench_nec_dqn(options: Words = None, json: Json = False) -> None:
    """What NEC and Stable-Baselines3's DQN earn after 5, 20 and 50 thousand env steps; an hour.

    Keys: file (of runs that are done; needed), tasks, learners=nec,dqn,mfec, seeds, first_seed,
    episodes, picture.
    """
    from memrl.cli.bench import measure_nec_dqn

    measure_nec_dqn(options or [], as_json=json)
