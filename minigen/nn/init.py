"""Initial values: each function overwrites a tensor in place, unrecorded, and returns it.

The random numbers come from minigen's default generator, or from `generator=`.  A layer's weight
has shape (out, in, *receptive field); its fan-in is in · |field|, its fan-out is out · |field|.

    xavier   Var w = gain² · 2 / (fan_in + fan_out)   Glorot & Bengio 2010, eq. 16
    kaiming  Var w = gain² / fan_mode                 He et al. 2015, arXiv:1502.01852, eq. 10, 14
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from minigen import backend
from minigen.backend import Generator
from minigen.errors import ShapeError
from minigen.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _write(tensor: Tensor, values: Any) -> Tensor:
    """Overwrite without recording, also where the tensor is a leaf that requires grad."""
    if not isinstance(values, int | float):
        values = backend.to_device(values, tensor.device)
    tensor.array[...] = values
    tensor.changed_in_place()
    return tensor


def _drawn(tensor: Tensor) -> Any:
    """The dtype in which random numbers are drawn for this tensor."""
    if tensor.array.dtype.kind != "f":
        raise TypeError(f"random initial values need a floating-point tensor, got {tensor.dtype}")
    return np.float64 if tensor.array.dtype.itemsize == 8 else np.float32


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """U(a, b).  Raises ValueError if a > b.

    >>> import minigen
    >>> w = uniform_(minigen.empty(100), -0.5, 0.5)
    >>> -0.5 <= w.min().item() and w.max().item() <= 0.5
    True
    """
    if not a <= b:
        raise ValueError(f"uniform_: expects a <= b, got a={a}, b={b}")
    values = backend.stream(generator).random(tensor.shape, dtype=_drawn(tensor))
    values *= b - a
    values += a
    return _write(tensor, values)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """N(mean, std²).  Raises ValueError if std < 0.

    >>> import minigen
    >>> normal_(minigen.empty(2, 3), mean=2.0, std=0.0)
    tensor([[2., 2., 2.],
            [2., 2., 2.]])
    """
    if not std >= 0:
        raise ValueError(f"normal_: expects std >= 0, got {std}")
    values = backend.stream(generator).standard_normal(tensor.shape, dtype=_drawn(tensor))
    values *= std
    values += mean
    return _write(tensor, values)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """N(mean, std²) given that the value lies in [a, b]: what falls outside is drawn again.

    Raises ValueError if less than one draw in a hundred would fall inside.

    >>> import minigen
    >>> w = trunc_normal_(minigen.empty(100), std=0.02, a=-0.04, b=0.04)
    >>> w.abs().max().item() <= 0.04
    True
    """
    inside = NormalDist(mean, std).cdf(b) - NormalDist(mean, std).cdf(a) if std > 0 else 0.0
    if inside < 0.01:
        raise ValueError(
            f"trunc_normal_: [a, b] = [{a}, {b}] holds {inside:.1%} of N({mean}, {std}²); "
            "choose std > 0 and bounds near the mean"
        )
    rng, dtype = backend.stream(generator), _drawn(tensor)
    values = np.empty(tensor.numel(), dtype)
    wanted = np.arange(values.size)
    while wanted.size:
        draws = rng.standard_normal(wanted.size, dtype=dtype)
        draws *= std
        draws += mean
        values[wanted] = draws
        wanted = wanted[(draws < a) | (draws > b)]
    return _write(tensor, values.reshape(tensor.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """The same value everywhere."""
    return _write(tensor, val)


def zeros_(tensor: Tensor) -> Tensor:
    return _write(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    return _write(tensor, 1)


def eye_(tensor: Tensor) -> Tensor:
    """Ones on the diagonal of a matrix (n, m), zeros elsewhere.  Raises ValueError unless 2-D."""
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: only matrices have a diagonal, got shape {tuple(tensor.shape)}")
    return _write(tensor, np.eye(*tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution that hands as many channels on as it can, in each of its `groups`.

    tensor: (out, in / groups, *receptive field) of 3 to 5 dimensions.  Raises ValueError for others
    and if `groups` does not divide the number of output channels.

    >>> import minigen
    >>> dirac_(minigen.empty(2, 2, 3))
    tensor([[[0., 1., 0.],
             [0., 0., 0.]],
    <BLANKLINE>
            [[0., 0., 0.],
             [0., 1., 0.]]])
    """
    if tensor.ndim not in (3, 4, 5):
        raise ShapeError(
            f"dirac_: needs a convolution's weight of 3 to 5 dimensions, got {tuple(tensor.shape)}"
        )
    out, inputs, *field = tensor.shape
    if out % groups:
        raise ShapeError(f"dirac_: {groups} groups do not divide {out} output channels")
    values = np.zeros(tensor.shape)
    middle = tuple(size // 2 for size in field)
    for channel in range(min(out // groups, inputs)):
        for group in range(groups):
            values[(group * (out // groups) + channel, channel, *middle)] = 1
    return _write(tensor, values)


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """N(0, std²), with a fraction `sparsity` of each column, rounded up, set to 0.

    Source: Martens 2010, "Deep learning via Hessian-free optimization", section 5.
    Raises ValueError unless 2-D.

    >>> import minigen
    >>> (sparse_(minigen.empty(10, 3), sparsity=0.75) == 0).sum(0)
    tensor([8, 8, 8])
    """
    if tensor.ndim != 2:
        raise ShapeError(f"sparse_: only matrices have columns, got shape {tuple(tensor.shape)}")
    rng = backend.stream(generator)
    values = rng.standard_normal(tensor.shape, dtype=_drawn(tensor))
    values *= std
    zeros = math.ceil(sparsity * tensor.shape[0])
    for column in range(tensor.shape[1]):
        values[rng.permutation(tensor.shape[0])[:zeros], column] = 0
    return _write(tensor, values)


# --------------------------------------------------------------------- scaled by the fan


def _fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, *receptive field)."""
    if tensor.ndim < 2:
        raise ShapeError(
            "fan in and fan out need a weight of at least 2 dimensions (out, in, ...), "
            f"got shape {tuple(tensor.shape)}"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a layer's weights make up for what its nonlinearity does to the variance.

    `param` is the negative slope of "leaky_relu", 0.01 unless given.  Raises ValueError for an
    unknown name.

    >>> calculate_gain("relu") == math.sqrt(2)
    True
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, int | float):
            raise ValueError(f"negative_slope {param!r} is not a number")
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        names = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"unsupported nonlinearity {nonlinearity!r}; there are {names}")
    return _GAINS[nonlinearity]


_GAINS = {
    **dict.fromkeys(("linear", "sigmoid"), 1.0),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), 1.0),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), 1.0),
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """U(-b, b) with b = gain √(6 / (fan_in + fan_out)).

    >>> import minigen
    >>> xavier_uniform_(minigen.empty(2, 4)).abs().max().item() <= 1.0
    True
    """
    bound = gain * math.sqrt(6 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """N(0, σ²) with σ = gain √(2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(_fans(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode {mode!r} is not supported; choose 'fan_in' or 'fan_out'")
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """U(-b, b) with b = gain √(3 / fan_mode); `a` is the negative slope of leaky_relu.

    >>> import minigen
    >>> kaiming_uniform_(minigen.empty(2, 6), nonlinearity="relu").abs().max().item() <= 1.0
    True
    """
    if tensor.numel() == 0:
        return tensor
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """N(0, σ²) with σ = gain / √fan_mode; `a` is the negative slope of leaky_relu."""
    if tensor.numel() == 0:
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A (semi-)orthogonal matrix, uniformly distributed; dimensions after the first are flattened.

    Q of the QR decomposition of a Gaussian matrix, with the signs that make R's diagonal positive
    (Mezzadri 2007, arXiv:math-ph/0609050, section 5; Saxe et al. 2013, arXiv:1312.6120).
    Raises ValueError for fewer than 2 dimensions.

    >>> import minigen
    >>> w = orthogonal_(minigen.empty(2, 3))
    >>> (w @ w.T).round(decimals=3).abs()
    tensor([[1., 0.],
            [0., 1.]])
    """
    if tensor.ndim < 2:
        raise ShapeError(
            f"orthogonal_: needs at least 2 dimensions, got shape {tuple(tensor.shape)}"
        )
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    shape = (rows, tensor.numel() // rows)
    gaussian = backend.stream(generator).standard_normal(shape, dtype=_drawn(tensor))
    wide = shape[0] < shape[1]
    q, r = np.linalg.qr(gaussian.T if wide else gaussian)
    q *= np.sign(np.diag(r)) * gain
    return _write(tensor, (q.T if wide else q).reshape(tensor.shape))
