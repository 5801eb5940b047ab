"""Which rung is chosen for arrays on a GPU, shown without one: nothing here is computed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from minigen.kernels import KernelError, Operation, Rung, choice_cuda, crossovers_cuda, registry
from minigen.kernels.cuda import compiler

from minigen import kernels

OnGpu = type("ndarray", (np.ndarray,), {"__module__": "cupy"})


def gpu(*shape: int, dtype: str = "float32") -> Any:
    """An array that counts as CuPy's: by its type, as the registry tells them apart."""
    return np.zeros(shape, dtype).view(OnGpu)


@pytest.fixture(autouse=True)
def default_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """NVRTC is there, whatever this machine has, and what a test changes is taken back."""
    monkeypatch.setattr(compiler, "problem", lambda: "")
    monkeypatch.setattr(choice_cuda, "_broken", {})
    registry.forget_plans()
    yield
    kernels.use(**dict.fromkeys(kernels.operations()))
    kernels.set_float32_matmul_precision("highest")
    registry.forget_plans()


def made(name: str) -> Callable:
    def function(*arrays: Any, **options: Any) -> str:
        return name

    return function


def rung(name: str, **options: Any) -> Rung:
    return Rung(name, made(name), name, "", **{"device": "cuda", "dtypes": ("float32",), **options})


@pytest.fixture
def ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    """matmul with all the rungs that it will have on a GPU, each returning its name."""
    found = registry.operation("matmul")
    rungs = (
        Rung("numpy", made("numpy"), "", "", dtypes=("any",), portable=True),
        rung("cuda_warp_tile"),
        rung("cuda_tf32x3", precision="tf32x3"),
        rung("cuda_bf16", precision="bfloat16"),
    )
    record = Operation("matmul", found.signature, rungs, found.expected, 0, found.shape_class)
    monkeypatch.setitem(registry._operations, "matmul", record)
    monkeypatch.setattr(crossovers_cuda, "MEASURED", {})


def chosen(name: str, *arrays: Any, **options: Any) -> Any:
    return kernels.select(name, *arrays)(*arrays, **options)


A, B = gpu(8, 8), gpu(8, 8)


def test_fused_operations_run_on_their_kernels() -> None:
    for name in ("softmax", "layer_norm", "cross_entropy", "gelu", "adam", "add_rows"):
        assert kernels.select(name, gpu(4, 8)).__name__ == f"{name}_cuda"
        ((_, _, speed),) = crossovers_cuda.MEASURED[name]["float32"]
        told = f"{name}: cuda, measured {speed:.2g} times as fast as "
        assert kernels.why(name, gpu(4, 8)).startswith(told)
    # exp has no kernel of its own there, float64 none at all
    assert kernels.select("exp", gpu(4)) is kernels.get("exp", "numpy")
    assert kernels.why("exp", gpu(4)) == "exp: numpy, the only rung for float32 on a GPU"
    double = gpu(4, 8, dtype="float64")
    assert kernels.select("gelu", double) is kernels.get("gelu", "numpy")
    assert kernels.why("gelu", double) == "gelu: numpy, the only rung for float64 on a GPU"
    told = kernels.why("softmax", double)  # for which there is a rung to read
    assert told == "softmax: numpy, until another rung is measured to be faster on a GPU"


def test_a_choice_for_a_gpu_leaves_that_for_the_cpu_alone() -> None:
    small = np.zeros((4, 8), np.float32)
    before = kernels.select("softmax", small)
    assert kernels.select("softmax", gpu(4, 8)) is not before
    assert kernels.select("softmax", small) is before
    assert kernels.select("softmax", gpu(4, 8)) is kernels.select("softmax", gpu(4, 8))


