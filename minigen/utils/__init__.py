"""PyTorch's place for data sets and loaders: `minigen.utils.data`."""

from minigen.utils import data

__all__ = ["data"]
