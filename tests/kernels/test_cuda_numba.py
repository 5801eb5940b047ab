"""Numba's CUDA rungs without a GPU: in minigen's simulator, in Numba's own, and compiled to PTX."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from minigen.kernels import numba_cuda, ptx
from minigen.kernels.simulator import Report, SimulationError, simulate
from numba import cuda

from minigen import kernels

UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}
SCHEDULES = ("lock-step", "forward", "reverse", "random")
MATMULS = [rung.name for rung in kernels.rungs("matmul", "cuda") if rung.needs_numba]

# ------------------------------------------------------------------ a GPU that is none


class Module:
    """What the launch wrappers ask of CuPy, by NumPy; new memory is full of NaN."""

    ascontiguousarray = staticmethod(np.ascontiguousarray)
    broadcast_to = staticmethod(np.broadcast_to)
    ones, zeros = staticmethod(np.ones), staticmethod(np.zeros)

    @staticmethod
    def empty(shape: Any, dtype: Any) -> np.ndarray:
        return np.full(shape, np.nan, dtype)


class Gpu:
    """Launches, simulated in the schedule given; each one's report is kept and must be clean."""

    def __init__(self) -> None:
        self.schedule = "lock-step"
        self.reports: list[Report] = []

    def launch(self, kernel: Any, grid: tuple, threads: tuple, *arguments: Any) -> None:
        report = simulate(kernel, self.schedule, seed=len(self.reports))[grid, threads](*arguments)
        self.reports.append(report.check())


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """NumPy arrays in the place of CuPy's, and the simulator in that of a GPU."""
    simulated = Gpu()
    monkeypatch.setattr(numba_cuda, "launch", simulated.launch)
    monkeypatch.setattr(numba_cuda, "array_module", lambda array: Module)
    monkeypatch.setattr(numba_cuda, "device_of", lambda array: "cuda")
    monkeypatch.setattr(numba_cuda, "problem", lambda: "")
    return simulated


def same_in_every_schedule(gpu: Gpu, compute: Callable[[], Any]) -> Any:
    """The result, which must be the same bit for bit whatever thread comes first."""
    results = []
    for gpu.schedule in SCHEDULES:
        results.append(compute())
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    return results[0]


# ------------------------------------------------------------------ matmul

# ragged, m = 1, k = 1, n = 1, whole tiles, k = 0
SHAPES = [(33, 17, 40), (1, 20, 5), (18, 1, 3), (7, 9, 1), (16, 32, 16), (130, 9, 131), (3, 0, 2)]


def matmul_within_bounds(rung: str, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    bound = (a.shape[-1] + 1) * UNIT[a.dtype.name] * np.matmul(abs(a), abs(b))
    assert c.dtype == a.dtype
    expected = kernels.get("matmul", "reference")(a, b)
    assert c.shape == expected.shape
    assert (abs(c - expected) <= bound).all()


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("rung", MATMULS)
def test_matmul(rung: str, dtype: str, gpu: Gpu, rng: np.random.Generator) -> None:
    for m, k, n in SHAPES:
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        matmul_within_bounds(rung, a, b, kernels.get("matmul", rung)(a, b))


@pytest.mark.parametrize("rung", MATMULS)
def test_matmul_is_the_same_in_every_schedule(rung: str, gpu: Gpu, rng) -> None:
    a = rng.standard_normal((18, 17)).astype(np.float32)
    b = rng.standard_normal((17, 20)).astype(np.float32)
    c = same_in_every_schedule(gpu, lambda: kernels.get("matmul", rung)(a, b))
    matmul_within_bounds(rung, a, b, c)


@pytest.mark.parametrize("rung", MATMULS)
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((2, 3, 4, 5), (2, 3, 5, 6)),
        ((3, 4, 5), (5, 6)),
        ((4, 5), (3, 5, 6)),
        ((2, 1, 4, 5), (3, 5, 6)),
        ((5,), (5, 6)),
        ((4, 5), (5,)),
        ((5,), (5,)),
        ((2, 4, 5), (5,)),
        ((0, 4, 5), (0, 5, 6)),
        ((4, 5), (5, 0)),
    ],
    ids=str,
)
def test_matmul_of_batches_and_vectors(rung, left, right, gpu: Gpu, rng) -> None:
    a = rng.standard_normal(left).astype(np.float32)
    b = rng.standard_normal(right).astype(np.float32)
    c = kernels.get("matmul", rung)(a, b)
    np.testing.assert_allclose(c, np.matmul(a, b), rtol=1e-5, atol=1e-6)
    assert c.shape == np.matmul(a, b).shape


