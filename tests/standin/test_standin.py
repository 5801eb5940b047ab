"""The stand-in refuses what CuPy refuses, and takes what CuPy takes.

The real CuPy is asked: its arrays can be made over the memory of a NumPy array without any GPU, and
a call on them gets as far as to look for one, or is refused before that.
"""

from __future__ import annotations

import ast
import functools
import inspect
from pathlib import Path
from typing import Any

import cupy as real
import numpy as np
import pytest

import minigen
from minigen import cuda
from tests.standin import rules
from tests.standin.install import Synchronised, installed, ndarray, traffic


def on_host(values: np.ndarray) -> Any:
    """A real array of CuPy's; without a GPU, one that only looks like it."""
    if cuda.is_available():
        return real.asarray(values)
    memory = real.cuda.UnownedMemory(values.ctypes.data, max(values.nbytes, 1), values, 0)
    pointer = real.cuda.MemoryPointer(memory, 0)
    return real.ndarray(values.shape, values.dtype, pointer, strides=values.strides)


def names(make: Any) -> dict[str, Any]:
    """x, y float64 (2, 3); b booleans like them; i int64 (2,); s a number."""
    numbers = np.arange(6.0).reshape(2, 3)
    return {
        "np": np, "x": make(numbers), "y": make(numbers + 1), "b": make(numbers > 2),
        "i": make(np.array([0, 1])), "s": make(np.array(2.0)), "n": make(np.array(1)),
    }  # fmt: skip


REFUSALS = (TypeError, NotImplementedError, AttributeError, ValueError, IndexError)


def refused(expression: str, scope: dict[str, Any]) -> bool:
    """Whether it is, rather than computed, or begun for want of a GPU in vain."""
    try:
        eval(expression, scope)
    except real.cuda.runtime.CUDARuntimeError:
        return False
    except REFUSALS:
        return True
    except (ImportError, RuntimeError):  # the CUDA libraries are looked for
        return False
    return False


SAME = """
np.exp(x) | np.exp(x, out=y) | np.add(x, y, y) | np.exp(x, order="C")
np.exp(x, subok=False) | np.add(x, 1.0, dtype=np.float32) | np.add.reduce(x) | np.add.reduce(x, 1)
np.add.reduce(x, where=b) | np.add.reduce(x, initial=1) | np.maximum.reduce(x)
np.minimum.reduce(x)
np.logical_and.reduce(b) | np.multiply.reduce(x, keepdims=True) | np.maximum.accumulate(x)
np.add.accumulate(x) | np.multiply.at(x, i, 1.0) | np.logaddexp.reduce(x) | np.add.outer(x, y)
np.sum(x) | np.sum(x, axis=1, keepdims=True) | np.sum(x, where=b) | np.mean(x, where=b)
np.max(x, initial=0) | x.max(initial=0) | x.sum(where=b) | x.max(1, keepdims=True) | x.clip(min=0)
np.clip(x, 0, 1) | np.clip(x, min=0) | np.block([x, y]) | np.insert(x, 0, y)
np.asarray(x) | np.ascontiguousarray(x) | np.asarray(x, like=x) | np.arange(3, like=x)
np.ascontiguousarray(x, like=x) | np.zeros(3, like=x) | np.eye(3, like=x) | np.take(x, i, 1)
np.take(x, i, mode="clip") | np.where(b, x, 0.0) | np.concatenate([x, y]) | np.stack([x, y], 1)
np.concatenate([x, y], axis=0, dtype=np.float32) | np.argsort(x, kind="stable")
x.argsort(stable=True)
np.empty_like(x, shape=(2,), order="C") | np.zeros_like(x, device="cpu") | np.full_like(x, 2.0)
np.take_along_axis(x, i[:, None], 1) | np.put_along_axis(x, i[:, None], 2.0, 1) | np.diff(x)
np.lib.stride_tricks.as_strided(x, (2,), (8,))
np.lib.stride_tricks.sliding_window_view(x, 2, axis=1)
np.linalg.norm(x) | np.linalg.cond(x) | np.copyto(x, y, where=b) | np.fill_diagonal(x, 1.0)
np.searchsorted(s, x) | np.bincount(i, minlength=3) | np.nan_to_num(x) | np.isneginf(x) | np.modf(x)
np.frexp(x) | np.divmod(x, y) | np.flip(x, 1) | np.roll(x, 1, 0) | np.moveaxis(x, 0, 1) | np.size(x)
np.ndim(x) | np.shape(x) | np.result_type(x, 1.0) | np.broadcast_to(x, (4, 2, 3)) | np.unique(x)
np.unwrap(x) | np.polyfit(x, y, 1) | np.nditer(x) | np.einsum("ij->i", x) | np.tensordot(x, y)
x.item(0) | x.flags.writeable | x.ctypes | x.resize(3) | x.__array_interface__ | x.mT | x.T | x.base
x.astype(np.float32, copy=False) | x.astype(np.float32, order="C") | x.copy("C") | x.get()
x.device.id
x.diagonal() | x.swapaxes(0, 1) | x.reshape(3, 2) | x.reshape((6,), order="C") | x.ravel()
x.fill(1.0)
x.view(np.int64) | x[0] | x[:, None] | x[..., 1:] | x[i] | x[b] | x[[0, 1]] | x[s] | [1, 2][n]
range(3)[n]
x @ y.T | x + 1 | 1 + x | x + y | x < 1 | -x | x ** 2 | x // 2 | 2.0 * x | np.float32(2) * x
abs(x)
hash(x) | len(x) | list(x) | np.shares_memory(x, y) | x.choose([x]) | x.tolist(1) | x.argmax(axis=1)
""".replace("\n", " | ").split(" | ")
SAME = [each.strip() for each in SAME if each.strip()]


