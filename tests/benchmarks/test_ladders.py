"""The cases that kernels are timed on, and what is refused before anything is timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import kernel_cases
import ladders
import numpy as np
import pytest

from minigen import kernels


def test_every_operation_that_can_be_asked_for_has_cases() -> None:
    assert tuple(dict.fromkeys(case.operation for case in kernel_cases.CASES)) == ladders.OPERATIONS
    labels = [(case.operation, case.label) for case in kernel_cases.CASES]
    assert len(set(labels)) == len(labels)


def test_threads_are_pinned_before_numpy_is_loaded() -> None:
    """Else BLAS has started with as many threads as there are cores."""
    code = "import sys, ladders, steps, peers, operations; assert 'numpy' not in sys.modules"
    folder = str(Path(ladders.__file__).parent)
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)


def test_a_wrong_rung_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    case = kernel_cases.Case("erf", "small", lambda draw: (draw(50),))
    rungs = kernels.rungs("erf")
    assert ladders.error([np.float32([1.0, 2.0])], [np.array([1.0, 2.0])]) == 0
    assert ladders.error([np.float32([1.0, 2.5])], [np.array([1.0, 2.0])]) > 1e6

    def wrong(x: np.ndarray) -> np.ndarray:
        return rungs[1].function(x) * np.float32(1.01)

    broken = (rungs[0], rungs[1].__class__("numpy", wrong, "", ""))
    monkeypatch.setattr(ladders, "bound", None)  # nothing is timed
    monkeypatch.setattr(kernels, "rungs", lambda name: broken)
    with pytest.raises(AssertionError, match="small"):
        ladders.measure_case(case, rounds=1, threads=1)


def test_what_works_in_place_is_compared_on_copies() -> None:
    arguments = (np.float32([1.0, 2.0]),)

    def doubles(x: np.ndarray) -> None:
        x *= 2

    (changed,) = ladders.results(doubles, arguments)
    np.testing.assert_array_equal(changed, [2, 4])
    np.testing.assert_array_equal(arguments[0], [1, 2])
