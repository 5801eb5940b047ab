"""What can be differentiated: one file a family, each operation beside its gradient.

These names are PyTorch's top-level functions.  The operations of neural networks (convolution,
pooling, activation, normalization, embedding, dropout, losses, attention) are handed on by
`nn.functional`.
"""

from types import ModuleType

from minigen.ops.casting import *
from minigen.ops.combining import *
from minigen.ops.comparison import *
from minigen.ops.conversion import *
from minigen.ops.creation import *
from minigen.ops.cumulative import *
from minigen.ops.division import *
from minigen.ops.einsum import *
from minigen.ops.elementwise import *
from minigen.ops.functions import *
from minigen.ops.indexing import *
from minigen.ops.joining import *
from minigen.ops.linalg import *
from minigen.ops.masking import *
from minigen.ops.norms import *
from minigen.ops.random import *
from minigen.ops.ranges import *
from minigen.ops.rearrange import *
from minigen.ops.reduction import *
from minigen.ops.rounding import *
from minigen.ops.scatter import *
from minigen.ops.shape import *
from minigen.ops.sorting import *
from minigen.ops.special import *
from minigen.ops.statistics import *

from minigen.ops.inplace import *  # isort: skip  (last: it changes the others in place)

# Only the operations: not the files they live in, whose names (shape, random) mean other things.
__all__ = [
    name
    for name, value in list(globals().items())
    if not (name.startswith("_") or name == "ModuleType" or isinstance(value, ModuleType))
]
