"""Recurrences over whole sequences.

    lstm(projected, hidden, cell, weight_hh, weight_hr, sizes, reverse)
                          -> (output, last cells, gates, tanh(c_t), c_{t-1}, h_{t-1})
    lstm_backward(grad, last_grad, gates, squashed, cells, weight_hh, weight_hr, sizes, reverse)
                          -> (dprojected, dhidden, dcell[, dweight_hr])
    gru(projected, hidden, weight_hh, bias_hh, sizes, reverse) -> (output, gates, q_n, h_{t-1})
    gru_backward(grad, gates, inner, previous, weight_hh, sizes, reverse, batch)
                          -> (dprojected, dq, dhidden)

| rung      | file           | idea                                                             |
|-----------|----------------|------------------------------------------------------------------|
| reference | `reference.py` | the equations in float64                                         |
| numpy     | `steps.py`     | one BLAS product and a dozen ufuncs a step                       |
| numba     | `*_loops.py`   | all steps in one kernel, W_hh packed once, on several cores      |

With G gates, 4 or 3: projected (rows, G H) is what depends on the input alone, W_ih x_t + b;
hidden (sequences, P), cell (sequences, H); weight_hh (G H, P); weight_hr (P, H), or None and P = H.
Gates come in the order input, forget, candidate, output, or reset, update, new, for which q_t is
W_hh h_{t-1} + b_hh. `walk.py` says in which order the rows are visited, `panels.py` has what the
Numba kernels share. The gradient of W_hh is one product over all steps, with h_{t-1}, and left to
`matmul`. Sources: Hochreiter & Schmidhuber 1997, Neural Computation 9(8); Werbos 1990, Proceedings
of the IEEE 78(10); Cho et al. 2014, arXiv:1406.1078.
"""

from .rungs import RECURRENCE

__all__ = ["RECURRENCE"]