def test_a_large_batch_takes_several_launches(gpu: Gpu, monkeypatch, rng) -> None:
    monkeypatch.setattr(numba_cuda, "MOST_BLOCKS", (2**31 - 1, 65535, 2))
    a, b = rng.standard_normal((5, 3, 4)), rng.standard_normal((5, 4, 2))
    np.testing.assert_allclose(kernels.get("matmul", "cuda_shared")(a, b), a @ b)
    assert [report.grid[2] for report in gpu.reports] == [2, 2, 1]


def test_strided_operands_are_put_in_order(gpu: Gpu, rng) -> None:
    a, b = rng.standard_normal((6, 4)).T, rng.standard_normal((6, 10))[:, ::2]
    np.testing.assert_allclose(kernels.get("matmul", "cuda_coalesced")(a, b), a @ b)


def test_traffic_of_the_rungs(gpu: Gpu) -> None:
    """What each rung's file says that it moves."""
    n = 64
    a = np.ones((n, n), np.float32)
    reports = {}
    for rung in MATMULS:
        kernels.get("matmul", rung)(a, a)
        reports[rung] = gpu.reports[-1]
    naive, coalesced, shared, registers = reports.values()
    assert naive.global_reads == coalesced.global_reads == 2 * n**3
    # A warp of the naive kernel is two columns of 16 rows: 16 sectors of A, a row apart.
    assert naive.sectors("a") == 16
    assert naive.sectors("c") == 16
    assert coalesced.sectors("a") == 1
    assert coalesced.sectors("b") == coalesced.sectors("c") == 4
    tile = 16
    assert shared.global_reads == 2 * n**3 // tile
    assert shared.shared_writes == 2 * n**3 // tile
    assert shared.shared_reads == 2 * n**3
    assert registers.shared_reads == (128 * 128 * n // 64) * 16  # 16 numbers for 64 multiply-adds
    for report in (shared, registers):
        assert report.wavefronts() == 1  # no bank conflicts
        assert report.global_writes == n * n


# ------------------------------------------------------------------ attention


def attention_within_bounds(q, k, v, causal: bool, scale: float | None, result: Any) -> None:
    out, logsumexp = kernels.get("attention", "reference")(q, k, v, None, causal, scale)
    scores = np.einsum("...ie,...je->...ij", abs(q), abs(k)) * (scale or 1) if k.size else 0
    size = (k.shape[-2] + 16) * UNIT[q.dtype.name] * (1 + np.max(scores, initial=0))
    assert result[0].dtype == result[1].dtype == q.dtype
    assert result[0].shape == out.shape
    assert (abs(result[0] - out) <= size * np.max(abs(v), initial=0)).all()
    np.testing.assert_allclose(result[1], logsumexp, rtol=0, atol=size)


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("queries", "keys", "features", "width"),
    [(35, 35, 6, 6), (33, 20, 3, 5), (1, 18, 32, 32), (20, 1, 17, 33)],
)
def test_attention(queries, keys, features, width, causal, dtype, gpu: Gpu, rng) -> None:
    q = rng.standard_normal((2, queries, features)).astype(dtype)
    k = rng.standard_normal((2, keys, features)).astype(dtype)
    v = rng.standard_normal((2, keys, width)).astype(dtype)
    result = kernels.get("attention", "cuda_online")(q, k, v, is_causal=causal)
    attention_within_bounds(q, k, v, causal, None, result)


def test_attention_of_the_longest_heads_broadcast_and_scaled(gpu: Gpu, rng) -> None:
    q = rng.standard_normal((2, 2, 9, 128)).astype(np.float32)
    k, v = (rng.standard_normal((2, 1, 5, 128)).astype(np.float32) for _ in range(2))
    result = kernels.get("attention", "cuda_online")(q, k, v, scale=0.05)
    attention_within_bounds(q, k, v, False, 0.05, result)


def test_attention_is_the_same_in_every_schedule(gpu: Gpu, rng) -> None:
    q, k, v = (rng.standard_normal((1, 34, 6)).astype(np.float32) for _ in range(3))
    attend = kernels.get("attention", "cuda_online")
    out = same_in_every_schedule(gpu, lambda: attend(q, k, v, is_causal=True)[0])
    np.testing.assert_allclose(
        out, kernels.get("attention", "numpy")(q, k, v, is_causal=True)[0], rtol=1e-4, atol=1e-5
    )


