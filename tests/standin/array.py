"""An array that behaves as `cupy.ndarray` does, with NumPy's memory underneath.

It is no subclass of `numpy.ndarray`. NumPy's functions reach it as they reach CuPy's arrays, by the
protocols `__array_ufunc__` and `__array_function__`, and each call is held against what the real
CuPy offers (`rules.py`). Stricter than CuPy in one respect: what CuPy would copy to the GPU without
being asked, such as a NumPy array used as an index, is refused.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import cupy as real
import numpy as np

from tests.standin import graphs, rules

SCALARS = (bool, int, float, complex, np.generic)
IMPLICIT = "Implicit conversion to a NumPy array is not allowed. Please use `.get()`."


class Synchronised(AssertionError):
    """The program waited for the GPU where it had been said that it does not."""


class Traffic:
    """How often the program waited for the GPU, and sent memory there."""

    def __init__(self) -> None:
        self.synchronisations = self.uploads = 0
        self.forbidden = False

    def synchronise(self, what: str) -> None:
        graphs.refuse_transfer("D2H")
        self.synchronisations += 1
        if self.forbidden:
            raise Synchronised(f"{what} waits for the GPU")

    @contextlib.contextmanager
    def without_synchronisation(self) -> Iterator[None]:
        """A block in which waiting for the GPU raises Synchronised."""
        before, self.forbidden = self.forbidden, True
        try:
            yield
        finally:
            self.forbidden = before


traffic = Traffic()


class Flags:
    """`flags` without `writeable`, which CuPy's arrays lack."""

    def __init__(self, array: ndarray) -> None:
        flags = array._a.flags
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = array.base is None

    def __getitem__(self, name: str) -> bool:
        return getattr(self, name.lower())


class ndarray:
    """The stand-in for `cupy.ndarray`; `_a` is the NumPy array with its values."""

    __slots__ = ("__weakref__", "_a", "_root")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: np.ndarray, root: ndarray | None = None) -> None:
        self._a = values
        self._root = root

    # ------------------------------------------------------------------ what it is made of

    shape = property(lambda self: self._a.shape)
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    nbytes = property(lambda self: self._a.nbytes)
    itemsize = property(lambda self: self._a.itemsize)
    strides = property(lambda self: self._a.strides)
    base = property(lambda self: self._root)
    flags = property(Flags)
    T = property(lambda self: wrap(self._a.T, self))
    mT = property(lambda self: wrap(self._a.mT, self))
    real = property(lambda self: self)
    device = property(lambda self: DEVICE)
    data = property(lambda self: SimpleNamespace(ptr=self._a.__array_interface__["data"][0]))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        found = dict(self._a.__array_interface__)
        return {name: found[name] for name in ("shape", "typestr", "data", "strides")}

    def __len__(self) -> int:
        return len(self._a)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self)))

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo: dict) -> ndarray:
        return self.copy()

    def __getattr__(self, name: str) -> Any:
        """A method of `cupy.ndarray`, checked against its signature at every call."""
        if name.startswith("_") or not hasattr(real.ndarray, name):
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        method = getattr(self._a, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            signature = rules.method_signature(name)
            if signature is not None:
                signature.bind(self, *args, **kwargs)
            if name in rules.SYNCHRONISING:
                traffic.synchronise(f"cupy.ndarray.{name}")
            if name == "diagonal":  # which NumPy hands out read-only, CuPy not
                return wrap(_writable(method(*args, **kwargs), self._a), self)
            return compute(method, args, kwargs, self)

        return call

    # ------------------------------------------------------------------ to the host, which waits

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(IMPLICIT)

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True):
        traffic.synchronise("cupy.ndarray.get()")
        if out is None:
            return np.array(self._a, order=order)  # type: ignore[call-overload]
        out[...] = self._a
        return out

    def item(self) -> Any:
        traffic.synchronise("cupy.ndarray.item()")
        return self._a.item()

    def tolist(self) -> Any:
        traffic.synchronise("cupy.ndarray.tolist()")
        return self._a.tolist()

    def __bool__(self) -> bool:
        traffic.synchronise("bool(cupy.ndarray)")
        return bool(self._a)

    def __float__(self) -> float:
        traffic.synchronise("float(cupy.ndarray)")
        return float(self._a)

    def __int__(self) -> int:
        traffic.synchronise("int(cupy.ndarray)")
        return int(self._a)

    def __repr__(self) -> str:
        traffic.synchronise("repr(cupy.ndarray)")
        return repr(self._a)

    __str__ = __repr__

    def __format__(self, how: str) -> str:
        traffic.synchronise("format(cupy.ndarray)")
        return format(self._a, how)

    # ------------------------------------------------------------------ indexing

    def __getitem__(self, index: Any) -> ndarray:
        _wait_for_masks(index, "cupy.ndarray[mask]")
        place = unwrap(index)
        result = wrap(self._at(place), self)
        graphs.computed(self._at, (place,), {}, result, self._a)
        return result

    def _at(self, place: Any) -> Any:
        return self._a[within(place, self.shape)]

    def __setitem__(self, index: Any, value: Any) -> None:
        _wait_for_masks(index, "cupy.ndarray[mask] = value")
        check_operand(value)
        place, value = unwrap(index), unwrap(value)
        graphs.assigned(self._a, lambda: self._put(place, value))
        self._put(place, value)

    def _put(self, place: Any, value: Any) -> None:
        self._a[within(place, self.shape)] = value

    # ------------------------------------------------------------------ NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if not hasattr(real, ufunc.__name__):
            return NotImplemented
        out = kwargs.pop("out", None)
        if out is not None:
            if len(out) != 1:
                raise ValueError("The 'out' parameter must have exactly one array value")
            if not isinstance(out[0], ndarray):
                raise TypeError("return arrays must be of ArrayType")
            kwargs["out"] = out[0]
        rules.check_ufunc(ufunc, method, kwargs)
        if method == "__call__":
            for value in inputs:
                check_operand(value)
            rules.check_loop(ufunc, inputs, kwargs)
        return compute(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: tuple, kwargs: dict) -> Any:
        try:
            theirs = rules.function_at(function.__module__, function.__name__)
        except AttributeError:
            return NotImplemented
        if theirs is function or not set(types) <= {ndarray, np.ndarray}:
            return NotImplemented
        return call(theirs, function, args, kwargs)


