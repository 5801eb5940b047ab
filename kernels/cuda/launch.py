"""One launcher for every CUDA C++ kernel: arguments checked against the source, then run.

    kernel = CudaKernel("matmul/cuda/warp_tile.cu", "multiply", block=256)
    kernel((blocks_x, blocks_y), a, b, c, m, n, k)

CuPy arrays run on the GPU. NumPy arrays run in the emulator, but only where that was asked for with
`emulated()`: it is there to test and to learn, a millionth of a GPU's speed.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..checking import KernelError, describe, device_of
from . import compiler, emulator, source

Array = Any  # numpy.ndarray or cupy.ndarray

ALIGNMENT = 16  # bytes, of an array's start: what vector loads and asynchronous copies need
MOST_BLOCKS_YZ = 65_535  # blocks of a grid along y and z

_run: ContextVar[emulator.Run | None] = ContextVar("minigen.kernels.cuda.emulated", default=None)


@contextlib.contextmanager
def emulated(
    schedule: int = 0, *, early: bool = False, races: bool = True
) -> Iterator[emulator.Run]:
    """A block in which CUDA C++ kernels take NumPy arrays and run in the emulator.

    Args:
        schedule: in which order threads run between two barriers: 0 by rising number, 1 by
            falling, and any other number is the seed of a random order.
        early: cp.async lands at once and wgmma reads its operands only when it is waited for; else
            the other way round. Hardware may do either.
        races: whether it is an error that two threads meet in shared memory, one of them writing,
            with no barrier between.

    Yields:
        What the kernels did: barriers, bytes, bank conflicts.
    """
    run = emulator.Run(schedule, early, races)
    token = _run.set(run)
    try:
        yield run
    finally:
        _run.reset(token)


def empty(like: Array, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
    """An array on the device of `like` that nobody has filled; NaN, or 0x7f bytes, in the emulator,
    so that an element which a kernel forgets to write is seen."""
    if device_of(like) == "cuda":
        import cupy

        return cupy.empty(shape, dtype)
    made = np.empty(shape, dtype)
    made.reshape(-1).view(np.uint8).fill(0xFF)
    return made


@dataclass(frozen=True)
class CudaKernel:
    """One kernel of a source file in one configuration.

    Args:
        file: the source, by its path inside kernels/.
        name: the kernel's, as the source declares it.
        block: threads of a block, (x, y, z) or a number.
        defines: macros that configure the source.
        shared: bytes of dynamic shared memory.
        hopper: whether it needs the instructions of sm_90a, which no other chip has.
    """

    file: str
    name: str
    block: int | tuple[int, ...]
    defines: Mapping[str, int] = field(default_factory=dict, hash=False)
    shared: int = 0
    hopper: bool = False

    @functools.cached_property
    def parameters(self) -> tuple[source.Parameter, ...]:
        """What it takes, read from the source."""
        return source.parameters(source.read(self.file))[self.name]

    def compile(self, arch: str = "sm_90") -> compiler.Compiled:
        """Its machine code; needs no GPU."""
        return compiler.compile_cubin(self.file, "sm_90a" if self.hopper else arch, self.defines)

    @functools.cached_property
    def loaded(self) -> dict[int, Any]:
        """Its machine code on every GPU that it has run on; `gpu.py` keeps it here."""
        return {}

    @functools.cached_property
    def _takes(self) -> tuple[tuple[source.Parameter, Any, range | None], ...]:
        """Of each parameter the dtypes of its array, or None; and the range of a whole number."""
        return tuple(
            (p, frozenset(map(np.dtype, p.dtypes)) if p.pointer else None, _range(p))
            for p in self.parameters
        )

    def __call__(self, grid: tuple[int, ...], *arguments: Any) -> None:
        """Run `grid` (x, y, z) blocks.

        A small model launches hundreds of kernels a step, so what is as it should be is seen
        quickly; what is not is looked at again, to be explained.

        Raises:
            KernelError: an argument is not what the source declares: number, dtype, device, layout
                or alignment; or NumPy arrays outside of `emulated`.
        """
        kind = self._kind(arguments)
        if len(arguments) != len(self._takes):
            raise KernelError(
                f"kernel {self.name} takes {len(self.parameters)} arguments, "
                f"({', '.join(p.name for p in self.parameters)}), but got {len(arguments)}"
            )
        passed = [
            (_number(p, a, limits) if dtypes is None else _array(p, a, dtypes, kind))
            for (p, dtypes, limits), a in zip(self._takes, arguments)
        ]
        for parameter, given, checked in zip(self.parameters, arguments, passed):
            if checked is REFUSED:
                raise KernelError(self._explain(parameter, given, kind))
        size = self._grid(grid)
        if 0 in size:
            return
        if kind is not np.ndarray:
            from . import gpu

            gpu.launch(self, size, passed)
            return
        run = _run.get()
        if run is None:
            raise KernelError(
                f"kernel {self.name} runs on a GPU, and was given arrays on the CPU; "
                "`with minigen.kernels.cuda.emulated():` runs it in the emulator"
            )
        emulator.launch(self, size, passed, run)

    def _kind(self, arguments: tuple[Any, ...]) -> Any:
        """CuPy's arrays or NumPy's: those of the first array."""
        for argument in arguments:
            if getattr(argument, "ndim", 0):
                return type(argument)
        raise KernelError(f"kernel {self.name} was given no array")

    def _grid(self, grid: tuple[int, ...]) -> tuple[int, int, int]:
        x, y, z = (*map(int, grid), 1, 1)[:3]
        if len(grid) > 3 or min(x, y, z) < 0 or x >= 2**31 or max(y, z) > MOST_BLOCKS_YZ:
            raise KernelError(
                f"kernel {self.name}: a grid has up to 3 sizes, the first below 2^31 and the "
                f"others at most {MOST_BLOCKS_YZ}; got {tuple(grid)}"
            )
        return x, y, z

    def _explain(self, parameter: source.Parameter, value: Any, kind: Any) -> str:
        if not parameter.pointer:
            problem = f"must be a number that {parameter.type} can hold"
        elif not hasattr(value, "flags") or isinstance(value, np.generic):
            problem = "is no array"
        elif type(value) is not kind:
            where = "cpu" if kind is np.ndarray else "cuda"
            problem = f"is on another device than the first array, {where}"
        elif str(value.dtype) not in parameter.dtypes:
            problem = f"must be {' or '.join(parameter.dtypes)}"
        elif not value.flags.c_contiguous:
            problem = "must be C-contiguous: a kernel sees memory, not strides"
        elif _address(value) % ALIGNMENT:
            problem = f"must start at a multiple of {ALIGNMENT} bytes"
        else:
            problem = "is written to, but is read-only"
        return f"kernel {self.name}: argument {parameter.name} {problem}; got {describe(value)}"


REFUSED: Any = object()  # in the place of an argument that is not what the source declares


def _range(parameter: source.Parameter) -> range | None:
    if parameter.pointer or not np.issubdtype(parameter.scalar, np.integer):
        return None
    limits = np.iinfo(parameter.scalar)
    return range(int(limits.min), int(limits.max) + 1)


def _number(parameter: source.Parameter, value: Any, limits: range | None) -> Any:
    """The number as the kernel takes it, or REFUSED."""
    if limits is None:
        if type(value) is float:
            return parameter.scalar(value)
    elif type(value) is int:
        return parameter.scalar(value) if value in limits else REFUSED
    try:
        number = parameter.scalar(value)
        if np.ndim(number) or (limits is not None and int(number) != value):
            return REFUSED
    except (OverflowError, TypeError, ValueError):
        return REFUSED
    return number


def _array(parameter: source.Parameter, value: Any, dtypes: frozenset, kind: Any) -> Any:
    """The array, None for a null pointer (the source says which may be), or REFUSED."""
    if type(value) is not kind:
        return None if value is None else REFUSED
    if value.dtype not in dtypes or not value.flags.c_contiguous:
        return REFUSED
    if kind is np.ndarray:
        if value.ctypes.data % ALIGNMENT and value.size:
            return REFUSED
        return value if parameter.const or value.flags.writeable else REFUSED
    return value if value.data.ptr % ALIGNMENT == 0 or not value.size else REFUSED


def _address(array: Array) -> int:
    return int(array.data.ptr) if device_of(array) == "cuda" else int(array.ctypes.data)