@pytest.mark.parametrize("expression", SAME)
def test_it_refuses_what_cupy_refuses(expression: str) -> None:
    ours = refused(expression, names(lambda values: ndarray(values.copy())))
    assert ours == refused(expression, names(on_host)), "refused" if ours else "accepted"


# What the real one refuses only after it has found a GPU, or copies to it without being asked.
STRICTER = [
    "x + np.ones(3)", "np.ones(3) + x", "x * np.array(2.0)", "np.add(x, np.ones(3))",
    "x < [1, 2, 3]", "np.where(np.ones((2, 3), bool), x, 0.0)", "np.take(x, np.array([0]))",
    "x[np.array([0])]",
    "np.concatenate([x, np.ones((2, 3))])", "x.__setitem__(0, np.ones(3))", "x + None",
    "np.add(x, y, out=np.ones((2, 3)))", "np.exp(x, out=np.ones((2, 3)))", "np.add(b, b) - b",
    "np.vecdot(x, y)",
]  # fmt: skip


@pytest.mark.parametrize("expression", STRICTER)
def test_it_refuses_what_is_on_the_cpu(expression: str) -> None:
    with pytest.raises(TypeError):
        eval(expression, names(lambda values: ndarray(values.copy())))


def test_results_of_one_number_stay_arrays() -> None:
    x = ndarray(np.arange(6.0).reshape(2, 3))
    for number in (
        x.sum(),
        np.sum(x),
        x[0, 0],
        np.add.reduce(x, None),
        x.max(),
        np.dot(x[0], x[1]),
    ):
        assert type(number) is ndarray
        assert number.shape == ()


def test_views_know_whose_memory_they_show() -> None:
    x = ndarray(np.arange(6.0).reshape(2, 3))
    for view in (x[0], x.T, x.reshape(3, 2), x.T[1:], x.diagonal(), np.broadcast_to(x, (2, 2, 3))):
        assert view.base is x
    assert (x + 1).base is None
    assert x.astype(np.float64, copy=False) is x
    x.diagonal()[...] = 9
    assert x.get()[1, 1] == 9


@pytest.mark.parametrize(
    "wait",
    ["float(s)", "int(s)", "bool(s)", "s.item()", "x.get()", "x.tolist()", "repr(x)", "x[b]",
     "np.nonzero(x)", "np.unique(x)", "np.bincount(i)", "f'{s}'", "x.nonzero()"],
)  # fmt: skip
def test_waiting_for_the_gpu_is_noticed(wait: str) -> None:
    scope = names(lambda values: ndarray(values.copy()))
    before = traffic.synchronisations
    eval(wait, scope)
    assert traffic.synchronisations > before
    with traffic.without_synchronisation(), pytest.raises(Synchronised):
        eval(wait, scope)


