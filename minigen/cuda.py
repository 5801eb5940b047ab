"""GPUs: whether there are any, and which.  Nothing here touches one before it is called.

On a machine without CuPy, driver or GPU `is_available()` is False and `device_count()` 0; what
needs a GPU raises RuntimeError, which says what is missing.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from minigen import devices
from minigen.graphs import CaptureError, CUDAGraph, graph, is_current_stream_capturing

__all__ = [
    "CUDAGraph", "CaptureError", "current_device", "device", "device_count", "empty_cache",
    "get_device_capability", "get_device_name", "graph", "is_available",
    "is_current_stream_capturing", "manual_seed", "manual_seed_all", "memory_allocated",
    "set_device", "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """Whether tensors can be made on a GPU: CuPy, a driver and a GPU are there."""
    return device_count() > 0


def device_count() -> int:
    """How many GPUs can be used."""
    try:
        return int(devices.cupy().cuda.runtime.getDeviceCount())
    except RuntimeError:
        return 0


def current_device() -> int:
    """The number of the GPU that "cuda" means."""
    return int(devices.cupy().cuda.runtime.getDevice())


def _index(given: Any) -> int:
    """The number of the GPU that is meant: the current one, if None."""
    if isinstance(given, int):
        return given
    if given is None:
        return current_device()
    place = devices.device(given)
    if place.type != "cuda":
        raise ValueError(f"expected a cuda device, got {place}")
    return current_device() if place.index is None else place.index


def set_device(device: Any) -> None:
    """Let "cuda" mean this GPU from now on."""
    module = devices.cupy()
    module.cuda.Device(_index(device)).use()


class device:
    """A block in which "cuda" means the given GPU.  Raises RuntimeError if there is none."""

    def __init__(self, device: Any) -> None:
        self.idx = devices.cupy().cuda.Device(_index(device))

    def __enter__(self) -> None:
        self.idx.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.idx.__exit__(kind, error, trace)


def get_device_name(device: Any = None) -> str:
    """What the GPU is called."""
    name = devices.cupy().cuda.runtime.getDeviceProperties(_index(device))["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The CUDA compute capability of the GPU, as (major, minor)."""
    properties = devices.cupy().cuda.runtime.getDeviceProperties(_index(device))
    return int(properties["major"]), int(properties["minor"])


def synchronize(device: Any = None) -> None:
    """Wait until the GPU has done all that it was told."""
    devices.cupy().cuda.Device(_index(device)).synchronize()


def manual_seed(seed: int) -> None:
    """Nothing: numbers for a GPU are drawn on the CPU, after `minigen.manual_seed`.

    As in PyTorch this may be called on a machine without a GPU.
    """
    int(seed)


def manual_seed_all(seed: int) -> None:
    """Nothing, as `manual_seed`."""
    int(seed)


def _pool() -> Any:
    return devices.cupy().get_default_memory_pool()


def empty_cache() -> None:
    """Give memory that no array needs back to the GPU; nothing on a machine without one."""
    if is_available():
        _pool().free_all_blocks()


def memory_allocated(device: Any = None) -> int:
    """How many bytes arrays take on the GPU; 0 on a machine without one."""
    if not is_available():
        return 0
    with devices.cupy().cuda.Device(_index(device)):
        return int(_pool().used_bytes())
