"""Arrays, dtypes, devices, random streams: what minigen needs to know about NumPy and CuPy.

An array on the `cpu` is a `numpy.ndarray`, an array on `cuda` a `cupy.ndarray`. The operations in
`minigen.ops` are written once, with NumPy's functions: CuPy's arrays answer these through
`__array_ufunc__` and `__array_function__`. Only what creates an array out of nothing has to ask for
a device, and asks here. This file is also the only one that reaches into `minigen.kernels`.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

import minigen.kernels as kernels
from minigen.dtypes import DTYPES

Array = Any  # numpy.ndarray or cupy.ndarray


# -------------------------------------------------------------------------------- devices


class device:
    """Where an array lives: `device("cpu")` or `device("cuda")`, `device("cuda:1")`.

    >>> device("cpu") == device("cpu"), device("cuda", 0).index
    (True, 0)
    """

    __slots__ = ("index", "type")

    def __init__(self, name: str | device, index: int | None = None) -> None:
        if isinstance(name, device):
            name, index = name.type, name.index
        kind, _, number = name.partition(":")
        if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
            raise RuntimeError(f"device {name!r} is not offered; choose 'cpu' or 'cuda[:INDEX]'")
        self.type = kind
        self.index = int(number) if number else index

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


def cupy() -> ModuleType:
    """CuPy, imported on first use.  Raises RuntimeError that says which of three things is amiss."""
    try:
        import cupy as module
    except ImportError as error:
        raise RuntimeError(
            "device 'cuda' needs CuPy, which is not installed: pip install 'minigen[cuda]'"
        ) from error
    try:
        count = module.cuda.runtime.getDeviceCount()
    except module.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(
            "CuPy is installed, but no NVIDIA driver answers it "
            f"({error}); install the driver or use device='cpu'"
        ) from error
    if count == 0:
        raise RuntimeError("CuPy and a driver are there, but no GPU; use device='cpu'")
    return module


def array_module(array: Array) -> ModuleType:
    """`numpy` or `cupy`, whichever this array (or `device`) belongs to."""
    if isinstance(array, device):
        return np if array.type == "cpu" else cupy()
    return np if isinstance(array, np.ndarray | np.generic) else cupy()


def device_of(array: Array) -> device:
    return CPU if isinstance(array, np.ndarray) else device("cuda", array.device.id)


def to_device(array: Array, where: device) -> Array:
    """The array on that device; itself if it is there already."""
    if where.type == "cpu":
        return array if isinstance(array, np.ndarray) else array.get()
    module = cupy()
    with module.cuda.Device(where.index or 0):
        return module.asarray(array)


def as_array(value: Any) -> Array:
    """An array, also where NumPy gave back one of its scalars."""
    return (
        value
        if hasattr(value, "flags") and not isinstance(value, np.generic)
        else np.asarray(value)
    )


def ones_like(array: Array) -> Array:
    return np.ones_like(array)


def zeros_like(array: Array) -> Array:
    return np.zeros_like(array)


def cast(array: Array, to: np.dtype) -> Array:
    """The array, or tensor, in that dtype; itself if it has it already."""
    if hasattr(array, "astype"):
        return array.astype(to, copy=False)
    return array.to(DTYPES[to])


def all_finite(value: Any) -> bool:
    """Whether no element is NaN or infinite (what is no float always is finite)."""
    if isinstance(value, float):
        return math.isfinite(value)
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return kind != "f" or bool(np.isfinite(value).all())


def nonfinite_name(array: Array) -> str:
    return "NaN" if bool(np.isnan(array).any()) else "an infinity"


def quiet() -> Any:
    """A context in which 1/0 and log(0) give inf and nan without a warning, as in PyTorch."""
    return np.errstate(all="ignore")


# ---------------------------------------------------------------------------- random streams


class Generator:
    """A seeded stream of random numbers, drawn on the CPU by NumPy's PCG64.

    Both devices see the same numbers. `state` is a plain dictionary (JSON-friendly) that can be
    read and assigned, so that a resumed run draws what the uninterrupted one would have drawn.

    >>> g = Generator().manual_seed(0)
    >>> saved = g.state
    >>> first = g.stream.random()
    >>> g.state = saved
    >>> g.stream.random() == first
    True
    """

    __slots__ = ("_seed", "stream")

    def __init__(self, device: str = "cpu") -> None:
        self.manual_seed(int(np.random.SeedSequence().entropy) & (2**63 - 1))  # type: ignore[arg-type]

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream anew from `seed`; returns the generator itself."""
        self._seed = int(seed)
        self.stream = np.random.Generator(np.random.PCG64(self._seed & (2**64 - 1)))
        return self

    def initial_seed(self) -> int:
        return self._seed

    @property
    def state(self) -> dict:
        return dict(self.stream.bit_generator.state)

    @state.setter
    def state(self, state: dict) -> None:
        self.stream.bit_generator.state = state


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, which every random operation uses that is not given its own."""
    return default_generator.manual_seed(seed)


def initial_seed() -> int:
    return default_generator.initial_seed()


def stream(generator: Generator | None) -> np.random.Generator:
    return (generator or default_generator).stream


# ------------------------------------------------------------------------------- kernels


def kernel(operation: str, *arrays: Array, **options: Any) -> Any:
    """Run the kernel that is chosen for this operation and these arrays."""
    return kernels.select(operation, *arrays)(*arrays, **options)
