"""`simulate`: a launch, block after block."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from itertools import product
from typing import Any

import numpy as np

from .lanes import Lanes
from .memory import Memory, poison
from .report import Finding, Report, SimulationError
from .rewrite import Rewritten, rewritten
from .standins import Cuda
from .traffic import WARP

Array = Any
Size = tuple[int, int, int]

SCHEDULES = ("lock-step", "forward", "reverse", "random")
MOST_THREADS = 1024  # in a block, on every NVIDIA GPU
REMEMBERED = 10_000  # patterns of access whose cost is kept


def simulate(kernel: Any, schedule: str = "lock-step", seed: int = 0) -> Simulation:
    """Run a Numba CUDA kernel on the CPU: `simulate(kernel)[blocks, threads](*arguments)`.

    The arguments are NumPy arrays, which the kernel changes in place, and numbers. A launch returns
    a `Report`; what is wrong is in there, and `report.check()` raises it.

    Args:
        kernel: what `numba.cuda.jit` made, or a plain function that uses a global `cuda`.
        schedule: which threads go first. A right kernel gives the same in all of them.
            "lock-step": all threads of a block take each step together (the fastest to simulate);
            "forward", "reverse", "random": warp by warp, each as far as its next barrier, in this
            order; blocks in this order too.
        seed: of "random".

    Raises:
        SimulationError: the kernel does what cannot be simulated; the message says what and where.
        ValueError: no such schedule, a launch that no GPU takes, or an array that is not
            C-contiguous.

    A kernel that reverses 32 numbers by way of shared memory, without the barrier that it needs:

    >>> from numba import cuda
    >>> def reverse(x):
    ...     kept = cuda.shared.array(32, x.dtype)
    ...     i = cuda.threadIdx.x
    ...     kept[i] = x[i]
    ...     x[i] = kept[31 - i]
    >>> print(simulate(reverse, "forward")[1, 32](np.arange(32, dtype=np.float32)))
    reverse[1, 32], forward, 0 barriers
      array  memory         line  accesses        a warp  best
      kept   shared  write     4        32   1.00 passes  1.00
      x      global  read      4        32  4.00 sectors  4.00
      kept   shared  read      5        32   1.00 passes  1.00
      x      global  write     5        32  4.00 sectors  4.00
    race: line 5: block 0, thread 0: reads kept[31], which thread 31 writes at line 4, with no ...
        x[i] = kept[31 - i]
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"no schedule {schedule!r}; there are: {', '.join(SCHEDULES)}")
    function = getattr(kernel, "py_func", kernel)
    return Simulation(rewritten(function), schedule, seed)


class Simulation:
    """A kernel ready to be launched."""

    def __init__(self, kernel: Rewritten, schedule: str, seed: int) -> None:
        self.kernel, self.schedule, self.seed = kernel, schedule, seed

    def __getitem__(self, size: tuple[Any, Any]) -> Callable[..., Report]:
        grid, block = map(_three, size)
        if not 0 < block[0] * block[1] * block[2] <= MOST_THREADS:
            raise ValueError(f"a block has 1 to {MOST_THREADS} threads, got {block}")
        if min(grid) < 1:
            raise ValueError(f"a grid has at least one block, got {grid}")
        return lambda *arguments: Launch(self, grid, block, arguments).run()


def _three(size: Any) -> Size:
    sizes = tuple(map(int, size)) if isinstance(size, tuple | list) else (int(size),)
    return (*sizes, 1, 1)[:3]  # type: ignore[return-value]


