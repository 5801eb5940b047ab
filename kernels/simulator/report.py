"""What a simulated launch did to memory, and what was wrong with it."""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from dataclasses import dataclass, field

READ, WRITE, ATOMIC = "read", "write", "atomic"


class SimulationError(RuntimeError):
    """The kernel has a bug, or does what the simulator cannot follow."""


@dataclass
class Finding:
    """Something wrong, where it was first seen.

    kind: "race", "divergence", "out of bounds", "unset", "float64" or "shuffle". line: of the
    kernel's file. thread, block: (x, y, z) of the one that did it. array: the name, "" if there is
    none. count: how many times it was seen at that line.
    """

    kind: str
    line: int
    message: str
    thread: tuple[int, int, int]
    block: tuple[int, int, int]
    array: str = ""
    count: int = 1


@dataclass
class Site:
    """All accesses of one kind that one line makes to one array.

    accesses: by threads. requests: by warps, one for every step in which any of its threads takes
    part. transactions: what these requests take: sectors of 32 bytes in global memory, wavefronts
    in shared memory. best: what they would take if neighbours met neighbours and no bank twice.
    """

    array: str
    space: str
    kind: str
    line: int
    accesses: int = 0
    requests: int = 0
    transactions: int = 0
    best: int = 0


@dataclass
class Report:
    """Traffic and findings of one launch; `str()` of it is a table and a list."""

    kernel: str
    file: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    schedule: str
    barriers: int = 0
    sites: dict[tuple[str, int, str], Site] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def total(self, space: str, kind: str, what: str = "accesses", array: str = "") -> int:
        """The sum over lines, of one array or of all: accesses, requests, transactions or best."""
        return sum(
            getattr(site, what)
            for site in self.sites.values()
            if site.space == space and site.kind == kind and array in ("", site.array)
        )

    @property
    def global_reads(self) -> int:
        """Numbers that threads read from global memory."""
        return self.total("global", READ)

    @property
    def global_writes(self) -> int:
        """Numbers that threads wrote to global memory."""
        return self.total("global", WRITE)

    @property
    def shared_reads(self) -> int:
        """Numbers that threads read from shared memory."""
        return self.total("shared", READ)

    @property
    def shared_writes(self) -> int:
        """Numbers that threads wrote to shared memory."""
        return self.total("shared", WRITE)

    def sectors(self, array: str = "") -> float:
        """Sectors of 32 bytes that a warp's access to global memory takes, on average.

        The best is 4 for 32 neighbouring numbers of 4 bytes; 32 is the worst: every thread has to
        have 32 bytes brought for the 4 that it wants.
        """
        return self._average("global", array)

    def wavefronts(self, array: str = "") -> float:
        """Passes that a warp's access to shared memory takes; 1 is free of bank conflicts."""
        return self._average("shared", array)

    def _average(self, space: str, array: str) -> float:
        kinds = (READ, WRITE, ATOMIC)
        requests = sum(self.total(space, kind, "requests", array) for kind in kinds)
        taken = sum(self.total(space, kind, "transactions", array) for kind in kinds)
        return taken / requests if requests else 0.0

    def found(self, kind: str) -> list[Finding]:
        """The findings of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]

    def add(self, finding: Finding) -> None:
        """Note a finding, once a line, kind and array."""
        for known in self.findings:
            if (known.kind, known.line, known.array) == (finding.kind, finding.line, finding.array):
                known.count += finding.count
                return
        self.findings.append(finding)

    def check(self) -> Report:
        """The report itself.

        Raises:
            SimulationError: something was found; the message lists it.
        """
        if self.findings:
            raise SimulationError(f"kernel {self.kernel}:\n" + "\n".join(self._found()))
        return self

    def __str__(self) -> str:
        grid, block = _size(self.grid), _size(self.block)
        title = f"{self.kernel}[{grid}, {block}], {self.schedule}, {self.barriers} barriers"
        return "\n".join([title, *self._table(), *(self._found() or ["nothing found"])])

    def _table(self) -> Iterator[str]:
        rows = [("array", "memory", "", "line", "accesses", "a warp", "best")]
        for site in sorted(self.sites.values(), key=lambda site: (site.line, site.array)):
            unit = "sectors" if site.space == "global" else "passes"
            taken, best = site.transactions / site.requests, site.best / site.requests
            rows.append(
                (
                    site.array,
                    site.space,
                    site.kind,
                    str(site.line),
                    f"{site.accesses:,}",
                    f"{taken:.2f} {unit}",
                    f"{best:.2f}",
                )
            )
        widths = [max(map(len, column)) for column in zip(*rows)]
        for row in rows:
            left = (f"{text:<{width}}" for text, width in zip(row[:3], widths))
            right = (f"{text:>{width}}" for text, width in zip(row[3:], widths[3:]))
            yield "  " + "  ".join([*left, *right]).rstrip()

    def _found(self) -> list[str]:
        lines = []
        for finding in self.findings:
            times = f" ({finding.count:,} times)" if finding.count > 1 else ""
            lines.append(f"{finding.kind}: line {finding.line}: {finding.message}{times}")
            source = linecache.getline(self.file, finding.line).strip()
            if source:
                lines.append(f"    {source}")
        return lines


def _size(size: tuple[int, int, int]) -> str:
    """(16, 16, 1) as "(16, 16)"."""
    kept = size if size[2] > 1 else size[:2] if size[1] > 1 else size[:1]
    return f"({', '.join(map(str, kept))})" if len(kept) > 1 else str(kept[0])
