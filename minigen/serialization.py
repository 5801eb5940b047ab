"""Weights in files: safetensors, which hold nothing but arrays (a pickle can run any code).

Files are written under a temporary name and renamed when complete, so that a crash leaves either
the old file or the new one.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import wrap
from minigen.dtypes import DTYPES, as_dtype
from minigen.nested import join, split
from minigen.tensor import Tensor

__all__ = ["load", "load_file", "load_metadata", "save", "save_file"]

PathLike = str | os.PathLike[str]


def save_file(
    tensors: Mapping[str, Any], path: PathLike, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors (or NumPy arrays) by name, as `module.state_dict()` gives them.

    Floats of 16 to 64 bits, integers and booleans are stored as they are, from any device, whatever
    their strides.  Names that share one tensor (tied weights) are all written, so that every reader
    of the format finds every name.

    metadata: text by name, kept in the file's header.
    Raises TypeError for names or metadata that are not text, and for what is no array; OSError if
    the file cannot be written.  An older file of that name is then untouched.

    >>> import minigen, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> save_file({"w": minigen.ones(2)}, folder.name + "/w.safetensors", {"steps": "100"})
    >>> load_file(folder.name + "/w.safetensors")
    {'w': tensor([1., 1.])}
    >>> load_metadata(folder.name + "/w.safetensors")
    {'steps': '100'}
    >>> folder.cleanup()
    """
    from safetensors.numpy import save

    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"save_file: metadata maps text to text, got {key!r}: {value!r}")
    arrays = {name: _storable(name, value) for name, value in tensors.items()}
    content = save(arrays, dict(metadata) if metadata else None)
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # on disk before the name says that it is complete
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _storable(name: Any, value: Any) -> np.ndarray:
    """The array on the CPU, in C order, little-endian."""
    if not isinstance(name, str):
        raise TypeError(f"save_file: the names of tensors are text, got {name!r}")
    array = value.array if isinstance(value, Tensor) else value
    if not hasattr(array, "dtype") or not hasattr(array, "shape"):
        raise TypeError(f"save_file: {name} is no tensor but {type(value).__name__}")
    array = backend.to_device(array, backend.CPU)
    return np.array(array, as_dtype(array.dtype).numpy, order="C", copy=None)


def load_file(path: PathLike) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, on the CPU.

    bfloat16, which NumPy lacks, becomes float32: it is the upper half of its bits.
    Raises FileNotFoundError if there is none, and one ValueError for a file that is truncated,
    corrupt, or holds an element type that minigen does not offer.
    """
    from safetensors import deserialize

    content = Path(path).read_bytes()
    try:
        entries = deserialize(content)
    except Exception as error:  # SafetensorError, or a UnicodeDecodeError of its header
        raise _unreadable(path, error) from None
    return {name: wrap(_array(path, name, entry)) for name, entry in entries}


_TYPES = {
    "F16": "float16", "F32": "float32", "F64": "float64", "I8": "int8", "I16": "int16",
    "I32": "int32", "I64": "int64", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def _array(path: PathLike, name: str, entry: dict[str, Any]) -> np.ndarray:
    """The array of one entry, in memory of its own."""
    if entry["dtype"] == "BF16":
        upper = np.frombuffer(entry["data"], "<u2").astype(np.uint32)
        return (upper << 16).view(np.float32).reshape(entry["shape"])
    if entry["dtype"] not in _TYPES:
        raise ValueError(
            f"{os.fspath(path)}: {name!r} has element type {entry['dtype']}, which is not offered; "
            f"there are {', '.join(_TYPES)} and BF16"
        )
    stored = np.dtype(_TYPES[entry["dtype"]])
    flat = np.frombuffer(entry["data"], stored.newbyteorder("<"))
    return flat.astype(stored).reshape(entry["shape"])


def load_metadata(path: PathLike) -> dict[str, str]:
    """What `save_file` was given as metadata; reads the header alone.  Raises as `load_file`."""
    from safetensors import safe_open

    with open(path, "rb"):  # a missing file is FileNotFoundError, in Python's own words
        pass
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            return dict(file.metadata() or {})
    except Exception as error:
        raise _unreadable(path, error) from None


def _unreadable(path: PathLike, error: Exception) -> ValueError:
    return ValueError(
        f"{os.fspath(path)} is not a complete safetensors file ({error}); "
        "it may be truncated or corrupt"
    )


_TREE = "minigen.tree"  # where the metadata holds what is no tensor


def save(obj: Any, f: PathLike) -> None:
    """Write a state: tensors and plain values, nested in dictionaries, lists and tuples.

    That is what `state_dict()` gives, and dictionaries of several of them.  The file is in the
    safetensors format, whatever its name: the tensors under their keys, joined by dots, all else in
    its header.  Any program that reads safetensors finds the tensors of a model's state.

    Raises TypeError for anything else, such as a module (save its state_dict) or a function, since
    nothing is pickled; OSError if the file cannot be written.

    >>> import minigen, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> save({"model": {"w": minigen.ones(2)}, "epoch": 3}, folder.name + "/checkpoint.pt")
    >>> load(folder.name + "/checkpoint.pt")
    {'model': {'w': tensor([1., 1.])}, 'epoch': 3}
    >>> folder.cleanup()
    """
    if hasattr(obj, "state_dict"):
        raise TypeError(
            f"save: a {type(obj).__name__} is not data, and nothing is pickled; save its "
            "state_dict(), and load_state_dict() what load() gives"
        )
    if not isinstance(f, str | os.PathLike):
        raise TypeError(f"save: expects the path of a file, got {type(f).__name__}")
    tensors: dict[str, Tensor] = {}
    if isinstance(obj, Mapping) and all(isinstance(k, str) and k[:1] != "$" for k in obj):
        tree: Any = {key: split(value, key, tensors) for key, value in obj.items()}
    else:
        tree = split(obj, "value", tensors)
    save_file(tensors, f, {_TREE: json.dumps(tree)})


def load(f: PathLike, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """What `save` wrote; of another safetensors file, its tensors by name.

    map_location: the device on which the tensors shall be, the CPU if None.
    Raises FileNotFoundError if there is no such file; ValueError if it is no complete safetensors
    file, such as one of `torch.save`, which is a pickle; TypeError for weights_only=False, since
    there never is anything but weights and plain values.
    """
    if not weights_only:
        raise TypeError(
            "load: weights_only=False would run whatever code a pickle holds; minigen reads "
            "safetensors only, which hold no code"
        )
    if not isinstance(f, str | os.PathLike):
        raise TypeError(f"load: expects the path of a file, got {type(f).__name__}")
    with open(f, "rb") as file:
        beginning = file.read(4)
    if beginning[:2] == b"PK" or beginning[:1] == b"\x80":
        raise ValueError(
            f"{os.fspath(f)} is a pickle, as torch.save writes it, which minigen does not read: it "
            "may run any code. Write it anew where you trust it: "
            "safetensors.torch.save_file(model.state_dict(), path)"
        )
    place = backend.device("cpu" if map_location is None else map_location)
    tensors = load_file(f)
    if place.type != "cpu":
        tensors = {n: wrap(backend.to_device(t.array, place)) for n, t in tensors.items()}
    tree = load_metadata(f).get(_TREE)
    return tensors if tree is None else join(json.loads(tree), tensors)


assert {np.dtype(name) for name in _TYPES.values()} == set(DTYPES)
