"""Which rung is the default on a GPU, by precision and number of elements of the deciding array.

Nothing is measured yet: MEASURED is empty until a run on a GPU fills it, in the form of
`crossovers.py` (largest size, rung, speed over the plain rung), under "float32", "tf32x3" or
"bfloat16", alone or followed by a class of shapes. "plain" stands for the plain rung, which hands
products to cuBLAS and everything else to CuPy's ufuncs.

Until then UNMEASURED decides: cuBLAS for products in float32, as a kernel must first be shown to be
faster; FlashAttention, which needs no memory for the scores; the fused kernels (a rung "cuda"),
which move a fraction of the bytes. An operation that is not named has its rung "cuda", if it has
one, else the plain rung.
"""

PLAIN = "plain"

MEASURED: dict[str, dict[str, tuple[tuple[int, str, float], ...]]] = {}

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
