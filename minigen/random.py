"""Random streams: seeded, drawn on the CPU, the same numbers for every device."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from minigen import devices
from minigen.capturing import capturing, fed, refuse


class Generator:
    """A seeded stream of random numbers, drawn on the CPU by NumPy's PCG64.

    Both devices see the same numbers. `state` is a plain dictionary (JSON-friendly) that can be
    read and assigned, so that a resumed run draws what the uninterrupted one would have drawn.

    >>> g = Generator().manual_seed(0)
    >>> saved = g.state
    >>> first = g.stream.random()
    >>> g.state = saved
    >>> g.stream.random() == first
    True
    """

    __slots__ = ("_seed", "stream")

    def __init__(self, device: str = "cpu") -> None:
        self.manual_seed(int(np.random.SeedSequence().entropy) & (2**63 - 1))  # type: ignore[arg-type]

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream anew from `seed`; returns the generator itself."""
        self._seed = int(seed)
        self.stream = np.random.Generator(np.random.PCG64(self._seed & (2**64 - 1)))
        return self

    def initial_seed(self) -> int:
        return self._seed

    @property
    def state(self) -> dict:
        return dict(self.stream.bit_generator.state)

    @state.setter
    def state(self, state: dict) -> None:
        self.stream.bit_generator.state = state


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, which every random operation uses that is not given its own."""
    return default_generator.manual_seed(seed)


def initial_seed() -> int:
    return default_generator.initial_seed()


class _Watch(threading.local):
    """Somebody who wants to hear of every drawing of random numbers in this thread."""

    told: Callable[[], None] | None = None


watch = _Watch()


def stream(generator: Generator | None) -> np.random.Generator:
    if watch.told is not None:
        watch.told()
    source = generator or default_generator
    if (host := capturing()) is not None:
        if not host.drawing:
            refuse("it draws random numbers that are not sent to the GPU as they are drawn")
        host.on_undo(functools.partial(setattr, source, "state", source.state))
    return source.stream


def drawn(draw: Callable[[], np.ndarray], where: Any) -> Any:
    """What `draw` makes, random numbers say, on that device; without one, where it is made.

    A captured step draws again before every replay: see `minigen.capturing`.
    """
    if where is None or (place := devices.device(where)).type == "cpu":
        return draw()
    module = devices.cupy()
    with module.cuda.Device(place.index or 0):
        return fed(draw, module.asarray)
