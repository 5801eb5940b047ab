"""Convolutional layers, and their transposes.

A convolution of stride s, padding p and dilation d makes of n positions
    ⌊(n + 2p - d (k - 1) - 1) / s⌋ + 1,
and its transpose of n positions
    (n - 1) s - 2p + d (k - 1) + output_padding + 1      (Dumoulin & Visin 2016, arXiv:1603.07285).
"""

from __future__ import annotations

import math
from typing import Any

from minigen.dispatch import take_over_threads
from minigen.errors import ShapeError
from minigen.nn import functional as F
from minigen.nn import init
from minigen.nn.module import Module
from minigen.nn.parameter import Parameter, factory
from minigen.ops.creation import empty

__all__ = ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _each(value: Any, spatial: int) -> tuple:
    """One number an axis: `2` stands for `(2, 2)`."""
    return tuple(value) if isinstance(value, tuple | list) else (value,) * spatial


class _Convolution(Module):
    """What all convolutions have in common: the arguments, the parameters, the printed line."""

    spatial: int  # the number of spatial dimensions
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        output_padding: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        take_over_threads()
        if groups <= 0 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"in_channels ({in_channels}) and out_channels ({out_channels}) must be divisible "
                f"by groups ({groups}), which must be positive"
            )
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding_mode must be one of {PADDING_MODES}, got {padding_mode!r}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = _each(kernel_size, self.spatial)
        self.stride = _each(stride, self.spatial)
        self.padding = padding if isinstance(padding, str) else _each(padding, self.spatial)
        self.dilation = _each(dilation, self.spatial)
        self.output_padding = _each(output_padding, self.spatial)
        self.groups, self.padding_mode = groups, padding_mode
        self._check_padding()
        first, second = out_channels, in_channels
        if self.transposed:
            first, second = in_channels, out_channels
        kind = factory(device, dtype)
        self.weight = Parameter(empty(first, second // groups, *self.kernel_size, **kind))
        self.register_parameter("bias", Parameter(empty(out_channels, **kind)) if bias else None)
        self.reset_parameters()

    def _check_padding(self) -> None:
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(
                    f"padding must be 'same', 'valid' or numbers, got {self.padding!r}"
                )
            if self.padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")

    def reset_parameters(self) -> None:
        """Draw new initial values from U(-b, b), b = 1 / √fan_in."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None and self.weight.numel():
            bound = 1 / math.sqrt(self.weight.numel() // self.weight.shape[0])
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        parts = [
            f"{self.in_channels}, {self.out_channels}",
            f"kernel_size={self.kernel_size}",
            f"stride={self.stride}",
        ]
        nothing, one = (0,) * self.spatial, (1,) * self.spatial
        if self.padding != nothing:
            parts.append(f"padding={self.padding}")
        if self.dilation != one:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != nothing:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def _margins(self) -> list[int]:
        """(before, after) for each spatial dimension, the last first, as `F.pad` takes them."""
        margins = []
        for axis in reversed(range(self.spatial)):
            if self.padding == "same":
                total = self.dilation[axis] * (self.kernel_size[axis] - 1)
                margins += [total // 2, total - total // 2]
            else:
                margins += [0 if self.padding == "valid" else self.padding[axis]] * 2
        return margins

    def forward(self, input: Any) -> Any:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._margins(), mode=self.padding_mode), 0
        convolve = F.conv1d if self.spatial == 1 else F.conv2d
        return convolve(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class Conv1d(_Conv):
    """(N, C_in, L) -> (N, C_out, L'); weight (C_out, C_in / groups, k).

    >>> import minigen
    >>> Conv1d(2, 4, kernel_size=3, padding=1)(minigen.zeros(5, 2, 7)).shape
    minigen.Size([5, 4, 7])
    """

    spatial = 1


class Conv2d(_Conv):
    """(N, C_in, H, W) -> (N, C_out, H', W'); weight (C_out, C_in / groups, k_h, k_w).

    >>> import minigen
    >>> Conv2d(1, 8, kernel_size=4, stride=2, padding=1)(minigen.zeros(5, 1, 28, 28)).shape
    minigen.Size([5, 8, 14, 14])
    """

    spatial = 2


class _ConvTranspose(_Convolution):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f'only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding,
            groups, bias, padding_mode, device, dtype,
        )  # fmt: skip

    def _check_padding(self) -> None:
        if isinstance(self.padding, str):
            raise TypeError(f"{type(self).__name__}: padding must be numbers, not {self.padding!r}")

    def _padding_for(self, input: Any, output_size: Any) -> tuple:
        """The output_padding that gives the wanted size: a stride > 1 leaves several possible."""
        if output_size is None:
            return self.output_padding
        wanted = tuple(output_size)
        if len(wanted) == input.ndim:
            wanted = wanted[-self.spatial :]
        if len(wanted) != self.spatial:
            raise ShapeError(
                f"output_size needs {self.spatial} or {input.ndim} numbers, "
                f"got {tuple(output_size)}"
            )
        result = []
        for axis, size in enumerate(wanted):
            stride, reach = self.stride[axis], self.dilation[axis] * (self.kernel_size[axis] - 1)
            n = input.shape[axis - self.spatial]
            smallest = (n - 1) * stride - 2 * self.padding[axis] + reach + 1
            if not smallest <= size < smallest + stride:
                raise ShapeError(
                    f"output_size {wanted} cannot be had: dimension {axis} can become "
                    f"{smallest} to {smallest + stride - 1}"
                )
            result.append(size - smallest)
        return tuple(result)

    def forward(self, input: Any, output_size: Any = None) -> Any:
        output_padding = self._padding_for(input, output_size)
        convolve = F.conv_transpose1d if self.spatial == 1 else F.conv_transpose2d
        return convolve(
            input, self.weight, self.bias, self.stride, self.padding, output_padding, self.groups,
            self.dilation,
        )  # fmt: skip


class ConvTranspose1d(_ConvTranspose):
    """(N, C_in, L) -> (N, C_out, L'); weight (C_in, C_out / groups, k).

    >>> import minigen
    >>> layer = ConvTranspose1d(2, 1, kernel_size=3, stride=2)
    >>> layer(minigen.zeros(5, 2, 4)).shape
    minigen.Size([5, 1, 9])
    """

    spatial = 1


class ConvTranspose2d(_ConvTranspose):
    """(N, C_in, H, W) -> (N, C_out, H', W'); weight (C_in, C_out / groups, k_h, k_w).

    >>> import minigen
    >>> layer = ConvTranspose2d(8, 1, kernel_size=4, stride=2, padding=1)
    >>> layer(minigen.zeros(5, 8, 14, 14)).shape
    minigen.Size([5, 1, 28, 28])
    """

    spatial = 2
