"""Swapping kernels, choosing them, and saying why; a user's mistake is reported as that."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from minigen.kernels import KernelError, crossovers, registry
from minigen.kernels.examples import EXAMPLES

from minigen import kernels

A = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.ones((3, 4), np.float32)


@pytest.fixture(autouse=True)
def default_kernels() -> Iterator[None]:
    """Whatever a test sets for the process is taken back."""
    yield
    kernels.use(**dict.fromkeys(kernels.operations()))


def mine(a, b):
    """A kernel of a user's."""
    return np.matmul(a, b)


def returning(value) -> Callable:
    def broken(*arrays, **options):
        return value

    return broken


def chosen(*arrays):
    """The selected function; the reference also where it is wrapped to keep a model's dtype."""
    function = kernels.select("matmul", *(arrays or (A, B)))
    reference = kernels.get("matmul", "reference")
    return reference if getattr(function, "__wrapped__", None) is reference else function


def test_every_ladder_starts_with_the_reference_and_tells_about_itself() -> None:
    for operation in kernels.operations():
        ladder, exact = registry.operation(operation).rungs, kernels.rungs(operation)
        names = [rung.name for rung in ladder]
        assert names[:2] == ["reference", "numpy"]
        assert len(names) == len(set(names))
        assert all(rung.needs_numba for rung in exact[2:])
        for rung in ladder:
            assert rung.about
            assert rung.error
            assert kernels.get(operation, rung.name) is rung.function
            on = {place for place in ("cpu", "cuda") if rung.takes(place, np.dtype(np.float32))}
            assert on == ({"cpu", "cuda"} if rung.portable else {rung.device})
        assert any(rung.takes("cuda", np.dtype(np.float32)) for rung in ladder)


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="no operation 'matmull'; there are: matmul, attention"):
        kernels.rungs("matmull")
    with pytest.raises(ValueError, match="matmul has no rung 'fast'; its ladder is: reference,"):
        kernels.get("matmul", "fast")
    with pytest.raises(ValueError, match="no operation 'soft'"):
        kernels.use(soft=mine)
    with pytest.raises(ValueError, match="a function or None, got int 3"):
        kernels.use(matmul=3)


def test_a_plain_call_holds_until_it_is_changed() -> None:
    default = chosen()
    kernels.use(matmul="reference")
    assert chosen() is kernels.get("matmul", "reference")
    assert kernels.why("matmul", A, B) == "matmul: reference, by kernels.use for this process"
    seen = []
    thread = threading.Thread(target=lambda: seen.append(chosen()))
    thread.start()
    thread.join()
    assert seen == [kernels.get("matmul", "reference")]
    kernels.use(matmul=mine, attention="flash")
    np.testing.assert_array_equal(chosen()(A, B), A @ B)
    kernels.use(matmul=None, attention=None)
    assert chosen() is default


def test_a_block_restores_and_nests() -> None:
    default = chosen()
    with kernels.use(matmul="reference"):
        with kernels.use(matmul=mine):
            assert kernels.why("matmul", A, B) == "matmul: mine, by kernels.use in this block"
            with kernels.use(matmul=None):
                assert chosen() is default
            assert chosen() is not default
        assert chosen() is kernels.get("matmul", "reference")
    assert chosen() is default
    with pytest.raises(ZeroDivisionError), kernels.use(matmul="reference"):
        raise ZeroDivisionError
    assert chosen() is default


def test_a_block_inside_a_choice_for_the_process() -> None:
    kernels.use(matmul="reference")
    with kernels.use(matmul="panels"):
        assert chosen() is kernels.get("matmul", "panels")
    assert chosen() is kernels.get("matmul", "reference")


def test_one_use_can_be_entered_again() -> None:
    default, choice = chosen(), kernels.use(matmul="reference")
    for _ in range(2):
        with choice, choice:
            assert chosen() is kernels.get("matmul", "reference")
        assert chosen() is default


