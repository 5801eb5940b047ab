"""FloatTensor, LongTensor, ...: tensors of one dtype on the CPU, in PyTorch's older notation.

They make tensors, from data or of a size, and can be asked `isinstance(x, minigen.LongTensor)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigen import dtypes
from minigen.autograd import wrap
from minigen.tensor import Tensor

__all__ = [
    "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor",
    "IntTensor", "LongTensor", "ShortTensor",
]  # fmt: skip


class _Typed(type):
    """A class that makes plain tensors of its dtype, and counts them as its instances."""

    dtype: dtypes.dtype

    def __call__(cls, *data: Any) -> Tensor:
        wanted = cls.dtype.numpy
        if len(data) == 1 and not isinstance(data[0], int):
            given = data[0]
            if isinstance(given, Tensor):
                if given.array.dtype != wanted:
                    raise TypeError(
                        f"{cls.__name__}: expected a tensor of {cls.dtype}, got {given.dtype}; "
                        "x.to(dtype) converts"
                    )
                return given.detach()
            return wrap(np.array(given, wanted))
        if not all(isinstance(size, int) and not isinstance(size, bool) for size in data):
            raise TypeError(f"{cls.__name__}: expects sizes or one sequence, got {data!r}")
        return wrap(np.zeros(data or (0,), wanted))

    def __instancecheck__(cls, instance: Any) -> bool:
        return (
            isinstance(instance, Tensor)
            and instance.array.dtype == cls.dtype.numpy
            and not instance.is_cuda
        )

    def __repr__(cls) -> str:
        return f"<class 'minigen.{cls.__name__}'>"


def _typed(name: str, dtype: dtypes.dtype) -> Any:
    doc = f"""Tensors of {dtype.name}: of a size, `{name}(2, 3)`, or of data, `{name}([1, 2])`.

    >>> import minigen
    >>> minigen.{name}(2, 3).dtype, isinstance(minigen.{name}([0, 1]), minigen.{name})
    ({dtype!r}, True)
    """
    return _Typed(name, (), {"dtype": dtype, "__doc__": doc, "__module__": __name__})


HalfTensor = _typed("HalfTensor", dtypes.float16)
FloatTensor = _typed("FloatTensor", dtypes.float32)
DoubleTensor = _typed("DoubleTensor", dtypes.float64)
ByteTensor = _typed("ByteTensor", dtypes.uint8)
CharTensor = _typed("CharTensor", dtypes.int8)
ShortTensor = _typed("ShortTensor", dtypes.int16)
IntTensor = _typed("IntTensor", dtypes.int32)
LongTensor = _typed("LongTensor", dtypes.int64)
BoolTensor = _typed("BoolTensor", dtypes.bool_)
