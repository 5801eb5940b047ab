"""C = A B: `matmul(a, b) -> c`, (…, m, k) @ (…, k, n) -> (…, m, n).

| rung      | file           | idea                                                           |
|-----------|----------------|----------------------------------------------------------------|
| reference | `reference.py` | Σₖ aᵢₖ bₖⱼ in float64, no BLAS                                 |
| numpy     | `blas.py`      | BLAS, one large product if possible                            |
| naive     | `naive.py`     | the textbook's three loops                                     |
| reordered | `reordered.py` | another order of the loops, whose inner one becomes vectors    |
| blocked   | `blocked.py`   | blocks of B stay in the cache; two rows, four steps at a time  |
| tile      | `tile.py`      | 4x3 dot products in registers: the fastest without vector code |
| panels    | `panels.py`    | packed panels and a tile of 6 rows by two vectors, as BLAS has |
| parallel  | `parallel.py`  | panels on several cores, batches too                           |

The rungs from naive to parallel are Numba's, for float32 and float64. `operands.py` says what they
work on, `packing.py` how parts of A and B are copied. Leading dimensions broadcast and 1-D operands
are vectors, as in `np.matmul`. The error is bounded element by element: |C - AB| <= (k + 1) u
|A||B|, u = 2⁻²⁴ in float32 and 2⁻⁵³ in float64 (Higham, Accuracy and Stability of Numerical
Algorithms, 2002, section 3.5).
"""

from .blas import matmul_blas
from .reference import matmul_reference
from .rungs import MATMUL

__all__ = ["MATMUL", "matmul_blas", "matmul_reference"]