def test_blocks_of_two_threads_do_not_meet() -> None:
    default, seen = chosen(), {}
    barrier = threading.Barrier(2, timeout=30)

    def work(rung: str) -> None:
        with kernels.use(matmul=rung):
            barrier.wait()
            seen[rung] = chosen()
            barrier.wait()
        seen[rung, "after"] = chosen()

    threads = [threading.Thread(target=work, args=(rung,)) for rung in ("reference", "panels")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rung in ("reference", "panels"):
        assert seen[rung] is kernels.get("matmul", rung)
        assert seen[rung, "after"] is default
    assert chosen() is default


def test_a_users_kernel_runs_in_place_of_the_rung() -> None:
    calls = []

    def counted(a, b):
        calls.append((a.shape, b.shape))
        return np.matmul(a, b)

    with kernels.use(matmul=counted):
        np.testing.assert_array_equal(chosen()(A, B), A @ B)
    assert calls == [((2, 3), (3, 4))]


@pytest.mark.parametrize(
    ("result", "came"),
    [
        (None, "None"),
        (3.0, "float 3.0"),
        (np.zeros((4, 2), np.float32), r"float32\(4, 2\)"),
        (np.zeros((2, 4)), r"float64\(2, 4\)"),
        ((np.zeros((2, 4), np.float32),), r"\(float32\(2, 4\)\)"),
    ],
)
def test_a_wrong_result_is_the_kernels_mistake(result, came) -> None:
    with kernels.use(matmul=returning(result)):
        message = (
            r"kernel returning.*broken, used for matmul of float32\(2, 3\), float32\(3, 4\): "
            rf"expected float32\(2, 4\), but it returned {came}$"
        )
        with pytest.raises(KernelError, match=message):
            chosen()(A, B)


def test_every_part_of_a_tuple_is_checked() -> None:
    q = np.ones((2, 3, 4), np.float32)
    good, logsumexp = kernels.get("attention", "numpy")(q, q, q)
    for result in (good, (good,), (good, logsumexp[..., None]), (good, None), [good, logsumexp]):
        with (
            kernels.use(attention=returning(result)),
            pytest.raises(KernelError, match=r"\(float32\(2, 3, 4\), float32\(2, 3\)\)"),
        ):
            kernels.select("attention", q, q, q)(q, q, q, is_causal=True)
    with kernels.use(attention=returning((good, logsumexp))):
        assert kernels.select("attention", q, q, q)(q, q, q)[0] is good


def test_an_exception_is_the_kernels_mistake() -> None:
    def divides(a, b):
        return a / 0 if False else {}["key"]

    with (
        kernels.use(matmul=divides),
        pytest.raises(KernelError, match=r"divides, used for matmul.*raised KeyError: 'key'") as e,
    ):
        chosen()(A, B)
    assert isinstance(e.value.__cause__, KeyError)


@pytest.mark.parametrize("operation", kernels.operations())
def test_the_rungs_themselves_pass_the_check(operation, rng) -> None:
    """What `use` expects of a user's function is what every rung gives."""
    for example in EXAMPLES[operation].values():
        arguments = example(300, lambda *shape: rng.standard_normal(shape).astype(np.float32))
        for rung in kernels.rungs(operation)[1:]:
            function = rung.function
            with kernels.use(**{operation: lambda *a, _f=function, **o: _f(*a, **o)}):
                kernels.select(operation, *arguments)(*arguments)


# ---------------------------------------------------------------------- the measured default


def test_the_default_follows_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for operation in kernels.operations():
        for key, rows in crossovers.MEASURED.get(operation, {}).items():
            dtype, _, kind = key.partition(" ")
            sizes = [largest for largest, _, _ in rows]
            assert sizes == sorted(sizes)
            assert sizes[-1] == sys.maxsize
            for (largest, rung, speed), start in zip(rows, [0, *sizes]):
                assert speed > 0
                array = np.zeros(min(largest, start + 1), dtype)
                array = array[None, None] if kind == "batched" else array
                arguments = [array] * 6
                function = kernels.select(operation, *arguments)
                if rung == "numpy":
                    assert function is kernels.get(operation, "numpy")
                else:
                    assert function is not kernels.get(operation, "numpy")
                assert f"{operation}: {rung}" in kernels.why(operation, *arguments)


def test_the_choice_changes_with_the_size() -> None:
    small, large = np.zeros(10, np.float32), np.zeros(100_000, np.float32)
    for _ in range(2):  # the first call of the large one loads it
        assert kernels.select("gelu", small) is kernels.get("gelu", "numpy")
        assert kernels.select("gelu", large)(large).shape == large.shape
    assert kernels.select("gelu", large).__name__ == "gelu_loop"
    assert "would save too little" in kernels.why("gelu", small)
    assert "times as fast as numpy" in kernels.why("gelu", large)


def test_cross_entropy_backward_is_sized_by_its_logits() -> None:
    rows, logits = np.zeros(2, np.float32), np.zeros((2, 100_000), np.float32)
    assert "numba" in kernels.why("cross_entropy_backward", rows, logits)


def test_a_dtype_that_a_rung_does_not_take() -> None:
    integers = np.ones((3, 3), np.int64)
    with kernels.use(matmul="panels"):
        assert chosen(integers, integers) is kernels.get("matmul", "numpy")
        assert "panels, asked for by kernels.use, does not take int64" in kernels.why(
            "matmul", integers, integers
        )
    with pytest.raises(
        KernelError,
        match="gelu is offered for float32 on cpu, float32 on cuda, float64 on cpu; got",
    ):
        kernels.select("gelu", integers)
    with pytest.raises(KernelError, match="got >f4 on cpu"):
        kernels.select("gelu", np.zeros(3, ">f4"))


# ------------------------------------------------------------------------------ environment


def run(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_import_is_light() -> None:
    code = """
import sys, minigen.kernels as kernels, numpy as np
kernels.get("gelu", "numpy")(np.ones(5)); kernels.select("matmul", np.ones((2, 2)))
kernels.why("attention"); kernels.get("attention", "flash"); kernels.use(attention="flash")
print(sorted({"numba", "llvmlite", "cupy", "matplotlib", "torch"} & set(sys.modules)))
"""
    assert run(code) == "[]"


def test_numba_switched_off() -> None:
    code = """
import numpy as np
from minigen import kernels
x = np.ones(100_000, np.float32)
print(kernels.select("gelu", x) is kernels.get("gelu", "numpy"), kernels.why("gelu", x))
try:
    kernels.use(gelu="numba")
except kernels.KernelError as error:
    print(error)
"""
    printed = run(code, NUMBA_DISABLE_JIT="1")
    assert "True gelu: numpy, because NUMBA_DISABLE_JIT is set (else numba)" in printed
    assert "the rung cannot run here: NUMBA_DISABLE_JIT is set" in printed


def test_numba_broken(tmp_path) -> None:
    """An installation that raises on import: NumPy does the work, and `why` says what is wrong."""
    package = tmp_path / "numba"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('Numba needs NumPy 1.0 or less')")
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import numpy as np
from minigen import kernels
x = np.ones(100_000, np.float32)
print(kernels.select("gelu", x)(x)[0] == kernels.get("gelu", "numpy")(x)[0])
print(kernels.select("gelu", x) is kernels.get("gelu", "numpy"), kernels.why("gelu", x))
"""
    printed = run(code)
    assert printed.startswith("True\nTrue gelu: numpy, because importing numba failed: Numba needs")
