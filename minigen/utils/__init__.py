"""PyTorch's places: `minigen.utils.data` for data sets and loaders, `minigen.utils.checkpoint`."""

from minigen.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
