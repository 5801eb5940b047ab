"""Devices, and how an array gets from one to another."""

from __future__ import annotations

import contextlib
from importlib import metadata
from types import ModuleType
from typing import Any

import numpy as np

from minigen.capturing import constant


class device:
    """Where an array lives: `device("cpu")` or `device("cuda")`, `device("cuda:1")`.

    >>> device("cpu") == device("cpu"), device("cuda", 0).index
    (True, 0)
    """

    __slots__ = ("index", "type")

    def __init__(self, name: str | device, index: int | None = None) -> None:
        if isinstance(name, device):
            index = name.index
        kind, _, number = str(name).partition(":")
        if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
            raise RuntimeError(f"device {name!r} is not offered; choose 'cpu' or 'cuda[:INDEX]'")
        self.type: str = kind
        self.index: int | None = int(number) if number else index

    def __repr__(self) -> str:
        return f"device(type={self.type!r}" + (
            ")" if self.index is None else f", index={self.index})"
        )

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


CPU = device("cpu")


_ready: ModuleType | None = None  # the CuPy that was found to be in order


def cupy() -> ModuleType:
    """CuPy, imported on first use.  DeviceError says which of these is amiss:

    no CuPy; CuPy without a driver, or without a GPU; CuPy without the CUDA libraries it computes
    with, which come with the extra [ctk] of its package.
    """
    global _ready
    try:
        import cupy as module
    except ImportError as error:
        raise DeviceError(
            "device 'cuda' needs CuPy, which is not installed: pip install 'minigen[cuda]'"
        ) from error
    if module is not _ready:
        _check_gpu(module)
        _check_toolkit(module)
        _ready = module
    return module


def _check_gpu(module: Any) -> None:
    try:
        count = module.cuda.runtime.getDeviceCount()
    except module.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(
            "CuPy is installed, but no NVIDIA driver answers it "
            f"({error}); install the driver or use device='cpu'"
        ) from error
    if count == 0:
        raise DeviceError("CuPy and a driver are there, but no GPU; use device='cpu'")


def _check_toolkit(module: Any) -> None:
    """NVRTC compiles CuPy's kernels, cuBLAS multiplies matrices: look for both before the first."""
    for library, look in (
        ("NVRTC", module.cuda.nvrtc.getVersion),
        ("cuBLAS", module.cuda.get_cublas_handle),
    ):
        try:
            look()
        except (ImportError, RuntimeError) as error:  # which of them depends on CuPy's version
            package = _cupy_package()
            raise DeviceError(
                f"CuPy and a GPU are there, but CuPy does not find {library}, a part of the CUDA "
                f"toolkit: pip install '{package}[ctk]' ({' '.join(str(error).split())})"
            ) from error


def _cupy_package() -> str:
    """The name of the package that CuPy was installed from."""
    for version in ("13x", "12x", "11x"):
        name = f"cupy-cuda{version}"
        with contextlib.suppress(metadata.PackageNotFoundError):
            metadata.version(name)
            return name
    return "cupy-cuda13x"


def array_module(array: Any) -> ModuleType:
    """`numpy` or `cupy`, whichever this array (or `device`) belongs to."""
    if isinstance(array, device):
        return np if array.type == "cpu" else cupy()
    if isinstance(array, np.ndarray | np.generic):
        return np
    return array_module(array.stands_for) if hasattr(array, "stands_for") else cupy()


class DeviceError(RuntimeError):
    """Arrays of the CPU and of a GPU where all have to be in one place."""


def on_gpu(value: Any) -> bool:
    """Whether this is an array on a GPU; imports nothing."""
    return type(value).__module__ == "cupy"


def device_of(array: Any) -> device:
    if isinstance(array, np.ndarray):
        return CPU
    if hasattr(array, "stands_for"):  # the shape of an example, in minigen.transforms
        return device_of(array.stands_for)
    return device("cuda", array.device.id)


def to_device(array: Any, where: device) -> Any:
    """The array on that device; itself if it is there already."""
    if where.type == "cpu":
        return array if isinstance(array, np.ndarray) else array.get()
    module = cupy()
    with module.cuda.Device(where.index or 0):
        if isinstance(array, np.ndarray):
            return constant(array, module.asarray)
        return module.asarray(array)


def beside(array: Any, like: Any) -> Any:
    """An array that was computed on the CPU, from shapes say, where `like` is, array or tensor."""
    like = getattr(like, "array", like)
    there = on_gpu(like) and isinstance(array, np.ndarray)
    return constant(array, cupy().asarray) if there else array


def same_place(a: Any, b: Any) -> bool:
    """Whether two arrays of one device are the same numbers in the same memory.

    >>> x = np.zeros((2, 3))
    >>> same_place(x[:, 1:], x[:, 1:]), same_place(x[:, 1:], x[:, :2])
    (True, False)
    """
    alike = a.shape == b.shape and a.strides == b.strides and a.dtype == b.dtype
    return alike and _address(a) == _address(b)


def _address(array: Any) -> int:
    """Where an array's memory begins."""
    return array.data.ptr if on_gpu(array) else array.ctypes.data


def owner(array: Any) -> Any:
    """Who owns the memory that an array looks at, perhaps through other arrays."""
    while (base := getattr(array, "base", None)) is not None:
        array = base
    return array
