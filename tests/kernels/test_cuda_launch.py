"""The road of a CUDA C++ kernel to where it runs: source read, arguments checked, code compiled and
kept. What is refused, and in what words."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minigen.kernels import KernelError
from minigen.kernels.cuda import CudaKernel, cache, compiler, emulated, emulator, source

from .cuda_specimens import PRODUCT, SCHEDULES, SOFTMAX, SPECIMENS

SCALE = """
#include "primitives.cuh"
// y = factor x; in a comment there is no kernel: extern "C" __global__ void no(int* z) {}
extern "C" __global__ void __launch_bounds__(32) scale(const float* __restrict__ x, float* y,
                                                       /* elements */ int n, float factor) {
  int i = blockIdx.x * 32 + threadIdx.x;
  if (i < n) y[i] = factor * x[i];
}
"""


@pytest.fixture
def scale(tmp_path: Path) -> CudaKernel:
    """y = factor x, in a file of its own."""
    (tmp_path / "scale.cu").write_text(SCALE)
    return CudaKernel(str(tmp_path / "scale.cu"), "scale", 32)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("MINIGEN_CACHE", str(tmp_path / "cache"))
    emulator._library.cache_clear()
    emulator._machine.cache_clear()
    return tmp_path / "cache" / "cuda"


def arrays(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n, dtype=np.float32), np.full(n, np.nan, np.float32)


def aligned(size: int, offset: int, dtype: Any = np.float32) -> np.ndarray:
    """An array that starts `offset` bytes after a multiple of 16."""
    memory = np.zeros(size * np.dtype(dtype).itemsize + 32, np.uint8)
    start = -memory.ctypes.data % 16 + offset
    return memory[start : start + size * np.dtype(dtype).itemsize].view(dtype)


# ---------------------------------------------------------------------------------- arguments


def test_a_kernel_runs(scale: CudaKernel) -> None:
    x, y = arrays()
    with emulated() as run:
        scale((2,), x, y, 40, np.float32(0.5))
    assert (y == x / 2).all()
    assert (run.launches, run.blocks, run.bytes_read, run.bytes_written) == (1, 2, 160, 160)


def test_numpy_arrays_are_emulated_only_when_asked_for(scale: CudaKernel) -> None:
    x, y = arrays()
    with pytest.raises(KernelError, match=r"given arrays on the CPU; `with .*emulated\(\):`"):
        scale((2,), x, y, 40, 1.0)
    with emulated():
        scale((2,), x, y, 40, 1.0)
    with pytest.raises(KernelError, match="given arrays on the CPU"):
        scale((2,), x, y, 40, 1.0)


REFUSED = [
    ("takes 4 arguments, (x, y, n, factor), but got 3", lambda x, y: (x, y, 40)),
    ("argument x must be float32; got float64(40,)", lambda x, y: (x.astype(float), y, 40, 1.0)),
    ("argument x must be float32; got int32(40,)", lambda x, y: (x.view(np.int32), y, 40, 1.0)),
    ("argument x must be C-contiguous", lambda x, y: (x[::2], y, 20, 1.0)),
    ("argument x must be C-contiguous", lambda x, y: (x.reshape(4, 10).T, y, 40, 1.0)),
    ("must start at a multiple of 16 bytes", lambda x, y: (aligned(40, 4), y, 40, 1.0)),
    ("argument y is no array; got list [1]", lambda x, y: (x, [1], 40, 1.0)),
    ("argument y is no array; got float32()", lambda x, y: (x, np.float32(1), 40, 1.0)),
    ("argument n must be a number that int can hold", lambda x, y: (x, y, 2**31, 1.0)),
    ("argument n must be a number that int can hold", lambda x, y: (x, y, 2.5, 1.0)),
    ("argument n must be a number that int can hold", lambda x, y: (x, y, None, 1.0)),
    ("argument n must be a number that int can hold", lambda x, y: (x, y, "many", 1.0)),
    ("argument factor must be a number that float", lambda x, y: (x, y, 40, x)),
    ("was given no array", lambda x, y: (None, None, 40, 1.0)),
]


@pytest.mark.parametrize(("message", "wrong"), REFUSED, ids=range(len(REFUSED)))
def test_wrong_arguments_are_refused(scale: CudaKernel, message: str, wrong: Any) -> None:
    x, y = arrays()
    with emulated(), pytest.raises(KernelError, match=re.escape(message)):
        scale((2,), *wrong(x, y))
    assert np.isnan(y).all()


def test_a_read_only_array_is_an_input_only(scale: CudaKernel) -> None:
    x, y = arrays()
    x.setflags(write=False)
    with emulated():
        scale((2,), x, y, 40, 1.0)
    with emulated(), pytest.raises(KernelError, match="argument y is written to, but is read-only"):
        scale((2,), y, x, 40, 1.0)


def test_arrays_of_another_device_are_refused(scale: CudaKernel) -> None:
    class Elsewhere(np.ndarray):
        pass

    x, y = arrays()
    with emulated(), pytest.raises(KernelError, match="argument y is on another device than the"):
        scale((2,), x, y.view(Elsewhere), 40, 1.0)


@pytest.mark.parametrize("grid", [(1, 2, 3, 4), (-1,), (2**31,), (1, 65_536), (1, 1, 65_536)])
def test_a_grid_that_no_gpu_takes_is_refused(scale: CudaKernel, grid: tuple[int, ...]) -> None:
    x, y = arrays()
    with emulated(), pytest.raises(KernelError, match="a grid has up to 3 sizes"):
        scale(grid, x, y, 40, 1.0)


def test_an_empty_grid_does_nothing(scale: CudaKernel) -> None:
    x, y = arrays(0)
    with emulated() as run:
        scale((0,), x, y, 0, 1.0)
    assert run.launches == 0


def test_arrays_that_share_memory_stay_so(scale: CudaKernel) -> None:
    x = np.arange(40, dtype=np.float32)
    with emulated():
        scale((2,), x, x, 40, 3.0)
    assert (x == 3 * np.arange(40)).all()
    x = np.arange(40, dtype=np.float32)
    with emulated():
        scale((1,), x[:32], x[8:], 32, 2.0)  # each element read is one that a later thread writes
    assert x[8:].tolist()[:8] == [2 * i for i in range(8)]
    assert x[:8].tolist() == list(range(8))


@pytest.mark.parametrize("threads", [1025, (32, 32, 2)])
def test_a_block_has_at_most_1024_threads(scale: CudaKernel, threads: Any) -> None:
    x, y = arrays()
    with emulated(), pytest.raises(KernelError, match="at most 1024 threads"):
        CudaKernel(scale.file, "scale", threads)((1,), x, y, 40, 1.0)


def test_shared_memory_is_bounded() -> None:
    greedy = CudaKernel(SOFTMAX.file, "softmax", 128, shared=228 << 10)
    x, y = arrays(128)
    with emulated(), pytest.raises(KernelError, match=r"0 bytes of declared and 233472 of dynamic"):
        greedy((1,), x, y, 128)


def test_null_pointers_are_passed_and_their_use_is_found(scale: CudaKernel) -> None:
    _, y = arrays()
    with emulated():
        scale((2,), None, y, 0, 1.0)  # never read
    with emulated(), pytest.raises(KernelError, match=r"reads through a null pointer \(scale.cu:7"):
        scale((2,), None, y, 40, 1.0)


def test_the_report_adds_up() -> None:
    with emulated() as run:
        SPECIMENS["product"].run()
        once = (run.barriers, run.matrix_phases, run.bytes_copied)
        SPECIMENS["product"].run()
    assert run.launches == 2
    assert (run.barriers, run.matrix_phases, run.bytes_copied) == tuple(2 * n for n in once)
    assert once[0] == 4 * 5  # blocks, and tiles along k
    assert once[2] == 2 * 2 * (40 * 136 + 136 * 72)  # each matrix by two rows or columns of blocks
    assert run.conflicts == run.shared_conflicts == 1


@pytest.mark.parametrize(("schedule", "early"), SCHEDULES)
def test_every_schedule_gives_the_same_bits(schedule: int, early: bool) -> None:
    with emulated():
        want = SPECIMENS["product"].run()[0]
    with emulated(schedule, early=early):
        assert SPECIMENS["product"].run()[0].tobytes() == want.tobytes()


# ---------------------------------------------------------------------------- reading a source


def test_parameters_are_read_and_comments_are_not() -> None:
    (kernel,) = source.parameters(SCALE).items()
    assert kernel[0] == "scale"
    assert [(p.name, p.type, p.pointer, p.const) for p in kernel[1]] == [
        ("x", "float", True, True),
        ("y", "float", True, False),
        ("n", "int", False, False),
        ("factor", "float", False, False),
    ]


def test_launch_bounds_may_hold_names_and_commas() -> None:
    text = 'extern "C" __global__ void __launch_bounds__(THREADS, 2) f(u8* m, long long n) {}'
    assert [p.type for p in source.parameters(text)["f"]] == ["u8", "long long"]


@pytest.mark.parametrize("parameter", ["half* x", "float** x", "Point p", "float x[4]", "float& x"])
def test_parameters_of_other_types_are_refused(parameter: str) -> None:
    text = f'extern "C" __global__ void f({parameter}) {{}}'
    with pytest.raises(ValueError, match=re.escape(f"kernel f: parameter {parameter!r} is of no")):
        source.parameters(text)


def test_headers_are_found_beside_the_source_and_among_the_common_ones(tmp_path: Path) -> None:
    (tmp_path / "tile.cuh").write_text('#include "primitives.cuh"\n')
    (tmp_path / "f.cu").write_text('#include "tile.cuh"\n')
    assert set(source.included(str(tmp_path / "f.cu"))) == {"tile.cuh", "primitives.cuh"}


# ------------------------------------------------------------------------------- compiling


def test_code_and_report_for_a_gpu_need_no_gpu(scale: CudaKernel, own_cache: Path) -> None:
    for arch in ("sm_80", "sm_90"):
        compiled = scale.compile(arch)
        assert compiled.arch == arch
        assert compiled.cubin.parent == own_cache
        assert compiled.cubin.read_bytes()[:4] == b"\x7fELF"
        assert compiled.kernels["scale"]["spills"] == 0
        assert 0 < compiled.kernels["scale"]["registers"] < 40


def test_a_mistake_is_reported_by_the_compiler_s_own_log(tmp_path: Path, own_cache: Path) -> None:
    file = tmp_path / "wrong.cu"
    file.write_text('extern "C" __global__ void wrong(int* x) { x[0] = missing; }')
    kernel = CudaKernel(str(file), "wrong", 32)
    with pytest.raises(
        compiler.CompileError, match=r'(?s)wrong.cu does not compile .*"missing" is undefined'
    ):
        kernel.compile()
    with emulated(), pytest.raises(KernelError, match=r"(?s)for the emulator:.*missing"):
        kernel((1,), np.zeros(1, np.int32))
    assert [f.name for f in own_cache.iterdir() if not f.name.startswith("emulator")] == []


def test_macros_change_what_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "f.cu").write_text(
        '#include "primitives.cuh"\nextern "C" __global__ void f(int* x) { x[0] = NUMBER; }'
    )
    x = np.zeros(1, np.int32)
    for number in (3, 4):
        with emulated():
            CudaKernel(str(tmp_path / "f.cu"), "f", 1, {"NUMBER": number})((1,), x)
        assert x[0] == number


# -------------------------------------------------------------------------------- the cache


def test_what_is_damaged_is_compiled_again(scale: CudaKernel, own_cache: Path) -> None:
    compiled = scale.compile()
    code = compiled.cubin.read_bytes()
    report = compiled.cubin.with_suffix(".json")
    for damage in (
        lambda: compiled.cubin.write_bytes(code[:-8]),
        lambda: report.write_text("{"),
        lambda: report.write_text(json.dumps([])),
        report.unlink,
        compiled.cubin.unlink,
    ):
        damage()
        assert scale.compile().kernels == compiled.kernels
        assert compiled.cubin.read_bytes() == code
        assert json.loads(report.read_text())["kernels"] == compiled.kernels


def test_a_damaged_library_is_compiled_again(scale: CudaKernel, own_cache: Path) -> None:
    def run() -> None:
        x, y = arrays()
        with emulated():
            scale((2,), x, y, 40, 2.0)
        assert (y == 2 * x).all()

    run()
    sealed = [*own_cache.glob("scale-*.so"), *own_cache.glob("emulator_warp-*.o")]
    assert len(sealed) == 2
    for file in sealed:
        content = file.read_bytes()
        file.unlink()  # a library that is loaded must not be changed
        file.write_bytes(content[:-100])
    emulator._library.cache_clear()
    emulator._machine.cache_clear()
    run()
    assert all(cache._intact(file) for file in sealed)


def test_a_file_that_cannot_stay_is_an_error(
    scale: CudaKernel, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "_kept_report", lambda cubin: None)
    with pytest.raises(OSError, match="does not stay as it is"):
        scale.compile()


def test_a_cache_that_cannot_be_written_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINIGEN_CACHE", str(tmp_path / "file"))  # no folder can be made in it
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    assert cache.folder() == tmp_path / f"minigen-cuda-{os.getuid()}"
    assert cache.folder().stat().st_mode & 0o77 == 0  # nobody else's business
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    (tmp_path / "minigen-cuda-12345").mkdir()
    with pytest.raises(PermissionError, match="belongs to another user"):
        cache.folder()


def test_a_read_only_cache_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert cache.folder().name.startswith("minigen-cuda-")


def test_a_system_without_user_numbers_has_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "getuid")
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert cache.folder() == tmp_path / "minigen-cuda-0"


def test_several_processes_may_compile_at_once(scale: CudaKernel, own_cache: Path) -> None:
    program = (
        "import sys, numpy as np\n"
        "from minigen.kernels.cuda import CudaKernel, emulated\n"
        "kernel = CudaKernel(sys.argv[1], 'scale', 32)\n"
        "assert kernel.compile().kernels['scale']['spills'] == 0\n"
        "x, y = np.ones(40, np.float32), np.zeros(40, np.float32)\n"
        "with emulated():\n"
        "    kernel((2,), x, y, 40, 2.0)\n"
        "assert (y == 2).all()\n"
    )

    def start(_: int) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", program, scale.file]
        return subprocess.run(command, capture_output=True, text=True)

    with ThreadPoolExecutor(2) as pool:
        for done in pool.map(start, range(2)):
            assert done.returncode == 0, done.stderr
    names = sorted(re.sub("-.*[.]", ".", f.name) for f in own_cache.iterdir())
    machine = ["emulator_fibers.o", "emulator_memory.o", "emulator_warp.o"]
    assert names == [*machine, "scale.cubin", "scale.json", "scale.so"]


# ------------------------------------------------------------------------- what is not there


def test_without_gplusplus_the_emulator_says_so(
    scale: CudaKernel, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    assert "no g++ is on the PATH" in emulator.problem()
    x, y = arrays()
    with emulated(), pytest.raises(KernelError, match=r"needs a C\+\+ compiler, and no g\+\+"):
        scale((2,), x, y, 40, 1.0)


def test_without_nvrtc_the_compiler_says_so(
    scale: CudaKernel, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler._nvrtc.cache_clear()
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"is not installed: pip install 'minigen\[cuda\]'"):
        scale.compile()


def test_an_nvrtc_that_cannot_be_loaded_says_so(
    scale: CudaKernel, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cuda.bindings import nvrtc

    def broken() -> None:
        raise RuntimeError("libnvrtc.so.13: cannot open")

    compiler._nvrtc.cache_clear()
    monkeypatch.setattr(nvrtc, "nvrtcVersion", broken)
    monkeypatch.setattr(compiler, "_preload", lambda: False)
    with pytest.raises(ImportError, match=r"cannot be loaded \(libnvrtc.so.13: cannot open\): pip"):
        scale.compile()


def test_importing_the_launcher_imports_no_compiler_and_no_cupy() -> None:
    program = (
        "import sys, minigen.kernels.cuda\n"
        "print([m for m in ('cupy', 'cuda.bindings', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_kernel_is_told_apart_by_its_configuration() -> None:
    with emulated():
        assert CudaKernel(PRODUCT.file, "product", 128) == PRODUCT
        assert CudaKernel(PRODUCT.file, "product", 64) != PRODUCT
