"""What can be differentiated: one file a family, each operation beside its gradient.

These names are PyTorch's top-level functions.  The operations of neural networks (convolution, pooling,
activation, normalization, embedding, dropout, losses, attention) are handed on by `nn.functional`.
"""

from minigen.ops.comparison import *
from minigen.ops.creation import *
from minigen.ops.elementwise import *
from minigen.ops.indexing import *
from minigen.ops.inplace import *
from minigen.ops.linalg import *
from minigen.ops.reduction import *
from minigen.ops.shape import *