class Launch:
    """One launch: its arrays, its report, and the block that runs."""

    def __init__(
        self, simulation: Simulation, grid: Size, block: Size, arguments: tuple[Any, ...]
    ) -> None:
        self.kernel, self.schedule = simulation.kernel, simulation.schedule
        self.random = random.Random(simulation.seed)
        self.grid, self.size = grid, block
        self.direction = -1 if self.schedule == "reverse" else 1
        self.report = Report(self.kernel.name, self.kernel.file, grid, block, self.schedule)
        self.arrays: list[Memory] = []
        self._costs: dict[Any, tuple[int, int]] = {}
        names = self.kernel.parameters
        if len(names) != len(arguments):
            raise SimulationError(
                f"{self.kernel.name} takes {len(names)} arguments ({', '.join(names)}), "
                f"got {len(arguments)}"
            )
        self.arguments = [self._argument(n, value) for n, value in zip(names, arguments)]
        self.block: Block

    def _argument(self, name: str, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            if not value.flags.c_contiguous:
                raise ValueError(f"{name} is not C-contiguous; pass np.ascontiguousarray({name})")
            memory = Memory(self, name, value, "global")
            self.arrays.append(memory)
            return memory
        return np.float64(value) if type(value) is float else value

    def run(self) -> Report:
        """All blocks."""
        blocks = [(x, y, z) for z, y, x in product(*map(range, reversed(self.grid)))]
        with np.errstate(all="ignore"):
            for index in self.ordered(blocks):
                self.block = Block(self, index)
                self.block.run()
        return self.report

    def ordered(self, things: list[Any]) -> list[Any]:
        """Blocks or warps in the order of the schedule."""
        if self.schedule == "random":
            return self.random.sample(things, len(things))
        return things[:: self.direction]

    def name_block(self, number: int) -> str:
        """The block of this number, in words."""
        width, height, _ = self.grid
        return f"block ({number % width}, {number // width % height}, {number // (width * height)})"

    def cost(
        self, memory: Memory, key: bytes, warps: Array, sizes: Array, places: Array
    ) -> tuple[int, int]:
        """What an access takes and would take at best; patterns come again and again."""
        pattern = (memory.space, memory.dtype.itemsize, key, places.tobytes())
        known = self._costs.get(pattern)
        if known is None:
            if len(self._costs) > REMEMBERED:
                self._costs.clear()
            known = self._costs[pattern] = memory.transactions(warps, sizes, places)
        return known


class Block:
    """A block of threads: its shared memory, and its warps from barrier to barrier."""

    def __init__(self, launch: Launch, index: Size) -> None:
        self.launch, self.index = launch, index
        self.size, self.grid = launch.size, launch.grid
        x, y, z = index
        self.number = x + self.grid[0] * (y + self.grid[1] * z)
        self._shared: dict[str, Memory] = {}

    def run(self) -> None:
        """Every warp as far as the next barrier, again and again."""
        threads = np.arange(self.size[0] * self.size[1] * self.size[2])
        together = threads.size if self.launch.schedule == "lock-step" else WARP
        warps = [Lanes(self, threads[i : i + together]) for i in range(0, threads.size, together)]
        for lanes in warps:
            lanes.cuda = Cuda(lanes)
        run, arguments = self.launch.kernel.run, self.launch.arguments
        running = [(lanes, run(lanes, *arguments)) for lanes in self.launch.ordered(warps)]
        if not self.launch.kernel.waits:  # then calling it has run it
            running = []
        ended: list[Lanes] = []
        while running:
            at: list[int] = []
            waiting: list[tuple[Lanes, Generator]] = []
            for lanes, warp in self.launch.ordered(running):
                line = next(warp, None)
                if line is None:
                    ended.append(lanes)
                else:
                    waiting.append((lanes, warp))
                    at.append(line)
            if waiting:
                self._meet(waiting, at, ended)
                self._barrier()
            running = waiting
        self._barrier()

    def _meet(
        self, waiting: list[tuple[Lanes, Generator]], at: list[int], ended: list[Lanes]
    ) -> None:
        """Complain unless all warps have come to the same barrier."""
        self.launch.report.barriers += 1
        first = self.name_thread(int(waiting[0][0].threads[0]))
        for lanes in ended[:1]:
            self.find(
                "divergence",
                f"this thread has returned while {first} waits at a barrier that all threads of "
                "the block must reach",
                int(lanes.threads[0]),
                at[0],
                count=sum(warp.count for warp in ended),
            )
        for (lanes, _), line in zip(waiting, at):
            if line != at[0]:
                self.find(
                    "divergence",
                    f"this thread waits at a barrier while {first} waits at that of line {at[0]}",
                    int(lanes.threads[0]),
                    line,
                    count=lanes.count,
                )

    def _barrier(self) -> None:
        for memory in (*self.launch.arrays, *self._shared.values()):
            memory.barrier(self)

    def shared(self, site: str, name: str, shape: tuple[int, ...], dtype: Any) -> Memory:
        """The block's shared array of one place in the source."""
        if site not in self._shared:
            self._shared[site] = Memory(self.launch, name, poison(shape, dtype), "shared")
        return self._shared[site]

    def place(self, thread: int) -> Size:
        """(x, y, z) of a thread by its number in the block."""
        width, height, _ = self.size
        return (thread % width, thread // width % height, thread // (width * height))

    def name_thread(self, thread: int) -> str:
        """The thread of this number, in words: as many coordinates as its block has."""
        return f"thread {self.short(self.place(thread), self.size)}"

    @staticmethod
    def short(place: Size, size: Size) -> str:
        """(3, 1, 0) as "(3, 1)" in a block or grid of two dimensions, as "3" in one of one."""
        shown = place if size[2] > 1 else place[:2] if size[1] > 1 else place[:1]
        return str(shown if len(shown) > 1 else shown[0])

    def find(
        self, kind: str, message: str, thread: int, line: int, array: str = "", count: int = 1
    ) -> None:
        """Note a finding about one of the block's threads."""
        where = f"block {self.short(self.index, self.grid)}, {self.name_thread(thread)}: "
        found = Finding(kind, line, where + message, self.place(thread), self.index, array, count)
        self.launch.report.add(found)
