"""minigen.cuda: the truth without a GPU, and, with a stand-in for CuPy, what is asked of it."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from types import SimpleNamespace
from typing import Any

import pytest

import minigen
from minigen import cuda, devices

NEED_A_GPU = (
    cuda.current_device, cuda.get_device_name, cuda.get_device_capability, cuda.synchronize,
    lambda: cuda.set_device(0), lambda: cuda.device(0),
)  # fmt: skip


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the device "cuda" cannot be used."""

    def cupy() -> None:
        raise RuntimeError("device 'cuda' needs CuPy")

    monkeypatch.setattr(devices, "cupy", cupy)


def test_without_a_gpu(absent: None) -> None:
    assert not cuda.is_available()
    assert cuda.device_count() == 0
    for function in NEED_A_GPU:
        with pytest.raises(RuntimeError, match="needs CuPy"):
            function()
    assert cuda.memory_allocated() == 0
    cuda.empty_cache()
    minigen.manual_seed(0)
    before = minigen.get_rng_state()
    cuda.manual_seed(1)
    cuda.manual_seed_all(1)
    assert minigen.equal(minigen.get_rng_state(), before)


def test_this_machine_is_described_truly() -> None:
    if importlib.util.find_spec("cupy") is None:
        assert not cuda.is_available()
    assert cuda.is_available() == (cuda.device_count() > 0)


def test_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list = []
    current = [0]

    class Device(contextlib.AbstractContextManager):
        def __init__(self, number: int) -> None:
            self.number = number

        def use(self) -> None:
            current[0] = self.number

        def synchronize(self) -> None:
            calls.append(("synchronize", self.number))

        def __enter__(self) -> None:
            self.before, current[0] = current[0], self.number

        def __exit__(self, *exception: object) -> None:
            current[0] = self.before

    runtime = SimpleNamespace(
        getDeviceCount=lambda: 2,
        getDevice=lambda: current[0],
        getDeviceProperties=lambda n: {"name": f"card {n}".encode(), "major": 9, "minor": n},
    )
    pool = SimpleNamespace(
        free_all_blocks=lambda: calls.append("freed"), used_bytes=lambda: 100 + current[0]
    )
    fake: Any = SimpleNamespace(
        cuda=SimpleNamespace(runtime=runtime, Device=Device), get_default_memory_pool=lambda: pool
    )
    monkeypatch.setattr(devices, "cupy", lambda: fake)
    assert cuda.is_available()
    assert cuda.device_count() == 2
    assert cuda.get_device_name() == "card 0"
    assert cuda.get_device_capability("cuda:1") == (9, 1)
    with cuda.device(1):
        assert cuda.current_device() == 1
        assert cuda.get_device_name("cuda") == "card 1"
    assert cuda.current_device() == 0
    cuda.set_device(minigen.device("cuda", 1))
    assert cuda.current_device() == 1
    cuda.synchronize(0)
    cuda.empty_cache()
    assert calls == [("synchronize", 0), "freed"]
    assert cuda.memory_allocated(0) == 100
    assert cuda.memory_allocated() == 101
    with pytest.raises(ValueError, match="expected a cuda device"):
        cuda.synchronize("cpu")


def test_everything_is_deterministic(absent: None) -> None:
    minigen.use_deterministic_algorithms(True)
    assert minigen.are_deterministic_algorithms_enabled()
    minigen.use_deterministic_algorithms(False)


def cupy_with(**cuda: Any) -> Any:
    """A module as CuPy is, of which only these parts of `cupy.cuda` are asked."""
    runtime = SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=OSError)
    parts = {
        "runtime": runtime,
        "nvrtc": SimpleNamespace(getVersion=lambda: (13, 0)),
        "get_cublas_handle": lambda: 1,
    }
    return SimpleNamespace(cuda=SimpleNamespace(**{**parts, **cuda}))


def fails(error: Exception) -> Any:
    def look() -> None:
        raise error

    return look


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (None, r"not installed: pip install 'minigen\[cuda\]'"),
        (
            cupy_with(
                runtime=SimpleNamespace(
                    getDeviceCount=fails(OSError("insufficient")), CUDARuntimeError=OSError
                )
            ),
            r"no NVIDIA driver answers it \(insufficient\)",
        ),
        (
            cupy_with(runtime=SimpleNamespace(getDeviceCount=lambda: 0, CUDARuntimeError=OSError)),
            "a driver are there, but no GPU",
        ),
        (
            cupy_with(nvrtc=SimpleNamespace(getVersion=fails(RuntimeError("no libnvrtc")))),
            r"does not find NVRTC.*pip install 'cupy-cuda1\dx\[ctk\]' \(no libnvrtc\)",
        ),
        (
            cupy_with(get_cublas_handle=fails(ImportError("no libcublas"))),
            r"does not find cuBLAS.*pip install 'cupy-cuda1\dx\[ctk\]' \(no libcublas\)",
        ),
    ],
)
def test_what_is_missing_is_said(
    module: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", module)  # None: importing it fails
    with pytest.raises(RuntimeError, match=message):
        minigen.ones(2, device="cuda")


def test_the_gpu_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list = []
    module = cupy_with(get_cublas_handle=lambda: asked.append(1))
    monkeypatch.setitem(sys.modules, "cupy", module)
    assert devices.cupy() is module
    assert devices.cupy() is module
    assert len(asked) == 1
