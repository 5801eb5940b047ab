"""Numba, tamed: imported late, compiled once a dtype, cached on disk, announced before it compiles.

A module of Numba kernels decorates them with `jit` and is itself imported only through `Lazy`, so
that `import minigen` does not pay for Numba (0.2 s) and a user of BLAS never does. Kernels are
serial and hold no lock (`nogil`): several Python threads may call the same one at once, a forked
child may too, and `parallel` runs parts of a job on several cores.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# NaN and infinity must come through, so never "nnan" and "ninf" (LLVM may then assume they do not
# occur). What is left lets sums be reordered into vector lanes and a*b+c be one instruction.
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}

NOTICEABLE = 0.5  # seconds of compilation that are worth a line


class Compilation(NamedTuple):
    """A kernel that is about to be compiled; `str()` of it is the line to show."""

    kernel: str
    dtype: str
    seconds: float  # what it took on a 2.9 GHz Zen 3 core
    cached: bool

    def __str__(self) -> str:
        once = "once; cached afterwards" if self.cached else "no folder to cache it in is writable"
        return f"compiling kernel {self.kernel} ({self.dtype}), {once}"


def _announce(compilation: Compilation) -> None:
    if compilation.seconds >= NOTICEABLE:
        print(compilation, file=sys.stderr, flush=True)


on_compile: Callable[[Compilation], None] = _announce


def _hook() -> Callable[[Compilation], None]:
    return sys.modules[__package__].on_compile  # users assign `minigen.kernels.on_compile`


def announce(kernel: str, dtype: str, seconds: float, cached: bool) -> None:
    """Tell the user's hook, or whoever reads stderr, what is compiled now."""
    _hook()(Compilation(kernel, dtype, seconds, cached))


# ------------------------------------------------------------------------ is Numba usable?

_broken = ""  # why importing a Numba module failed


def problem() -> str:
    """Why Numba's rungs cannot run here, or "" if nothing is known against them.

    Does not import Numba: a broken installation shows when a rung is first loaded.
    """
    if _broken:
        return _broken
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "NUMBA_DISABLE_JIT is set"
    if "numba" not in sys.modules and importlib.util.find_spec("numba") is None:
        return "numba is not installed"
    return ""


class Lazy:
    """A function of a module that imports Numba, or else is long: the import waits for the first
    call. `numba` is false for a module that does without it."""

    def __init__(self, module: str, name: str, numba: bool = True) -> None:
        self.module, self.__name__, self.numba = module, name, numba
        self._function: Callable[..., Any] | None = None

    def problem(self) -> str:
        """Why it cannot run here, or "" if nothing is known against it."""
        return problem() if self.numba else ""

    def load(self) -> Callable[..., Any]:
        """The function itself. Raises ImportError, with the reason, if Numba cannot be used."""
        global _broken
        if self._function is None:
            if reason := self.problem():
                raise ImportError(f"kernel {self.__name__} needs Numba, but {reason}")
            try:
                module = importlib.import_module(self.module, __package__)
            except Exception as error:  # a numba that does not fit this numpy raises many things
                numba = isinstance(error, ImportError) or "numba" in repr(error).lower()
                if self.numba and numba:
                    _broken = f"importing numba failed: {error}"
                    raise ImportError(f"kernel {self.__name__}: {_broken}") from error
                raise
            self._function = getattr(module, self.__name__)
        return self._function

    def __call__(self, *arrays: Any, **options: Any) -> Any:
        return self.load()(*arrays, **options)

    def __repr__(self) -> str:
        return f"<kernel {self.__name__} of minigen.kernels{self.module}>"


def kernels_of(function: Callable[..., Any]) -> list[Kernel]:
    """What a rung may have to compile: the kernels of its module, and of those that this has
    functions of."""
    if isinstance(function, Lazy):
        function = function.load()
    found: dict[str, Kernel] = {}
    modules = [function.__module__]
    for module in modules:  # which grows meanwhile
        for value in vars(sys.modules[module]).values():
            if isinstance(value, Kernel):
                found[value.name] = value
            elif isinstance(value, types.FunctionType):
                other = value.__module__
                if other.startswith(f"{__package__}.") and other not in modules:
                    modules.append(other)
    return list(found.values())


# ------------------------------------------------------------------------------- compiling


