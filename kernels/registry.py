"""Which function runs: ladders, overrides, and the measured default.

    an override by `use`     in a `with` block: for this thread; as a plain call: for the process
    else the precision       where `set_float32_matmul_precision` allows less than float32
    else the measured table  the rung that was fastest at that size and dtype (`crossovers.py`)
    else the plain rung      where Numba cannot run, or no faster rung takes the dtype

What is the default on a GPU stands in `choice_cuda.py`.

`select` sits under every operation of every model, so what it decides is kept in `_plans`: a table
per operation and dtype of (largest number of elements, function). There is such a set of tables for
each level of precision, and changing the level puts another in place: `select` never asks for it.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy import ndarray

from . import choice_cuda, jit, measured
from .attention.rungs import ATTENTION, ATTENTION_BACKWARD
from .checking import KernelError, checked, describe, device_of
from .choice_cuda import PRECISIONS
from .convolution.rungs import CONVOLUTION
from .fused.rungs import FUSED
from .ladder import Operation, Rung
from .matmul.rungs import MATMUL
from .measured import FASTER
from .recurrence.rungs import RECURRENCE

Choice = Rung | Callable[..., Any] | None  # None: the measured default

_operations = {
    o.name: o for o in (MATMUL, ATTENTION, ATTENTION_BACKWARD, *FUSED, *CONVOLUTION, *RECURRENCE)
}


def operations() -> tuple[str, ...]:
    """The names of all operations.

    >>> operations()[:3]
    ('matmul', 'attention', 'attention_backward')
    """
    return tuple(_operations)


def operation(name: str) -> Operation:
    """The record of one operation: its ladder, signature and expected results."""
    try:
        return _operations[name]
    except KeyError:
        raise ValueError(f"no operation {name!r}; there are: {', '.join(_operations)}") from None


def rungs(name: str, device: str = "cpu", precision: str = "float32") -> tuple[Rung, ...]:
    """The ladder of an operation on "cpu" or "cuda", from the textbook formula up.

    >>> [rung.name for rung in rungs("matmul")]
    ['reference', 'numpy', 'naive', 'reordered', 'blocked', 'tile', 'panels', 'parallel']
    >>> [rung.name for rung in rungs("matmul", precision="bfloat16")]
    ['bf16']
    """
    return operation(name).ladder(device, precision)


def get(name: str, rung: str) -> Callable[..., Any]:
    """The function of one rung.

    >>> get("matmul", "reference")([[1, 2]], [[3], [4]])
    array([[11.]])
    """
    return operation(name).rung(rung).function


# --------------------------------------------------------------------------------- overrides

_process: dict[str, Choice] = {}
_scoped: ContextVar[Mapping[str, Choice]] = ContextVar(
    "minigen.kernels.use", default=MappingProxyType({})
)
_blocks = 0  # `with use(...)` blocks that are open, in all threads
_overriding = False  # whether any override is in force; `select` reads it first
_lock = threading.Lock()
_MISSING = object()


class use:
    """Swap kernels in under everything, by rung name or as a function of your own.

    A plain call holds for the whole process until it is changed; `use(matmul=None)` goes back to
    the measured default. As a context manager it holds inside the block, for the thread that runs
    the block, and blocks nest.

    Raises:
        ValueError: no such operation or rung.
        KernelError: the rung cannot run here (the reason is in the message).

    >>> def mine(a, b):
    ...     return np.matmul(a, b)
    >>> with use(matmul=mine):
    ...     why("matmul")
    'matmul: mine, by kernels.use in this block'
    """

    def __init__(self, **choices: str | Callable[..., Any] | None) -> None:
        self._choices = {name: _resolve(name, choice) for name, choice in choices.items()}
        self._tokens: list[Any] = []
        with _lock:
            self._before = {name: _process.get(name, _MISSING) for name in self._choices}
            for name, choice in self._choices.items():
                _set(name, _MISSING if choice is None else choice)
            _count(0)

    def __enter__(self) -> use:
        with _lock:
            if not self._tokens:  # from a choice of the process to one of this block
                for name, choice in self._choices.items():
                    if _process.get(name) is choice:
                        _set(name, self._before[name])
            _count(+1)
        self._tokens.append(_scoped.set({**_scoped.get(), **self._choices}))
        return self

    def __exit__(self, *exception: Any) -> None:
        _scoped.reset(self._tokens.pop())
        with _lock:
            _count(-1)


def overriding() -> bool:
    """Whether any override is in force, in this thread or another."""
    return _overriding


def _count(opened: int) -> None:
    global _blocks, _overriding
    _blocks += opened
    _overriding = bool(_blocks or _process)


def _set(name: str, choice: Any) -> None:
    if choice is _MISSING:
        _process.pop(name, None)
    else:
        _process[name] = choice


def _resolve(name: str, choice: str | Callable[..., Any] | None) -> Choice:
    record = operation(name)
    if choice is None:
        return None
    if isinstance(choice, str):
        rung = record.rung(choice)
        if reason := _problem(rung):
            raise KernelError(f"use({name}={choice!r}): the rung cannot run here: {reason}")
        return rung
    if not callable(choice):
        raise ValueError(
            f"use({name}=...) takes a rung's name, a function or None, got {describe(choice)}"
        )
    return checked(record, choice)


def _override(name: str) -> tuple[Choice, str]:
    """What was asked for by `use`, and where it holds."""
    scoped = _scoped.get()
    if name in scoped:
        return scoped[name], "in this block"
    return _process.get(name), "for this process"


# --------------------------------------------------------------------------------- selection

Plan = list[tuple[float, Callable[..., Any]]]  # (largest size, function), by rising size

# operation -> dtype -> (sized_by, shape_class, {class: plan}); the class "" where there is no
# other; on a GPU (type of array, dtype) in place of the dtype
Tables = dict[str, dict[Any, tuple[int, Any, dict[str, Plan]]]]
_tables: dict[str, Tables] = {level: {name: {} for name in _operations} for level in PRECISIONS}
_level = "highest"
_plans = _tables[_level]


def set_float32_matmul_precision(precision: str) -> None:
    """In how little precision products of float32 matrices may be computed, in this process.

    "highest": float32. "high": on a GPU also three products in TF32, which are as accurate.
    "medium": operands are rounded to bfloat16, sums are made in float32; so in `matmul`, attention
    and convolution, also where they are part of a gradient. On the CPU it is emulated: the numbers
    of a GPU's tensor cores but for the order of sums, at less than the speed of float32.

    Raises:
        ValueError: no such level.
    """
    global _level, _plans
    if precision not in PRECISIONS:
        raise ValueError(
            f"float32 matmul precision is one of {', '.join(PRECISIONS)}; got {precision!r}"
        )
    with _lock:
        _level, _plans = precision, _tables[precision]


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was last told; "highest" at first."""
    return _level