def test_products_are_cublas_until_something_is_measured(
    ladder: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen("matmul", A, B) == "numpy"
    assert kernels.why("matmul", A, B) == (
        "matmul: numpy, until another rung is measured to be faster on a GPU"
    )
    rows = ((100, "plain", 0.4), (sys.maxsize, "cuda_warp_tile", 1.2))
    monkeypatch.setitem(crossovers_cuda.MEASURED, "matmul", {"float32 matrix": rows})
    registry.forget_plans()
    assert chosen("matmul", A, B) == "numpy"
    assert chosen("matmul", gpu(80, 80), gpu(80, 80)) == "cuda_warp_tile"
    assert chosen("matmul", gpu(2, 80, 80), gpu(2, 80, 80)) == "numpy"  # another class of shapes
    assert "measured 1.2 times as fast as numpy" in kernels.why("matmul", gpu(80, 80), gpu(80, 80))
    assert (
        kernels.why("matmul", A, B)
        == "matmul: numpy up to 100 elements, measured to be the fastest"
    )


def test_what_was_measured_on_another_chip_is_not_taken_here(
    ladder: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = registry.operation("matmul")
    wgmma = rung("cuda_wgmma", precision="bfloat16", chip="90")
    rungs = (*found.rungs, wgmma)
    record = Operation("matmul", found.signature, rungs, found.expected, 0, found.shape_class)
    monkeypatch.setitem(registry._operations, "matmul", record)
    rows = ((sys.maxsize, "cuda_wgmma", 2.9),)
    monkeypatch.setitem(crossovers_cuda.MEASURED, "matmul", {"bfloat16 matrix": rows})
    kernels.set_float32_matmul_precision("medium")
    assert chosen("matmul", A, B) == "cuda_wgmma"
    registry.forget_plans()
    monkeypatch.setattr(choice_cuda, "_other_chip", lambda r: "no Hopper" if r is wgmma else "")
    assert chosen("matmul", A, B) == "cuda_bf16"


@pytest.mark.parametrize(("number", "told"), [("90", ""), ("80", "it needs a GPU of sm_90, this")])
def test_a_rung_of_one_chip_asks_the_gpu(
    number: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Device:
        compute_capability = number

    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(Device=Device)))
    found = choice_cuda._other_chip(rung("cuda_wgmma", chip="90"))
    assert found.startswith(told) if told else found == ""
    assert choice_cuda._other_chip(rung("cuda_bf16")) == ""


def test_precision_allows_other_rungs(ladder: None) -> None:
    for level, expected in (("high", "cuda_tf32x3"), ("medium", "cuda_bf16"), ("highest", "numpy")):
        kernels.set_float32_matmul_precision(level)
        assert chosen("matmul", A, B) == expected
        double = gpu(8, 8, dtype="float64")
        assert chosen("matmul", double, double) == "numpy"
    kernels.set_float32_matmul_precision("medium")
    assert kernels.why("matmul", A, B).startswith("matmul: cuda_bf16 in bfloat16, though")


def test_without_nvrtc_the_plain_rung_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "problem", lambda: "NVRTC is not installed")
    assert kernels.select("softmax", gpu(4, 8)) is kernels.get("softmax", "numpy")
    told = "softmax: numpy, because NVRTC is not installed (else cuda)"
    assert kernels.why("softmax", gpu(4, 8)) == told
    assert kernels.why("softmax", device="cuda") == told
    with pytest.raises(KernelError, match="cannot run here: NVRTC is not installed"):
        kernels.use(softmax="cuda")


def test_a_compiler_that_turns_out_broken(ladder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arrays: Any) -> None:
        raise ImportError("NVRTC cannot be loaded")

    rungs = (registry.operation("matmul").rungs[0], Rung(
        "cuda_bf16", broken, "", "", "cuda", ("float32",), precision="bfloat16"
    ))  # fmt: skip
    record = registry.operation("matmul")
    monkeypatch.setitem(
        registry._operations, "matmul", Operation("matmul", "", rungs, record.expected)
    )
    kernels.set_float32_matmul_precision("medium")
    assert chosen("matmul", A, B) == "numpy"
    assert "because NVRTC cannot be loaded (else cuda_bf16)" in kernels.why("matmul", A, B)
    assert kernels.select("matmul", A, B) is rungs[0].function


def test_what_a_kernel_refuses_goes_to_the_plain_rung() -> None:
    wide, narrow = gpu(1, 30_000), gpu(1, 8)
    rows = gpu(1)
    told = kernels.why("layer_norm_backward", wide, wide)
    assert told == (
        "layer_norm_backward: numpy, because rows of 30,000 columns are wider than 28,928"
        " (else cuda)"
    )
    assert "layer_norm_backward: cuda" in kernels.why("layer_norm_backward", narrow, narrow)
    function = kernels.select("layer_norm_backward", wide, wide)
    result = function(wide, wide, None, rows, rows)  # runs, though there is no GPU
    assert result[0].shape == (1, 30_000)
    with kernels.use(layer_norm_backward="cuda"):
        function = kernels.select("layer_norm_backward", wide, wide)
        assert function(wide, wide, None, rows, rows)[0].shape == (1, 30_000)


def test_a_stand_in_for_cupy_is_given_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", object())
    assert kernels.select("softmax", gpu(4, 8)) is kernels.get("softmax", "numpy")


def test_an_override_for_the_other_device_is_passed_over() -> None:
    with kernels.use(softmax="cuda"):
        assert kernels.select("softmax", np.zeros((2, 3), np.float32)) is kernels.get(
            "softmax", "numpy"
        )
        assert kernels.select("softmax", gpu(2, 3)) is kernels.get("softmax", "cuda")
    with kernels.use(softmax="numba"):
        told = kernels.why("softmax", gpu(2, 3))
    assert told.startswith("softmax: cuda, ")
    assert "(numba, asked for by kernels.use, does not take float32 on cuda)" in told


def test_every_default_is_a_rung_or_will_be_one() -> None:
    for by_operation in (*crossovers_cuda.UNMEASURED.values(), crossovers_cuda.MEASURED):
        assert set(by_operation) <= set(kernels.operations())
    assert set(crossovers_cuda.UNMEASURED) == {"float32", "tf32x3", "bfloat16"}
