"""Data: what is embedded, what can be downloaded, loaders, tokenizers.

`load_*` reads what came with minigen; `fetch_*` downloads, verifies and keeps. `DataLoader` makes
batches of either, or of any `Dataset`.
"""

from minigen.data.augment import Augment, Augmented
from minigen.data.collate import default_collate
from minigen.data.colouring import coloured, ink, load_colour_digits
from minigen.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    get_worker_info,
    random_split,
)
from minigen.data.download import FetchError
from minigen.data.embedded import (
    Electrocardiogram,
    LabelledImages,
    Sunspots,
    load_digits,
    load_ecg,
    load_mnist5k,
    load_shakespeare,
    load_sunspots,
)
from minigen.data.folder import ImageFolder
from minigen.data.loader import DataLoader
from minigen.data.ngram import NGram
from minigen.data.normalisation import Normalisation
from minigen.data.remote import fetch_fashion_mnist, fetch_mnist, fetch_tinyshakespeare, read_idx
from minigen.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from minigen.data.series import SeriesWindows, read_series
from minigen.data.tasks import Exercise, exercises
from minigen.data.tokenizers import BytePairTokenizer, CharTokenizer, WordPieceTokenizer
