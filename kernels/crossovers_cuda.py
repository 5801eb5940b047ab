"""Which rung is the default on a GPU, by precision and number of elements of the deciding array.

MEASURED was measured and written by benchmarks/gpu/crossovers.py on an H200: (largest size, rung,
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
        "float32 matrix": ((sys.maxsize, "plain", 0.44),),
        "float32 batched": ((sys.maxsize, "plain", 0.36),),
        "tf32x3 matrix": (
            (2097152, "plain", 0.4),
            (sys.maxsize, "cuda_tf32x3", 1.2),
        ),
        "tf32x3 batched": ((sys.maxsize, "plain", 0.36),),
        "bfloat16 matrix": (
            (2097152, "plain", 0.22),
            (sys.maxsize, "cuda_wgmma", 3.11),
        ),
        "bfloat16 batched": ((sys.maxsize, "plain", 0.19),),
    },
    "attention": {
        "float32": ((sys.maxsize, "cuda_flash", 6.4),),
        "bfloat16": ((sys.maxsize, "cuda_flash_bf16", 3.04),),
    },
    "attention_backward": {
        "float32": ((sys.maxsize, "cuda_flash", 2.76),),
        "bfloat16": ((sys.maxsize, "cuda_flash_bf16", 1.8),),
    },
    "gelu": {
        "float32": ((sys.maxsize, "cuda", 16.01),),
    },
    "gelu_backward": {
        "float32": ((sys.maxsize, "cuda", 19.28),),
    },
    "dropout": {
        "float32": ((sys.maxsize, "cuda", 1.34),),
    },
    "softmax": {
        "float32": ((sys.maxsize, "cuda", 4.2),),
    },
    "softmax_backward": {
        "float32": ((sys.maxsize, "cuda", 3.18),),
    },
    "log_softmax": {
        "float32": ((sys.maxsize, "cuda", 5.09),),
    },
    "log_softmax_backward": {
        "float32": ((sys.maxsize, "cuda", 3.08),),
    },
    "layer_norm": {
        "float32": ((sys.maxsize, "cuda", 5.59),),
    },
    "layer_norm_backward": {
        "float32": ((sys.maxsize, "cuda", 4.75),),
    },
    "rms_norm": {
        "float32": ((sys.maxsize, "cuda", 4.59),),
    },
    "rms_norm_backward": {
        "float32": ((sys.maxsize, "cuda", 3.42),),
    },
    "cross_entropy": {
        "float32": ((sys.maxsize, "cuda", 10.5),),
    },
    "cross_entropy_backward": {
        "float32": ((sys.maxsize, "cuda", 8.72),),
    },
    "add_rows": {
        "float32": ((sys.maxsize, "cuda", 4.47),),
    },
    "adam": {
        "float32": ((sys.maxsize, "cuda", 2.31),),
    },
    "sgd": {
        "float32": ((sys.maxsize, "cuda", 1.09),),
    },
    "clip_norm": {
        "float32": ((sys.maxsize, "cuda", 1.78),),
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
