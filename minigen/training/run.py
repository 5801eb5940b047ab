"""A run folder: settings, log, checkpoints, samples. Whatever is in it is whole at any moment.

    config.json                   settings, the folder's format, minigen's version
    log.jsonl                     a line of JSON for each logged step: losses, metrics, seconds
    checkpoints/last.safetensors  the newest state: to go on from
    checkpoints/best.safetensors  the state with the best metric so far
    samples/                      what the model made, by step
    report.html                   all of it on one page, when the run is done

Files are written under a temporary name and renamed, so that a crash leaves the old one.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigen import Tensor
from minigen.serialization import load_file, load_metadata, save_file
from minigen.training.job import Settings
from minigen.version import __version__

FORMAT = 1  # of the folder; raised when an older minigen could not read what a newer one wrote


class RunError(Exception):
    """Something about a run folder is not as it must be; the message is one line for the user."""


@dataclass(frozen=True)
class Checkpoint:
    """tensors: by name; state: everything else, plain Python values."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]

    @property
    def step(self) -> int:
        return self.state["step"]


class Run:
    """A run folder that exists. Make one with `Run.create` or `Run.open`."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path, self.settings = path, settings

    @classmethod
    def create(cls, path: str | Path, settings: Settings) -> Run:
        """A new folder. Raises RunError if the place is taken or cannot be written."""
        path = Path(path)
        config = {"format": FORMAT, "minigen": __version__, "settings": settings.to_dict()}
        try:
            require_free(path)
            (path / "checkpoints").mkdir(parents=True)
            (path / "samples").mkdir()
            write_file(path / "config.json", json.dumps(config, indent=2) + "\n")
        except OSError as error:
            raise RunError(f"cannot make the run folder {path}: {_reason(error)}") from error
        return cls(path, settings)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Raises RunError if there is no run folder, or one that this minigen cannot read."""
        path = Path(path)
        if not path.is_dir():
            raise RunError(f"there is no run folder {path}")
        try:
            config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{path} is not a run folder: it has no config.json") from None
        except (OSError, ValueError) as error:
            raise RunError(f"{path / 'config.json'} cannot be read: {_reason(error)}") from error
        if not isinstance(config, dict) or "format" not in config:
            raise RunError(f"{path / 'config.json'} is not the configuration of a minigen run")
        if config["format"] != FORMAT:
            raise RunError(
                f"{path} has run format {config['format']}, made by minigen "
                f"{config.get('minigen', '?')}; this minigen {__version__} reads format {FORMAT}"
            )
        try:
            settings = Settings.from_dict(config["settings"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path / 'config.json'} is damaged: {error}") from error
        return cls(path, settings)

    def extend(self, steps: int) -> None:
        """Let the run go on to more steps than it was made for."""
        self._change(steps=steps)

    def move(self, device: str) -> None:
        """Let the run go on on another device; what follows then equals the run that stayed but
        for rounding."""
        self._change(device=device)

    def _change(self, **changes: Any) -> None:
        self.settings = Settings.from_dict({**self.settings.to_dict(), **changes})
        config = {"format": FORMAT, "minigen": __version__, "settings": self.settings.to_dict()}
        write_file(self.path / "config.json", json.dumps(config, indent=2) + "\n")

    @property
    def resume_command(self) -> str:
        return f"minigen train {self.settings.recipe} --resume {shlex.quote(str(self.path))}"

    # ------------------------------------------------------------------ the log

    def log(self, record: Mapping[str, Any]) -> None:
        """Add a line. Numbers are written so that they read back exactly."""
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(record)) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """The lines of the log; one that a crash left incomplete ends it."""
        found: list[dict[str, Any]] = []
        try:
            lines = (self.path / "log.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return found
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        return found

    def rewind_log(self, step: int) -> None:
        """Drop what was logged after `step`: the run goes on from there."""
        kept = [record for record in self.records() if record["step"] <= step]
        write_file(self.path / "log.jsonl", "".join(json.dumps(r) + "\n" for r in kept))

    # ------------------------------------------------------------------ checkpoints

    def checkpoint_path(self, name: str) -> Path:
        return self.path / "checkpoints" / f"{name}.safetensors"

    def save(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any], best: bool) -> None:
        """Write `last`, and if it is the best so far `best`, too."""
        metadata = {
            "format": str(FORMAT),
            "minigen": __version__,
            "state": json.dumps(dict(state)),
            "crc32": f"{_checksum(tensors):08x}",
        }
        last = self.checkpoint_path("last")
        save_file(dict(tensors), last, metadata)
        if best:
            temporary = last.with_name(".best.tmp")
            shutil.copyfile(last, temporary)
            os.replace(temporary, self.checkpoint_path("best"))

    def load(self, name: str = "last") -> Checkpoint:
        """Raises RunError if there is no such checkpoint, or it is damaged."""
        path = self.checkpoint_path(name)
        if not path.is_file():
            raise RunError(f"{self.path} has no checkpoint {path.name}")
        try:
            tensors, metadata = load_file(path), load_metadata(path)
            if f"{_checksum(tensors):08x}" != metadata["crc32"]:
                raise ValueError("its checksum does not match its contents")
            return Checkpoint(tensors, json.loads(metadata["state"]))
        except Exception as error:  # whatever a damaged file may cause in a reader
            what = f"no {error}" if isinstance(error, KeyError) else _reason(error)
            what = what.replace(str(path), "it")
            raise RunError(f"the checkpoint {path} is corrupt: {what}") from error


def require_free(path: Path) -> None:
    """Raise RunError unless nothing is at `path`, or an empty folder."""
    if path.is_dir() and any(path.iterdir()):
        raise RunError(f"{path} exists and is not empty; nothing was written. Choose another --out")
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file, not a folder; nothing was written")


def free_path(path: Path, suffix: str = "") -> Path:
    """`path` + `suffix` if nothing is there, else `path-2`, `path-3`, ... with that suffix."""
    candidate, number = path.with_name(path.name + suffix), 1
    while candidate.exists() and not (candidate.is_dir() and not any(candidate.iterdir())):
        number += 1
        candidate = path.with_name(f"{path.name}-{number}{suffix}")
    return candidate


def write_file(path: Path, content: str | bytes) -> None:
    """Write a whole file, or leave what was there."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(temporary, path)


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    """Of all bytes, by name: safetensors itself would not notice a flipped bit."""
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(name.encode(), crc)
        array = np.ascontiguousarray(tensors[name].detach().numpy())
        crc = zlib.crc32(array.reshape(-1).view(np.uint8).data, crc)
    return crc


def _reason(error: Exception) -> str:
    """The cause in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())
