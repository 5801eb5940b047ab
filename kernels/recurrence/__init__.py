"""Recurrences over whole sequences.

    lstm(projected, hidden, cell, weight_hh, weight_hr, sizes, reverse)
                          -> (output, last cells, gates, tanh(c_t), c_{t-1}, h_{t-1})
    lstm_backward(grad, last_grad, gates, squashed, cells, weight_hh, weight_hr, sizes, reverse)
                          -> (dprojected, dhidden, dcell[, dweight_hr])

| rung      | file           | idea                                                             |
|-----------|----------------|------------------------------------------------------------------|
| reference | `reference.py` | the equations in float64                                         |
| numpy     | `steps.py`     | one BLAS product and a dozen ufuncs a step                       |
| numba     | `loops.py`     | all steps in one kernel, W_hh packed once, on several cores      |

projected (rows, 4 H) is what depends on the input alone, W_ih x_t + b; hidden (sequences, P), cell
(sequences, H); weight_hh (4 H, P); weight_hr (P, H), or None and P = H. Gates come in the order
input, forget, candidate, output. `walk.py` says in which order the rows are visited.
The gradient of W_hh is one product over all steps, δᵀ h_{t-1}, and left to `matmul`.
Sources: Hochreiter & Schmidhuber 1997, Neural Computation 9(8); Werbos 1990, Proceedings of the
IEEE 78(10).
"""

from .rungs import RECURRENCE

__all__ = ["RECURRENCE"]
