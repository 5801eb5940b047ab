"""Convolution of any strides, padding, dilation and groups, and its two companions."""

from .rungs import CONVOLUTION
from .windows import Windows

__all__ = ["CONVOLUTION", "Windows"]