def test_attention_to_no_key_and_to_nan(gpu: Gpu) -> None:
    attend = kernels.get("attention", "cuda_online")
    q, none = np.ones((1, 2, 4), np.float32), np.ones((1, 0, 4), np.float32)
    out, logsumexp = attend(q, none, none)
    assert (out == 0).all()
    assert (logsumexp == -np.inf).all()
    assert not gpu.reports  # nothing to launch
    out, _ = attend(q * np.nan, q, q)
    assert np.isnan(out).all()


def test_attention_says_what_it_lacks(gpu: Gpu) -> None:
    attend = kernels.get("attention", "cuda_online")
    q = np.ones((1, 2, 65))
    with pytest.raises(kernels.KernelError, match="neither mask nor dropout"):
        attend(q, q, q, mask=np.ones((2, 2), bool))
    with pytest.raises(kernels.KernelError, match="65 features; shared memory has room for 64"):
        attend(q, q, q)


# ------------------------------------------------------------------ reductions


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("shape", [(3, 5), (2, 256), (1, 300), (4, 1), (0, 3), (3, 0)])
def test_softmax(shape, dtype, gpu: Gpu, rng) -> None:
    x = (10 * rng.standard_normal(shape)).astype(dtype)
    y = same_in_every_schedule(gpu, lambda: kernels.get("softmax", "cuda_tree")(x))
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    if x.size:
        expected = kernels.get("softmax", "reference")(x)
        largest = 1 + abs(x).max(axis=1, keepdims=True)
        bound = (x.shape[1] / 256 + 16) * UNIT[dtype] * largest * expected
        assert (abs(y - expected) <= bound + np.finfo(dtype).tiny).all()


@pytest.mark.parametrize("dtype", UNIT)
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("shape", [(3, 5), (9, 32), (1, 100), (8, 1), (0, 3)])
def test_layer_norm(shape, affine, dtype, gpu: Gpu, rng) -> None:
    x = (3 + rng.standard_normal(shape)).astype(dtype)
    weight, bias = rng.standard_normal((2, shape[1])).astype(dtype) if affine else (None, None)
    names = ("y", "mean", "rstd")
    results: dict[str, Any] = {}
    for index, name in enumerate(names):
        normalise = kernels.get("layer_norm", "cuda_warp")
        results[name] = same_in_every_schedule(gpu, lambda: normalise(x, weight, bias, 1e-5)[index])  # noqa: B023
    expected = kernels.get("layer_norm", "reference")(x, weight, bias, 1e-5)
    for name, value in zip(names, expected):
        assert (results[name].dtype, results[name].shape) == (x.dtype, value.shape)
    tolerance = 100 * UNIT[dtype] * (1 + (abs(expected[1]) * expected[2]).max(initial=0))
    for name, value in zip(names, expected):
        scale = 1 + abs(value).max(initial=0)
        np.testing.assert_allclose(results[name], value, rtol=0, atol=tolerance * scale)


# ------------------------------------------------------------------ what is refused


def test_numpy_arrays_are_refused() -> None:
    a = np.ones((2, 2), np.float32)
    rungs = [r for o in kernels.operations() for r in kernels.rungs(o, "cuda") if r.needs_numba]
    assert len(rungs) >= 7
    for rung in rungs:
        assert isinstance(rung.function, numba_cuda.LazyCuda)
        module = importlib.import_module(rung.function.module, "minigen.kernels")
        function = getattr(module, rung.function.__name__)
        arguments = [a] * (4 if "layer_norm" in function.__name__ else 3)
        count = {"matmul": 2, "softmax": 1}.get(function.__name__.split("_")[0], len(arguments))
        with pytest.raises(TypeError, match=r"takes CuPy arrays, got float32\(2, 2\); copy"):
            function(*arguments[:count])


def test_mixed_dtypes_are_refused(gpu: Gpu) -> None:
    with pytest.raises(TypeError, match=r"all float32 or all float64, got float32\(2,\), float64"):
        kernels.get("matmul", "cuda_naive")(np.ones(2, np.float32), np.ones(2))


