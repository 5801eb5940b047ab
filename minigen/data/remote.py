"""`fetch_*`: public data sets that are too large to come inside minigen.

Downloaded on first use and kept (`minigen.data.download` says where, and what happens if it fails).
"""

from __future__ import annotations

import gzip
import math
import struct

import numpy as np
from numpy.typing import NDArray

from minigen.data.download import RemoteFile, fetch
from minigen.data.embedded import LabelledImages

_PARTS = {"train": "train", "test": "t10k"}

_MNIST = {
    "train-images-idx3-ubyte.gz": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}
_MNIST_MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)

_FASHION_MNIST = {
    "train-images-idx3-ubyte.gz": (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
    ),
    "train-labels-idx1-ubyte.gz": (
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
    ),
}
_FASHION_MNIST_MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)

_TINYSHAKESPEARE = RemoteFile(
    name="tinyshakespeare/input.txt",
    urls=(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    ),
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    embedded="minigen.data.load_shakespeare()",
)


def fetch_mnist(split: str = "train", timeout: float = 30.0) -> LabelledImages:
    """MNIST: 28x28 handwritten digits, 60,000 to train on and 10,000 to test on.

    Returns images uint8 (60000 or 10000, 28, 28), labels int64 (60000 or 10000,); downloads
    9.9 MB or 1.7 MB once. `timeout`: seconds that a server may stay silent.
    Raises ValueError for another split, `FetchError` if the files are not to be had.
    Source: Y. LeCun, C. Cortes and C. J. C. Burges; licence CC BY-SA 3.0.
    """
    return _images("fetch_mnist", "mnist", _MNIST_MIRRORS, _MNIST, split, timeout)


def fetch_fashion_mnist(split: str = "train", timeout: float = 30.0) -> LabelledImages:
    """Fashion-MNIST: 28x28 pictures of ten kinds of clothing, as many and as large as MNIST's.

    Returns images uint8 (60000 or 10000, 28, 28), labels int64 (60000 or 10000,): 0 T-shirt,
    1 trousers, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag, 9 ankle boot.
    Downloads 26.4 MB or 4.4 MB once. `timeout`: seconds that a server may stay silent.
    Raises ValueError for another split, `FetchError` if the files are not to be had.
    Source: H. Xiao, K. Rasul and R. Vollgraf, arXiv:1708.07747, 2017; licence MIT.
    """
    return _images(
        "fetch_fashion_mnist",
        "fashion-mnist",
        _FASHION_MNIST_MIRRORS,
        _FASHION_MNIST,
        split,
        timeout,
    )


def fetch_tinyshakespeare(timeout: float = 30.0) -> str:
    """A. Karpathy's tiny Shakespeare: parts of several plays, 1,115,394 characters.

    Downloads 1.1 MB once. `timeout`: seconds that a server may stay silent.
    Raises `FetchError` if the file is not to be had.
    Source: the char-rnn repository, 2015; the text is in the public domain.
    """
    return fetch(_TINYSHAKESPEARE, timeout).decode("ascii")


def _images(
    function: str,
    folder: str,
    mirrors: tuple[str, ...],
    hashes: dict[str, str],
    split: str,
    timeout: float,
) -> LabelledImages:
    if split not in _PARTS:
        raise ValueError(f"{function}: split must be 'train' or 'test', got {split!r}")
    arrays = []
    for kind in ("images-idx3", "labels-idx1"):
        name = f"{_PARTS[split]}-{kind}-ubyte.gz"
        file = RemoteFile(
            name=f"{folder}/{name}",
            urls=tuple(mirror + name for mirror in mirrors),
            sha256=hashes[name],
            embedded="minigen.data.load_mnist5k()",
        )
        arrays.append(read_idx(gzip.decompress(fetch(file, timeout)), name))
    images, labels = arrays
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{function}: expects one label for each image, got images {images.shape} and labels"
            f" {labels.shape}"
        )
    return LabelledImages(images, labels.astype(np.int64))


# The third byte of an IDX file names its type; numbers are big-endian.
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(content: bytes, name: str = "IDX data") -> NDArray:
    """The array in an IDX file, the format of MNIST: type, number of dimensions, extents, values.

    Returns a new array of the file's type in this machine's byte order; `name` is for messages.
    Raises ValueError if the content is not exactly one array: wrong magic number, unknown type,
    missing bytes or bytes left over.
    Source: Y. LeCun's description of the format on the MNIST page.

    >>> read_idx(bytes([0, 0, 0x08, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]))
    array([[7, 8, 9]], dtype=uint8)
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise ValueError(
            f"{name}: not an IDX file: it begins with {content[:4].hex(' ') or 'nothing'}, not with"
            " 00 00, a type and a number of dimensions"
        )
    dtype, ndim = np.dtype(_IDX_TYPES[content[2]]), content[3]
    header = 4 + 4 * ndim
    if len(content) < header:
        raise ValueError(
            f"{name}: ends after {len(content)} bytes, within the extents of {ndim} dimensions"
        )
    shape = struct.unpack(f">{ndim}I", content[4:header])
    expected = header + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise ValueError(
            f"{name}: an array of shape {shape} and type {dtype.newbyteorder('=')} takes"
            f" {expected:,} bytes, got {len(content):,}"
        )
    values = np.frombuffer(content, dtype, offset=header)
    return values.reshape(shape).astype(dtype.newbyteorder("="))
