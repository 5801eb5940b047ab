"""Normalisations: subtract a mean, divide by a standard deviation, over different dimensions.

| function        | mean and variance over                    | of an input (N, C, *)           |
|-----------------|-------------------------------------------|---------------------------------|
| `batch_norm`    | N, *                                      | one pair for each channel       |
| `layer_norm`    | the last dimensions, `normalized_shape`   | one for each position           |
| `group_norm`    | *, and the channels of a group            | one for each sample and group   |
| `instance_norm` | *                                         | one for each sample and channel |
| `rms_norm`      | as layer_norm, without the mean           |                                 |

The mean and the variance depend on the input, so the gradient has three terms.  With the normalised
input x̂ = (x - mean) rstd, rstd = 1/√(var + eps), and h = g weight:

    dx = rstd (h - mean(h) - x̂ mean(h x̂)),   dweight = Σ g x̂,   dbias = Σ g

Forward and gradient are computed on whole arrays; each operation also has its `formula`, from which
derivatives of higher order follow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigen import backend
from minigen.autograd import differentiable
from minigen.backend import quiet
from minigen.errors import ShapeError
from minigen.ops.elementwise import clamp
from minigen.ops.functions import rsqrt
from minigen.ops.norms import norm
from minigen.ops.reduction import mean
from minigen.ops.shape import reshape
from minigen.ops.softmax import floating

__all__ = [
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "normalize", "rms_norm",
]  # fmt: skip


def _check_parameters(name: str, input: Any, shape: tuple, **parameters: Any) -> None:
    """Each parameter that is given has to have this shape and the dtype of the input."""
    for parameter, value in parameters.items():
        if value is not None and tuple(value.shape) != shape:
            raise ShapeError(
                f"{name}: {parameter} must have shape {shape} for input of shape "
                f"{tuple(input.shape)}, got {tuple(value.shape)}"
            )
        if value is not None and value.dtype != input.dtype:
            raise TypeError(
                f"{name}: {parameter} is {value.dtype}, input {input.dtype}; cast one of them"
            )


@differentiable
def _scale_and_shift(input: Any, scale: Any, shift: Any) -> Any:
    output = input * scale
    output += shift
    return output


_scale_and_shift.gradients(
    input=lambda g, scale: g * scale,
    scale=lambda g, input: g * input,
    shift=lambda g: g,
)


def _affine(normal: Any, weight: Any, bias: Any, shape: tuple) -> Any:
    """normal * weight + bias, with the parameters in a shape that broadcasts."""
    if weight is not None and bias is not None:
        return _scale_and_shift(normal, reshape(weight, shape), reshape(bias, shape))
    if weight is not None:
        normal = normal * reshape(weight, shape)
    return normal if bias is None else normal + reshape(bias, shape)


def _normalised(input: Any, dims: tuple, eps: float) -> Any:
    """(x - mean) / √(var + eps) in differentiable operations: what the formulas share."""
    centred = input - mean(input, dims, keepdim=True)
    return centred * rsqrt(mean(centred * centred, dims, keepdim=True) + eps)


# ------------------------------------------------------------------------------- layer_norm


def _check_normalized_shape(name: str, input: Any, shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple | list):
        raise TypeError(f"{name}: normalized_shape must be a tuple of ints, got {shape!r}")
    dims = tuple(shape)
    if not dims:
        raise ShapeError(f"{name}: normalized_shape must name at least one dimension")
    if tuple(input.shape[-len(dims) :]) != dims:
        raise ShapeError(
            f"{name}: normalized_shape {dims} has to be the end of the shape of input, "
            f"{tuple(input.shape)}"
        )
    return dims


def layer_norm(
    input: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None,
    eps: float = 1e-5,
) -> Any:  # fmt: skip
    """(x - mean) / √(var + eps) * weight + bias over the last dimensions; by kernel `layer_norm`.

    input (..., *normalized_shape); weight and bias of normalized_shape, or None for 1 and 0; the
    variance is that of the population.  Raises ShapeError if the shapes do not fit, TypeError if
    the dtypes differ.  Source: Ba, Kiros & Hinton 2016, arXiv:1607.06450, equation 3.

    >>> import minigen
    >>> layer_norm(minigen.tensor([[1.0, 3.0], [5.0, 9.0]]), [2])
    tensor([[-1.0000,  1.0000],
            [-1.0000,  1.0000]])
    """
    dims = _check_normalized_shape("layer_norm", input, normalized_shape)
    if weight is not None or bias is not None:
        _check_parameters("layer_norm", input, dims, weight=weight, bias=bias)
    return _layer_norm(input, weight, bias, len(dims), eps)


def _rows(array: Any, ndim: int) -> Any:
    """(rows, features): the last `ndim` dimensions, and all before them, each as one."""
    if array.ndim == 2 and ndim == 1:
        return array
    features = math.prod(array.shape[-ndim:])
    return array.reshape(array.size // features, features)


def _vector(array: Any) -> Any:
    return None if array is None else array.reshape(-1)


def _shaped(sums: Any, shape: tuple) -> Any:
    """A parameter's gradient, itself if it has the shape: a view would be copied to be kept."""
    return sums if sums.shape == shape else sums.reshape(shape)