def test_the_reason_why_they_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_cuda, "problem", lambda: "there is no NVIDIA GPU")
    with pytest.raises(kernels.KernelError, match="cannot run here: there is no NVIDIA GPU"):
        kernels.use(matmul="cuda_shared")
    with pytest.raises(ImportError, match="naive cannot run here: there is no NVIDIA GPU"):
        numba_cuda.LazyCuda(".matmul.cuda_naive", "matmul_cuda_naive")()


def test_the_reasons_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def cupy(count: Callable[[], int]) -> Any:
        runtime = SimpleNamespace(getDeviceCount=count)
        return SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))

    def no_driver() -> int:
        raise RuntimeError("cudaErrorInsufficientDriver")

    for module, reason in [
        (cupy(lambda: 1), ""),
        (cupy(lambda: 0), "there is no NVIDIA GPU"),
        (cupy(no_driver), r"no NVIDIA driver answers CuPy \(cudaErrorInsufficientDriver\)"),
        (None, "importing CuPy failed"),
    ]:
        monkeypatch.setitem(sys.modules, "cupy", module)
        monkeypatch.setattr(numba_cuda, "_problem", None)
        assert re.match(f"{reason}$" if module else reason, numba_cuda.problem())


def test_a_launch_neither_synchronises_nor_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Numba is asked for, by a Numba and a CuPy that only listen."""
    launched: list = []

    class Kernel:
        def __getitem__(self, configuration: tuple) -> Any:
            warnings.warn("Grid size 1 will likely result in GPU under-utilization", stacklevel=1)
            return lambda *arguments: launched.append((configuration, arguments))

    array = SimpleNamespace(__cuda_array_interface__={}, device=SimpleNamespace(id=3))
    stream = SimpleNamespace(ptr=77)
    listening = SimpleNamespace(
        as_cuda_array=lambda x, sync: ("view of", x, sync),
        gpus={3: contextlib.nullcontext()},
        external_stream=lambda pointer: f"stream {pointer}",
    )
    cupy = SimpleNamespace(cuda=SimpleNamespace(get_current_stream=lambda: stream))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(numba_cuda, "_cuda", lambda: listening)
    numba_cuda.launch(Kernel(), (1,), (32,), array, 0.5)
    stream.ptr = 0
    numba_cuda.launch(Kernel(), (1,), (32,), array, 0.5)
    view = ("view of", array, False)
    assert launched == [(((1,), (32,), q), (view, 0.5)) for q in ("stream 77", 0)]
    with pytest.raises(ValueError, match="65536 blocks along y are too many; a GPU takes 65535"):
        numba_cuda.launch(Kernel(), (1, 65536), (32,), array)


# ------------------------------------------------------------------ bugs planted in the rungs

# file, what is replaced by what, what finds it: a kind of finding, or "values"
MUTANTS = [
    ("matmul.cuda_naive", "j < c.shape[2]", "j <= c.shape[2]", "out of bounds"),
    ("matmul.cuda_naive", "c.dtype.type(0)", "0.0", "float64"),
    ("matmul.cuda_coalesced", "if i < c.shape[1] and ", "if ", "out of bounds"),
    ("matmul.cuda_shared", "else zero\n        cuda.syncthreads()", "else zero", "race"),
    ("matmul.cuda_shared", "x]\n        cuda.syncthreads()", "x]", "race"),
    ("matmul.cuda_shared", "and j < n else", "else", "out of bounds"),
    ("matmul.cuda_shared", "b_tile[k, x]", "b_tile[x, k]", "values"),
    ("matmul.cuda_registers", "row[v]\n        cuda.syncthreads()", "row[v]", "race"),
    ("matmul.cuda_registers", "[k, ty + u * SIDE]", "[k, ty + u * EACH]", "values"),
    ("matmul.cuda_registers", "range(FETCHES)", "range(FETCHES - 1)", "unset"),
    ("attention.cuda_online", "* v_tile[row, d]\n", "* v_tile[d, row]\n", "values"),
    ("attention.cuda_online", "total * rescale + weight", "total + weight", "values"),
    ("attention.cuda_online", "j <= i or", "j < i or", "values"),
    ("attention.cuda_online", "else zero\n            cuda.syncthreads()", "else zero", "race"),
    ("fused.cuda_softmax", "    cuda.syncthreads()  # everyone", "    # everyone", "race"),
    ("fused.cuda_softmax", "half])\n        cuda.syncthreads()", "half])", "race"),
    ("fused.cuda_softmax", "+= tree[thread + half]", "+= tree[half]", "values"),
    (
        "fused.cuda_softmax",
        "half])\n        cuda.syncthreads()",
        "half])\n            cuda.syncthreads()",
        "divergence",
    ),
    ("fused.cuda_layer_norm", "LANES // 2", "LANES // 4", "values"),
    (
        "fused.cuda_layer_norm",
        "if row >= x.shape[0]",
        "if row >= x.shape[0] or lane > 16",
        "shuffle",
    ),
    ("fused.cuda_layer_norm", "if row >= x.shape[0]", "if row > x.shape[0]", "out of bounds"),
]


def run_rung(file: str, module: Any, rng: np.random.Generator) -> bool:
    """Run the rung on an example with edges; whether the values are right."""
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    if file.startswith("matmul"):
        a, b = draw(33, 21), draw(21, 35)
        kernel = next(v for n, v in vars(module).items() if n.startswith("matmul_cuda"))
        return np.allclose(kernel(a, b), a @ b, rtol=1e-4, atol=1e-4)
    if file.startswith("attention"):
        q, k, v = (draw(1, 37, 5) for _ in range(3))
        result = module.attention_cuda_online(q, k, v, is_causal=True)
        expected = kernels.get("attention", "reference")(q, k, v, is_causal=True)
        return all(np.allclose(x, y, rtol=1e-4, atol=1e-4) for x, y in zip(result, expected))
    x = draw(3, 300)
    if file.endswith("softmax"):
        return np.allclose(module.softmax_cuda_tree(x), kernels.get("softmax", "reference")(x))
    result = module.layer_norm_cuda_warp(x, None, None, 1e-5)
    expected = kernels.get("layer_norm", "reference")(x, None, None, 1e-5)
    return all(np.allclose(x, y, rtol=1e-4, atol=1e-4) for x, y in zip(result, expected))


@pytest.mark.parametrize(
    ("file", "right", "wrong", "found_by"), MUTANTS, ids=[f"{m[0]}-{m[3]}-{m[2]}" for m in MUTANTS]
)
def test_bugs_planted_in_the_rungs(file, right, wrong, found_by, gpu: Gpu, tmp_path, rng) -> None:
    original = importlib.import_module(f"minigen.kernels.{file}")
    source = Path(original.__file__).read_text(encoding="utf-8")
    assert right in source
    path = tmp_path / f"{file.split('.')[-1]}.py"
    path.write_text(source.replace(right, wrong, 1), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"minigen.kernels.{file}_mutant", path)
    mutant = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mutant)
    assert run_rung(file, original, np.random.default_rng(5))
    if found_by == "values":
        assert not run_rung(file, mutant, rng)
        return
    with pytest.raises(SimulationError) as error:
        run_rung(file, mutant, rng)
    assert f"{found_by}: line" in str(error.value)


# ------------------------------------------------------------------ in Numba's own simulator

IN_NUMBAS_SIMULATOR = """
import importlib, json, sys
import numpy as np
from minigen import kernels
from minigen.kernels import numba_cuda