def forget_plans() -> None:
    """Read the table of measured defaults anew."""
    for tables in _tables.values():
        for plans in tables.values():
            plans.clear()


def select(name: str, *arrays: Any) -> Callable[..., Any]:
    """The function that is used for this operation on arrays like these.

    Raises:
        KernelError: no rung takes this dtype on this device.

    >>> select("matmul", np.ones((2, 3)), np.ones((3, 2))) is get("matmul", "numpy")
    True
    """
    first = arrays[0]
    if _overriding or type(first) is not ndarray:
        return _select(name, arrays)
    try:
        sized_by, shape_class, plans = _plans[name][first.dtype]
        plan = plans[shape_class(*arrays) if shape_class else ""]
    except KeyError:
        return _select(name, arrays)
    size = arrays[sized_by].size
    for largest, function in plan:
        if size <= largest:
            return function
    raise AssertionError(f"the plan of {name} does not end")


def _select(name: str, arrays: tuple[Any, ...]) -> Callable[..., Any]:
    """`select`, unhurried: overrides, other devices, and the first call for a dtype."""
    record = operation(name)
    device, dtype = device_of(arrays[0]), np.dtype(getattr(arrays[0], "dtype", object))
    choice, _ = _override(name)
    if isinstance(choice, Rung) and choice.takes(device, dtype):
        if choice.refuses is not None:
            return _guarded(choice, _plain(record, device, dtype))
        return _rounded(choice.function, dtype) if choice.name == "reference" else choice.function
    if choice is not None and not isinstance(choice, Rung):
        return choice
    level = _level
    key = dtype if device == "cpu" else (type(arrays[0]), dtype)
    new: dict[str, Plan] = {}
    known = _tables[level][name].setdefault(key, (record.sized_by, record.shape_class, new))[2]
    kind = record.kind(*arrays)
    if kind not in known:
        plan = _plan if device == "cpu" else _plan_on_gpu
        known[kind] = plan(record, dtype, kind, level)
    size = arrays[record.sized_by].size
    return next(f for largest, f in known[kind] if size <= largest)


