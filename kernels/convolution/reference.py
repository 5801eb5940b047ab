"""Convolution and its two companions by their definition, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .windows import Windows

Array = Any


def convolution_reference(
    input: Array, weight: Array, bias: Array | None, size: tuple[int, ...], windows: Windows
) -> Array:
    """y[n, o, i] = bias[o] + Σ x[n, c, s i + d k - p] w[o, c, k], one tap k after the other.

    >>> x, w = np.ones((1, 1, 5)), np.array([[[1.0, 2.0]]])
    >>> convolution_reference(x, w, None, (3,), Windows((2,), (1,), (1,)))
    array([[[2., 3., 3.]]])
    """
    grouped = _grouped(input, windows.groups)
    filters = _filters(weight, windows.groups)
    kernel = weight.shape[2:]
    padded = windows.padded(grouped, windows.span(size, kernel), first=3)
    y = np.zeros((grouped.shape[0], windows.groups, filters.shape[1], *size))
    for tap in np.ndindex(*kernel):
        y += np.einsum("ngc...,goc->ngo...", padded[(..., *windows.places(tap, size))],
                       filters[(..., *tap)])  # fmt: skip
    y = y.reshape(input.shape[0], weight.shape[0], *size)
    return y if bias is None else y + _by_channel(bias, len(size))


def transposed_convolution_reference(
    input: Array, weight: Array, bias: Array | None, size: tuple[int, ...], windows: Windows
) -> Array:
    """x[n, c, j] = bias[c] + Σ y[n, o, i] w[o, c, k] over all i and k with s i + d k - p = j.

    >>> y, w = np.array([[[1.0, 10.0]]]), np.array([[[1.0, 2.0, 3.0]]])
    >>> transposed_convolution_reference(y, w, None, (5,), Windows((2,), (0,), (1,)))
    array([[[ 1.,  2., 13., 20., 30.]]])
    """
    grouped = _grouped(input, windows.groups)
    filters = _filters(weight, windows.groups)
    extent, kernel = input.shape[2:], weight.shape[2:]
    canvas = windows.canvas(size, extent, kernel)
    x: Array = np.zeros((grouped.shape[0], windows.groups, weight.shape[1], *canvas))
    for tap in np.ndindex(*kernel):
        x[(..., *windows.places(tap, extent))] += np.einsum(
            "ngo...,goc->ngc...", grouped, filters[(..., *tap)]
        )
    x = x[(..., *windows.inside(size))].reshape(
        input.shape[0], windows.groups * weight.shape[1], *size
    )
    return x if bias is None else x + _by_channel(bias, len(size))


def weight_correlation_reference(
    input: Array, output_gradient: Array, size: tuple[int, ...], windows: Windows
) -> Array:
    """w[o, c, k] = Σ y[n, o, i] x[n, c, s i + d k - p] over all examples n and positions i.

    >>> x, y = np.array([[[1.0, 2.0, 4.0]]]), np.array([[[1.0, 10.0]]])
    >>> weight_correlation_reference(x, y, (2,), Windows((1,), (0,), (1,)))
    array([[[21., 42.]]])
    """
    grouped = _grouped(input, windows.groups)
    cotangent = _grouped(output_gradient, windows.groups)
    positions = output_gradient.shape[2:]
    padded = windows.padded(grouped, windows.span(positions, size), first=3)
    filters = np.zeros((*cotangent.shape[1:3], grouped.shape[2], *size))
    cotangent = cotangent.reshape(*cotangent.shape[:3], math.prod(positions))
    for tap in np.ndindex(*size):
        met = padded[(..., *windows.places(tap, positions))]
        met = met.reshape(*padded.shape[:3], math.prod(positions))
        filters[(..., *tap)] = np.einsum("ngoi,ngci->goc", cotangent, met)
    return filters.reshape(output_gradient.shape[1], grouped.shape[2], *size)


def _grouped(array: Array, groups: int) -> Array:
    """(batch, channels, …) -> (batch, groups, channels of a group, …) in float64."""
    array = np.asarray(array, np.float64)
    return array.reshape(array.shape[0], groups, array.shape[1] // groups, *array.shape[2:])


def _filters(weight: Array, groups: int) -> Array:
    """(o, c, kernel) -> (groups, o of a group, c, kernel) in float64."""
    weight = np.asarray(weight, np.float64)
    return weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])


def _by_channel(bias: Array, n: int) -> Array:
    return np.asarray(bias, np.float64).reshape(-1, *(1,) * n)