class Module:
    ascontiguousarray, ones, zeros = np.ascontiguousarray, np.ones, np.zeros
    broadcast_to = lambda array, shape: np.broadcast_to(array, shape).copy()
    empty = lambda shape, dtype: np.full(shape, np.nan, dtype)

def launch(kernel, grid, threads, *arguments):
    kernel[grid, threads](*arguments)

numba_cuda.launch, numba_cuda.device_of = launch, lambda array: "cuda"
numba_cuda.array_module, numba_cuda.problem = lambda array: Module, lambda: ""
rng = np.random.default_rng(0)
draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
errors = {}

def error(name, rung, *arguments, **options):
    results = kernels.get(name, rung)(*arguments, **options)
    expected = kernels.get(name, "reference")(*arguments, **options)
    if not isinstance(results, tuple):
        results, expected = (results,), (expected,)
    errors[name + " " + rung] = max(float(abs(r - e).max()) for r, e in zip(results, expected))

for rung in kernels.rungs("matmul", "cuda"):
    if rung.needs_numba:
        error("matmul", rung.name, draw(5, 9), draw(9, 3))
q, k, v = draw(1, 3, 4), draw(1, 5, 4), draw(1, 5, 4)
error("attention", "cuda_online", q, k, v, is_causal=True)
error("softmax", "cuda_tree", draw(1, 7))
print(json.dumps(errors))
"""


def test_in_numbas_own_simulator() -> None:
    """The same sources; layer_norm is not among them, since that simulator has no shuffles."""
    variables = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(
        [sys.executable, "-c", IN_NUMBAS_SIMULATOR],
        env=variables, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout)
    assert len(errors) == 6
    assert all(error < 1e-5 for error in errors.values()), errors


# ------------------------------------------------------------------ compiled, without a GPU

MATRICES = ("T[:, :, ::1]",) * 3
ROWS = "T[:, ::1]"


def rung_kernels() -> dict[str, tuple[Callable[[], Any], tuple[str, ...], int, int]]:
    """name -> (the kernel, its types, threads of a block, barriers in its source)."""

    def of(file: str, name: str) -> Callable[[], Any]:
        return lambda: getattr(importlib.import_module(f"minigen.kernels.{file}"), name)

    found = {
        name: (of(f"matmul.{name}", "_product"), MATRICES, 256, barriers)
        for name, barriers in zip(MATMULS, (0, 0, 2, 2))
    }
    attention = (*MATRICES, "T[:, :, ::1]", ROWS, "T", "boolean")
    for length in (16, 64, 128):
        make = of("attention.cuda_online", "_attention")
        found[f"attention {length}"] = (lambda m=make, n=length: m()(n), attention, 32, 2)
    found["softmax"] = (of("fused.cuda_softmax", "_softmax"), (ROWS, ROWS), 256, 5)
    vector = "T[::1]"
    types = (ROWS, vector, vector, "T", ROWS, vector, vector)
    found["layer_norm"] = (of("fused.cuda_layer_norm", "_layer_norm"), types, 256, 0)
    return found


@pytest.mark.parametrize("name", rung_kernels())
def test_machine_code_in_float32(name: str) -> None:
    """No float64, no spills, local arrays in registers, every barrier there, room on the GPU."""
    kernel, types, threads, barriers = rung_kernels()[name]
    found = ptx.compiled(kernel(), *types)
    assert found.doubles == ()
    assert found.spills == 0
    assert found.stack == (512 if name == "attention 128" else 0)  # as its file says
    assert found.barriers >= barriers
    assert (found.barriers > 0) == (barriers > 0)
    assert found.registers * threads <= 65536
    assert found.shared <= 48 * 1024
    assert found.blocks(threads) >= 1


@pytest.mark.parametrize("name", ["cuda_registers", "attention 64"])
def test_machine_code_in_float64(name: str) -> None:
    """The two that hold the most: still no spills."""
    kernel, types, threads, _ = rung_kernels()[name]
    found = ptx.compiled(kernel(), *types, real="float64")
    assert found.doubles
    assert (found.spills, found.stack) == (0, 0)
    assert found.shared <= 48 * 1024
    assert found.blocks(threads) >= 1


def literal(x, y):
    i = cuda.grid(1)
    y[i] = x[i] * 0.1


def integer(x, y):
    i = cuda.grid(1)
    y[i] = x[i] * i


def clean(x, y):
    i = cuda.grid(1)
    real = x.dtype.type
    y[i] = x[i] * real(0.1) * real(i)


def unknown_index(x, y):
    kept = cuda.local.array(32, x.dtype)
    i = cuda.grid(1)
    for j in range(32):
        kept[j] = x[i + j]
    y[i] = kept[int(x[i])]


def test_what_the_compiler_finds() -> None:
    types = ("T[::1]", "T[::1]")
    assert any("mul" in line for line in ptx.compiled(literal, *types).doubles)
    assert ptx.compiled(integer, *types).doubles
    assert ptx.compiled(clean, *types).doubles == ()
    assert ptx.compiled(unknown_index, *types).stack == 128
    assert ptx.compiled(clean, *types).stack == 0


def test_occupancy() -> None:
    """By hand: 64 warps, 32 blocks, 65536 registers and 228 KiB with 1 KiB a block, of an H100."""

    def blocks(registers: int, shared: int, threads: int) -> int:
        return ptx.Compiled(registers, 0, 0, shared, (), 0, "").blocks(threads)

    assert blocks(32, 0, 256) == 8  # 64 warps
    assert blocks(16, 0, 32) == 32  # 32 blocks
    assert blocks(128, 0, 256) == 2  # 128 * 256 = 32768 registers
    assert blocks(129, 0, 256) == 1  # rounded up to 136
    assert blocks(32, 48 * 1024, 64) == 4  # 228 // 49
    assert ptx.Compiled(128, 0, 0, 0, (), 0, "").occupancy(256) == 0.25
