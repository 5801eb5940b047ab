"""default_collate, against PyTorch's."""

import collections

import numpy as np
import pytest
import torch
import torch.utils.data as oracle

import minigen
from minigen.data import default_collate


def plain(value):
    """Tensors of either library as (dtype, nested list), containers as they are."""
    if isinstance(value, minigen.Tensor | torch.Tensor):
        return (str(value.dtype).split(".")[1], value.tolist())
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return (
            type(value)(*map(plain, value)) if hasattr(value, "_fields") else [*map(plain, value)]
        )
    return value


def as_torch(value):
    """The same items with torch's tensors in the place of minigen's."""
    if isinstance(value, minigen.Tensor):
        return torch.from_numpy(value.numpy().copy())
    if isinstance(value, dict):
        return type(value)((key, as_torch(v)) for key, v in value.items())
    if isinstance(value, list | tuple):
        items = map(as_torch, value)
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


Point = collections.namedtuple("Point", "x y")

ITEMS = {
    "tensors": lambda i: minigen.tensor([i, i + 0.5]),
    "integer tensors": lambda i: minigen.tensor(i),
    "arrays": lambda i: np.full((2, 3), i, np.float32),
    "arrays of bytes": lambda i: np.full(3, i, np.uint8),
    "floats": lambda i: i / 3,
    "ints": lambda i: i,
    "bools": lambda i: i % 2 == 0,
    "numpy floats": lambda i: np.float64(i) / 3,
    "numpy singles": lambda i: np.float32(i) / 3,
    "numpy ints": lambda i: np.int32(i),
    "numpy bools": lambda i: np.bool_(i % 2),
    "strings": lambda i: "ab"[i % 2],
    "bytes": lambda i: b"ab",
    "tuples": lambda i: (i, minigen.tensor([1.0 * i]), "a"),
    "lists": lambda i: [i, 2.0],
    "dicts": lambda i: {"image": np.ones((1, 2)) * i, "label": i},
    "nested": lambda i: {"a": (i, {"b": [float(i), "c"]}), "d": Point(i, [i, i])},
    "ordered dicts": lambda i: collections.OrderedDict(z=i, a=2 * i),
    "named tuples": lambda i: Point(i, np.zeros(2)),
}


@pytest.mark.parametrize("kind", ITEMS)
@pytest.mark.parametrize("count", [1, 5])
def test_collate_as_pytorch(kind, count):
    batch = [ITEMS[kind](i) for i in range(count)]
    ours = default_collate(batch)
    theirs = oracle.default_collate([as_torch(item) for item in batch])
    assert plain(ours) == plain(theirs)
    assert type(ours) is type(theirs) or isinstance(ours, minigen.Tensor)


def test_collate_keeps_what_a_container_of_its_own_type_adds():
    class Record(dict):
        origin = None

    batch = [Record(x=1), Record(x=2)]
    batch[0].origin = "here"
    whole = default_collate(batch)
    assert type(whole) is Record
    assert whole.origin == "here"
    assert whole["x"].tolist() == [1, 2]
    assert batch[0] == {"x": 1}
    counts = collections.defaultdict(int, x=3)
    assert default_collate([counts, counts])["x"].tolist() == [3, 3]
    assert plain(default_collate([range(2), range(2)])) == [("int64", [0, 0]), ("int64", [1, 1])]


def test_what_cannot_be_collated():
    with pytest.raises(TypeError, match=r"got object\. Give the DataLoader a collate_fn"):
        default_collate([object()])
    with pytest.raises(RuntimeError, match="equal length, got 1, 2"):
        default_collate([[1], [1, 2]])
    with pytest.raises(TypeError, match="NumPy array of <U1"):
        default_collate([np.array(["a"])])
    with pytest.raises((RuntimeError, ValueError), match="stack"):
        default_collate([minigen.zeros(2), minigen.zeros(3)])