@differentiable(promote=floating, saves=("mean", "rstd"))
def _layer_norm(input: Any, weight: Any, bias: Any, ndim: int, eps: float) -> Any:
    if input.size == 0:
        return input.copy(), None, None
    rows, w, b = _rows(input, ndim), _vector(weight), _vector(bias)
    output, mean, rstd = backend.kernel("layer_norm", rows, w, b, eps)
    return output.reshape(input.shape), mean, rstd


@_layer_norm.joint_gradient("input", "weight", "bias")
def _(g: Any, input: Any, weight: Any, ndim: int, mean: Any, rstd: Any) -> Any:
    shape = input.shape[-ndim:]
    if input.size == 0:
        nothing = backend.array_module(g).zeros(shape, g.dtype)
        return g, nothing, nothing
    rows, cotangent, w = _rows(input, ndim), _rows(g, ndim), _vector(weight)
    dx, dw, db = backend.kernel("layer_norm_backward", cotangent, rows, w, mean, rstd)
    return dx.reshape(input.shape), _shaped(dw, shape), _shaped(db, shape)


@_layer_norm.formula
def _(input: Any, weight: Any, bias: Any, ndim: int, eps: float) -> Any:
    normal = _normalised(input, tuple(range(-ndim, 0)), eps)
    return _affine(normal, weight, bias, tuple(input.shape[-ndim:]))


# --------------------------------------------------------------------------------- rms_norm


