"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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