ndarray.__module__ = "cupy"  # as minigen.kernels recognises an array of CuPy's


class Device:
    """The only GPU of the stand-in."""

    def __init__(self, device: int = 0) -> None:
        if int(device) != 0:
            raise real.cuda.runtime.CUDARuntimeError(101)
        self.id = 0

    def use(self) -> None:
        """There is but this one."""

    def synchronize(self) -> None:
        traffic.synchronise("Device.synchronize()")

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *exception: object) -> None:
        """There was nothing to change."""


DEVICE = Device()


def check_operand(value: Any) -> None:
    """TypeError for what CuPy's element-wise functions do not take."""
    if not isinstance(value, (ndarray, *SCALARS)):
        raise TypeError(f"Unsupported type {type(value)}")


def unwrap(value: Any) -> Any:
    """NumPy's arrays of the stand-in's, in nested sequences, too; TypeError for one of NumPy's."""
    if isinstance(value, ndarray):
        return value._a
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}: CuPy would have to copy it to the GPU")
    if isinstance(value, list | tuple) and not isinstance(value, np.generic):
        return type(value)(map(unwrap, value)) if type(value) in (list, tuple) else value
    return value


def within(index: Any, shape: tuple[int, ...]) -> Any:
    """An index as CuPy reads it: what lies outside in an index array comes in again at the other
    end, and nothing tells."""
    found, axis = [], 0
    for part in index if isinstance(index, tuple) else (index,):
        array = isinstance(part, np.ndarray)
        if part is Ellipsis:
            return index
        if array and part.dtype.kind in "iu" and axis < len(shape) and shape[axis]:
            part = part % shape[axis]
        found.append(part)
        axis += 0 if part is None else part.ndim if array and part.dtype == bool else 1
    return tuple(found)


def _wait_for_masks(index: Any, what: str) -> None:
    """A mask as an index: CuPy counts its places first, and waits for their number."""
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, ndarray) and part.dtype == bool:
            traffic.synchronise(what)


