"""Convolution and transposed convolution, in one and two dimensions.

These functions check what they are given and work out sizes.  What they compute, and its gradients
of any order, is in `correlation`.
"""

from __future__ import annotations

from typing import Any

from minigen.ops.correlation import convolution, transposed_convolution
from minigen.ops.shape import reshape
from minigen.ops.windows import Windows, batched, per_dimension, require, window_count

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"]


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """out[n, o, i] = bias[o] + Σ input[n, c, stride·i + dilation·k - padding]·weight[o, c, k].

    input:   (batch, channels, length), or (channels, length).
    weight:  (out_channels, channels / groups, kernel).
    bias:    (out_channels,) or None.
    padding: zeros on either side; "valid" is 0, "same" (stride 1 only) keeps the length.
    groups:  splits input and output channels into so many independent convolutions.
    Returns (batch, out_channels, (length + 2·padding - dilation·(kernel - 1) - 1) // stride + 1).
    Raises ShapeError if the shapes do not fit, or the kernel is longer than the padded input.

    >>> import minigen
    >>> x = minigen.tensor([[[1.0, 2.0, 4.0, 8.0]]])
    >>> conv1d(x, minigen.tensor([[[-1.0, 1.0]]]))
    tensor([[[1., 2., 4.]]])
    """
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Slide each filter over the image: `conv1d` in two dimensions.

    input:   (batch, channels, height, width), or without batch.
    weight:  (out_channels, channels / groups, kernel height, kernel width).
    stride, padding, dilation: an integer, or one each for height and width; padding also "valid"
             and "same".
    Returns (batch, out_channels, out height, out width).  Raises ShapeError as `conv1d` does.

    >>> import minigen
    >>> conv2d(minigen.ones(1, 1, 4, 4), minigen.ones(1, 1, 3, 3), stride=2, padding=1)
    tensor([[[[4., 6.],
              [6., 9.]]]])
    """
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The adjoint of `conv1d`: every input[n, c, i] adds itself times weight[c] to the output at
    stride·i - padding.

    input:  (batch, channels, length), or (channels, length).
    weight: (channels, out_channels / groups, kernel), as of the convolution it is adjoint to.
    bias:   (out_channels,) or None.
    output_padding: elements more at the end, to choose among the lengths that a strided convolution
            maps to the same length.  Less than the stride or the dilation.
    Returns (batch, out_channels,
             (length - 1)·stride - 2·padding + dilation·(kernel - 1) + output_padding + 1).
    Raises ShapeError if the shapes do not fit, or nothing is left of the output.

    >>> import minigen
    >>> x = minigen.tensor([[[1.0, 10.0]]])
    >>> conv_transpose1d(x, minigen.tensor([[[1.0, 2.0, 3.0]]]), stride=2)
    tensor([[[ 1.,  2., 13., 20., 30.]]])
    """
    return _conv_transpose(
        "conv_transpose1d",
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The adjoint of `conv2d`, which paints filters into a larger image: `conv_transpose1d` in two
    dimensions.

    input:  (batch, channels, height, width), or without batch.
    weight: (channels, out_channels / groups, kernel height, kernel width).
    Returns (batch, out_channels, out height, out width).  Raises ShapeError as `conv_transpose1d`.

    >>> import minigen
    >>> conv_transpose2d(minigen.ones(1, 1, 2, 2), minigen.ones(1, 1, 2, 2))
    tensor([[[[1., 2., 1.],
              [2., 4., 2.],
              [1., 2., 1.]]]])
    """
    return _conv_transpose(
        "conv_transpose2d",
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def _conv(
    name: str,
    n: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    alone = not batched(name, n, input)
    if alone:
        input = reshape(input, (1, *input.shape))
    stride = per_dimension(stride, n, f"{name}: stride")
    dilation = per_dimension(dilation, n, f"{name}: dilation")
    _check_operands(name, n, input, weight, bias, groups, transposed=False)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:])]
    before, after = _paddings(name, padding, reach, stride)
    size = tuple(
        window_count(x, lo + hi, r, s)
        for x, lo, hi, r, s in zip(input.shape[2:], before, after, reach, stride)
    )
    require(
        min(size) > 0,
        f"{name}: the kernel reaches over {tuple(reach)}, more than the padded input of "
        f"{tuple(x + lo + hi for x, lo, hi in zip(input.shape[2:], before, after))}; "
        "use a smaller kernel or more padding",
    )
    output = convolution(input, weight, bias, size, Windows(stride, before, dilation, groups))
    return reshape(output, output.shape[1:]) if alone else output


def _conv_transpose(
    name: str,
    n: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    alone = not batched(name, n, input)
    if alone:
        input = reshape(input, (1, *input.shape))
    stride = per_dimension(stride, n, f"{name}: stride")
    padding = per_dimension(padding, n, f"{name}: padding", 0)
    extra = per_dimension(output_padding, n, f"{name}: output_padding", 0)
    dilation = per_dimension(dilation, n, f"{name}: dilation")
    _check_operands(name, n, input, weight, bias, groups, transposed=True)
    require(
        all(e < max(s, d) for e, s, d in zip(extra, stride, dilation)),
        f"{name}: output_padding {extra} must be less than the stride {stride} or the dilation "
        f"{dilation}",
    )
    windows = Windows(stride, padding, dilation, groups)
    span = windows.span(input.shape[2:], weight.shape[2:])
    size = tuple(total - 2 * p + e for total, p, e in zip(span, padding, extra))
    require(
        min(size) > 0,
        f"{name}: padding {padding} cuts off the whole output, of {span} without it; use less",
    )
    output = transposed_convolution(input, weight, bias, size, windows)
    return reshape(output, output.shape[1:]) if alone else output


def _paddings(name: str, padding: Any, reach: list, stride: tuple) -> tuple[tuple, tuple]:
    """Padding before and after, in each dimension."""
    if padding == "same":
        require(
            all(s == 1 for s in stride),
            f"{name}: padding='same' needs stride 1, got {stride}; give the padding in numbers",
        )
        return tuple((r - 1) // 2 for r in reach), tuple(r // 2 for r in reach)
    require(
        not isinstance(padding, str) or padding == "valid",
        f"{name}: padding must be a number, 'valid' or 'same', got {padding!r}",
    )
    sides = per_dimension(0 if padding == "valid" else padding, len(reach), f"{name}: padding", 0)
    return sides, sides


def _check_operands(
    name: str, n: int, input: Any, weight: Any, bias: Any, groups: Any, transposed: bool
) -> None:
    """Raise ShapeError unless channels, groups, bias and dtypes fit together."""
    shape, filters = tuple(input.shape), tuple(weight.shape)
    layout = (
        "(channels, out_channels / groups" if transposed else "(out_channels, channels / groups"
    )
    require(
        len(filters) == n + 2,
        f"{name}: weight must be {layout}, {n} kernel sizes), {n + 2} dimensions; got {filters}",
    )
    require(min(filters) > 0, f"{name}: weight {filters} is empty")
    require(min(shape[1:]) > 0, f"{name}: input {shape} is empty in more than its batch")
    per_dimension(groups, 1, f"{name}: groups")
    require(
        filters[0] % groups == 0,
        f"{name}: groups={groups} does not divide the {filters[0]} "
        f"{'input' if transposed else 'output'} channels of weight {filters}",
    )
    expected = filters[0] if transposed else filters[1] * groups
    require(
        shape[1] == expected,
        f"{name}: input {shape} has {shape[1]} channels, but weight {filters} with groups={groups} "
        f"is for {expected}; weight must be {layout}, ...)",
    )
    out_channels = filters[1] * groups if transposed else filters[0]
    require(
        bias is None or tuple(bias.shape) == (out_channels,),
        f"{name}: bias must be ({out_channels},), one number an output channel; "
        f"got {None if bias is None else tuple(bias.shape)}",
    )
    dtypes = [str(a.dtype) for a in (input, weight, bias) if a is not None]
    require(
        len(set(dtypes)) == 1,
        f"{name}: input, weight and bias must have one dtype, got {', '.join(dtypes)}; "
        "convert with .to(dtype)",
    )
