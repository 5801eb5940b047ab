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
    made.view(np.uint8).fill(0xFF)
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

    def __call__(self, grid: tuple[int, ...], *arguments: Any) -> None:
        """Run `grid` (x, y, z) blocks.

        Raises:
            KernelError: an argument is not what the source declares: number, dtype, device, layout
                or alignment; or NumPy arrays outside of `emulated`.
        """
        device = self._device(arguments)
        passed = self._checked(arguments, device)
        size = self._grid(grid)
        if 0 in size:
            return
        if device == "cuda":
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

    def _device(self, arguments: tuple[Any, ...]) -> str:
        for argument in arguments:
            if getattr(argument, "ndim", 0):
                return device_of(argument)
        raise KernelError(f"kernel {self.name} was given no array")

    def _grid(self, grid: tuple[int, ...]) -> tuple[int, int, int]:
        x, y, z = (*map(int, grid), 1, 1)[:3]
        if len(grid) > 3 or min(x, y, z) < 0 or x >= 2**31 or max(y, z) > MOST_BLOCKS_YZ:
            raise KernelError(
                f"kernel {self.name}: a grid has up to 3 sizes, the first below 2^31 and the "
                f"others at most {MOST_BLOCKS_YZ}; got {tuple(grid)}"
            )
        return x, y, z

    def _checked(self, arguments: tuple[Any, ...], device: str) -> list[Any]:
        if len(arguments) != len(self.parameters):
            raise KernelError(
                f"kernel {self.name} takes {len(self.parameters)} arguments, "
                f"({', '.join(p.name for p in self.parameters)}), but got {len(arguments)}"
            )
        return [
            self._array(p, a, device) if p.pointer else self._number(p, a)
            for p, a in zip(self.parameters, arguments)
        ]

    def _number(self, parameter: source.Parameter, value: Any) -> Any:
        whole = np.issubdtype(parameter.scalar, np.integer)
        try:
            number = parameter.scalar(value)
            fits = np.ndim(number) == 0 and (not whole or int(number) == value)
        except (OverflowError, TypeError, ValueError):
            fits = False
        if not fits:
            raise KernelError(
                f"kernel {self.name}: argument {parameter.name} must be a number that "
                f"{parameter.type} can hold; got {describe(value)}"
            )
        return number

    def _array(self, parameter: source.Parameter, value: Any, device: str) -> Any:
        if value is None:
            return None  # a null pointer: the source says which may be
        problem = ""
        if not hasattr(value, "flags") or isinstance(value, np.generic):
            problem = "is no array"
        elif device_of(value) != device:
            problem = f"is on another device than the first array, {device}"
        elif str(value.dtype) not in parameter.dtypes:
            problem = f"must be {' or '.join(parameter.dtypes)}"
        elif not value.flags.c_contiguous:
            problem = "must be C-contiguous: a kernel sees memory, not strides"
        elif value.size and _address(value) % ALIGNMENT:
            problem = f"must start at a multiple of {ALIGNMENT} bytes"
        elif not parameter.const and not getattr(value.flags, "writeable", True):
            problem = "is written to, but is read-only"
        if problem:
            raise KernelError(
                f"kernel {self.name}: argument {parameter.name} {problem}; got {describe(value)}"
            )
        return value


def _address(array: Array) -> int:
    return int(array.data.ptr) if device_of(array) == "cuda" else int(array.ctypes.data)
