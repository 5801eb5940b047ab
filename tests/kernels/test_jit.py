"""Compiling: announced, cached, redone when shared code changes; threads and forks are safe."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import minigen.kernels
import numpy as np
import pytest
from minigen.kernels import jit
from minigen.kernels.examples import EXAMPLES

from minigen import kernels

USE_ERF = """
import sys
import numpy as np
from minigen import kernels
if "hook" in sys.argv:
    kernels.on_compile = lambda compilation: print("hook:", compilation)
kernels.jit.NOTICEABLE = 0 if "loud" in sys.argv else kernels.jit.NOTICEABLE
for dtype in sys.argv[1].split(","):
    for _ in range(2):
        assert abs(kernels.get("erf", "numba")(np.full(3, 0.5, dtype))[0] - 0.5204999) < 1e-6
if "compiler" in sys.argv:
    print("numba.np.linalg" in sys.modules)
"""


def run(*arguments: str, path: Path | None = None, **environment: str) -> tuple[str, str]:
    """Standard output and error of the script above in a fresh interpreter."""
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    result = subprocess.run(
        [sys.executable, "-P", "-c", USE_ERF, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


def test_compiling_is_announced_once_and_then_cached(tmp_path: Path) -> None:
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    line = "compiling kernel erf ({}), once; cached afterwards\n"
    assert run("float32", "loud", **cache) == ("", line.format("float32"))
    assert run("float32,float64", "hook", **cache) == ("hook: " + line.format("float64"), "")
    assert run("float32,float64", "loud", **cache) == ("", "")


def test_a_cached_kernel_leaves_the_compiler_alone(tmp_path: Path) -> None:
    """Numba reads all that it can compile when it first compiles something, not for a cached one,
    and then still compiles another."""
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    assert run("float32", "compiler", **cache)[0] == "True\n"
    assert run("float32", "compiler", **cache)[0] == "False\n"
    assert run("float32,float64", "compiler", **cache)[0] == "True\n"


def test_a_kernel_that_compiles_quickly_is_not_announced(tmp_path: Path) -> None:
    assert run("float32", NUMBA_CACHE_DIR=str(tmp_path)) == ("", "")


def copied(tmp_path: Path) -> Path:
    """A copy of the kernels, importable as minigen.kernels from the folder returned."""
    folder = tmp_path / "copy"
    (folder / "minigen").mkdir(parents=True)
    (folder / "minigen" / "__init__.py").touch()
    source = Path(minigen.kernels.__file__).parent
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, folder / "minigen" / "kernels", ignore=ignore)
    return folder


def test_changing_shared_code_compiles_again(tmp_path: Path) -> None:
    """Numba looks at the kernel's own file only; exp and erf are inlined from another one."""
    folder = copied(tmp_path)
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert "compiling" in run("float32", "hook", path=folder, **cache)[0]
    assert run("float32", "hook", path=folder, **cache)[0] == ""
    with (folder / "minigen" / "kernels" / "elementary.py").open("a") as file:
        file.write("\n# another line\n")
    assert "compiling" in run("float32", "hook", path=folder, **cache)[0]


@pytest.mark.skipif(sys.platform == "win32", reason="a file in the way is another error there")
def test_nowhere_to_write_the_cache(tmp_path: Path) -> None:
    """Numba then raises from the decorator; the kernel works all the same, and says so."""
    folder = copied(tmp_path)
    blocked = tmp_path / "file"
    blocked.touch()
    for part in (folder / "minigen" / "kernels").rglob("*.py"):
        if not (part.parent / "__pycache__").exists():
            (part.parent / "__pycache__").touch()  # a file where the folder should go
    home = {"HOME": str(blocked), "XDG_CACHE_HOME": str(blocked), "NUMBA_CACHE_DIR": ""}
    printed, _ = run("float32", "hook", path=folder, **home)
    assert "no folder to cache it in is writable" in printed


def test_two_threads_compile_and_run_the_same_kernel(rng) -> None:
    """A second thread waits for the first one's compiler and gets the same function."""
    x = rng.standard_normal((2, 2, 65, 16)).astype(np.float32)
    alone = kernels.get("attention", "flash")(x, x, x, is_causal=True)[0]
    same = []

    def work() -> None:
        for _ in range(50):
            out, _ = kernels.get("attention", "flash")(x, x, x, is_causal=True)
            same.append(np.array_equal(out, alone))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 100


def test_first_call_from_two_threads_compiles_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    barrier = threading.Barrier(2, timeout=60)
    fresh = jit.Kernel(scale_by_two, "scale by two", ("const T[::1]", "T[::1]"), 9.0)
    monkeypatch.setattr(minigen.kernels, "on_compile", compiled.append)
    results = []

    def work() -> None:
        y = np.zeros(3, np.float32)
        barrier.wait()
        fresh(np.ones(3, np.float32), y)
        results.append(y.tolist())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[2, 2, 2]] * 2
    assert len(compiled) <= 1  # none if a former run left it in the cache


def scale_by_two(x, y):
    """What the test above compiles."""
    for i in range(x.size):
        y[i] = x[i] + x[i]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_can_call_a_kernel() -> None:
    code = """
import os, numpy as np
from minigen import kernels
x = np.ones((1, 1, 64, 8), np.float32)
attention = kernels.get("attention", "flash")
attention(x, x, x)
child = os.fork()
if child == 0:
    os._exit(0 if np.isfinite(attention(x, x, x)[0]).all() else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("fine")
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (result.stdout, result.returncode) == ("fine\n", 0), result.stderr


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_what_the_top_of_a_ladder_runs_is_known_before(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[str] = set()
    call = jit.Kernel.__call__

    def recorded(kernel: jit.Kernel, *arguments: object) -> object:
        used.add(kernel.name)
        return call(kernel, *arguments)

    monkeypatch.setattr(jit.Kernel, "__call__", recorded)
    rng = np.random.default_rng(0)
    top = kernels.rungs(name)[-1].function
    for example in EXAMPLES[name].values():
        top(*example(4096, lambda *shape: rng.standard_normal(shape).astype(np.float32)))
    assert used
    assert used <= {kernel.name for kernel in jit.kernels_of(top)}
