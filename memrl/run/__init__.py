"""A run and everything it leaves behind: directory, checkpoints, tracking, evaluation, pictures.

What learns is known here only through ``memrl.agent`` and environments only through
``memrl.rollout.env``. How the pieces meet, in a training command::

    directory = RunDirectory.create(path, yaml_text)   # or RunDirectory.open(path) to resume
    checkpoints = Checkpoints(directory.checkpoints, fingerprint=relevant_config)
    resume = checkpoints.last()                        # None before the first checkpoint
    with (
        Tracker(directory, config, tensorboard=True, wandb="offline", resume=resume) as tracker,
        progress_bar(total, resume.experience if resume else 0, style="auto") as progress,
    ):
        fitted = fit(agent, directory, checkpoints, total=total, tracker=tracker,
                     progress=progress, resume=resume)  # raises RunError, Interrupted
        evaluation = evaluate(agent, env, episodes=256, seed=seed)
        write_summary(directory.summary, summarize(about, fitted, evaluation))
        draw_curve(directory.metrics, directory.curve, references={"no memory": 0.5})
        recording = record_episode(agent, one_copy, seed=seed)
        draw_episode(recording, directory.episode)
        draw_memory(recording, directory.memory)
        tracker.finish(episode=directory.episode, checkpoint=fitted.checkpoint)

Files: ``errors`` (sentences for the user), ``directory`` (names and atomic writes), ``checkpoint``
(one file, bit for bit), ``checkpoints`` (which files are kept), ``randomness`` (global generators),
``metrics`` (metrics.csv), ``tracking`` and ``wandb`` (where rows go), ``signals`` and ``loop``
(training), ``progress``, ``statistics`` and ``evaluation`` (estimates with intervals),
``recording`` (one episode), ``figure``, ``curve``, ``episode``, ``slots`` and ``compare``,
``compare_picture`` (pictures), ``machine`` and ``summary`` (summary.json).
"""
