"""The threads that step together, and the masks that stand for their branches.

A variable of a kernel is a vector with a number for each thread, or one number where all threads
have the same. `mask` says which threads take part in the present step; None stands for all.
The rewritten kernel (`rewrite.py`) calls these methods where the kernel had `if`, `for`, `return`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .traffic import WARP

if TYPE_CHECKING:
    from .launch import Block

Array = Any
Mask = Any  # (lanes,) bool, or None for all lanes


REMEMBERED = 256  # parts of indices


class Unset:
    """The value of a variable that was not assigned yet."""

    def __repr__(self) -> str:
        return "a variable that is not set"


UNSET = Unset()


def mixed(test: Array, yes: Any, no: Any) -> Any:
    """np.where with Numba's types: float32 and an integer make float64."""
    kinds = {np.asarray(value).dtype.kind for value in (yes, no)}
    if kinds == {"f", "i"}:
        yes, no = (np.float64(v) if isinstance(v, int) else v for v in (yes, no))
    return np.where(test, yes, no)


class _Loop:
    """A loop that runs: which lanes are in it at all, have left it, or wait for the next turn."""

    def __init__(self, entered: Mask) -> None:
        self.entered = entered
        self.broken: Mask = None  # here None stands for no lane
        self.skipped: Mask = None


class _Frame:
    """A call that runs: which lanes have returned, and with what."""

    def __init__(self, entered: Mask) -> None:
        self.entered = entered
        self.returned: Mask = None  # None stands for no lane
        self.result: Any = UNSET
        self.loops: list[_Loop] = []


class Branch:
    """The lanes of both sides of an `if`."""

    __slots__ = ("before", "no", "yes")

    def __init__(self, before: Mask, yes: Mask, no: Mask) -> None:
        self.before, self.yes, self.no = before, yes, no


