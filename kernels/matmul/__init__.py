"""C = A B: `matmul(a, b) -> c`, (…, m, k) @ (…, k, n) -> (…, m, n).

| rung      | file           | idea                                    | speed at 512³, of BLAS |
|-----------|----------------|-----------------------------------------|------------------------|
| reference | `reference.py` | Σₖ aᵢₖ bₖⱼ in float64, no BLAS          | 0.0005                 |
| numpy     | `blas.py`      | BLAS, one large product if possible     | 1                      |
| numba     | `tile.py`      | 4x3 tiles of dot products in registers  | 0.72; 0.80 as x @ w.T  |

The speed is that of float32 on one thread of a Zen 3 core. Leading dimensions broadcast and 1-D
operands are vectors, as in `np.matmul`. The error is bounded element by element:
|C - AB| <= (k + 1) u |A||B|, u = 2⁻²⁴ in float32 and 2⁻⁵³ in float64 (Higham, Accuracy and
Stability of Numerical Algorithms, 2002, section 3.5).
"""

from .blas import matmul_blas
from .reference import matmul_reference
from .rungs import MATMUL

__all__ = ["MATMUL", "matmul_blas", "matmul_reference"]
