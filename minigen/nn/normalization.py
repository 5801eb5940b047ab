"""Normalization: subtract a mean, divide by a standard deviation, then scale and shift.

    y = (x - E[x]) / √(Var[x] + ε) · weight + bias

The layers differ in what the mean is taken over: the batch (BatchNorm), the features of one sample
(LayerNorm, RMSNorm), the channels of one group (GroupNorm), or one channel (InstanceNorm).
"""

from __future__ import annotations

from typing import Any

from minigen.dtypes import int64
from minigen.errors import ShapeError
from minigen.nn import functional as F
from minigen.nn import init
from minigen.nn.module import Module
from minigen.nn.parameter import Parameter, factory
from minigen.ops.creation import empty, ones, zeros

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LayerNorm",
    "RMSNorm",
]


class _Affine(Module):
    """A layer with `weight` (ones at first) and `bias` (zeros at first), each None if left out."""

    def _add_affine(self, shape: Any, weight: bool, bias: bool, kind: dict) -> None:
        self.register_parameter("weight", Parameter(empty(shape, **kind)) if weight else None)
        self.register_parameter("bias", Parameter(empty(shape, **kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _RunningNorm(_Affine):
    """Keeps averages of the mean and variance that it sees in training, for evaluation.

    running <- (1 - momentum) running + momentum · batch;  momentum None: the plain average so far.
    """

    dims: tuple[int, ...]  # the numbers of dimensions that the input may have

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ) -> None:
        super().__init__()
        kind = factory(device, dtype)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        mean = variance = count = None
        if track_running_stats:
            mean, variance = zeros(num_features, **kind), ones(num_features, **kind)
            count = zeros((), dtype=int64, device=device)
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", variance)
        self.register_buffer("num_batches_tracked", count)
        self._add_affine(num_features, affine, affine and bias, kind)

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, as if no batch had been seen."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def _check_dims(self, input: Any) -> None:
        if input.ndim not in self.dims:
            expected = " or ".join(f"{n}D" for n in self.dims)
            raise ShapeError(
                f"{type(self).__name__}: expected {expected} input, got {tuple(input.shape)}"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_RunningNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: Any) -> Any:
        self._check_dims(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.array[...] += 1
            if self.momentum is None:
                momentum = 1 / self.num_batches_tracked.item()
        use_batch = self.training or self.running_mean is None
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, use_batch, momentum,
            self.eps,
        )  # fmt: skip


class BatchNorm1d(_BatchNorm):
    """Normalizes each feature over the batch: (N, C), or (N, C, L) over N and L.

    In training by the batch's mean and (biased) variance; in evaluation by the running averages,
    unless `track_running_stats` is False.  Source: Ioffe & Szegedy 2015, arXiv:1502.03167.

    >>> import minigen
    >>> layer = BatchNorm1d(1)
    >>> layer(minigen.tensor([[1.0], [3.0]])).detach().round(decimals=3)
    tensor([[-1.],
            [ 1.]])
    >>> layer.running_mean
    tensor([0.2000])
    """

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalizes each channel over batch, height and width: (N, C, H, W).  See `BatchNorm1d`."""

    dims = (4,)


class _InstanceNorm(_RunningNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: Any) -> Any:
        self._check_dims(input)
        if self.affine and input.shape[1 - self.dims[1]] != self.num_features:
            raise ShapeError(
                f"{type(self).__name__}: expected {self.num_features} channels, "
                f"got input {tuple(input.shape)}"
            )
        alone = input.ndim == self.dims[0]
        output = F.instance_norm(
            input[None] if alone else input, self.running_mean, self.running_var,
            self.weight, self.bias, self.training or not self.track_running_stats,
            self.momentum or 0.0, self.eps,
        )  # fmt: skip
        return output[0] if alone else output


class InstanceNorm1d(_InstanceNorm):
    """Normalizes each channel of each sample: (N, C, L) or (C, L).

    Source: Ulyanov et al. 2016, arXiv:1607.08022.  Without weight, bias and running averages,
    unless `affine` and `track_running_stats` ask for them.
    """

    dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Normalizes each channel of each sample: (N, C, H, W) or (C, H, W).  See `InstanceNorm1d`."""

    dims = (3, 4)


class LayerNorm(_Affine):
    """Normalizes each sample over its last dimensions, which have the shape `normalized_shape`.

    Source: Ba, Kiros & Hinton 2016, arXiv:1607.06450.

    >>> import minigen
    >>> LayerNorm(2)(minigen.tensor([[1.0, 3.0]])).detach().round(decimals=3)
    tensor([[-1.,  1.]])
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape = tuple(shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        kind = factory(device, dtype)
        self._add_affine(
            self.normalized_shape, elementwise_affine, elementwise_affine and bias, kind
        )

    def forward(self, input: Any) -> Any:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """x / √(mean(x²) + ε) · weight over the last dimensions: LayerNorm without mean and bias.

    ε is the machine epsilon of the input's dtype unless given.
    Source: Zhang & Sennrich 2019, arXiv:1910.07467.

    >>> import minigen
    >>> RMSNorm(2)(minigen.tensor([[1.0, 7.0]])).detach().round(decimals=3)
    tensor([[0.2000, 1.4000]])
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape = tuple(shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        weight = empty(self.normalized_shape, **factory(device, dtype))
        self.register_parameter("weight", Parameter(weight) if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Any) -> Any:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(_Affine):
    """Normalizes each sample over groups of channels: (N, C, ...), C divisible by `num_groups`.

    Source: Wu & He 2018, arXiv:1803.08494.

    >>> import minigen
    >>> GroupNorm(1, 2)(minigen.tensor([[1.0, 3.0]])).detach().round(decimals=3)
    tensor([[-1.,  1.]])
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        self._add_affine(num_channels, affine, affine and bias, factory(device, dtype))

    def forward(self, input: Any) -> Any:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
