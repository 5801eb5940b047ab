"""The operations of neural networks as functions, by PyTorch's names: `functional as F`.

Nothing is defined here.  Each family is a file of `minigen.ops`, every operation beside its
gradient; this module hands their names on.

>>> import minigen
>>> import minigen.nn.functional as F
>>> F.relu(minigen.tensor([-1.0, 2.0]))
tensor([0., 2.])
"""

# ruff: noqa: F403, F405, RUF022

from minigen.ops.activation import *
from minigen.ops.adaptive_pooling import *
from minigen.ops.attention import *
from minigen.ops.convolution import *
from minigen.ops.dropout import *
from minigen.ops.embedding import *
from minigen.ops.functions import sigmoid, tanh
from minigen.ops.linalg import bilinear, linear
from minigen.ops.losses import *
from minigen.ops.masking import one_hot
from minigen.ops.multihead import *
from minigen.ops.normalization import *
from minigen.ops.padding import *
from minigen.ops.pooling import *
from minigen.ops.resizing import *
from minigen.ops.sampling import *
from minigen.ops.unfolding import *

__all__ = [
    # layers
    "alpha_dropout", "bilinear", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d",
    "dropout", "dropout1d", "dropout2d", "embedding", "linear", "multi_head_attention_forward",
    "one_hot",
    "scaled_dot_product_attention",
    # pooling and shapes of images
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "affine_grid", "avg_pool1d", "avg_pool2d", "fold", "grid_sample", "interpolate", "max_pool1d",
    "max_pool2d", "pad", "pixel_shuffle", "pixel_unshuffle", "unfold", "upsample",
    # activations
    "celu", "elu", "gelu", "glu", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish",
    "hardtanh", "leaky_relu", "log_softmax", "logsigmoid", "mish", "prelu", "relu", "relu6",
    "rrelu", "selu", "sigmoid", "silu", "softmax", "softmin", "softplus", "softshrink", "softsign",
    "tanh", "tanhshrink", "threshold",
    # normalization
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "normalize", "rms_norm",
    # losses and distances
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss",
    "cosine_similarity", "cross_entropy", "gaussian_nll_loss", "hinge_embedding_loss", "huber_loss",
    "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss", "multi_margin_loss",
    "multilabel_soft_margin_loss", "nll_loss", "pairwise_distance", "poisson_nll_loss",
    "smooth_l1_loss", "soft_margin_loss", "triplet_margin_loss",
]  # fmt: skip
