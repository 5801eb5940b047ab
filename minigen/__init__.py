"""minigen: generative models from first principles, under PyTorch's names.

>>> import minigen
>>> x = minigen.tensor([1.0, 2.0], requires_grad=True)
>>> (x**2).sum().backward()
>>> x.grad
tensor([2., 4.])
"""

from minigen import autograd
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
from minigen.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from minigen.ops import *
from minigen.random import Generator, default_generator, initial_seed, manual_seed
from minigen.tensor import Size, Tensor
from minigen.version import __version__

half, float, double = float16, float32, float64
short, int, long = int16, int32, int64

from minigen import nn, optim, utils  # noqa: E402  (they build on all of the above)
from minigen.serialization import load_file, save_file  # noqa: E402