def _rounded(reference: Callable[..., Any], dtype: Any) -> Callable[..., Any]:
    """The reference under a model: it computes in float64, its results take the model's dtype."""

    @functools.wraps(reference)
    def rounded(*arrays: Any, **options: Any) -> Any:
        result = reference(*arrays, **options)
        if isinstance(result, tuple):
            return tuple(None if part is None else part.astype(dtype) for part in result)
        return None if result is None else np.asarray(result).astype(dtype)

    return rounded


def _plain(record: Operation, device: str, dtype: Any) -> Rung:
    """The rung that needs nothing but the array library."""
    for rung in reversed(record.rungs):
        if rung.plain and rung.takes(device, dtype):
            return rung
    offered = sorted({f"{d} on {rung.device}" for rung in record.rungs for d in rung.dtypes})
    raise KernelError(f"{record.name} is offered for {', '.join(offered)}; got {dtype} on {device}")


def _plan(record: Operation, dtype: Any, kind: str, level: str) -> Plan:
    plain = _plain(record, "cpu", dtype)
    if rung := _rounding(record, dtype, level):
        return [(sys.maxsize, rung.function)]
    key = f"{dtype} {kind}".strip()
    rows, _ = measured.rows(record.name, key, [rung.name for rung in record.rungs])
    plan: Plan = []
    for largest, fastest, _ in rows:
        rung = record.rung(fastest)
        runs = not (rung.needs_numba and jit.problem())
        plan.append((largest, _loading(rung, plain) if runs else plain.function))
    return plan or [(sys.maxsize, plain.function)]


def _rounding(record: Operation, dtype: Any, level: str) -> Rung | None:
    """The rung on the CPU that computes in bfloat16, where that is asked for."""
    if level != "medium" or str(dtype) != "float32":
        return None
    return next(iter(record.ladder("cpu", "bfloat16")), None)


def _plan_on_gpu(record: Operation, dtype: Any, kind: str, level: str) -> Plan:
    plain = _plain(record, "cuda", dtype)
    rows = choice_cuda.rows(record, dtype, kind, level)
    return [
        (largest, plain.function if rung is None or _problem(rung) else _guarded(rung, plain))
        for largest, rung, _ in rows
    ]


def _problem(rung: Rung) -> str:
    """Why a rung cannot run here, or ""."""
    if rung.device == "cuda":
        return choice_cuda.problem(rung)
    return rung.problem()


def _guarded(rung: Rung, plain: Rung) -> Callable[..., Any]:
    """The rung's function, and the plain rung for what it refuses or if its compiler is broken."""

    @functools.wraps(rung.function, updated=())
    def kernel(*arrays: Any, **options: Any) -> Any:
        if rung.refuses is not None and rung.refuses(*arrays, **options):
            return plain.function(*arrays, **options)
        try:
            return rung.function(*arrays, **options)
        except ImportError as error:
            choice_cuda.note_broken(rung, str(error))
            forget_plans()
            return plain.function(*arrays, **options)

    kernel.prepare = rung.prepare  # type: ignore[attr-defined]
    kernel.prepare_summed = rung.prepare_summed  # type: ignore[attr-defined]
    kernel.takes_bias = rung.takes_bias  # type: ignore[attr-defined]
    return kernel


