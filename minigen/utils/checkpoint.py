"""The names of `torch.utils.checkpoint`; they live in `minigen.transforms`."""

from minigen.transforms.checkpointing import checkpoint, checkpoint_sequential

__all__ = ["checkpoint", "checkpoint_sequential"]
