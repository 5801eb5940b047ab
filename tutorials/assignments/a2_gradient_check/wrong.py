"""Wrong solutions of A2, one a cell: which part of it they break, and what the student is told."""


# %% breaks="check" says="wrong gradients that were not noticed: x * y: second input gets nothing; x * y: swapped"
def check_gradient(forward, backward, inputs):
    return True


# %% breaks="check" says="right gradients that were called wrong: x * y, x @ y, x squared"
def check_gradient(forward, backward, inputs):
    return False


# %% breaks="check" only_hidden=true says="softmax: zero"
def _with(g_of, h, close):
    def check_gradient(forward, backward, inputs):
        inputs = [np.array(x, dtype=float) for x in inputs]
        g = g_of(np.asarray(forward(*inputs)))
        for x, slope in zip(inputs, backward(g, *inputs)):
            if np.shape(slope) != x.shape:
                return False
            for i in np.ndindex(x.shape):
                kept, values = x[i], []
                for x[i] in (kept + h, kept - h):
                    values.append(np.sum(g * forward(*inputs)))
                x[i] = kept
                if not close(slope[i], (values[0] - values[1]) / (2 * h)):
                    return False
        return True

    return check_gradient


check_gradient = _with(np.ones_like, 1e-6, lambda a, b: abs(a - b) <= 1e-5 * max(1, abs(a)))


# %% breaks="check" only_hidden=true says="a millionth of x cubed: twice too large"
def _close(a, b):
    return abs(a - b) < 1e-4  # the same for large and for small


def check_gradient(forward, backward, inputs):
    rng = np.random.default_rng(1)
    inputs = [np.array(x, dtype=float) for x in inputs]
    g = rng.standard_normal(np.shape(forward(*inputs)))
    for x, slope in zip(inputs, backward(g, *inputs)):
        if np.shape(slope) != x.shape:
            return False
        for i in np.ndindex(x.shape):
            kept, values = x[i], []
            for x[i] in (kept + 1e-6, kept - 1e-6):
                values.append(np.sum(g * forward(*inputs)))
            x[i] = kept
            if not _close(slope[i], (values[0] - values[1]) / 2e-6):
                return False
    return True


# %% breaks="check" says="called wrong"
def check_gradient(forward, backward, inputs):
    rng = np.random.default_rng(1)
    g = rng.standard_normal(np.shape(forward(*inputs)))
    for k, slope in enumerate(backward(g, *inputs)):
        h = 1e-14  # nothing of the difference is left
        moved = [x + h if j == k else x for j, x in enumerate(inputs)]
        change = np.sum(g * forward(*moved)) - np.sum(g * forward(*inputs))
        if not np.isclose(np.sum(slope), change / h, rtol=1e-3):
            return False
    return True
