"""Which rung is the default, by number of elements of the deciding array.

    operation: {dtype: ((largest size, default, speed of numba / speed of numpy), ...)}

Measured and written by benchmarks/kernel_crossovers.py, which says how; one thread.
"""

import sys

MEASURED: dict[str, dict[str, tuple[tuple[int, str, float], ...]]] = {
    "matmul": {
        "float32": ((sys.maxsize, "numpy", 0.39),),
        "float64": ((sys.maxsize, "numpy", 0.47),),
    },
    "attention": {
        "float32": (
            (512, "numpy", 1.58),
            (sys.maxsize, "numba", 2.12),
        ),
        "float64": (
            (512, "numpy", 1.43),
            (sys.maxsize, "numba", 2.03),
        ),
    },
    "attention_backward": {
        "float32": (
            (512, "numpy", 1.53),
            (sys.maxsize, "numba", 1.87),
        ),
        "float64": (
            (512, "numpy", 1.45),
            (sys.maxsize, "numba", 1.82),
        ),
    },
    "erf": {
        "float32": (
            (512, "numpy", 11.24),
            (sys.maxsize, "numba", 8.76),
        ),
        "float64": (
            (512, "numpy", 22.51),
            (sys.maxsize, "numba", 4.89),
        ),
    },
    "gelu": {
        "float32": (
            (512, "numpy", 12.7),
            (sys.maxsize, "numba", 8.65),
        ),
        "float64": (
            (512, "numpy", 25.68),
            (sys.maxsize, "numba", 7.01),
        ),
    },
    "gelu_backward": {
        "float32": (
            (512, "numpy", 11.83),
            (sys.maxsize, "numba", 6.41),
        ),
        "float64": (
            (512, "numpy", 18.94),
            (sys.maxsize, "numba", 4.56),
        ),
    },
    "layer_norm": {
        "float32": (
            (512, "numpy", 5.95),
            (sys.maxsize, "numba", 3.85),
        ),
        "float64": (
            (512, "numpy", 5.75),
            (sys.maxsize, "numba", 5.36),
        ),
    },
    "layer_norm_backward": {
        "float32": (
            (512, "numpy", 5.87),
            (sys.maxsize, "numba", 4.55),
        ),
        "float64": (
            (512, "numpy", 5.11),
            (sys.maxsize, "numba", 6.45),
        ),
    },
    "cross_entropy": {
        "float32": (
            (2048, "numpy", 2.42),
            (sys.maxsize, "numba", 2.6),
        ),
        "float64": (
            (8192, "numpy", 1.98),
            (sys.maxsize, "numba", 1.24),
        ),
    },
    "cross_entropy_backward": {
        "float32": (
            (8192, "numpy", 2.33),
            (sys.maxsize, "numba", 2.58),
        ),
        "float64": (
            (8192, "numpy", 1.84),
            (sys.maxsize, "numba", 1.24),
        ),
    },
    "adam": {
        "float32": (
            (8192, "numpy", 2.98),
            (sys.maxsize, "numba", 4.44),
        ),
        "float64": (
            (2048, "numpy", 2.64),
            (sys.maxsize, "numba", 3.68),
        ),
    },
}
