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
            (sys.maxsize, "numba", 2.23),
        ),
        "float64": (
            (512, "numpy", 1.61),
            (sys.maxsize, "numba", 2.34),
        ),
    },
    "attention_backward": {
        "float32": (
            (512, "numpy", 1.61),
            (sys.maxsize, "numba", 2.2),
        ),
        "float64": (
            (512, "numpy", 1.62),
            (sys.maxsize, "numba", 2.01),
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
}
