"""The names of `torch.utils.data`; they live in `minigen.data`."""

from minigen.data.collate import default_collate
from minigen.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from minigen.data.loader import DataLoader
from minigen.data.sampler import (
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "random_split",
]
