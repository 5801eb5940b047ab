"""Which rung is the default, by number of elements of the deciding array.

    operation: {dtype: ((largest size, default, speed of numba / speed of numpy), ...)}

Measured and written by benchmarks/kernel_crossovers.py, which says how; one thread.
"""

import sys

MEASURED: dict[str, dict[str, tuple[tuple[int, str, float], ...]]] = {
    "matmul": {
        "float32 matrix": ((sys.maxsize, "numpy", 0.34),),
        "float64 matrix": ((sys.maxsize, "numpy", 0.47),),
    },
    "attention": {
        "float32": (
            (2048, "numpy", 1.61),
            (sys.maxsize, "parallel", 2.23),
        ),
        "float64": (
            (512, "numpy", 1.61),
            (sys.maxsize, "parallel", 2.34),
        ),
    },
    "attention_backward": {
        "float32": (
            (512, "numpy", 1.61),
            (sys.maxsize, "parallel", 2.2),
        ),
        "float64": (
            (512, "numpy", 1.62),
            (sys.maxsize, "parallel", 2.01),
        ),
    },
    "erf": {
        "float32": (
            (512, "numpy", 11.57),
            (sys.maxsize, "numba", 9.55),
        ),
        "float64": (
            (512, "numpy", 23.75),
            (sys.maxsize, "numba", 5.64),
        ),
    },
    "gelu": {
        "float32": (
            (512, "numpy", 13.63),
            (sys.maxsize, "numba", 8.68),
        ),
        "float64": (
            (512, "numpy", 27.9),
            (sys.maxsize, "numba", 7.23),
        ),
    },
    "gelu_backward": {
        "float32": (
            (512, "numpy", 12.32),
            (sys.maxsize, "numba", 6.63),
        ),
        "float64": (
            (512, "numpy", 20.9),
            (sys.maxsize, "numba", 4.57),
        ),
    },
    "layer_norm": {
        "float32": (
            (512, "numpy", 7.04),
            (sys.maxsize, "numba", 5.74),
        ),
        "float64": (
            (512, "numpy", 6.09),
            (sys.maxsize, "numba", 5.6),
        ),
    },
    "layer_norm_backward": {
        "float32": (
            (512, "numpy", 6.65),
            (sys.maxsize, "numba", 6.78),
        ),
        "float64": (
            (512, "numpy", 6.37),
            (sys.maxsize, "numba", 5.95),
        ),
    },
    "cross_entropy": {
        "float32": (
            (512, "numpy", 2.44),
            (sys.maxsize, "numba", 3.05),
        ),
        "float64": (
            (2048, "numpy", 2.27),
            (sys.maxsize, "numba", 1.33),
        ),
    },
    "cross_entropy_backward": {
        "float32": (
            (8192, "numpy", 2.34),
            (sys.maxsize, "numba", 2.57),
        ),
        "float64": (
            (2048, "numpy", 2.12),
            (sys.maxsize, "numba", 1.31),
        ),
    },
    "adam": {
        "float32": (
            (8192, "numpy", 3.02),
            (sys.maxsize, "numba", 4.89),
        ),
        "float64": (
            (2048, "numpy", 2.74),
            (sys.maxsize, "numba", 3.75),
        ),
    },
    "convolution": {
        "float32": (
            (512, "numpy", 1.76),
            (sys.maxsize, "numba", 1.2),
        ),
        "float64": (
            (512, "numpy", 1.87),
            (sys.maxsize, "numba", 1.27),
        ),
    },
    "transposed_convolution": {
        "float32": (
            (512, "numpy", 8.96),
            (sys.maxsize, "numba", 2.5),
        ),
        "float64": (
            (512, "numpy", 9.4),
            (sys.maxsize, "numba", 2.2),
        ),
    },
    "weight_correlation": {
        "float32": (
            (512, "numpy", 1.64),
            (sys.maxsize, "numba", 1.2),
        ),
        "float64": (
            (512, "numpy", 1.73),
            (sys.maxsize, "numba", 1.2),
        ),
    },
    "exp": {
        "float32": (
            (32768, "numpy", 0.83),
            (sys.maxsize, "numba", 3.23),
        ),
        "float64": ((sys.maxsize, "numpy", 0.76),),
    },
    "tanh": {
        "float32": (
            (8192, "numpy", 0.92),
            (sys.maxsize, "numba", 5.34),
        ),
        "float64": ((sys.maxsize, "numpy", 0.72),),
    },
    "sigmoid": {
        "float32": (
            (32768, "numpy", 1.26),
            (sys.maxsize, "numba", 3.2),
        ),
        "float64": (
            (32768, "numpy", 1.03),
            (sys.maxsize, "numba", 1.19),
        ),
    },
    "sigmoid_backward": {
        "float32": (
            (131072, "numpy", 0.61),
            (sys.maxsize, "numba", 1.67),
        ),
        "float64": (
            (131072, "numpy", 0.69),
            (sys.maxsize, "numba", 2.16),
        ),
    },
    "tanh_backward": {
        "float32": (
            (131072, "numpy", 0.63),
            (sys.maxsize, "numba", 1.4),
        ),
        "float64": (
            (131072, "numpy", 0.69),
            (sys.maxsize, "numba", 1.57),
        ),
    },
    "relu_backward": {
        "float32": ((sys.maxsize, "numpy", 0.72),),
        "float64": (
            (131072, "numpy", 0.76),
            (sys.maxsize, "numba", 2.74),
        ),
    },
    "softplus": {
        "float32": (
            (512, "numpy", 2.71),
            (sys.maxsize, "numba", 4.72),
        ),
        "float64": (
            (131072, "numpy", 1.34),
            (sys.maxsize, "numba", 1.53),
        ),
    },
    "silu": {
        "float32": (
            (8192, "numpy", 1.18),
            (sys.maxsize, "numba", 3.08),
        ),
        "float64": (
            (131072, "numpy", 0.96),
            (sys.maxsize, "numba", 1.25),
        ),
    },
    "silu_backward": {
        "float32": (
            (2048, "numpy", 1.86),
            (sys.maxsize, "numba", 3.36),
        ),
        "float64": (
            (2048, "numpy", 1.59),
            (sys.maxsize, "numba", 1.49),
        ),
    },
    "binary_cross_entropy": {
        "float32": (
            (2048, "numpy", 2.24),
            (sys.maxsize, "numba", 4.93),
        ),
        "float64": (
            (131072, "numpy", 1.27),
            (sys.maxsize, "numba", 1.74),
        ),
    },
    "binary_cross_entropy_backward": {
        "float32": (
            (8192, "numpy", 1.85),
            (sys.maxsize, "numba", 3.85),
        ),
        "float64": (
            (8192, "numpy", 1.5),
            (sys.maxsize, "numba", 1.57),
        ),
    },
    "dropout": {
        "float32": (
            (32768, "numpy", 1.1),
            (sys.maxsize, "numba", 1.87),
        ),
        "float64": (
            (32768, "numpy", 1.06),
            (sys.maxsize, "numba", 2.01),
        ),
    },
    "softmax": {
        "float32": (
            (2048, "numpy", 2.28),
            (sys.maxsize, "numba", 3.51),
        ),
        "float64": (
            (512, "numpy", 2.11),
            (sys.maxsize, "numba", 1.43),
        ),
    },
    "softmax_backward": {
        "float32": (
            (32768, "numpy", 1.7),
            (sys.maxsize, "numba", 2.27),
        ),
        "float64": (
            (8192, "numpy", 1.66),
            (sys.maxsize, "numba", 2.77),
        ),
    },
    "log_softmax": {
        "float32": (
            (8192, "numpy", 2.4),
            (sys.maxsize, "numba", 4.01),
        ),
        "float64": (
            (2048, "numpy", 1.99),
            (sys.maxsize, "numba", 1.4),
        ),
    },
    "log_softmax_backward": {
        "float32": (
            (8192, "numpy", 1.47),
            (sys.maxsize, "numba", 3.12),
        ),
        "float64": (
            (32768, "numpy", 1.27),
            (sys.maxsize, "numba", 1.29),
        ),
    },
    "rms_norm": {
        "float32": (
            (32768, "numpy", 3.09),
            (sys.maxsize, "numba", 3.34),
        ),
        "float64": (
            (8192, "numpy", 3.06),
            (sys.maxsize, "numba", 3.62),
        ),
    },
    "rms_norm_backward": {
        "float32": (
            (8192, "numpy", 2.71),
            (sys.maxsize, "numba", 4.15),
        ),
        "float64": (
            (2048, "numpy", 3.02),
            (sys.maxsize, "numba", 4.13),
        ),
    },
    "add_rows": {
        "float32": (
            (2048, "numpy", 2.29),
            (sys.maxsize, "numba", 8.07),
        ),
        "float64": (
            (2048, "numpy", 2.19),
            (sys.maxsize, "numba", 6.75),
        ),
    },
    "sgd": {
        "float32": (
            (32768, "numpy", 2.74),
            (sys.maxsize, "numba", 2.63),
        ),
        "float64": (
            (8192, "numpy", 2.6),
            (sys.maxsize, "numba", 2.61),
        ),
    },
    "batch_norm": {
        "float32": (
            (512, "numpy", 4.65),
            (sys.maxsize, "numba", 3.24),
        ),
        "float64": (
            (512, "numpy", 4.85),
            (sys.maxsize, "numba", 3.91),
        ),
    },
    "batch_norm_backward": {
        "float32": (
            (512, "numpy", 5.48),
            (sys.maxsize, "numba", 3.59),
        ),
        "float64": (
            (512, "numpy", 4.96),
            (sys.maxsize, "numba", 3.28),
        ),
    },
    "lstm": {
        "float32": (
            (512, "numpy", 3.64),
            (sys.maxsize, "numba", 8.71),
        ),
        "float64": (
            (512, "numpy", 3.38),
            (sys.maxsize, "numba", 3.26),
        ),
    },
    "lstm_backward": {
        "float32": (
            (512, "numpy", 3.88),
            (sys.maxsize, "numba", 6.21),
        ),
        "float64": (
            (512, "numpy", 4.13),
            (sys.maxsize, "numba", 5.44),
        ),
    },
    "gru": {
        "float32": (
            (512, "numpy", 4.59),
            (sys.maxsize, "numba", 12.01),
        ),
        "float64": (
            (512, "numpy", 4.63),
            (sys.maxsize, "numba", 4.2),
        ),
    },
    "gru_backward": {
        "float32": (
            (512, "numpy", 3.83),
            (sys.maxsize, "numba", 4.73),
        ),
        "float64": (
            (512, "numpy", 4.17),
            (sys.maxsize, "numba", 5.26),
        ),
    },
}