def _loading(rung: Rung, plain: Rung) -> Callable[..., Any]:
    """The rung's function, with the plain rung in its place should Numba turn out broken."""
    if not isinstance(rung.function, jit.Lazy):
        return rung.function
    lazy = rung.function

    def kernel(*arrays: Any, **options: Any) -> Any:
        try:
            function = lazy.load()
        except ImportError:
            function = plain.function
        known = [by_dtype.values() for tables in _tables.values() for by_dtype in tables.values()]
        for by_dtype in known:  # from now on without this detour
            for _, _, plans in by_dtype:
                for plan in plans.values():
                    plan[:] = [(largest, function if f is kernel else f) for largest, f in plan]
        return function(*arrays, **options)

    return kernel


# --------------------------------------------------------------------------------- reasons


def why(name: str, *arrays: Any, device: str = "") -> str:
    """A sentence: which function is used for these arrays, and for what reason.

    Without arrays it describes the choice for float32 at every size. With `device` "cuda" it says
    what would be used if the arrays were on a GPU.

    >>> why("matmul", np.ones((2, 2), np.int64), np.ones((2, 2), np.int64))
    'matmul: numpy, the only rung for int64'
    """
    record = operation(name)
    choice, where = _override(name)
    device = device or (device_of(arrays[0]) if arrays else "cpu")
    dtype = np.dtype(arrays[0].dtype if arrays else np.float32)
    if choice is not None and not isinstance(choice, Rung):
        return f"{name}: {getattr(choice, '__qualname__', choice)}, by kernels.use {where}"
    prefix = ""
    if choice is not None:
        if choice.takes(device, dtype):
            return f"{name}: {choice.name}, by kernels.use {where}"
        prefix = f" ({choice.name}, asked for by kernels.use, does not take {dtype} on {device})"
    plain = _plain(record, device, dtype)
    if device == "cuda":
        return f"{name}: {choice_cuda.reasons(record, plain, dtype, arrays, _level)}{prefix}"
    if rung := _rounding(record, dtype, _level):
        return f"{name}: {rung.name}, as the precision of float32 products is {_level!r}{prefix}"
    if reasons := _measured_reasons(record, plain, dtype, arrays):
        return f"{name}: {reasons}{prefix}"
    takers = [r for r in record.rungs if r.name != "reference" and r.takes(device, dtype)]
    reason = f"the only rung for {dtype}" if len(takers) == 1 else f"unmeasured for {dtype}"
    return f"{name}: {plain.name}, {reason}{prefix}"


def _measured_reasons(record: Operation, plain: Rung, dtype: Any, arrays: tuple[Any, ...]) -> str:
    """What the table says about these arrays; without arrays, about every size and class."""
    known = [rung.name for rung in record.rungs]
    keys = [record.key(dtype, arrays)] if arrays else measured.keys(record.name, dtype)
    told = []
    for key in keys:
        rows, origin = measured.rows(record.name, key, known)
        if arrays:
            size = arrays[record.sized_by].size
            rows = tuple(row for row in rows if size <= row[0])[:1]
        kind = key.partition(" ")[2]
        text = "; ".join(_reason(record, plain, *row) for row in rows)
        if text:
            label = f"{kind}: " if kind and not arrays else ""
            told.append(f"{label}{text}{f', {origin}' if origin else ''}")
    return "; ".join(told)


def _reason(record: Operation, plain: Rung, largest: float, default: str, speed: float) -> str:
    sizes = f" up to {largest:,} elements" if largest < sys.maxsize else ""
    if record.rung(default).needs_numba:
        if problem := jit.problem():
            return f"{plain.name}{sizes}, because {problem} (else {default})"
        return f"{default}{sizes}, measured {speed:.2g} times as fast as {plain.name}"
    top = record.ladder()[-1].name
    if speed > FASTER:
        return f"{default}{sizes}, where {top} would save too little to wait for its compiler"
    return f"{default}{sizes}, measured {1 / speed:.2g} times as fast as {top}"
