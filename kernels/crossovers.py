"""Which rung is the default, by number of elements of the deciding array.

    operation: {dtype and class: ((largest size, default, speed of the top rung over numpy), ...)}

Measured and written by benchmarks/kernel_crossovers.py, which says how; one thread.
"""

import sys

MEASURED: dict[str, dict[str, tuple[tuple[int, str, float], ...]]] = {
    "matmul": {
        "float32 matrix": ((sys.maxsize, "numpy", 0.61),),
        "float32 batched": ((sys.maxsize, "numpy", 0.5),),
        "float64 matrix": ((sys.maxsize, "numpy", 0.62),),
        "float64 batched": ((sys.maxsize, "numpy", 0.51),),
    },
    "attention": {
        "float32": (
            (512, "numpy", 1.3),
            (sys.maxsize, "parallel", 2.07),
        ),
        "float64": (
            (512, "numpy", 1.32),
            (sys.maxsize, "parallel", 1.93),
        ),
    },
    "attention_backward": {
        "float32": (
            (2048, "numpy", 1.12),
            (sys.maxsize, "parallel", 1.99),
        ),
        "float64": (
            (2048, "numpy", 1.06),
            (sys.maxsize, "parallel", 1.97),
        ),
    },
    "exp": {
        "float32": (
            (32768, "numpy", 1.19),
            (sys.maxsize, "numba", 3.39),
        ),
        "float64": ((sys.maxsize, "numpy", 0.91),),
    },
    "tanh": {
        "float32": (
            (8192, "numpy", 1.29),
            (sys.maxsize, "numba", 6.02),
        ),
        "float64": ((sys.maxsize, "numpy", 0.78),),
    },
    "sigmoid": {
        "float32": (
            (8192, "numpy", 1.53),
            (sys.maxsize, "numba", 3.01),
        ),
        "float64": (
            (32768, "numpy", 1.2),
            (sys.maxsize, "numba", 1.23),
        ),
    },
    "sigmoid_backward": {
        "float32": (
            (131072, "numpy", 0.74),
            (sys.maxsize, "numba", 1.79),
        ),
        "float64": (
            (131072, "numpy", 0.81),
            (sys.maxsize, "numba", 1.74),
        ),
    },
    "tanh_backward": {
        "float32": (
            (131072, "numpy", 0.73),
            (sys.maxsize, "numba", 1.66),
        ),
        "float64": (
            (131072, "numpy", 0.76),
            (sys.maxsize, "numba", 1.73),
        ),
    },
    "relu_backward": {
        "float32": (
            (131072, "numpy", 0.81),
            (sys.maxsize, "numba", 1.65),
        ),
        "float64": (
            (32768, "numpy", 0.79),
            (sys.maxsize, "numba", 1.61),
        ),
    },
    "softplus": {
        "float32": (
            (512, "numpy", 4.14),
            (sys.maxsize, "numba", 5.41),
        ),
        "float64": (
            (512, "numpy", 3.09),
            (2048, "numba", 1.63),
            (sys.maxsize, "numpy", 0.92),
        ),
    },
    "silu": {
        "float32": (
            (8192, "numpy", 1.6),
            (sys.maxsize, "numba", 3.18),
        ),
        "float64": (
            (32768, "numpy", 1.21),
            (sys.maxsize, "numba", 1.13),
        ),
    },
    "silu_backward": {
        "float32": (
            (8192, "numpy", 2.37),
            (sys.maxsize, "numba", 3.35),
        ),
        "float64": (
            (8192, "numpy", 1.78),
            (sys.maxsize, "numba", 1.42),
        ),
    },
    "erf": {
        "float32": (
            (512, "numpy", 9.12),
            (sys.maxsize, "numba", 8.17),
        ),
        "float64": (
            (512, "numpy", 19.39),
            (sys.maxsize, "numba", 5.19),
        ),
    },
    "gelu": {
        "float32": (
            (512, "numpy", 10.29),
            (sys.maxsize, "numba", 9.09),
        ),
        "float64": (
            (512, "numpy", 19.93),
            (sys.maxsize, "numba", 6.9),
        ),
    },
    "gelu_backward": {
        "float32": (
            (512, "numpy", 8.8),
            (sys.maxsize, "numba", 6.69),
        ),
        "float64": (
            (512, "numpy", 15.53),
            (sys.maxsize, "numba", 4.83),
        ),
    },
    "binary_cross_entropy": {
        "float32": (
            (512, "numpy", 2.64),
            (sys.maxsize, "numba", 4.86),
        ),
        "float64": ((sys.maxsize, "numpy", 1.19),),
    },
    "binary_cross_entropy_backward": {
        "float32": (
            (8192, "numpy", 1.98),
            (sys.maxsize, "numba", 3.92),
        ),
        "float64": (
            (8192, "numpy", 1.61),
            (sys.maxsize, "numba", 1.41),
        ),
    },
    "dropout": {
        "float32": (
            (131072, "numpy", 1.62),
            (sys.maxsize, "numba", 2.12),
        ),
        "float64": (
            (32768, "numpy", 1.6),
            (sys.maxsize, "numba", 2.19),
        ),
    },
    "softmax": {
        "float32": (
            (2048, "numpy", 3.53),
            (sys.maxsize, "numba", 3.96),
        ),
        "float64": (
            (2048, "numpy", 2.82),
            (sys.maxsize, "numba", 1.36),
        ),
    },
    "softmax_backward": {
        "float32": (
            (32768, "numpy", 2.66),
            (sys.maxsize, "numba", 2.74),
        ),
        "float64": (
            (8192, "numpy", 2.79),
            (sys.maxsize, "numba", 2.94),
        ),
    },
    "log_softmax": {
        "float32": (
            (8192, "numpy", 3.49),
            (sys.maxsize, "numba", 3.84),
        ),
        "float64": (
            (2048, "numpy", 2.77),
            (sys.maxsize, "numba", 1.41),
        ),
    },
    "log_softmax_backward": {
        "float32": (
            (8192, "numpy", 2.38),
            (sys.maxsize, "numba", 3.07),
        ),
        "float64": (
            (8192, "numpy", 1.77),
            (sys.maxsize, "numba", 1.21),
        ),
    },
    "layer_norm": {
        "float32": (
            (512, "numpy", 6.06),
            (sys.maxsize, "numba", 5.67),
        ),
        "float64": (
            (512, "numpy", 5.52),
            (sys.maxsize, "numba", 5.46),
        ),
    },
    "layer_norm_backward": {
        "float32": (
            (512, "numpy", 8.39),
            (sys.maxsize, "numba", 7.31),
        ),
        "float64": (
            (512, "numpy", 6.43),
            (sys.maxsize, "numba", 6.31),
        ),
    },
    "rms_norm": {
        "float32": (
            (512, "numpy", 4.97),
            (sys.maxsize, "numba", 4.38),
        ),
        "float64": (
            (512, "numpy", 4.44),
            (sys.maxsize, "numba", 4.1),
        ),
    },
    "rms_norm_backward": {
        "float32": (
            (8192, "numpy", 3.24),
            (sys.maxsize, "numba", 4.19),
        ),
        "float64": (
            (2048, "numpy", 3.25),
            (sys.maxsize, "numba", 4.31),
        ),
    },
    "batch_norm": {
        "float32": (
            (512, "numpy", 5.84),
            (sys.maxsize, "numba", 4.07),
        ),
        "float64": (
            (512, "numpy", 5.61),
            (sys.maxsize, "numba", 3.95),
        ),
    },
    "batch_norm_backward": {
        "float32": (
            (512, "numpy", 4.95),
            (sys.maxsize, "numba", 3.36),
        ),
        "float64": (
            (512, "numpy", 5.06),
            (sys.maxsize, "numba", 3.15),
        ),
    },
    "cross_entropy": {
        "float32": (
            (512, "numpy", 2.14),
            (sys.maxsize, "numba", 3.19),
        ),
        "float64": (
            (8192, "numpy", 1.8),
            (sys.maxsize, "numba", 1.26),
        ),
    },
    "cross_entropy_backward": {
        "float32": (
            (2048, "numpy", 2.19),
            (sys.maxsize, "numba", 2.94),
        ),
        "float64": (
            (2048, "numpy", 2.0),
            (sys.maxsize, "numba", 1.34),
        ),
    },
    "add_rows": {
        "float32": (
            (2048, "numpy", 2.15),
            (sys.maxsize, "numba", 10.08),
        ),
        "float64": (
            (2048, "numpy", 1.97),
            (sys.maxsize, "numba", 7.52),
        ),
    },
    "adam": {
        "float32": (
            (512, "numpy", 4.74),
            (sys.maxsize, "numba", 4.93),
        ),
        "float64": (
            (512, "numpy", 5.11),
            (sys.maxsize, "numba", 4.86),
        ),
    },
    "sgd": {
        "float32": (
            (32768, "numpy", 3.0),
            (sys.maxsize, "numba", 3.02),
        ),
        "float64": (
            (512, "numpy", 3.66),
            (2048, "numba", 4.12),
            (32768, "numpy", 2.31),
            (sys.maxsize, "numba", 2.72),
        ),
    },
    "clip_norm": {
        "float32": ((sys.maxsize, "numpy", 1.22),),
        "float64": ((sys.maxsize, "numpy", 1.2),),
    },
    "convolution": {
        "float32": (
            (512, "numpy", 2.41),
            (sys.maxsize, "numba", 1.49),
        ),
        "float64": (
            (512, "numpy", 2.28),
            (sys.maxsize, "numba", 1.57),
        ),
    },
    "transposed_convolution": {
        "float32": (
            (512, "numpy", 9.1),
            (sys.maxsize, "numba", 5.12),
        ),
        "float64": (
            (512, "numpy", 8.4),
            (sys.maxsize, "numba", 4.42),
        ),
    },
    "weight_correlation": {
        "float32": (
            (512, "numpy", 1.86),
            (sys.maxsize, "numba", 1.42),
        ),
        "float64": (
            (512, "numpy", 1.77),
            (sys.maxsize, "numba", 1.36),
        ),
    },
    "lstm": {
        "float32": (
            (512, "numpy", 3.75),
            (sys.maxsize, "numba", 8.62),
        ),
        "float64": (
            (512, "numpy", 3.4),
            (sys.maxsize, "numba", 3.1),
        ),
    },
    "lstm_backward": {
        "float32": (
            (512, "numpy", 4.0),
            (sys.maxsize, "numba", 6.45),
        ),
        "float64": (
            (512, "numpy", 4.08),
            (sys.maxsize, "numba", 5.39),
        ),
    },
    "gru": {
        "float32": (
            (512, "numpy", 4.01),
            (sys.maxsize, "numba", 10.24),
        ),
        "float64": (
            (512, "numpy", 4.15),
            (sys.maxsize, "numba", 4.03),
        ),
    },
    "gru_backward": {
        "float32": (
            (512, "numpy", 3.85),
            (sys.maxsize, "numba", 5.64),
        ),
        "float64": (
            (512, "numpy", 3.74),
            (sys.maxsize, "numba", 4.7),
        ),
    },
}
