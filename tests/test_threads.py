"""Threads: what is told is what the library then says, and what a product is computed on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from minigen.kernels import blas

import minigen


def test_what_is_set_is_what_is_got() -> None:
    before = minigen.get_num_threads()
    try:
        for number in (1, 2, 1):
            minigen.set_num_threads(number)
            assert minigen.get_num_threads() == number
    finally:
        minigen.set_num_threads(before)


def test_it_is_the_library_that_numpy_multiplies_with() -> None:
    """In a process of its own: the pool of OpenBLAS has as many threads as it was told."""
    program = """if True:
        import os, numpy as np, minigen
        a = np.ones((600, 600))
        minigen.set_num_threads(1)
        a @ a
        before = len(os.listdir("/proc/self/task"))
        minigen.set_num_threads(3)
        a @ a
        print(minigen.get_num_threads(), len(os.listdir("/proc/self/task")) - before)
    """
    if not Path("/proc/self/task").exists():
        return
    environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PATH": ""}
    environment["PYTHONPATH"] = str(Path(minigen.__file__).parents[1])
    out = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == ["3", "2"]


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (0, -1):
        with pytest.raises(RuntimeError, match="positive number"):
            minigen.set_num_threads(number)
    for wrong in (1.5, True, "2"):
        with pytest.raises(TypeError, match="whole number"):
            minigen.set_num_threads(wrong)  # type: ignore[arg-type]
    monkeypatch.setattr(blas, "_openblas", lambda: None)
    with pytest.raises(RuntimeError, match="OMP_NUM_THREADS"):
        minigen.get_num_threads()
    with pytest.raises(RuntimeError, match="OMP_NUM_THREADS"):
        minigen.set_num_threads(1)
