"""What can be differentiated: one file a family, each operation beside its gradient.

`minigen` itself hands on PyTorch's top-level functions; the operations of neural networks
(convolution, pooling, activation, normalization, embedding, dropout, losses, attention) are handed
on by `minigen.nn.functional`.  Methods and operators attach themselves to Tensor when their file is
imported.
"""
