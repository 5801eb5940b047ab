"""Training steps on a GPU, captured once and then replayed: Python's time for a step falls away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from minigen import Tensor
from minigen.autograd import wrap
from minigen.cuda import CaptureError, CUDAGraph, empty_cache, graph

Step = Callable[[Any], dict[str, Tensor]]

WARM_UP = 3  # steps that run as usual: kernels are compiled, the optimizer's state is made
MOST = 4  # shapes of batches that have a graph of their own; each takes the memory of a step


class Replayed:
    """A step that gives the same numbers as the given one, on a GPU with less of Python's time.

    The first `WARM_UP` steps of every shape of batch run as they are, the next is captured, those
    after it are replays. A step that no graph can hold goes on running as it is; `told`, if given,
    hears why.
    """

    def __init__(self, step: Step, told: Callable[[str], None] | None = None) -> None:
        self.step, self.told = step, told
        self.refused = ""  # why no graph can hold it
        self._seen: dict[Any, int] = {}
        self._captured: dict[Any, _Captured] = {}

    def __call__(self, batch: Any) -> dict[str, Tensor]:
        key = _shape(batch)
        if key not in self._captured and not self._capture(key, batch):
            return self.step(batch)
        return self._captured[key].replay(batch)

    def _capture(self, key: Any, batch: Any) -> bool:
        """Whether there is a graph for such batches from now on."""
        self._seen[key] = self._seen.get(key, 0) + 1
        if self.refused or self._seen[key] <= WARM_UP or len(self._captured) == MOST:
            return False
        try:
            self._captured[key] = _Captured(self.step, batch)
        except (CaptureError, MemoryError) as error:  # a graph needs memory of its own
            self.refused = str(error)
            if self.told is not None:
                self.told(f"every step is launched kernel by kernel: {error}")
            return False
        return True


class _Captured:
    """The graph of a step for batches of one shape."""

    def __init__(self, step: Step, batch: Any) -> None:
        self.batch = _copied(batch)  # what the graph reads
        empty_cache()  # what the steps before it worked in is not needed any more
        self.graph = CUDAGraph()
        with graph(self.graph):
            losses = step(self.batch)
            self.names = list(losses)
            self.losses = _together(losses)

    def replay(self, batch: Any) -> dict[str, Tensor]:
        for there, new in zip(_tensors(self.batch), _tensors(batch)):
            there.array[...] = new.array
        self.graph.replay()
        losses = self.losses.clone()  # the next replay writes to the same memory
        return {name: losses[number] for number, name in enumerate(self.names)}


def _together(losses: Mapping[str, Any]) -> Tensor:
    """All losses in one tensor, so that one copy keeps them."""
    values = list(losses.values())
    if not all(isinstance(value, Tensor) and value.is_cuda for value in values):
        raise CaptureError("this step returns losses that are not on the GPU")
    kept = wrap(np.empty_like(values[0].array, shape=(len(values),)))
    for number, value in enumerate(values):
        kept.array[number] = value.array.reshape(())
    return kept


def _tensors(batch: Any) -> Iterator[Tensor]:
    """The tensors of a batch, which may be nested tuples, lists and dictionaries of them."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for part in batch.values():
            yield from _tensors(part)
    elif isinstance(batch, tuple | list):
        for part in batch:
            yield from _tensors(part)


def _copied(batch: Any) -> Any:
    """The same batch with copies of its tensors."""
    if isinstance(batch, Tensor):
        return batch.detach().clone()
    if isinstance(batch, Mapping):
        return {name: _copied(part) for name, part in batch.items()}
    if isinstance(batch, tuple | list):
        return type(batch)(map(_copied, batch))
    return batch


def _shape(batch: Any) -> Any:
    """What two batches must have in common to be worked through by one graph.

    >>> import minigen
    >>> _shape([minigen.zeros(2, 3), 7])
    ('list', ((2, 3), 'float32'), '7')
    """
    if isinstance(batch, Tensor):
        return tuple(batch.shape), str(np.dtype(batch.array.dtype))
    if isinstance(batch, Mapping):
        return "dict", *((name, _shape(part)) for name, part in batch.items())
    if isinstance(batch, tuple | list):
        return type(batch).__name__, *map(_shape, batch)
    return repr(batch)
