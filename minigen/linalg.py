"""Linear algebra by PyTorch's names: `minigen.linalg.solve(A, b)`.

Nothing is defined here.  Each family is a file of `minigen.ops`, every operation beside its
gradient; this module hands their names on.  All take batches of matrices (..., m, n) of float32 or
float64, and can be differentiated any number of times.

>>> import minigen
>>> minigen.linalg.det(minigen.eye(2) * 3)
tensor(9.)
"""

from minigen.errors import LinAlgError
from minigen.ops.decompositions import cholesky, eigh, eigvalsh, qr, svd, svdvals
from minigen.ops.determinants import det, slogdet
from minigen.ops.matrix_norms import matrix_norm, norm, vector_norm
from minigen.ops.pseudoinverse import matrix_rank, pinv
from minigen.ops.solving import inv, solve
from minigen.ops.triangular import solve_triangular

__all__ = [
    "LinAlgError", "cholesky", "det", "eigh", "eigvalsh", "inv", "matrix_norm", "matrix_rank",
    "norm", "pinv", "qr", "slogdet", "solve", "solve_triangular", "svd", "svdvals", "vector_norm",
]  # fmt: skip
