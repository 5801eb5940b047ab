"""Every kernel operation on CuPy's arrays: the rung that is chosen there, against the CPU's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from minigen.kernels.examples import EXAMPLES

from minigen import kernels
from tests.standin.install import installed, traffic

CASES = [(name, kind) for name, kinds in EXAMPLES.items() for kind in kinds]
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def sent(value: Any, cupy: Any) -> Any:
    """The arguments of a kernel with every array on the GPU."""
    return cupy.asarray(value) if isinstance(value, np.ndarray) else value


def flat(result: Any) -> list:
    return [r for r in (result if isinstance(result, tuple) else (result,)) if r is not None]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_kernel_on_the_gpu(name: str, kind: str, dtype: str) -> None:
    rng = np.random.default_rng(7)
    arguments = EXAMPLES[name][kind](
        700, lambda *shape: np.asarray(rng.standard_normal(shape), dtype)
    )
    own = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    expected = kernels.get(name, "numpy")(*own)
    with installed() as cupy:
        there = [sent(a, cupy) for a in arguments]
        with traffic.without_synchronisation():
            result = kernels.select(name, *there)(*there)
        in_place = zip(there, own)  # what it works on in place, or has left as it was
        for ours, theirs in (*in_place, *zip(flat(result), flat(expected), strict=True)):
            if isinstance(theirs, np.ndarray):
                assert ours.dtype == theirs.dtype
                scale = max(1.0, float(np.abs(theirs).max(initial=0)))
                np.testing.assert_allclose(
                    ours.get(), theirs, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale
                )


def test_no_operation_is_missing() -> None:
    assert set(EXAMPLES) == set(kernels.operations())