class Lanes:
    """Some or all threads of a block, in lock-step.

    threads: (lanes,) their numbers in the block, x running fastest, as CUDA counts them.
    """

    def __init__(self, block: Block, threads: Array) -> None:
        self.block = block
        self.threads = threads
        self.count = threads.size
        self.nobody = np.zeros(self.count, bool)
        self.everybody = np.ones(self.count, bool)
        self.cuda: Any = None  # what the kernel sees as `cuda`: standins.Cuda
        self.line = 0  # of the kernel's file, set by every statement
        self.phase = 0  # syncwarps so far
        self.frames: list[_Frame] = []
        self.offsets: dict[Any, Any] = {}  # parts of indices, checked: see memory.py
        self._known: dict[bytes, tuple[Array, Array, Array]] = {}
        self.set(None)

    # ------------------------------------------------------------------ who takes part

    def set(self, mask: Mask) -> None:
        """Let these lanes take part, and no others."""
        self.mask = mask
        self.some = True
        if mask is None:
            self.key = b""
        else:
            self.key = mask.tobytes()
            self.some = b"\x01" in self.key
        known = self._known.get(self.key)
        if known is None:
            threads = self.threads if mask is None else self.threads[mask]
            active: Array = np.bincount(threads // WARP)
            known = self._known[self.key] = (threads, threads // WARP, active[active > 0])
        self.active, self.warps, self.sizes = known

    def remember(self, key: Any, offset: Any) -> None:
        """Keep a part of an index that was checked."""
        if len(self.offsets) >= REMEMBERED:
            self.offsets.clear()
        self.offsets[key] = offset

    def _without_left(self, mask: Mask) -> Mask:
        """The mask less the lanes that have returned, or left this turn of the innermost loop."""
        frame = self.frames[-1]
        gone = [frame.returned]
        if frame.loops:
            gone += [frame.loops[-1].broken, frame.loops[-1].skipped]
        for left in gone:
            if left is not None:
                mask = ~left if mask is None else mask & ~left
        return mask

    def _also(self, mask: Mask) -> Mask:
        """A record of lanes that left, with the active ones added."""
        active = self.everybody if self.mask is None else self.mask
        return active if mask is None else mask | active

    # ------------------------------------------------------------------ if

    def branch(self, test: Any) -> Branch:
        """Both sides of an `if`."""
        before = self.mask
        if not isinstance(test, np.ndarray):
            sides = (before, self.nobody) if test else (self.nobody, before)
            return Branch(before, *sides)
        test = test.astype(bool, copy=False)
        if before is None:
            if test.all():
                return Branch(None, None, self.nobody)
            return Branch(None, test, ~test)
        return Branch(before, before & test, before & ~test)

    def then(self, branch: Branch) -> bool:
        """Step into the `if` side; whether any lane does."""
        self.set(branch.yes)
        return self.some

    def otherwise(self, branch: Branch) -> bool:
        """Step into the `else` side; whether any lane does."""
        self.set(branch.no)
        return self.some

    def join(self, branch: Branch) -> None:
        """Both sides meet again, less the lanes that left on the way."""
        self.set(self._without_left(branch.before))

    # ------------------------------------------------------------------ expressions

    def choose(self, test: Any, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
        """`yes if test else no`: each side computed by the lanes that want it."""
        if not isinstance(test, np.ndarray):
            return yes() if test else no()
        branch = self.branch(test)
        first = yes() if self.then(branch) else None
        second = no() if self.otherwise(branch) else None
        self.set(branch.before)
        if first is None or second is None:
            return second if first is None else first
        return mixed(test, first, second)

    def both(self, left: Any, right: Callable[[], Any]) -> Any:
        """`left and right`: the right side computed only where the left is true."""
        if not isinstance(left, np.ndarray):
            return right() if left else left
        branch = self.branch(left)
        second = right() if self.then(branch) else False
        self.set(branch.before)
        return left.astype(bool, copy=False) & np.asarray(second, bool)

    def either(self, left: Any, right: Callable[[], Any]) -> Any:
        """`left or right`: the right side computed only where the left is false."""
        if not isinstance(left, np.ndarray):
            return left if left else right()
        branch = self.branch(left)
        second = right() if self.otherwise(branch) else False
        self.set(branch.before)
        return left.astype(bool, copy=False) | np.asarray(second, bool)

    @staticmethod
    def invert(value: Any) -> Any:
        """`not value`."""
        return np.logical_not(value) if isinstance(value, np.ndarray) else not value

    def keep(self, old: Any, new: Any) -> Any:
        """The value of a variable after `variable = new` by the active lanes."""
        if self.mask is None or old is UNSET or old is new:
            return new
        if isinstance(new, tuple) and isinstance(old, tuple):
            return tuple(self.keep(a, b) for a, b in zip(old, new))
        numbers = (np.ndarray, np.generic, int, float)
        if not isinstance(new, numbers) or not isinstance(old, numbers):
            return new
        return mixed(self.mask, new, old)

    def load(self, array: Any, index: Any) -> Any:
        """`array[index]`, of memory or of a tuple such as a shape."""
        return array[index] if isinstance(array, tuple) else array.load(self, index)

    # ------------------------------------------------------------------ loops

    def turns(self, *bounds: Any) -> Iterator[Any]:
        """`for … in range(*bounds)`: the values of the loop's variable, turn by turn."""
        start, stop, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
        loop = _Loop(self.mask)
        self.frames[-1].loops.append(loop)
        if any(isinstance(bound, np.ndarray) for bound in (start, stop, step)):
            values = self._own_turns(start, stop, step, loop)
        else:
            values = iter(range(int(start), int(stop), int(step)))
        for value in values:
            loop.skipped = None
            self.set(self._without_left(loop.entered))
            if not self.some:
                break
            yield value
        self._end(loop)

    def _own_turns(self, start: Any, stop: Any, step: Any, loop: _Loop) -> Iterator[Any]:
        """Turns where every lane has its own number of them; who has none left, breaks off."""
        value = np.broadcast_to(np.asarray(start), (self.count,))
        while True:
            more = np.where(np.asarray(step) > 0, value < stop, value > stop)
            loop.broken = ~more if loop.broken is None else loop.broken | ~more
            entered = self.everybody if loop.entered is None else loop.entered
            if not (entered & more).any():
                return
            yield value
            value = value + step

    def repeat(self) -> _Loop:
        """`while`: a loop whose test is asked by `again` and `holds`."""
        loop = _Loop(self.mask)
        self.frames[-1].loops.append(loop)
        return loop

    def again(self, loop: _Loop) -> bool:
        """Before the test of a `while`: whether any lane is left to take it."""
        loop.skipped = None
        self.set(self._without_left(loop.entered))
        if not self.some:
            self._end(loop)
            return False
        return True

    def holds(self, loop: _Loop, test: Any) -> bool:
        """The test of a `while`: lanes for which it fails leave; whether any lane stays."""
        branch = self.branch(test)
        if self.otherwise(branch):
            loop.broken = self._also(loop.broken)
        if not self.then(branch):
            self._end(loop)
            return False
        return True

    def _end(self, loop: _Loop) -> None:
        self.frames[-1].loops.pop()
        self.set(self._without_left(loop.entered))

    def break_off(self) -> None:
        """`break`."""
        loop = self.frames[-1].loops[-1]
        loop.broken = self._also(loop.broken)
        self.set(self.nobody)

    def skip(self) -> None:
        """`continue`."""
        loop = self.frames[-1].loops[-1]
        loop.skipped = self._also(loop.skipped)
        self.set(self.nobody)

    # ------------------------------------------------------------------ functions

    def enter(self) -> None:
        """A function begins."""
        self.frames.append(_Frame(self.mask))

    def give(self, value: Any = None) -> None:
        """`return value`."""
        frame = self.frames[-1]
        frame.result = self.keep(frame.result, value)
        frame.returned = self._also(frame.returned)
        self.set(self.nobody)

    def leave(self) -> Any:
        """A function ends; what it returns."""
        frame = self.frames.pop()
        self.set(frame.entered)
        return None if frame.result is UNSET else frame.result

    def barrier(self) -> int:
        """`cuda.syncthreads()`: complain about lanes that do not take part. The line."""
        if self.mask is not None:
            returned = self.frames[0].returned
            for missing in np.flatnonzero(~self.mask)[:1]:
                why = (
                    "has returned"
                    if returned is not None and returned[missing]
                    else "is in another branch"
                )
                self.block.find(
                    "divergence",
                    f"this thread {why} while {self.block.name_thread(int(self.active[0]))} waits "
                    "at a barrier that all threads of the block must reach",
                    int(self.threads[missing]),
                    self.line,
                    count=int((~self.mask).sum()),
                )
        return self.line
