"""The module that takes CuPy's place: its names, its ways to make arrays, its device."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import cupy as real
import numpy as np

from tests.standin import graphs, rules
from tests.standin.array import Device, call, ndarray, traffic, unwrap, wrap


class _Namespace(ModuleType):
    """`cupy`, `cupy.linalg`, ...: a name is there if the real one has it."""

    def __init__(self, name: str, theirs: Any, ours: Any) -> None:
        super().__init__(name)
        self._theirs, self._ours = theirs, ours

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        theirs = getattr(self._theirs, name)  # AttributeError, as CuPy raises it
        if isinstance(theirs, ModuleType):
            return _Namespace(f"cupy.{name}", theirs, getattr(self._ours, name))
        ours = getattr(self._ours, name, None)
        if ours is None and isinstance(theirs, type):
            return theirs  # `RawKernel`, say: it can be made, but not called without a GPU
        if ours is None:
            raise NotImplementedError(f"the stand-in cannot do what cupy.{name} does")
        if isinstance(ours, type) or not callable(ours):
            return ours

        def function(*args: Any, **kwargs: Any) -> Any:
            arrays = isinstance(ours, np.ufunc)
            if arrays:
                out = {"out": (kwargs.pop("out"),)} if kwargs.get("out") is not None else {}
                return ndarray(np.empty(0)).__array_ufunc__(
                    ours, "__call__", *args, **kwargs, **out
                )
            return call(theirs, ours, args, kwargs)

        return function


class CuPy(_Namespace):
    """The stand-in for the module `cupy`."""

    ndarray = ndarray

    def __init__(self) -> None:
        super().__init__("cupy", real, np)
        self.cuda = SimpleNamespace(
            Device=Device,
            is_available=lambda: True,
            get_cublas_handle=lambda: 1,
            nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
            **graphs.cuda_names(),
            runtime=SimpleNamespace(
                CUDARuntimeError=real.cuda.runtime.CUDARuntimeError,
                getDeviceCount=lambda: 1,
                getDevice=lambda: 0,
                getDeviceProperties=lambda number: {"name": b"stand-in", "major": 9, "minor": 0},
            ),
        )

    def asarray(self, a: Any, dtype: Any = None, order: Any = None, **options: Any) -> ndarray:
        """To the GPU: the one function that takes NumPy's arrays."""
        if isinstance(a, ndarray):
            return a if dtype is None else a.astype(dtype, copy=False)
        rules.check_call(real.asarray, (a, dtype, order), options)
        if isinstance(a, list | tuple) and any(isinstance(each, ndarray) for each in a):
            return wrap(np.array(unwrap(a), dtype))
        graphs.refuse_transfer("H2D")
        traffic.uploads += 1
        return ndarray(np.array(a, dtype))

    def array(self, obj: Any, dtype: Any = None, copy: bool = True, **options: Any) -> ndarray:
        made = self.asarray(obj, dtype)
        return made.copy() if copy and made is obj else made

    def asnumpy(self, a: Any, **options: Any) -> np.ndarray:
        return a.get() if isinstance(a, ndarray) else np.asarray(a)

    def get_array_module(self, *arrays: Any) -> Any:
        return self if any(isinstance(a, ndarray) for a in arrays) else np

    def get_default_memory_pool(self) -> SimpleNamespace:
        return SimpleNamespace(free_all_blocks=lambda: None, used_bytes=lambda: 0)