def test_what_does_not_wait() -> None:
    scope = names(lambda values: ndarray(values.copy()))
    with traffic.without_synchronisation():
        for each in (
            "x + s", "np.where(b, x, 0.0)", "x[i]", "x.__setitem__(i, 0.0)", "x.sum()",
            "np.take(x, i, 1)", "np.exp(x, out=y)", "np.copyto(x, y, where=b)",
        ):  # fmt: skip
            eval(each, scope)


def test_the_ways_to_call_a_ufunc() -> None:
    """CuPy's are compiled: each is asked, and says so if it lacks one."""
    x = on_host(np.arange(6).reshape(2, 3))
    arguments = {"reduce": (x,), "accumulate": (x,), "reduceat": (x, [0]), "at": (x, 0, 1)}
    ufuncs = [n for n in dir(real) if isinstance(getattr(real, n), real.ufunc)]
    for method, having in rules.UFUNC_METHODS.items():
        for name in ufuncs:
            if isinstance(getattr(np, name, None), np.ufunc) and getattr(np, name).nin == 2:
                try:
                    getattr(getattr(real, name), method)(*arguments[method])
                    lacks = False
                except NotImplementedError:
                    lacks = True
                except Exception:
                    lacks = False
                assert lacks == (getattr(np, name).__name__ not in having), (method, name)


def test_tensors_live_there() -> None:
    with installed():
        x = minigen.tensor([1.0, 2.0], device="cuda", requires_grad=True)
        assert x.is_cuda
        assert str(x.device) == "cuda:0"
        (x * x + 1).sum().backward()
        assert x.grad.is_cuda
        assert x.grad.cpu().tolist() == [2.0, 4.0]
        assert repr(x.detach()) == "tensor([1., 2.], device='cuda:0')"
        two = minigen.tensor(2.0)  # one number of the CPU goes with any tensor, as in PyTorch
        assert (x * two).is_cuda
        with pytest.raises(RuntimeError, match="same device"):
            x + minigen.ones(2)
    assert not minigen.cuda.is_available() or cuda.device_count() > 0


# ------------------------------------------------------------------ the names in the source

# Functions of NumPy that are given no array of a GPU where they are used, and why.
ON_THE_CPU = {
    "errstate": "a state of this thread", "seterr": "a state of this thread",
    "ndindex": "counts on the CPU", "array": "makes arrays on the CPU",
    "frombuffer": "a file's bytes",
    "shares_memory": "of NumPy's arrays alone", "may_share_memory": "of NumPy's arrays alone",
    "seed": "random numbers are drawn on the CPU",
}  # fmt: skip
FOLDERS = ("ops", "optim", "nn", "models", "distributions")


def attribute(node: ast.AST) -> str:
    """`linalg.qr` for np.linalg.qr."""
    if isinstance(node, ast.Attribute):
        inner = attribute(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return "np" if isinstance(node, ast.Name) and node.id == "np" else ""


def called() -> dict[str, set[str]]:
    """Every function of NumPy that is named in the operations, and where."""
    root = Path(minigen.__file__).parent
    found: dict[str, set[str]] = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                name = (
                    attribute(node).removeprefix("np.") if isinstance(node, ast.Attribute) else ""
                )
                if name:
                    found.setdefault(name, set()).add(f"{folder}/{path.name}")
    return found


def test_every_function_of_numpy_exists_in_cupy() -> None:
    missing = {}
    for name, places in called().items():
        first = name.partition(".")[0]
        ours = functools.reduce(getattr, name.split("."), np)
        kept = first in ON_THE_CPU or first == "random" or not callable(ours)
        if kept or inspect.isclass(ours) or hasattr(np.ufunc, name.rpartition(".")[2]):
            continue
        try:
            functools.reduce(getattr, name.split("."), real)
        except AttributeError:
            missing[name] = places
    assert missing == {}


def test_no_method_of_a_ufunc_that_cupy_lacks() -> None:
    for name, places in called().items():
        ufunc, _, method = name.rpartition(".")
        if method in rules.UFUNC_METHODS and isinstance(getattr(np, ufunc, None), np.ufunc):
            assert ufunc in rules.UFUNC_METHODS[method], places
