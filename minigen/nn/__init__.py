"""Neural networks: modules by PyTorch's names, `functional`, initial values, utilities."""

from minigen.nn import functional, init, utils
from minigen.nn.activation import *
from minigen.nn.cells import *
from minigen.nn.containers import *
from minigen.nn.convolution import *
from minigen.nn.distance import *
from minigen.nn.folding import *
from minigen.nn.layers import *
from minigen.nn.loss import *
from minigen.nn.module import Module
from minigen.nn.multihead import *
from minigen.nn.normalization import *
from minigen.nn.padding import *
from minigen.nn.parameter import Parameter
from minigen.nn.pooling import *
from minigen.nn.recurrent import *
from minigen.nn.transformer import *
from minigen.nn.transformer_layers import *