@functools.cache
def _stamps() -> tuple[tuple[float, int], ...]:
    """When the files of this package were last changed, and their sizes: Numba notices a change of
    the file that holds a kernel, not of the files that it inlines from."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return tuple((s.st_mtime, s.st_size) for s in map(os.stat, files))


def numba_type(text: str, real: Any) -> Any:
    """Numba's type for "boolean", "int64", "T" (the working dtype), "T[:, ::1]", "const T[:]" ...

    "const" arrays are inputs: they may be read-only. A last "::1" asks for C order, ":" takes any
    strides, C order too; so a kernel is compiled once a dtype, not once a layout.
    """
    from numba import types

    element, bracket, dimensions = text.removeprefix("const ").partition("[")
    scalar = real if element == "T" else getattr(types, element)
    if not bracket:
        return scalar
    layout = "C" if "::1" in dimensions else "A"
    readonly = text.startswith("const ")
    return types.Array(scalar, dimensions.count(",") + 1, layout, readonly=readonly)


class Kernel:
    """A function that Numba compiles for the dtype of its first argument when that first comes."""

    def __init__(
        self, function: Callable[..., Any], name: str, types: tuple[str, ...], seconds: float
    ) -> None:
        self.name, self.types, self.seconds = name, types, seconds
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self.python = function
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._lock = threading.Lock()

    def __call__(self, *args: Any) -> Any:
        compiled = self._compiled.get(args[0].dtype)
        return compiled(*args) if compiled else self.compile(args[0].dtype)(*args)

    def ready(self, dtype: Any) -> bool:
        """Whether it is compiled for this dtype, in this process."""
        return np.dtype(dtype) in self._compiled

    def compile(self, dtype: Any) -> Callable[..., Any]:
        """The machine code for this dtype, from the cache on disk if it is there."""
        from numba import from_dtype
        from numba.core import event

        dtype = np.dtype(dtype)
        with self._lock:
            if dtype not in self._compiled:
                dispatcher, cached = self._dispatcher()
                line = Compilation(self.name, str(dtype), self.seconds, cached)
                announce = event.install_listener("numba:compile", _Announcer(dispatcher, line))
                with announce:
                    dispatcher.compile(tuple(numba_type(t, from_dtype(dtype)) for t in self.types))
                dispatcher.disable_compile()
                self._compiled[dtype] = dispatcher
            return self._compiled[dtype]

    def _dispatcher(self) -> tuple[Any, bool]:
        import numba

        options = {"error_model": "numpy", "fastmath": FASTMATH, "nogil": True}
        try:
            dispatcher = numba.njit(cache=True, **options)(self.python)
        except RuntimeError:  # neither the source's folder nor the user's cache can be written
            return numba.njit(**options)(self.python), False
        file: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
        if hasattr(file, "_source_stamp"):
            file._source_stamp = (file._source_stamp, _stamps())
            _load_lightly(dispatcher._cache)
        return dispatcher, True


def _load_lightly(cache: Any) -> None:
    """Let a cache load machine code without all that Numba's compiler knows.

    Numba reads every implementation that it has (and SciPy, for its BLAS, where it is installed)
    before it asks its cache; machine code needs only the counter of references. If the cache has
    none the compiler reads them itself. Without this the second start takes half as long again.
    """
    from numba.core.runtime import rtsys

    def load_overload(signature: Any, context: Any) -> Any:
        rtsys.initialize(context)
        with cache._guard_against_spurious_io_errors():
            return cache._load_overload(signature, context)

    if hasattr(cache, "_load_overload") and hasattr(cache, "_guard_against_spurious_io_errors"):
        cache.load_overload = load_overload


def _Announcer(dispatcher: Any, line: Compilation) -> Any:
    """A Numba event listener that hands `line` to the hook when `dispatcher` really compiles."""
    from numba.core.event import Listener

    class Announcer(Listener):
        def on_start(self, event: Any) -> None:
            if event.data["dispatcher"] is dispatcher:
                _hook()(line)

        def on_end(self, event: Any) -> None:
            pass

    return Announcer()


def jit(name: str, *types: str, seconds: float) -> Callable[[Callable[..., Any]], Kernel]:
    """Compile a function for the argument types given, as `numba_type` reads them.

    Args:
        name: what `on_compile` calls the kernel.
        types: the argument types, one each; the first must be an array of "T".
        seconds: how long compiling took when it was measured, to decide whether to announce it.
    """
    return lambda function: Kernel(function, name, types, seconds)


def device(function: Callable[..., Any]) -> Any:
    """A function that kernels call: compiled into each of them, never on its own."""
    import numba

    return numba.njit(error_model="numpy", fastmath=FASTMATH)(function)


def contiguous(array: Any) -> Any:
    """The array in C order, aligned and in the machine's byte order: itself if it already is."""
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else np.array(array, order="C")