def _operands(values: Any) -> Iterator[ndarray]:
    for value in values:
        if isinstance(value, ndarray):
            yield value
        elif isinstance(value, list | tuple):
            yield from _operands(value)


def _owner(array: Any) -> Any:
    while array.base is not None:
        array = array.base
    return array


def _writable(view: np.ndarray, base: np.ndarray) -> np.ndarray:
    view.flags.writeable = base.flags.writeable
    return view


def wrap(result: Any, *operands: ndarray) -> Any:
    """A result as CuPy gives it: an array also of one number, a view that knows its owner."""
    if isinstance(result, np.generic):
        return ndarray(np.asarray(result))
    if isinstance(result, np.ndarray):
        for operand in operands:
            if operand._a is result:
                return operand
        for operand in operands:
            if result.base is not None and _owner(result) is _owner(operand._a):
                return ndarray(result, operand if operand._root is None else operand._root)
        return ndarray(result)
    if isinstance(result, list):
        return [wrap(each, *operands) for each in result]
    if isinstance(result, tuple) and any(isinstance(r, np.ndarray | np.generic) for r in result):
        return tuple(wrap(each, *operands) for each in result)
    return result


def compute(function: Callable, args: tuple, kwargs: dict, *operands: ndarray) -> Any:
    """NumPy's function of the values; without warnings, as a GPU gives none."""
    values = {name: unwrap(value) for name, value in kwargs.items()}
    operands += tuple(_operands([*args, *kwargs.values()]))
    arguments = tuple(map(unwrap, args))
    graphs.before_computing(function, arguments, values)
    with np.errstate(all="ignore"):
        raw = function(*arguments, **values)
    result = wrap(raw, *operands)
    graphs.computed(function, arguments, values, result)
    return result


def call(theirs: Any, ours: Any, args: tuple, kwargs: dict) -> Any:
    """NumPy's function in place of CuPy's, if that can be called so."""
    rules.check_call(theirs, args, kwargs)
    if ours.__name__ in rules.SYNCHRONISING:
        traffic.synchronise(f"cupy.{ours.__name__}")
    if ours is np.take:
        kwargs = {**kwargs, "mode": "wrap"}
    elif ours is np.take_along_axis:
        array, places, axis = inspect.signature(ours).bind(*args, **kwargs).args
        args, kwargs = (array, places % array.shape[axis], axis), {}
    result = compute(ours, args, kwargs)
    if isinstance(result, bool) and ours.__name__ in ("allclose", "array_equal", "array_equiv"):
        return ndarray(np.asarray(result))
    return result


def _binary(name: str, ufunc: np.ufunc, place: str) -> Callable:
    def method(self: ndarray, other: Any) -> Any:
        known = isinstance(other, (ndarray, np.ndarray, *SCALARS))
        if not known and getattr(other, "__array_priority__", 0) > self.__array_priority__:
            return NotImplemented
        pair = (other, self) if place == "r" else (self, other)
        options = {"out": (self,)} if place == "i" else {}
        return self.__array_ufunc__(ufunc, "__call__", *pair, **options)

    method.__name__ = name
    return method


_BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "pow": np.power, "matmul": np.matmul,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "lshift": np.left_shift,
    "rshift": np.right_shift,
}  # fmt: skip
_COMPARISONS = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal,
    "ne": np.not_equal,
}  # fmt: skip
_UNARY = {"neg": np.negative, "abs": np.absolute, "invert": np.invert}

for _name, _ufunc in (_BINARY | _COMPARISONS).items():
    for _place in ("", "r", "i") if _name in _BINARY else ("",):
        _method = f"__{_place}{_name}__"
        if hasattr(real.ndarray, _method):  # there is no `__imatmul__`
            setattr(ndarray, _method, _binary(_method, _ufunc, _place))
for _name, _ufunc in _UNARY.items():

    def _unary(self: ndarray, ufunc: np.ufunc = _ufunc) -> Any:
        return self.__array_ufunc__(ufunc, "__call__", self)

    setattr(ndarray, f"__{_name}__", _unary)
ndarray.__pos__ = lambda self: self.copy()  # type: ignore[attr-defined]
