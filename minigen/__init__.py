"""minigen: generative models from first principles, under PyTorch's names.

>>> import minigen
>>> x = minigen.tensor([1.0, 2.0], requires_grad=True)
>>> (x**2).sum().backward()
>>> x.grad
tensor([2., 4.])
"""

import sys
from math import e, inf, nan, pi
from typing import TYPE_CHECKING

from minigen import autograd, cuda, function
from minigen.determinism import are_deterministic_algorithms_enabled, use_deterministic_algorithms
from minigen.devices import device
from minigen.dtypes import (
    bool_ as bool,
)
from minigen.dtypes import (
    dtype,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from minigen.lazy import lazily
from minigen.limits import finfo, iinfo
from minigen.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from minigen.ops.activation import (
    celu,
    hardshrink,
    log_softmax,
    prelu,
    relu,
    rrelu,
    selu,
    softmax,
    threshold,
)
from minigen.ops.adaptive_pooling import adaptive_avg_pool1d
from minigen.ops.casting import *
from minigen.ops.combining import *
from minigen.ops.comparison import *
from minigen.ops.conversion import *
from minigen.ops.convolution import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from minigen.ops.creation import *
from minigen.ops.cumulative import *
from minigen.ops.determinants import *
from minigen.ops.division import *
from minigen.ops.einsum import *
from minigen.ops.elementwise import *
from minigen.ops.functions import *
from minigen.ops.indexing import *
from minigen.ops.joining import *
from minigen.ops.linalg import *
from minigen.ops.losses import cosine_similarity, pairwise_distance
from minigen.ops.masking import *
from minigen.ops.metadata import *
from minigen.ops.normalization import group_norm, layer_norm, rms_norm
from minigen.ops.norms import *
from minigen.ops.older_linalg import *
from minigen.ops.pooling import avg_pool1d, max_pool1d, max_pool2d
from minigen.ops.pseudoinverse import pinverse
from minigen.ops.random import *
from minigen.ops.ranges import *
from minigen.ops.rearrange import *
from minigen.ops.reduction import *
from minigen.ops.resizing import pixel_shuffle, pixel_unshuffle
from minigen.ops.rng_state import *
from minigen.ops.rounding import *
from minigen.ops.scatter import *
from minigen.ops.shape import *
from minigen.ops.sorting import *
from minigen.ops.special import *
from minigen.ops.statistics import *
from minigen.ops.strided import *
from minigen.ops.typed import *
from minigen.precision import get_float32_matmul_precision, set_float32_matmul_precision
from minigen.printing import set_printoptions
from minigen.random import Generator, default_generator, initial_seed, manual_seed
from minigen.tensor import Size, Tensor
from minigen.threads import get_num_threads, set_num_threads
from minigen.transforms import functional, vmap
from minigen.version import __version__

# PyTorch's place for what is built on the engine
autograd.function, autograd.Function = function, function.Function  # type: ignore[attr-defined]
autograd.functional = functional  # type: ignore[attr-defined]
sys.modules["minigen.autograd.function"] = function
sys.modules["minigen.autograd.functional"] = functional

half, float, double = float16, float32, float64
short, int, long = int16, int32, int64

from minigen import linalg, nn  # noqa: E402
from minigen.ops.inplace import *  # noqa: E402  (it makes in-place methods of all of the above)
from minigen.ops.inplace_shape import *  # noqa: E402
from minigen.serialization import load, load_file, save, save_file  # noqa: E402

if TYPE_CHECKING:
    from minigen import distributions, func, optim, utils
else:
    __getattr__ = lazily(__name__, "distributions", "func", "optim", "utils")
