"""What a kernel sees as `cuda`, `math`, `max` and so on while it is simulated."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from .lanes import Lanes, mixed
from .memory import Local, as_dtype, poison
from .report import SimulationError
from .traffic import WARP

Array = Any


class Cuda:
    """`numba.cuda` inside a kernel, for the threads of one `Lanes`."""

    warpsize = WARP

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        block = lanes.block
        width, height, _ = block.size
        x, y = lanes.threads % width, lanes.threads // width % height
        self.threadIdx = _xyz((x, y, lanes.threads // (width * height)), block.size)
        self.blockIdx = SimpleNamespace(**dict(zip("xyz", block.index)))
        self.blockDim = SimpleNamespace(**dict(zip("xyz", block.size)))
        self.gridDim = SimpleNamespace(**dict(zip("xyz", block.grid)))
        self.laneid = lanes.threads % WARP
        self.shared = SimpleNamespace(array=self._shared_array)
        self.local = SimpleNamespace(array=self._local_array)
        self.atomic = SimpleNamespace(
            add=self._atomic(lambda old, value: old + value),
            max=self._atomic(max),
            min=self._atomic(min),
        )

    def __getattr__(self, name: str) -> Any:
        if name == "syncthreads":
            raise SimulationError("cuda.syncthreads() must be a statement of its own")
        known = [n for n in (*vars(self), *dir(type(self))) if not n.startswith("_")]
        raise SimulationError(
            f"cuda.{name} is not simulated; there are: {', '.join(sorted(known))}, syncthreads"
        )

    def grid(self, dimensions: int) -> Any:
        """The thread's place in the whole grid."""
        places = tuple(
            getattr(self.blockIdx, axis) * getattr(self.blockDim, axis)
            + getattr(self.threadIdx, axis)
            for axis in "xyz"[:dimensions]
        )
        return places[0] if dimensions == 1 else places

    def gridsize(self, dimensions: int) -> Any:
        """How many threads the grid has along each dimension."""
        sizes = tuple(g * b for g, b in zip(self._lanes.block.grid, self._lanes.block.size))
        return sizes[0] if dimensions == 1 else sizes[:dimensions]

    def _shared_array(self, shape: Any, dtype: Any, _site: str, _name: str) -> Any:
        return self._lanes.block.shared(_site, _name, _shape(shape), as_dtype(dtype))

    def _local_array(self, shape: Any, dtype: Any, _site: str, _name: str) -> Any:
        return Local(_name, self._lanes, _shape(shape), as_dtype(dtype))

    def _atomic(self, combine: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
        return lambda array, index, value: array.atomic(self._lanes, index, value, combine)

    def syncwarp(self, mask: int = 2**32 - 1) -> None:
        """Orders what the threads of a warp did before it and do after it."""
        self._lanes.phase += 1

    def shfl_sync(self, mask: int, value: Any, source: Any) -> Any:
        """The value of lane `source` of the warp."""
        return self._shuffle("shfl_sync", mask, value, np.asarray(source) % WARP)

    def shfl_xor_sync(self, mask: int, value: Any, bits: Any) -> Any:
        """The value of the lane whose number differs in these bits."""
        return self._shuffle("shfl_xor_sync", mask, value, self.laneid ^ bits)

    def shfl_down_sync(self, mask: int, value: Any, distance: Any) -> Any:
        """The value of the lane so far above; the own one where there is none."""
        source = self.laneid + distance
        return self._shuffle(
            "shfl_down_sync", mask, value, np.where(source < WARP, source, self.laneid)
        )

    def shfl_up_sync(self, mask: int, value: Any, distance: Any) -> Any:
        """The value of the lane so far below; the own one where there is none."""
        source = self.laneid - distance
        return self._shuffle(
            "shfl_up_sync", mask, value, np.where(source >= 0, source, self.laneid)
        )

    def _shuffle(self, name: str, mask: int, value: Any, source: Array) -> Any:
        """Each active lane's value of lane `source` of its warp, which must take part too."""
        lanes = self._lanes
        active = lanes.everybody if lanes.mask is None else lanes.mask
        named = (int(mask) >> self.laneid) & 1 == 1
        first = int(lanes.threads[0])
        place = lanes.threads // WARP * WARP + source - first
        there = (place >= 0) & (place < lanes.count)
        place = np.where(there, place, 0)
        missing = named & ~active & np.isin(lanes.threads // WARP, lanes.warps)
        undefined = active & ~(there & active[place] & named[place])
        if missing.any():
            self._complain(f"{name} names this thread, which does not take part in it", missing)
        elif undefined.any():
            self._complain(f"{name} reads a lane that does not take part in it", undefined)
        values = np.broadcast_to(np.asarray(value), (lanes.count,))
        return np.where(undefined, poison((), values.dtype), values[place])

    def _complain(self, message: str, wrong: Array) -> None:
        lanes = self._lanes
        thread = int(lanes.threads[wrong.argmax()])
        lanes.block.find("shuffle", message, thread, lanes.line, count=int(wrong.sum()))


def _xyz(places: tuple[Array, ...], size: tuple[int, int, int]) -> Any:
    """x, y and z of every thread: plain 0 where the block has no such dimension."""
    return SimpleNamespace(**{a: p if n > 1 else 0 for a, p, n in zip("xyz", places, size)})


def _shape(shape: Any) -> tuple[int, ...]:
    return tuple(map(int, shape)) if isinstance(shape, tuple) else (int(shape),)


# ------------------------------------------------------------------------- numbers


def _erf(x: Any) -> Any:
    kind = np.float32 if getattr(x, "dtype", None) == np.float32 else np.float64
    return np.vectorize(math.erf, otypes=[kind])(x)[()]


def _float_of(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A ufunc that takes float32 to float32, and what is not an array of floats to float64."""

    def of(x: Any) -> Any:
        return function(
            x if getattr(x, "dtype", None) in (np.float32, np.float64) else np.float64(x)
        )

    return of


_UFUNCS = (
    "exp", "expm1", "log", "log1p", "log2", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh",
    "isnan", "isinf",
)  # fmt: skip


def mathematics() -> Any:
    """`math` for vectors; float32 stays float32, as in Numba."""
    names: dict[str, Any] = {name: _float_of(getattr(np, name)) for name in _UFUNCS}
    names.update(
        erf=_erf,
        fabs=np.abs,
        pow=np.power,
        floor=lambda x: as_integer(np.floor(x)),
        ceil=lambda x: as_integer(np.ceil(x)),
        inf=np.float64(math.inf),
        nan=np.float64(math.nan),
        pi=np.float64(math.pi),
        e=np.float64(math.e),
    )
    return SimpleNamespace(**names)


def as_integer(x: Any) -> Any:
    """`int(x)`: towards zero."""
    return x.astype(np.int64) if isinstance(x, np.ndarray) else int(x)


def _extreme(better: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def extreme(first: Any, *others: Any) -> Any:
        for other in others:
            wins = better(other, first)
            if isinstance(wins, np.ndarray):
                first = mixed(wins, other, first)
            else:
                first = other if wins else first
        return first

    return extreme


BUILTINS = {
    "max": _extreme(lambda a, b: a > b),
    "min": _extreme(lambda a, b: a < b),
    "int": as_integer,
    "float": lambda x: np.float64(x),
    "bool": lambda x: x.astype(bool) if isinstance(x, np.ndarray) else bool(x),
    "math": mathematics(),
}


class NumbaNames:
    """The module `numba` inside a kernel: its number types, which are NumPy's here."""

    def __getattr__(self, name: str) -> Any:
        return np.dtype(name.rstrip("_")).type


def number_type(value: Any) -> Any:
    """NumPy's scalar type for one of Numba's, None for anything else."""
    if not type(value).__module__.startswith(("numba", "numba_cuda")):
        return None
    try:
        return np.dtype(str(value)).type
    except TypeError:
        return None
