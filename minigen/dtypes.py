"""Element types, and how PyTorch combines them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigen.devices import DeviceError, on_gpu


class dtype:
    """An element type, by PyTorch's name.

    >>> float32
    minigen.float32
    >>> float32.is_floating_point, int64.itemsize
    (True, 8)
    """

    __slots__ = ("is_floating_point", "itemsize", "name", "numpy")

    def __init__(self, name: str) -> None:
        self.name = name
        self.numpy = np.dtype(name)
        self.is_floating_point = self.numpy.kind == "f"
        self.itemsize = self.numpy.itemsize

    def __repr__(self) -> str:
        return f"minigen.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name  # where this module keeps it


float16, float32, float64 = dtype("float16"), dtype("float32"), dtype("float64")
int8, int16, int32, int64 = dtype("int8"), dtype("int16"), dtype("int32"), dtype("int64")
uint8, bool_ = dtype("uint8"), dtype("bool")

DTYPES = {d.numpy: d for d in (float16, float32, float64, int8, int16, int32, int64, uint8, bool_)}
_PYTHON = {float: float64, int: int64, bool: bool_}
_default_dtype = float32


def as_dtype(given: Any) -> dtype:
    """The `dtype` that a minigen dtype, a NumPy dtype or Python's float, int or bool names.

    Raises TypeError for element types that minigen does not offer (complex numbers, strings).
    """
    if isinstance(given, dtype):
        return given
    if given in _PYTHON:
        return _PYTHON[given]
    try:
        if given is None:  # which NumPy takes for float64
            raise TypeError
        return DTYPES[np.dtype(given).newbyteorder("=")]
    except (TypeError, KeyError):
        offered = ", ".join(d.name for d in DTYPES.values())
        raise TypeError(f"dtype {given!r} is not offered; choose one of {offered}") from None


def get_default_dtype() -> dtype:
    """The dtype of new floating-point tensors, float32 unless `set_default_dtype` changed it."""
    return _default_dtype


def set_default_dtype(d: dtype) -> None:
    """Make `d` the dtype of new floating-point tensors.  Raises TypeError if it is not floating."""
    global _default_dtype
    chosen = as_dtype(d)
    if not chosen.is_floating_point:
        raise TypeError(f"set_default_dtype: needs a floating-point dtype, got {d}")
    _default_dtype = chosen


def combine(a: np.dtype, b: np.dtype) -> np.dtype:
    """PyTorch's promotion of two dtypes: a float beats every integer, otherwise as NumPy."""
    if (a.kind == "f") != (b.kind == "f"):
        return a if a.kind == "f" else b
    return np.promote_types(a, b)


def result_type(*operands: Any) -> np.dtype:
    """The dtype in which PyTorch would combine these arrays and Python scalars.

    Arrays with dimensions decide; a 0-d array, and after it a Python number, only counts when it is
    of a higher category (bool < integer < float), and a Python number then counts as int64 or as
    the default dtype.  Source: `torch.result_type`.

    >>> result_type(np.ones(3, "float32"), np.float64(2))
    dtype('float32')
    >>> result_type(np.ones(3, "int64"), 2.5)
    dtype('float32')
    """
    ranks: list[np.dtype | None] = [None, None, None]  # with dimensions, 0-d, Python number
    for operand in operands:
        if isinstance(operand, bool):
            rank, own = 2, bool_.numpy
        elif isinstance(operand, int):
            rank, own = 2, int64.numpy
        elif isinstance(operand, float):
            rank, own = 2, _default_dtype.numpy
        elif hasattr(operand, "dtype"):
            rank, own = (0 if operand.ndim else 1), operand.dtype
        else:
            raise TypeError(f"expects tensors or numbers, got {type(operand).__name__}")
        known = ranks[rank]
        ranks[rank] = own if known is None else combine(known, own)
    result: np.dtype | None = None
    for lower in ranks:
        if result is None or lower is None:
            result = result if lower is None else lower
        elif "biuf".index(lower.kind) // 3 > "biuf".index(result.kind) // 3 or result.kind == "b":
            result = combine(result, lower)
    assert result is not None
    return result


NUMBERS: dict[int, dict] = {d.numpy.num: {} for d in (float16, float32, float64)}


def _number(value: Any, d: np.dtype) -> np.ndarray:
    """A Python number as a 0-d array, which NumPy combines faster; the latest are remembered."""
    with np.errstate(all="ignore"):  # 1e300 is infinite in float32, 300 is 44 in uint8
        array = np.asarray(value).astype(d)
    array.flags.writeable = False
    known = NUMBERS.get(d.num)
    if known is not None and value:  # 0.0 and -0.0 would share one key
        if len(known) > 1000:
            known.clear()
        known[value] = array
    return array


def number(value: Any, dtype: np.dtype) -> Any:
    """A Python number as a NumPy scalar of that dtype."""
    return _number(value, dtype)[()]


def promote(operands: Sequence) -> Sequence:
    """The operands, arrays or numbers, as arrays of the dtype they have in common."""
    if len(operands) == 2:
        a, b = operands
        kind = b.__class__
        if kind is float or kind is int:
            known = NUMBERS.get(a.dtype.num) if a.__class__ is np.ndarray else None
            if known is not None:
                number = known.get(b)
                return a, _number(b, a.dtype) if number is None else number
        elif kind is a.__class__ and a.dtype is b.dtype:
            return operands
        elif a.__class__ is float or a.__class__ is int:  # as in 1 - x
            known = NUMBERS.get(b.dtype.num) if b.__class__ is np.ndarray else None
            if known is not None:
                number = known.get(a)
                return _number(a, b.dtype) if number is None else number, b
    return _cast(operands, result_type(*operands))


def promote_beside_gpu(operands: Sequence, common: np.dtype) -> list:
    """Operands one of which is on a GPU: numbers, and tensors of one number on the CPU, go there as
    NumPy scalars, which are arguments of a kernel and no copies.

    Raises DeviceError for a larger array on the CPU.
    """
    found = []
    for value in operands:
        if on_gpu(value):
            found.append(value if value.dtype == common else value.astype(common))
        elif getattr(value, "ndim", 0):
            raise DeviceError(
                "expected all tensors on the same device, found cuda and cpu; "
                "move one with .to(device)"
            )
        else:
            known = hasattr(value, "dtype")
            found.append(value.astype(common)[()] if known else number(value, common))
    return found


def _cast(operands: Sequence, common: np.dtype) -> list:
    if any(map(on_gpu, operands)):
        return promote_beside_gpu(operands, common)
    return [
        _number(v, common)
        if not hasattr(v, "dtype")
        else v
        if v.dtype == common
        else v.astype(common)
        for v in operands
    ]


def promote_to_float(operands: Sequence) -> Sequence:
    """As `promote`; integers and booleans become the default dtype (as in `exp` or `/`)."""
    for operand in operands:
        if hasattr(operand, "dtype") and operand.dtype.kind == "f":
            return promote(operands) if len(operands) > 1 else operands
    common = result_type(*operands)
    return _cast(operands, common if common.kind == "f" else _default_dtype.numpy)


def tensors_only(promote: Callable) -> Callable:
    """The same promotion for operations that take no Python numbers in PyTorch: TypeError then."""

    @functools.wraps(promote)
    def checked(operands: Sequence) -> Sequence:
        for operand in operands:
            if not hasattr(operand, "dtype"):
                raise TypeError(f"expects tensors, got {operand!r}; minigen.tensor makes it one")
        return promote(operands)

    checked.tensors_only = True  # type: ignore[attr-defined]
    return checked


promote_tensors = tensors_only(promote)
