"""Races: two threads, the same number, at least one of them writing, and nothing that orders them.

A barrier orders all accesses of a block before it and after it. So accesses are collected from one
barrier to the next and then compared; and for global memory, whose blocks no barrier orders, with
those of all other blocks of the launch. `cuda.syncwarp()` orders the threads of one warp.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .report import ATOMIC, READ, WRITE
from .traffic import WARP

Array = Any

NOBODY, SEVERAL = -1, -2


class Access(NamedTuple):
    """One step: element `places[i]` of the array by thread `threads[i]`; phase counts syncwarps."""

    places: Array
    threads: Array
    line: int
    phase: int


class Clash(NamedTuple):
    """Two accesses that nothing orders; `other` is a thread of the block, or a block."""

    place: int
    thread: int
    kind: str
    line: int
    other: int
    other_kind: str
    other_line: int
    between_blocks: bool
    times: int


class _Marks:
    """Who accessed each element last, or first, in one way."""

    def __init__(self, size: int) -> None:
        self.who = np.full(size, NOBODY, np.int64)
        self.line = np.zeros(size, np.int64)
        self.phase = np.zeros(size, np.int64)
        self.used = False

    def put(self, accesses: list[Access]) -> None:
        for access in accesses:
            self.who[access.places] = access.threads
            self.line[access.places] = access.line
            self.phase[access.places] = access.phase

    def clear(self, accesses: list[Access]) -> None:
        for access in accesses:
            self.who[access.places] = NOBODY


class Log:
    """The accesses to one array, and the races among them.

    >>> log = Log(size=4, shared=True, report=lambda clash: print(clash.kind, clash.place))
    >>> log.note("write", np.array([0, 1]), np.array([0, 1]), line=7, phase=0)
    >>> log.note("read", np.array([1, 1]), np.array([0, 1]), line=8, phase=0)
    >>> log.barrier(block=0)
    read 1
    """

    def __init__(self, size: int, shared: bool, report: Callable[[Clash], None]) -> None:
        self._report = report
        self._epoch: dict[str, list[Access]] = {READ: [], WRITE: [], ATOMIC: []}
        self._marks = {kind: _Marks(size) for kind in (WRITE, ATOMIC)}
        self._blocks = None if shared else {kind: _Marks(size) for kind in self._epoch}

    def note(self, kind: str, places: Array, threads: Array, line: int, phase: int) -> None:
        """Collect an access of all threads given."""
        self._epoch[kind].append(Access(places, threads, line, phase))

    def barrier(self, block: int) -> None:
        """Compare what was collected; from here on it is ordered before all that follows."""
        reads, writes, atomics = (self._epoch[kind] for kind in (READ, WRITE, ATOMIC))
        if writes or atomics:
            self._compare_threads(writes, WRITE, (writes, WRITE), (reads, READ), (atomics, ATOMIC))
            self._compare_threads(atomics, ATOMIC, (reads, READ))
        if self._blocks is not None:
            self._compare_blocks(block)
        for accesses in self._epoch.values():
            accesses.clear()

    def _compare_threads(
        self, marked: list[Access], kind: str, *others: tuple[list[Access], str]
    ) -> None:
        """Others' accesses against the last of `marked` at the same element, within the block."""
        marks = self._marks[kind]
        marks.put(marked)
        for accesses, other_kind in others:
            for access in accesses:
                places, threads = access.places, access.threads
                who = marks.who[places]
                clash = (who != NOBODY) & (who != threads)
                if clash.any():  # threads of one warp may have met at a syncwarp
                    met = (who // WARP == threads // WARP) & (marks.phase[places] != access.phase)
                    self._tell(clash & ~met, access, other_kind, marks, kind, False)
        marks.clear(marked)

    def _compare_blocks(self, block: int) -> None:
        """This block's accesses against those of all blocks before it, and into their record."""
        assert self._blocks is not None
        conflicts = {READ: (WRITE, ATOMIC), WRITE: (WRITE, READ, ATOMIC), ATOMIC: (WRITE, READ)}
        for kind, accesses in self._epoch.items():
            for access in accesses:
                for earlier in conflicts[kind]:
                    marks = self._blocks[earlier]
                    if not marks.used:
                        continue
                    who = marks.who[access.places]
                    clash = (who != NOBODY) & (who != block)
                    if clash.any():
                        self._tell(clash, access, kind, marks, earlier, True)
        for kind, accesses in self._epoch.items():
            marks = self._blocks[kind]
            marks.used = marks.used or bool(accesses)
            for access in accesses:
                who = marks.who[access.places]
                fresh = (who == NOBODY) | (who == block)
                marks.who[access.places] = np.where(fresh, block, SEVERAL)
                marks.line[access.places] = access.line

    def _tell(
        self, clash: Array, access: Access, kind: str, marks: _Marks, other: str, blocks: bool
    ) -> None:
        count = int(clash.sum())
        if not count:
            return
        at = int(clash.argmax())
        place = int(access.places[at])
        self._report(
            Clash(
                place,
                int(access.threads[at]),
                kind,
                access.line,
                int(marks.who[place]),
                other,
                int(marks.line[place]),
                blocks,
                count,
            )
        )