def rms_norm(
    input: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Any:
    """x / √(mean(x²) + eps) * weight over the last dimensions.

    Shapes and errors as in `layer_norm`; eps defaults to the spacing of the dtype at 1.
    Source: Zhang & Sennrich 2019, arXiv:1910.07467, equation 4.

    >>> import minigen
    >>> rms_norm(minigen.tensor([[1.0, 7.0]]), [2])
    tensor([[0.2000, 1.4000]])
    """
    dims = _check_normalized_shape("rms_norm", input, normalized_shape)
    if weight is not None:
        _check_parameters("rms_norm", input, dims, weight=weight)
    return _rms_norm(input, weight, len(dims), eps)


def _rms_eps(dtype: Any, eps: float | None) -> float:
    return float(np.finfo(dtype).eps) if eps is None else eps


def _sums_of_products(labels: str, a: Any, b: Any, axis: int) -> Any:
    """Σ a b over `axis`, which `labels` names too.

    On a GPU not by einsum: CuPy makes matrix products of it, and these cannot be captured into a
    CUDA graph.
    """
    return (a * b).sum(axis=axis) if backend.on_gpu(a) else np.einsum(labels, a, b)


@differentiable(promote=floating, saves=("rrms",))
def _rms_norm(input: Any, weight: Any, ndim: int, eps: float | None) -> Any:
    if input.size == 0:
        return input.copy(), None
    rows = _rows(input, ndim)
    if backend.large(rows):
        output, rrms = backend.kernel("rms_norm", rows, _vector(weight), _rms_eps(input.dtype, eps))
        return output.reshape(input.shape), rrms
    square = _sums_of_products("rf,rf->r", rows, rows, 1)
    square /= rows.shape[1]
    square += _rms_eps(input.dtype, eps)
    with quiet():
        rrms = 1 / np.sqrt(square)
    output = rows * rrms[:, None]
    if weight is not None:
        output *= weight.reshape(-1)
    return output.reshape(input.shape), rrms


@_rms_norm.joint_gradient("input", "weight")
def _(g: Any, input: Any, weight: Any, ndim: int, rrms: Any) -> Any:
    """dx = rrms (h - x̂ mean(h x̂)), x̂ = x rrms: the terms of layer_norm without the mean's."""
    shape = input.shape[-ndim:]
    if input.size == 0:
        return g, backend.array_module(g).zeros(shape, g.dtype)
    rows, cotangent = _rows(input, ndim), _rows(g, ndim)
    if backend.large(rows):
        dx, dw = backend.kernel("rms_norm_backward", cotangent, rows, _vector(weight), rrms)
        return dx.reshape(input.shape), _shaped(dw, shape)
    normal = rows * rrms[:, None]
    dw = _shaped(_sums_of_products("rf,rf->f", cotangent, normal, 0), shape)
    dx = cotangent * (1 if weight is None else weight.reshape(-1))
    inner = _sums_of_products("rf,rf->r", dx, normal, 1)
    inner /= rows.shape[1]
    normal *= inner[:, None]
    dx -= normal
    dx *= rrms[:, None]
    return dx.reshape(input.shape), dw


@_rms_norm.formula
def _(input: Any, weight: Any, ndim: int, eps: float | None) -> Any:
    dims, shape = tuple(range(-ndim, 0)), tuple(input.shape[-ndim:])
    square = mean(input * input, dims, keepdim=True)
    return _affine(input * rsqrt(square + _rms_eps(input.dtype.numpy, eps)), weight, None, shape)


# ------------------------------------------------------------------------------- batch_norm


class Running:
    """The running mean and variance of a layer, which every batch in training moves a little."""

    def __init__(self, mean: Any, var: Any, momentum: float) -> None:
        self.mean, self.var, self.momentum = mean, var, momentum

    def update(self, mean: Any, var: Any, count: int) -> None:
        """running = (1 - momentum) running + momentum latest, with the unbiased variance."""
        for running, latest in ((self.mean, mean), (self.var, var * (count / max(count - 1, 1)))):
            running.array *= 1 - self.momentum
            running.array += self.momentum * latest
            running.changed_in_place()

    def __repr__(self) -> str:
        return f"Running(momentum={self.momentum})"


def batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """(x - mean) / √(var + eps) * weight + bias for each channel of (N, C, *).

    training: mean and variance (of the population) are those of the batch, and running_mean and
    running_var, (C,), if given, are moved towards them in place, the latter with the unbiased
    variance.  Otherwise they are the running ones.  weight, bias (C,), or None for 1 and 0.
    Raises ShapeError if shapes do not fit, or in training if a channel has one value only.
    Source: Ioffe & Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2.

    >>> import minigen
    >>> x = minigen.tensor([[1.0, 10.0], [3.0, 30.0]])
    >>> batch_norm(x, None, None, training=True)
    tensor([[-1.0000, -1.0000],
            [ 1.0000,  1.0000]])
    """
    if input.ndim < 2:
        raise ShapeError(f"batch_norm: input must be (N, C, *), got shape {tuple(input.shape)}")
    channels = input.shape[1]
    parameters = {"running_mean": running_mean, "running_var": running_var}
    _check_parameters("batch_norm", input, (channels,), weight=weight, bias=bias, **parameters)
    if (running_mean is None) != (running_var is None):
        raise ShapeError("batch_norm: give both running_mean and running_var, or neither")
    if training:
        if input.shape[0] * math.prod(input.shape[2:]) == 1:
            raise ShapeError(
                "batch_norm: expects more than 1 value per channel when training, got input of "
                f"shape {tuple(input.shape)}; use a larger batch, or eval()"
            )
        running = None if running_mean is None else Running(running_mean, running_var, momentum)
        return _batch_norm(input, weight, bias, eps, running)
    if running_mean is None:
        raise ShapeError("batch_norm: needs running_mean and running_var when not training")
    scale = rsqrt(running_var.detach() + eps)
    if weight is not None:
        scale = weight * scale
    shift = -running_mean.detach() * scale
    return _affine(input, scale, shift if bias is None else bias + shift, _beside(input))


def _beside(input: Any) -> tuple:
    """The shape in which (C,) broadcasts with (N, C, *)."""
    return (-1,) + (1,) * (input.ndim - 2)


def _by_channel(array: Any) -> Any:
    """(N, C), or (N, C, positions)."""
    return array if array.ndim < 4 else array.reshape(*array.shape[:2], math.prod(array.shape[2:]))


def _three(array: Any) -> Any:
    """(N, C) as (N, C, 1); (N, C, positions) as it is."""
    return array if array.ndim == 3 else array[:, :, None]


def _channel_sum(a: Any) -> Any:
    return a.sum(axis=0) if a.ndim == 2 else np.einsum("ncp->nc", a).sum(axis=0)


def _channel_dot(a: Any, b: Any) -> Any:
    """Σ a b for each channel, without an array for the product."""
    if a.ndim == 2:
        return _sums_of_products("nc,nc->c", a, b, 0)
    return _sums_of_products("ncp,ncp->nc", a, b, 2).sum(axis=0)


@differentiable(promote=floating, saves=("mean", "rstd"))
def _batch_norm(input: Any, weight: Any, bias: Any, eps: float, running: Running | None) -> Any:
    """Batch statistics; `running` is told of them, the one effect that outlives the call."""
    x, beside = _by_channel(input), _beside(_by_channel(input))
    count = max(x.size // max(x.shape[1], 1), 1)
    if backend.large(x):
        y, mean, var, rstd = backend.kernel("batch_norm", _three(x), weight, bias, eps)
        if running is not None:
            running.update(mean, var, count)
        return y.reshape(input.shape), mean, rstd
    mean = _channel_sum(x)
    mean /= count
    output = x - mean.reshape(beside)
    var = _channel_dot(output, output)
    var /= count
    if running is not None:
        running.update(mean, var, count)
    with quiet():
        rstd = 1 / np.sqrt(var + eps)
    output *= (rstd if weight is None else rstd * weight).reshape(beside)
    if bias is not None:
        output += bias.reshape(beside)
    return output.reshape(input.shape), mean, rstd


@_batch_norm.joint_gradient("input", "weight", "bias")
def _(g: Any, input: Any, weight: Any, mean: Any, rstd: Any) -> Any:
    x, cotangent = _by_channel(input), _by_channel(g)
    if backend.large(x):
        arrays = _three(cotangent), _three(x), weight, mean, rstd
        dx, dw, db = backend.kernel("batch_norm_backward", *arrays)
        return dx.reshape(input.shape), dw, db
    beside, count = _beside(x), max(x.size // max(x.shape[1], 1), 1)
    dx = x - mean.reshape(beside)
    db = _channel_sum(cotangent)
    dw = _channel_dot(cotangent, dx)
    dw *= rstd
    dx *= (dw * rstd / count).reshape(beside)  # x̂ mean(g x̂)
    dx += (db / count).reshape(beside)  # mean(g)
    np.subtract(cotangent, dx, out=dx)
    dx *= (rstd if weight is None else rstd * weight).reshape(beside)
    return dx.reshape(input.shape), dw, db


@_batch_norm.formula
def _(input: Any, weight: Any, bias: Any, eps: float, running: Running | None) -> Any:
    normal = _normalised(input, (0, *range(2, input.ndim)), eps)
    return _affine(normal, weight, bias, _beside(input))


# ------------------------------------------------------------- of groups, of single samples


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """layer_norm over each of `num_groups` groups of channels of (N, C, *), then weight and bias.

    weight, bias (C,), or None for 1 and 0.  Raises ShapeError if num_groups does not divide C.
    Source: Wu & He 2018, arXiv:1803.08494, section 3.

    >>> import minigen
    >>> group_norm(minigen.tensor([[1.0, 3.0, 10.0, 30.0]]), 2)
    tensor([[-1.0000,  1.0000, -1.0000,  1.0000]])
    """
    if input.ndim < 2:
        raise ShapeError(f"group_norm: input must be (N, C, *), got shape {tuple(input.shape)}")
    samples, channels = input.shape[:2]
    _check_parameters("group_norm", input, (channels,), weight=weight, bias=bias)
    if num_groups < 1 or channels % num_groups:
        raise ShapeError(
            f"group_norm: num_groups {num_groups} has to divide the channels, {channels} in input "
            f"of shape {tuple(input.shape)}"
        )
    size = channels // num_groups * math.prod(input.shape[2:])
    if samples * size == 1:
        raise ShapeError(
            f"group_norm: expects more than 1 value per group, got shape {tuple(input.shape)}"
        )
    groups = reshape(input, (samples, num_groups, size))
    normal = reshape(_layer_norm(groups, None, None, 1, eps), tuple(input.shape))
    return _affine(normal, weight, bias, _beside(input))


def instance_norm(
    input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None,
    bias: Any = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """(x - mean) / √(var + eps) * weight + bias for each sample and channel of (N, C, *).

    use_input_stats: mean and variance are those of the input, and the running ones, if given, move
    towards their average over the samples; otherwise they are the running ones, as in `batch_norm`.
    Source: Ulyanov, Vedaldi & Lempitsky 2016, arXiv:1607.08022, equation 7.

    >>> import minigen
    >>> instance_norm(minigen.tensor([[[1.0, 3.0], [10.0, 30.0]]]))
    tensor([[[-1.0000,  1.0000],
             [-1.0000,  1.0000]]])
    """
    if input.ndim < 2:
        raise ShapeError(f"instance_norm: input must be (N, C, *), got shape {tuple(input.shape)}")
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ShapeError("instance_norm: without use_input_stats it needs the running ones")
        return batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
    samples, channels = input.shape[:2]
    parameters = {"running_mean": running_mean, "running_var": running_var}
    _check_parameters("instance_norm", input, (channels,), weight=weight, bias=bias, **parameters)
    if math.prod(input.shape[2:]) == 1:
        raise ShapeError(
            "instance_norm: expects more than 1 value per sample and channel, got input of shape "
            f"{tuple(input.shape)}"
        )
    running = None
    if running_mean is not None and running_var is not None:
        running = _AveragedRunning(running_mean, running_var, momentum)
    flat = reshape(input, (1, samples * channels, *input.shape[2:]))
    normal = reshape(_batch_norm(flat, None, None, eps, running), tuple(input.shape))
    return _affine(normal, weight, bias, _beside(input))


class _AveragedRunning(Running):
    """The same for statistics of each sample, (N * C,): their average over the samples counts."""

    def update(self, mean: Any, var: Any, count: int) -> None:
        channels = self.mean.shape[0]
        mean, var = (v.reshape(-1, channels).mean(axis=0) for v in (mean, var))
        super().update(mean, var, count)


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    """x / max(‖x‖ₚ, eps) along `dim`.

    >>> import minigen
    >>> normalize(minigen.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    return input / clamp(norm(input, p, dim, keepdim=True), eps)
