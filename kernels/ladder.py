"""What an operation and a rung are: the plain records that every kernel folder fills in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .jit import Lazy

Array = Any  # numpy.ndarray or cupy.ndarray
Expected = tuple[tuple[tuple[int, ...], Any], ...]  # (shape, dtype) of every result

FLOATS = ("float32", "float64")


@dataclass(frozen=True)
class Rung:
    """One implementation of an operation.

    `dtypes` names what it takes ("any" stands for every numeric dtype). `error` bounds the distance
    to the `reference` rung; u is the unit roundoff, 2⁻²⁴ in float32 and 2⁻⁵³ in float64. A
    `portable` rung calls nothing but NumPy functions that CuPy's arrays answer as well, and makes
    new arrays only from those it was given: it runs wherever its arrays are. `refuses(*arrays)`
    says why a rung does not take arrays of a dtype that it takes, or ""; the plain rung then does
    the work. `prepare` gives what a rung makes of its operands first, of a matrix, or of q, k and v
    together (with the rung's options); it also takes that in their place, so that what is needed
    for several results is prepared once. `prepare_summed` gives that and the sums over the matrix's
    rows; a rung that `takes_bias` takes that by name, a row to add to all rows of its result. A
    rung of a lower `precision` than its arrays is never a default: it is used where that was asked
    for.
    """

    name: str
    function: Callable[..., Any]
    about: str
    error: str
    device: str = "cpu"
    dtypes: tuple[str, ...] = FLOATS
    portable: bool = False
    refuses: Callable[..., str] | None = None
    prepare: Callable[..., Any] | None = None
    prepare_summed: Callable[..., Any] | None = None
    takes_bias: bool = False
    precision: str = "float32"  # what it computes in
    chip: str = ""  # the compute capability of the only GPUs that run it, as in "90"

    @property
    def needs_numba(self) -> bool:
        """Whether calling this rung imports Numba and may compile."""
        return isinstance(self.function, Lazy) and self.function.numba

    def problem(self) -> str:
        """Why it cannot run here, or "" if nothing is known against it."""
        return self.function.problem() if isinstance(self.function, Lazy) else ""

    @property
    def plain(self) -> bool:
        """Whether it needs nothing but the array library: such rungs are called numpy or cupy."""
        return self.name in ("numpy", "cupy")

    def takes(self, device: str, dtype: Any) -> bool:
        """Whether this rung runs on that device and accepts that dtype."""
        here = self.portable or device == self.device
        return here and ("any" in self.dtypes or str(dtype) in self.dtypes)


@dataclass(frozen=True)
class Operation:
    """A name, its ladder of rungs, and what a right answer looks like.

    `expected(*arrays, **options)` gives shape and dtype of every result without computing any; it
    is empty for an operation that works in place. `sized_by` is the index of the array whose number
    of elements decides which rung is the default; `shape_class(*arrays)` names a class of shapes
    for which this is decided apart, if there are some.
    """

    name: str
    signature: str
    rungs: Sequence[Rung]
    expected: Callable[..., Expected]
    sized_by: int = 0
    shape_class: Callable[..., str] | None = None

    def kind(self, *arrays: Array) -> str:
        """The class of shapes, "" where there are none."""
        return self.shape_class(*arrays) if self.shape_class else ""

    def key(self, dtype: Any, arrays: Sequence[Array]) -> str:
        """What the table of measured defaults calls arrays like these: dtype, and class."""
        return f"{dtype} {self.kind(*arrays) if arrays else ''}".strip()

    def ladder(self, device: str = "cpu", precision: str = "float32") -> tuple[Rung, ...]:
        """The rungs of one device that compute in one precision, from the formula up."""
        return tuple(r for r in self.rungs if r.device == device and r.precision == precision)

    def rung(self, name: str) -> Rung:
        """The rung of that name; a ValueError that lists the ladder if there is none."""
        for rung in self.rungs:
            if rung.name == name:
                return rung
        ladder = ", ".join(rung.name for rung in self.rungs)
        raise ValueError(f"{self.name} has no rung {name!r}; its ladder is: {ladder}")
