"""Which rung is the default on a GPU, by precision and number of elements of the deciding array.

MEASURED was measured and written by benchmarks/gpu/crossovers.py on an H100: (largest size, rung,
speed of the kernel over the plain rung), under "float32", "tf32x3" or "bfloat16", alone or followed
by a class of shapes. "plain" stands for the plain rung, which hands products to cuBLAS and
everything else to CuPy's ufuncs.

UNMEASURED names the rungs that are compared, and decides for an operation that is not in the table
and on a chip that does not run what was measured: cuBLAS for products in float32; FlashAttention,
which needs no memory for the scores; the fused kernels (a rung "cuda"), which move a fraction of
the bytes. An operation that is not named has its rung "cuda", if it has one, else the plain rung.
"""

import sys

PLAIN = "plain"

MEASURED: dict[str, dict[str, tuple[tuple[int, str, float], ...]]] = {
    "matmul": {
        "float32 matrix": ((sys.maxsize, "plain", 0.47),),
        "float32 batched": ((sys.maxsize, "plain", 0.46),),
        "tf32x3 matrix": (
            (2097152, "plain", 0.44),
            (sys.maxsize, "cuda_tf32x3", 1.22),
        ),
        "tf32x3 batched": ((sys.maxsize, "plain", 0.46),),
        "bfloat16 matrix": (
            (2097152, "plain", 0.24),
            (sys.maxsize, "cuda_wgmma", 2.93),
        ),
        "bfloat16 batched": ((sys.maxsize, "plain", 0.24),),
    },
    "attention": {
        "float32": ((sys.maxsize, "cuda_flash", 9.28),),
        "bfloat16": ((sys.maxsize, "cuda_flash_bf16", 4.55),),
    },
    "attention_backward": {
        "float32": ((sys.maxsize, "cuda_flash", 4.07),),
        "bfloat16": ((sys.maxsize, "cuda_flash_bf16", 2.79),),
    },
    "gelu": {
        "float32": ((sys.maxsize, "cuda", 18.04),),
    },
    "gelu_backward": {
        "float32": ((sys.maxsize, "cuda", 19.07),),
    },
    "dropout": {
        "float32": ((sys.maxsize, "cuda", 1.36),),
    },
    "softmax": {
        "float32": ((sys.maxsize, "cuda", 4.24),),
    },
    "softmax_backward": {
        "float32": ((sys.maxsize, "cuda", 6.73),),
    },
    "log_softmax": {
        "float32": ((sys.maxsize, "cuda", 5.03),),
    },
    "log_softmax_backward": {
        "float32": ((sys.maxsize, "cuda", 3.08),),
    },
    "layer_norm": {
        "float32": ((sys.maxsize, "cuda", 8.99),),
    },
    "layer_norm_backward": {
        "float32": ((sys.maxsize, "cuda", 8.94),),
    },
    "rms_norm": {
        "float32": ((sys.maxsize, "cuda", 7.79),),
    },
    "rms_norm_backward": {
        "float32": ((sys.maxsize, "cuda", 6.65),),
    },
    "cross_entropy": {
        "float32": ((sys.maxsize, "cuda", 10.51),),
    },
    "cross_entropy_backward": {
        "float32": ((sys.maxsize, "cuda", 8.77),),
    },
    "add_rows": {
        "float32": ((sys.maxsize, "cuda", 4.51),),
    },
    "adam": {
        "float32": ((sys.maxsize, "cuda", 3.56),),
    },
    "sgd": {
        "float32": ((sys.maxsize, "cuda", 1.77),),
    },
}

# precision -> operation -> rungs, of which the first that runs here is taken
UNMEASURED: dict[str, dict[str, tuple[str, ...]]] = {
    "float32": {
        "matmul": (PLAIN,),
        "attention": ("cuda_flash",),
        "attention_backward": ("cuda_flash",),
    },
    "tf32x3": {
        "matmul": ("cuda_tf32x3",),
    },
    "bfloat16": {
        "matmul": ("cuda_wgmma", "cuda_bf16"),
        "attention": ("cuda_flash_bf16",),
        "attention_backward": ("cuda_flash_bf16",),
    },
}
