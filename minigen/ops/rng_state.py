"""The state of the default generator as a tensor of bytes, and a seed that nobody chose."""

from __future__ import annotations

import numpy as np

from minigen.autograd import wrap
from minigen.random import default_generator, manual_seed
from minigen.tensor import Tensor

__all__ = ["get_rng_state", "seed", "set_rng_state"]

# PCG64: its state and increment, 16 bytes each; whether half of a 64-bit number is left, and which
_SIZE = 16 + 16 + 1 + 4


def seed() -> int:
    """Seed the default generator with a number from the operating system; returns the number."""
    chosen = int(np.random.SeedSequence().entropy) & (2**63 - 1)  # type: ignore[arg-type]
    manual_seed(chosen)
    return chosen


def get_rng_state() -> Tensor:
    """The state of the default generator, a uint8 tensor; for `set_rng_state`.

    >>> import minigen
    >>> state = get_rng_state()
    >>> first = minigen.rand(3)
    >>> set_rng_state(state)
    >>> minigen.equal(minigen.rand(3), first)
    True
    """
    state = default_generator.state
    inner = state["state"]
    content = inner["state"].to_bytes(16, "little") + inner["inc"].to_bytes(16, "little")
    content += bytes([state["has_uint32"]]) + state["uinteger"].to_bytes(4, "little")
    return wrap(np.frombuffer(content, np.uint8).copy())


def set_rng_state(new_state: Tensor) -> None:
    """Let the default generator go on from what `get_rng_state` gave.

    Raises TypeError for anything but a uint8 tensor and ValueError for one of another size, such as
    PyTorch's (whose generator is another).
    """
    if not isinstance(new_state, Tensor) or new_state.array.dtype != np.uint8:
        raise TypeError("set_rng_state: expects the uint8 tensor that get_rng_state gave")
    content = new_state.array.tobytes()
    if new_state.array.shape != (_SIZE,):
        raise ValueError(
            f"set_rng_state: expects {_SIZE} bytes, got shape {tuple(new_state.array.shape)}"
        )

    def number(start: int, stop: int) -> int:
        return int.from_bytes(content[start:stop], "little")

    default_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": number(0, 16), "inc": number(16, 32)},
        "has_uint32": number(32, 33),
        "uinteger": number(33, 37),
    }
