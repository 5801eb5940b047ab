"""Arrays as a kernel sees them: every index checked, every access counted and logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import traffic
from .races import Clash, Log
from .report import ATOMIC, READ, WRITE, SimulationError, Site

if TYPE_CHECKING:
    from .lanes import Lanes
    from .launch import Block, Launch

Array = Any
Offset = tuple[Any, Any, Array | None]  # (the number of the index, what it adds, where it is valid)

POISON = -(2**30) + 12345  # what integers that nobody set are: far out of any array's bounds


def poison(shape: Any, dtype: Any) -> Array:
    """An array of numbers that show when they are used: NaN, or far out of bounds."""
    dtype = np.dtype(dtype)
    if dtype.kind in "fc":
        return np.full(shape, np.nan, dtype)
    return np.full(shape, POISON if dtype.itemsize > 2 and dtype.kind == "i" else 1, dtype)


def as_dtype(kind: Any) -> np.dtype:
    """The NumPy dtype of a dtype or of one of Numba's types."""
    try:
        return np.dtype(kind)
    except TypeError:
        return np.dtype(str(kind))


class _Indexed:
    """What all memory has in common: a shape, and indices that must lie in it."""

    def __init__(self, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        self.name, self.shape, self.dtype = name, shape, np.dtype(dtype)
        self.ndim, self.size = len(shape), int(np.prod(shape, dtype=np.int64))
        steps = [1]
        for length in shape[:0:-1]:
            steps.insert(0, steps[0] * length)
        self.steps = steps[: self.ndim]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        raise SimulationError(f"{self.name} can be indexed by kernels only")

    def places(self, lanes: Lanes, index: Any) -> tuple[Array, Array | None]:
        """(flat index of every active lane, which of these are valid, None for all)."""
        index = index if isinstance(index, tuple) else (index,)
        if len(index) != self.ndim:
            raise SimulationError(
                f"line {lanes.line}: {self.name} has shape {self.shape}; "
                f"an index needs {self.ndim} numbers, got {len(index)}"
            )
        flat: Any = 0
        inside: Array | None = None
        for part, length, step in zip(index, self.shape, self.steps):
            key = (id(part), length, step, lanes.key)
            known = lanes.offsets.get(key)
            if known is None:
                known = self._offset(lanes, part, length, step)
                lanes.remember(key, known)
            _, offset, within = known
            flat = flat + offset
            if within is not None:
                inside = within if inside is None else inside & within
        if not isinstance(flat, np.ndarray):
            flat = np.full(lanes.active.size, flat, np.int64)
        if inside is not None:
            self._outside(lanes, index, inside)
        return flat, inside

    def _offset(self, lanes: Lanes, part: Any, length: int, step: int) -> Offset:
        """What one number of an index adds to the place of each active lane, and its bounds.

        Vectors are never changed, only replaced by others: the same one, met again in a loop, is
        not looked at again. It is returned too, so that it is kept and no other has its `id`.
        """
        numbers = self._integer(lanes, part)
        if isinstance(numbers, int):
            outside = not 0 <= numbers < length
            return part, numbers * step, np.zeros(lanes.active.size, bool) if outside else None
        within = numbers.view(np.uint64) < length  # a negative one is a large one there
        return part, numbers * step, None if within.all() else within

    def _integer(self, lanes: Lanes, part: Any) -> Any:
        """One number of an index, for the active lanes."""
        if isinstance(part, np.ndarray) and part.dtype.kind in "iu":
            part = part if lanes.mask is None else part[lanes.mask]
            return part.astype(np.int64, copy=False)
        if isinstance(part, int | np.integer):
            return int(part)
        raise SimulationError(
            f"line {lanes.line}: an index of {self.name} must be an integer, got {part!r}"
        )

    def _outside(self, lanes: Lanes, index: tuple[Any, ...], inside: Array) -> None:
        at = int(np.argmin(inside))
        parts = [self._integer(lanes, part) for part in index]
        numbers = [int(p[at]) if isinstance(p, np.ndarray) else p for p in parts]
        shown = ", ".join(map(str, numbers))
        lanes.block.find(
            "out of bounds",
            f"{self.name}[{shown}] is outside its shape {self.shape}"
            + ("; Numba would count from the end" if min(numbers) < 0 else ""),
            int(lanes.active[at]),
            lanes.line,
            self.name,
            int((~inside).sum()),
        )

    def fits(self, lanes: Lanes, value: Any) -> None:
        """Complain about float64 on its way into float32."""
        if self.dtype == np.float32 and getattr(value, "dtype", None) == np.float64:
            lanes.block.find(
                "float64",
                f"a float64 is stored in the float32 array {self.name}: a literal such as 0.5, or "
                "a float argument, makes Numba compute in float64, at half the speed or less; "
                "write real(0.5) with real = array.dtype.type",
                int(lanes.active[0]),
                lanes.line,
                self.name,
            )


class Memory(_Indexed):
    """An array in global or shared memory."""

    def __init__(self, launch: Launch, name: str, array: Array, space: str) -> None:
        super().__init__(name, array.shape, array.dtype)
        self._launch, self.space = launch, space
        self._flat = array.reshape(-1)
        # Elements that were written; None where all were, or the host has filled the array.
        self._is_set = np.zeros(self.size, bool) if space == "shared" else None
        self._log = Log(self.size, space == "shared", self._race)

    def load(self, lanes: Lanes, index: Any) -> Any:
        """The numbers at an index, one for each lane."""
        places, inside = self.places(lanes, index)
        threads = lanes.active
        if inside is not None:
            places, threads = places[inside], threads[inside]
        self._account(lanes, READ, places, inside)
        self._log.note(READ, places, threads, lanes.line, lanes.phase)
        if self._is_set is not None and not self._is_set[places].all():
            self._unset(lanes, places, threads)
        values = self._flat[places]
        if lanes.mask is None and inside is None:
            return values
        result = poison(lanes.count, self.dtype)
        result[self._selected(lanes, inside)] = values
        return result

    def store(self, lanes: Lanes, index: Any, value: Any) -> None:
        """Write a number of each lane."""
        places, inside = self.places(lanes, index)
        threads = lanes.active
        if inside is not None:
            places, threads = places[inside], threads[inside]
        self._account(lanes, WRITE, places, inside)
        self._log.note(WRITE, places, threads, lanes.line, lanes.phase)
        self.fits(lanes, value)
        if isinstance(value, np.ndarray) and (lanes.mask is not None or inside is not None):
            value = value[self._selected(lanes, inside)]
        self._flat[places] = value
        if self._is_set is not None:
            self._is_set[places] = True
            if self._is_set.all():
                self._is_set = None

    def atomic(self, lanes: Lanes, index: Any, value: Any, combine: Any) -> Any:
        """Read, combine and write back, one lane after the other; what each has read."""
        places, inside = self.places(lanes, index)
        threads = lanes.active
        if inside is not None:
            places, threads = places[inside], threads[inside]
        self._account(lanes, ATOMIC, places, inside)
        self._log.note(ATOMIC, places, threads, lanes.line, lanes.phase)
        if self._is_set is not None and not self._is_set[places].all():
            self._unset(lanes, places, threads)
        selected = np.flatnonzero(self._selected(lanes, inside))
        values = np.broadcast_to(np.asarray(value), (lanes.count,))
        before = poison(lanes.count, self.dtype)
        for lane, place in zip(
            selected[:: self._launch.direction], places[:: self._launch.direction]
        ):
            before[lane] = self._flat[place]
            self._flat[place] = combine(before[lane], values[lane])
        return before

    def barrier(self, block: Block) -> None:
        """All accesses so far are ordered before those to come."""
        self._log.barrier(block.number)

    @staticmethod
    def _selected(lanes: Lanes, inside: Array | None) -> Array:
        """(lanes,) bool: active, and with a valid index."""
        selected = (lanes.everybody if lanes.mask is None else lanes.mask).copy()
        if inside is not None:
            selected[selected] = inside
        return selected

    def _account(self, lanes: Lanes, kind: str, places: Array, inside: Array | None) -> None:
        sites = self._launch.report.sites
        site = sites.get((self.name, lanes.line, kind))
        if site is None:
            site = Site(self.name, self.space, kind, lanes.line)
            sites[self.name, lanes.line, kind] = site
        warps, sizes = lanes.warps, lanes.sizes
        if inside is not None:
            warps = warps[inside]
            sizes = np.bincount(warps)
            sizes = sizes[sizes > 0]
        if not places.size:
            return
        key = lanes.key if inside is None else lanes.key + inside.tobytes()
        taken, best = self._launch.cost(self, key, warps, sizes, places)
        site.accesses += places.size
        site.requests += sizes.size
        site.transactions += taken
        site.best += best

    def transactions(self, warps: Array, sizes: Array, places: Array) -> tuple[int, int]:
        """(what an access costs, what it would cost at best)."""
        itemsize = self.dtype.itemsize
        if self.space == "global":
            best = traffic.fewest(sizes, traffic.SECTOR, itemsize)
            return traffic.sectors(warps, places, itemsize), best
        best = traffic.fewest(sizes, traffic.BANKS * traffic.WORD, itemsize)
        return traffic.wavefronts(warps, places, itemsize), best

    def _unset(self, lanes: Lanes, places: Array, threads: Array) -> None:
        assert self._is_set is not None
        wrong = ~self._is_set[places]
        at = int(wrong.argmax())
        index = self._index(int(places[at]))
        lanes.block.find(
            "unset",
            f"{self.name}{index} is read before any thread has written it",
            int(threads[at]),
            lanes.line,
            self.name,
            int(wrong.sum()),
        )

    def _index(self, place: int) -> str:
        return "[" + ", ".join(str(i) for i in np.unravel_index(place, self.shape)) + "]"

    def _race(self, clash: Clash) -> None:
        block = self._launch.block
        verbs = {READ: "reads", WRITE: "writes", ATOMIC: "adds to"}
        place = self.name + self._index(clash.place)
        if clash.between_blocks:
            other = "another block" if clash.other < 0 else self._launch.name_block(clash.other)
            order = "and nothing orders two blocks of a launch"
        else:
            other = block.name_thread(clash.other)
            order = "with no barrier between"
        block.find(
            "race",
            f"{verbs[clash.kind]} {place}, which {other} {verbs[clash.other_kind]} "
            f"at line {clash.other_line}, {order}",
            clash.thread,
            clash.line,
            self.name,
            clash.times,
        )


class Local(_Indexed):
    """An array of each thread's own: registers, if its indices are known to the compiler."""

    def __init__(self, name: str, lanes: Lanes, shape: tuple[int, ...], dtype: Any) -> None:
        super().__init__(name, shape, dtype)
        self._numbers = poison((self.size, lanes.count), dtype)

    def load(self, lanes: Lanes, index: Any) -> Any:
        """The numbers at an index, each lane's from its own array."""
        place = self._uniform(index)
        if place is not None:
            return self._numbers[place].copy()
        places, inside = self.places(lanes, index)
        result = poison(lanes.count, self.dtype)
        selected = Memory._selected(lanes, inside)
        places = places if inside is None else places[inside]
        result[selected] = self._numbers[places, np.flatnonzero(selected)]
        return result

    def store(self, lanes: Lanes, index: Any, value: Any) -> None:
        """Write a number of each lane into its own array."""
        self.fits(lanes, value)
        place = self._uniform(index)
        if place is not None and lanes.mask is None:
            self._numbers[place] = value
            return
        places, inside = self.places(lanes, index)
        selected = Memory._selected(lanes, inside)
        places = places if inside is None else places[inside]
        value = value[selected] if isinstance(value, np.ndarray) else value
        self._numbers[places, np.flatnonzero(selected)] = value

    def _uniform(self, index: Any) -> int | None:
        """The place, where all lanes have the same index and it is valid; else None."""
        index = index if isinstance(index, tuple) else (index,)
        if len(index) != self.ndim:
            return None
        place = 0
        for part, length, step in zip(index, self.shape, self.steps):
            if type(part) is not int or not 0 <= part < length:
                return None
            place += part * step
        return place
