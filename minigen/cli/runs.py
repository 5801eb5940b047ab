"""`minigen train | sample | evaluate | compare`: the commands about runs, with their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minigen.cli.explained import UsageError, explained, new_app
from minigen.cli.options import (
    Checkpoint,
    Device,
    Folder,
    OwnPlace,
    Precision,
    Seed,
    Show,
    Which,
)

app = new_app()


@explained(app.command)
def train(
    model: Annotated[str, typer.Argument(help="What to train, one of minigen models.")],
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many updates; with --resume, a later end.",
            show_default="the model's own",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Examples in each update.", show_default="the model's own"),
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate.", show_default="the model's own")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Where the random numbers start.", show_default="0"),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="bf16: matrix products of operands rounded to bfloat16, all else in float32. "
            "Meant for GPUs; on the CPU it is emulated.",
            show_default="fp32",
        ),
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A setting that only this model has, once for each; minigen models NAME lists "
            "them.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="A new or empty folder.", show_default="runs/MODEL"),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with this run, bit for bit.")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Seconds, not minutes: to see that it works.")
    ] = False,
    frames: Annotated[
        int,
        typer.Option(
            min=0, help="Pictures in RUN/samples/training.gif, which shows how it learns; 0: none."
        ),
    ] = 0,
    device: Annotated[
        Device | None,
        typer.Option(
            help="Where to compute; auto takes a GPU if there is one.",
            show_default="cpu; with --resume, as before",
        ),
    ] = None,
    eager: Annotated[
        bool,
        typer.Option(
            "--eager",
            help="On a GPU, launch every kernel of every step from Python, in place of replaying "
            "a CUDA graph: the same numbers, later.",
        ),
    ] = False,
) -> None:
    """Train a model on data that came with the installation.

    Settings, log, checkpoints, samples and at the end a report go into the run folder. An existing
    run is never overwritten.

    [cyan]minigen train vae --set latent=2 --steps 1000[/cyan]
    """
    from minigen.cli.keywords import keyword
    from minigen.cli.train import resume_training, start_training

    how = {"frames": frames, "eager": eager}
    if resume is not None:
        fixed = {
            "--batch-size": batch_size, "--lr": lr, "--seed": seed, "--precision": precision,
            "--set": set, "--out": out,
        }  # fmt: skip
        given = [name for name, value in fixed.items() if value is not None]
        if given or fast:
            raise UsageError(
                f"{given[0] if given else '--fast'} cannot be given together with --resume: a run "
                "keeps the settings it began with"
            )
        resume_training(model, resume, steps, device and str(device), **how)
    else:
        changes = {
            "steps": steps, "batch_size": batch_size, "lr": lr, "seed": seed,
            "precision": precision and str(precision), "device": device and str(device),
        }  # fmt: skip
        start_training(model, out, fast, changes, dict(map(keyword, set or ())), **how)


@explained(app.command)
def sample(
    run: Folder,
    n: Annotated[
        int | None,
        typer.Option(
            "--n",
            "-n",
            min=1,
            help="How many images, numbers, or characters.",
            show_default="64 or 500; for series, as many as were held out",
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Text, waves: below 1 likelier, above 1 bolder.",
            show_default="0.8, answers 0, waves 1",
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="Text, waves: choose among so many.", show_default="all"),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Text, waves: choose among the likeliest that have p.",
            show_default="1",
        ),
    ] = None,
    repetition_penalty: Annotated[
        float | None,
        typer.Option(help="Text: above 1 avoids what was there already.", show_default="1"),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Text: how it begins; or the caption of a picture.")
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="Text: end before this; once for each.")
    ] = None,
    seed: Seed = 0,
    checkpoint: Which = Checkpoint.last,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A new file; for points and series, .csv for numbers or .png for a picture.",
            show_default="text to the screen, pictures into RUN/samples",
        ),
    ] = None,
    show: Annotated[
        list[Show] | None,
        typer.Option(
            help="With it, a picture in RUN/samples: attention, where the model looks; "
            "probabilities, how likely it finds each character."
        ),
    ] = None,
    device: OwnPlace = None,
) -> None:
    """Let a trained model make images or numbers, or write text. The same seed makes the same."""
    from minigen.cli.sample import sample_run

    text = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "prompt": prompt,
        "stop": stop or None,
    }
    sample_run(
        run, n, text, seed, str(checkpoint), out, device and str(device), list(map(str, show or ()))
    )


@explained(app.command)
def evaluate(run: Folder, checkpoint: Which = Checkpoint.last, device: OwnPlace = None) -> None:
    """Measure a trained model on held-out data, beside what the figures compare with."""
    from minigen.cli.evaluate import evaluate_run

    evaluate_run(run, str(checkpoint), device and str(device))


@explained(app.command)
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Folders of runs.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A new file.", show_default="comparison.html"),
    ] = None,
) -> None:
    """Put runs side by side: the settings that differ, the results, and their curves overlaid.

    [cyan]minigen compare runs/vae runs/vae-2[/cyan]
    """
    from minigen.cli.compare import compare_runs

    compare_runs(runs, out)
