"""The tensors of a checkpoint: `model.safetensors`, or several files with an index of who has what.

`model.safetensors.index.json` is {"weight_map": {name of tensor: name of file}, "metadata": ...}.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigen.serialization import load_file, save_file

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

Arrays = dict[str, np.ndarray]


def read_json(path: Path) -> dict[str, Any]:
    """Raises FileNotFoundError, and ValueError for a file that holds no JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no JSON object but {type(content).__name__}")
    return content


def read_tensors(folder: Path) -> Arrays:
    """All tensors of a folder by name.

    Raises FileNotFoundError if a file is missing, ValueError if one is corrupt, or does not hold
    what the index says.
    """
    if not (folder / INDEX).exists():
        return _read_file(folder / SINGLE)
    index = read_json(folder / INDEX).get("weight_map")
    if not isinstance(index, dict) or not all(isinstance(file, str) for file in index.values()):
        raise ValueError(f"{folder / INDEX} has no weight_map of files by tensor")
    tensors: Arrays = {}
    for file in sorted(set(index.values())):
        if file != os.path.basename(file) or file in ("", ".", ".."):
            raise ValueError(f"{folder / INDEX} names a file outside of its folder: {file!r}")
        held = _read_file(folder / file)
        promised = {name for name, place in index.items() if place == file}
        if promised != held.keys():
            wrong = ", ".join(sorted(promised ^ held.keys()))
            raise ValueError(f"{folder / file} and {INDEX} disagree on {wrong}")
        tensors |= held
    return tensors


def _read_file(path: Path) -> Arrays:
    return {name: tensor.numpy() for name, tensor in load_file(path).items()}


def write_tensors(folder: Path, tensors: Mapping[str, np.ndarray], shard_bytes: int | None) -> None:
    """Write one file, or, if they have more than `shard_bytes` bytes, several and their index.

    A tensor is never cut: one that is larger has a file to itself.
    """
    shards: list[Arrays] = [{}]
    size = 0
    for name, array in tensors.items():
        if shard_bytes is not None and shards[-1] and size + array.nbytes > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = array
        size += array.nbytes
    note = {"format": "pt"}  # which `transformers` asks for
    if len(shards) == 1:
        save_file(tensors, folder / SINGLE, note)
        (folder / INDEX).unlink(missing_ok=True)  # of an older checkpoint: it would be read first
        return
    index: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, folder / file, note)
        index |= dict.fromkeys(shard, file)
    total = sum(array.nbytes for array in tensors.values())
    write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": index})
    (folder / SINGLE).unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a whole file, or leave what was there."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)
