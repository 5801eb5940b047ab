"""Sequences of different lengths in one batch: padded to one length, or packed without padding.

Three sequences abc, de, f are, with steps downwards and `.` for padding,

    padded   a d f      packed   a d f b e c,  batch_sizes 3 2 1
             b e .
             c . .

A packed batch holds only what there is, step after step; a recurrent layer that is given one
neither computes nor learns from padding.  Its sequences lie in order of falling length;
`sorted_indices` says where each came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minigen import backend, dtypes
from minigen.autograd import differentiable, wrap
from minigen.errors import ShapeError
from minigen.ops.joining import cat
from minigen.tensor import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


# A batch of sequences is a matrix of rows, whatever else their dimensions are.  These two are each
# other's adjoint, because `rows` names no row twice.


@differentiable
def _gather(input: Any, rows: Any) -> Any:
    """(a, b, *) -> (len(rows), *): these rows of the a b that there are."""
    return input.reshape(input.shape[0] * input.shape[1], *input.shape[2:])[rows]


@differentiable
def _spread(input: Any, rows: Any, lead: tuple, padding_value: float) -> Any:
    """(len(rows), *) -> (*lead, *): the rows put there, and padding everywhere else."""
    output = np.full_like(input, padding_value, shape=(*lead, *input.shape[1:]))
    output.reshape(lead[0] * lead[1], *input.shape[1:])[rows] = input
    return output


_gather.gradients(input=lambda g, input_shape, rows: _spread(g, rows, input_shape[:2], 0.0))
_spread.gradients(input=lambda g, rows: _gather(g, rows))


def _positions(sequence: Any, step: Any, lead: tuple, batch_first: bool) -> Any:
    """The row of a padded batch, of shape `lead` and more, for each (sequence, step)."""
    return sequence * lead[1] + step if batch_first else step * lead[1] + sequence


def _lead(batch: int, length: int, batch_first: bool) -> tuple[int, int]:
    return (batch, length) if batch_first else (length, batch)


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """A batch of sequences without padding; `pack_padded_sequence` and `pack_sequence` make it.

    data (rows, *): all first steps, then all second steps, and so on.
    batch_sizes: int64 on the CPU, how many sequences have a first step, a second step, ...
    sorted_indices: which sequence became the first, the second, ...; None if they were in order.
    unsorted_indices: its inverse, where each sequence went.
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if batch_sizes is None:
            if not (isinstance(data, tuple | list) and len(data) == 2):
                raise AssertionError("PackedSequence: give data and batch_sizes, or a pair of both")
            data, batch_sizes = data
        elif batch_sizes.is_cuda:
            raise ShapeError("PackedSequence: batch_sizes has to be on the CPU")
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """With its data in that dtype and on that device, as `Tensor.to`; itself if they are so."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        indices = (
            None if index is None else index.to(device=data.device)
            for index in (self.sorted_indices, self.unsorted_indices)
        )
        return type(self)(data, self.batch_sizes, *indices)

    def cpu(self) -> PackedSequence:
        return self.to("cpu")

    def cuda(self, device: int | None = None) -> PackedSequence:
        return self.to(backend.device("cuda", device))

    @property
    def is_cuda(self) -> bool:
        return self.data.is_cuda

    def double(self) -> PackedSequence:
        return self.to(dtype=dtypes.float64)

    def float(self) -> PackedSequence:
        return self.to(dtype=dtypes.float32)

    def half(self) -> PackedSequence:
        return self.to(dtype=dtypes.float16)

    def long(self) -> PackedSequence:
        return self.to(dtype=dtypes.int64)

    def int(self) -> PackedSequence:
        return self.to(dtype=dtypes.int32)

    def short(self) -> PackedSequence:
        return self.to(dtype=dtypes.int16)

    def char(self) -> PackedSequence:
        return self.to(dtype=dtypes.int8)

    def byte(self) -> PackedSequence:
        return self.to(dtype=dtypes.uint8)


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another; None for None.

    >>> import minigen
    >>> invert_permutation(minigen.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    inverse = np.empty_like(permutation.array)
    module = backend.array_module(inverse)
    inverse[permutation.array] = module.arange(inverse.size)
    return wrap(inverse)


# ------------------------------------------------------------------------------------ padding


def pad_sequence(
    sequences: Any,
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (length, *) of any lengths as one tensor (longest, batch, *).

    batch_first: (batch, longest, *) instead.  padding_side: "right", at the end, or "left".
    Raises ShapeError if the other dimensions differ, or for no sequence at all.

    >>> import minigen
    >>> pad_sequence([minigen.tensor([1, 2, 3]), minigen.tensor([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])
    """
    if not isinstance(sequences, Iterable):
        raise TypeError(f"pad_sequence: expects a list of tensors, got {type(sequences).__name__}")
    parts = list(sequences)
    if not parts:
        raise ShapeError("pad_sequence: received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise ShapeError(f"pad_sequence: padding_side is 'left' or 'right', got {padding_side!r}")
    first = parts[0]
    for part in parts:
        if part.ndim == 0 or part.shape[1:] != first.shape[1:]:
            raise ShapeError(
                "pad_sequence: sequences are (length, *) with the same other dimensions, got "
                f"shapes {tuple(first.shape)} and {tuple(part.shape)}"
            )
    lengths = [part.shape[0] for part in parts]
    lead = _lead(len(parts), max(lengths), batch_first)
    starts = [max(lengths) - n if padding_side == "left" else 0 for n in lengths]
    rows = [
        _positions(i, start + np.arange(n), lead, batch_first)
        for i, (start, n) in enumerate(zip(starts, lengths))
    ]
    data = cat([part.to(first.dtype) for part in parts])
    return _spread(data, backend.to_device(np.concatenate(rows), data.device), lead, padding_value)


def unpad_sequence(padded_sequences: Tensor, lengths: Any, batch_first: bool = False) -> list:
    """The sequences (length, *) of a padded batch (longest, batch, *): what `pad_sequence` was
    given.  batch_first: (batch, longest, *).  Raises ValueError unless each has a length.

    >>> import minigen
    >>> unpad_sequence(minigen.tensor([[1, 4], [2, 0]]), minigen.tensor([2, 1]))
    [tensor([1, 2]), tensor([4])]
    """
    batch = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    counts = _integers("unpad_sequence", lengths).tolist()
    if len(counts) != batch.shape[0]:
        raise ShapeError(
            f"unpad_sequence: {len(counts)} lengths for a batch of {batch.shape[0]} sequences"
        )
    return [sequence[: max(n, 0)] for sequence, n in zip(batch.unbind(0), counts)]


def _integers(name: str, lengths: Any) -> Any:
    """The lengths, a list or a 1-d tensor, as an int64 array."""
    array = np.asarray(lengths.cpu().array if isinstance(lengths, Tensor) else lengths)
    if array.ndim != 1:
        raise ShapeError(f"{name}: lengths must be 1-dimensional, got shape {array.shape}")
    return array.astype(np.int64)


# ------------------------------------------------------------------------------------ packing


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """A padded batch (longest, batch, *) without its padding.

    lengths: of each sequence, at least 1; a list or a tensor.  batch_first: (batch, longest, *).
    enforce_sorted: the lengths have to fall already; otherwise the sequences are sorted here, and
    every layer and `pad_packed_sequence` puts results back into the given order.
    Raises ShapeError for lengths that do not fit.

    >>> import minigen
    >>> batch = minigen.tensor([[1, 2, 3], [4, 0, 0]])
    >>> pack_padded_sequence(batch, [3, 1], batch_first=True).data
    tensor([1, 4, 2, 3])
    """
    counts = _integers("pack_padded_sequence", lengths)
    if input.ndim < 2:
        raise ShapeError(
            f"pack_padded_sequence: input is (longest, batch, *), got shape {tuple(input.shape)}"
        )
    if not input.numel():
        raise ShapeError(
            f"pack_padded_sequence: there is nothing to pack in shape {tuple(input.shape)}"
        )
    lead = (input.shape[0], input.shape[1])
    batch, longest = lead if batch_first else lead[::-1]
    order = None if enforce_sorted else np.argsort(-counts, kind="stable")
    if order is not None:
        counts = counts[order]
    _check_lengths(counts, batch, longest)
    live = np.arange(longest)[:, None] < counts  # (longest, batch): which steps there are
    step, place = np.nonzero(live)
    sequence = place if order is None else order[place]
    rows = _positions(sequence, step, lead, batch_first)
    data = _gather(input, backend.to_device(rows, input.device))
    batch_sizes = live.sum(axis=1)[: counts[0]]
    where = None if order is None else wrap(backend.to_device(order, input.device))
    return PackedSequence(data, wrap(batch_sizes), where, None)


def _check_lengths(counts: Any, batch: int, longest: int) -> None:
    rule = ""
    if counts.size != batch:
        rule = f"expects as many lengths as sequences; the batch has {batch}"
    elif counts.min() <= 0:
        rule = "the length of every sequence has to be greater than 0"
    elif (np.diff(counts) > 0).any():
        rule = "lengths have to fall; pass enforce_sorted=False to have the sequences sorted"
    elif counts[0] > longest:
        rule = f"the padded sequences are only {longest} long"
    if rule:
        raise ShapeError(f"pack_padded_sequence: {rule}; got lengths {counts.tolist()}")


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """A packed batch as a padded one (longest, batch, *), in the order in which it was packed, and
    the lengths of its sequences.

    batch_first: (batch, longest, *).  total_length: pad to this length and not just the longest.
    Raises ShapeError (a ValueError) if total_length is too small.

    >>> import minigen
    >>> packed = pack_sequence([minigen.tensor([4]), minigen.tensor([1, 2])], enforce_sorted=False)
    >>> pad_packed_sequence(packed, batch_first=True)
    (tensor([[4, 0],
            [1, 2]]), tensor([1, 2]))
    """
    sizes = sequence.batch_sizes.array
    length = sizes.size if total_length is None else total_length
    if length < sizes.size:
        raise ShapeError(
            f"pad_packed_sequence: total_length {total_length} is less than the longest sequence, "
            f"{sizes.size}"
        )
    batch = int(sizes[0])
    live = np.arange(batch) < sizes[:, None]  # (steps, batch)
    step, place = np.nonzero(live)
    lengths = live.sum(axis=0)
    if sequence.sorted_indices is not None:
        order = backend.to_device(sequence.sorted_indices.array, backend.CPU)
        place, lengths = order[place], lengths[np.argsort(order)]
    lead = _lead(batch, length, batch_first)
    rows = _positions(place, step, lead, batch_first)
    rows = backend.to_device(rows, sequence.data.device)
    return _spread(sequence.data, rows, lead, padding_value), wrap(lengths)


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (length, *) as a packed batch; options and errors as in `pack_padded_sequence`.

    >>> import minigen
    >>> pack_sequence([minigen.tensor([1, 2, 3]), minigen.tensor([4, 5]), minigen.tensor([6])])
    PackedSequence(data=tensor([1, 4, 6, 2, 5, 3]), batch_sizes=tensor([3, 2, 1]),
    sorted_indices=None, unsorted_indices=None)
    """
    lengths = [sequence.shape[0] for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list:
    """The sequences of a packed batch, in the order in which they were packed.

    >>> import minigen
    >>> unpack_sequence(pack_sequence([minigen.tensor([1, 2]), minigen.tensor([6])]))
    [tensor([1, 2]), tensor([6])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
