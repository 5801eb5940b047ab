"""Wrong solutions of A3, one a cell: which part of it they break, and what the student is told."""


# %% breaks="matmul" says="matmul uses @ (line 2 of the cell of"
def matmul(a, b):
    return a @ b


# %% breaks="matmul" says="matmul uses dot (line 1 of the cell of"
product = np.dot


def matmul(a, b):
    return product(a, b)


# %% breaks="matmul" says="matmul uses simple_matmul (line 2 of the cell of"
def matmul(a, b):
    return simple_matmul(a, b)


# %% breaks="matmul" says="entries are wrong, the first at row 0, column 0"
def matmul(a, b):
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for p in range(a.shape[1]):
        c = np.outer(a[:, p], b[p])  # the last term, not the sum
    return c


# %% breaks="matmul" says="(4, 12) times (12, 20): should be of shape (4, 20), is (4, 12)"
def matmul(a, b):
    c = np.zeros_like(a)
    for p in range(a.shape[1]):
        c = c + np.outer(a[:, p], b[p])[:, : a.shape[1]]
    return c


# %% breaks="matmul" only_hidden=true says="(1, 1) times (1, 1): 1 of 1 entries are wrong"
def matmul(a, b):
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for p in range(0, a.shape[1] - 3, 4):  # and what is left over is forgotten
        for step in range(4):
            c += np.outer(a[:, p + step], b[p + step])
    return c


# %% breaks="matmul" only_hidden=true says="(7, 5) times (5, 3): 3 of 21 entries are wrong, the first at row 6, column 0"
def matmul(a, b):
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for i in range(0, max(a.shape[0] - 1, 1), 2):  # an odd last row is left out
        for p in range(a.shape[1]):
            c[i : i + 2] += np.outer(a[i : i + 2, p], b[p])
    return c


# %% breaks="matmul" only_hidden=true says="(2, 0) times (0, 3): 6 of 6 entries are wrong"
def matmul(a, b):
    c = np.full((a.shape[0], b.shape[1]), 7.0, a.dtype)  # whatever was in the memory
    for p in range(a.shape[1]):
        c = np.outer(a[:, p], b[p]) + (c if p else 0)
    return c.astype(a.dtype)


# %% breaks="matmul" only_hidden=true says="a product in float32: should be float32, is float64"
def matmul(a, b):
    c = np.zeros((a.shape[0], b.shape[1]))
    for p in range(a.shape[1]):
        c += np.outer(a[:, p], b[p])
    return c


# %% breaks="matmul" only_hidden=true says="an infinite number in b: its column of c has to be infinite"
def matmul(a, b):
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for p in range(a.shape[1]):
        c += np.outer(a[:, p], b[p])
        c += 0 * b[p].sum()  # the whole row has a say in every column
    return c


# %% breaks="matmul" slow=true says="points from 1.2 to 1.5 times"
@njit
def matmul(a, b):
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for j in range(b.shape[1]):
        for i in range(a.shape[0]):
            for p in range(a.shape[1]):
                c[i, j] += a[i, p] * b[p, j]
    return c


# %% breaks="matmul" slow=true says="matmul took longer than 10 seconds"
def matmul(a, b):
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for i in range(a.shape[0]):
        for p in range(a.shape[1]):
            for j in range(b.shape[1]):
                c[i, j] += a[i, p] * b[p, j]
    return c


# %% breaks="absorb" also=["attention", "causal"] says="l after 6 keys, 1 of them new, whose largest score has grown, so that what was gathered before refers to another one"
def absorb(scores, v, state):
    m, l, o = state
    largest = np.maximum(m, scores.max(1))
    weights = np.exp(scores - largest[:, None])
    return largest, l + weights.sum(1), o + weights @ v


# %% breaks="absorb" also=["attention", "causal"] says="o after 6 keys, 1 of them new, whose largest score has grown, so that what was gathered before refers to another one"
def absorb(scores, v, state):
    m, l, o = state
    largest = np.maximum(m, scores.max(1))
    weights = np.exp(scores - largest[:, None])
    return largest, l * np.exp(m - largest) + weights.sum(1), o + weights @ v


# %% breaks="absorb" also=["attention", "causal"] says="l after 6 keys"
def absorb(scores, v, state):
    m, l, o = state
    largest = np.maximum(m, scores.max(1))
    old = np.exp(np.where(np.isneginf(m), 0, largest - m))  # upside down
    weights = np.exp(scores - largest[:, None])
    return largest, l * old + weights.sum(1), o * old[:, None] + weights @ v


# %% breaks="absorb" also=["attention", "causal"] says="m after 6 keys, 1 of them new, all smaller"
def absorb(scores, v, state):
    m, l, o = state
    largest = scores.max(1)  # of the new keys only
    old = np.exp(np.where(np.isneginf(m), 0, m - largest))
    weights = np.exp(scores - largest[:, None])
    return largest, l * old + weights.sum(1), o * old[:, None] + weights @ v


# %% breaks="absorb" only_hidden=true says="2 of 5 entries are wrong, the first at row 1, column 0: nan, expected 0"
def absorb(scores, v, state):
    m, l, o = state
    largest = np.maximum(m, scores.max(1))
    old = np.exp(m - largest)  # NaN, where there was no key and still is none
    weights = np.exp(scores - largest[:, None])
    weights[np.isneginf(scores)] = 0
    return largest, l * old + weights.sum(1), o * old[:, None] + weights @ v


# %% breaks="attention" says="they are not divided"
def attention(q, k, v):
    state = nothing_yet(len(q), v.shape[1], q.dtype)
    for j in range(0, len(k), 128):
        state = absorb(q @ k[j : j + 128].T, v[j : j + 128], state)
    return state[2] / state[1][:, None]


# %% breaks="attention" says="they are divided by d"
def attention(q, k, v):
    q = (q / q.shape[1]).astype(q.dtype)
    state = nothing_yet(len(q), v.shape[1], q.dtype)
    for j in range(0, len(k), 128):
        state = absorb(q @ k[j : j + 128].T, v[j : j + 128], state)
    return state[2] / state[1][:, None]


# %% breaks="attention" says="40 queries, 300 keys: 320 of 320 entries are wrong"
def attention(q, k, v):
    q = q / np.sqrt(q.shape[1]).astype(q.dtype)
    state = nothing_yet(len(q), v.shape[1], q.dtype)
    for j in range(0, len(k) - 127, 128):  # the last keys are no whole tile
        state = absorb(q @ k[j : j + 128].T, v[j : j + 128], state)
    return state[2] / state[1][:, None]


# %% breaks="attention" says="40 queries, 300 keys: 320 of 320 entries are wrong"
def attention(q, k, v):
    q, out, tiles = q / np.sqrt(q.shape[1]).astype(q.dtype), 0, 0
    for j in range(0, len(k), 128):  # a softmax for each tile, and their mean
        state = nothing_yet(len(q), v.shape[1], q.dtype)
        _, l, o = absorb(q @ k[j : j + 128].T, v[j : j + 128], state)
        out, tiles = out + o / l[:, None], tiles + 1
    return (out / tiles).astype(q.dtype)


# %% breaks="attention" says="Unable to allocate"
def attention(q, k, v):
    scores = q @ k.T / np.sqrt(q.shape[1]).astype(q.dtype)
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return weights @ v / weights.sum(1, keepdims=True)


# %% breaks="attention" says="attention uses plain_attention"
def attention(q, k, v):
    return plain_attention(q, k, v)


# %% breaks="causal" says="10 queries and keys"
def causal_attention(q, k, v):
    return attention(q, k, v)


# %% breaks="causal" says="10 queries and keys: 40 of 40 entries are wrong, the first at row 0, column 0: nan"
def causal_attention(q, k, v):
    scores = q @ k.T / np.sqrt(q.shape[1]).astype(q.dtype)
    scores[np.triu(np.ones(scores.shape, bool))] = -np.inf  # a query does not see its own key
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return weights @ v / weights.sum(1, keepdims=True)


# %% breaks="causal" only_hidden=true says="tiles of the future must be skipped"
def causal_attention(q, k, v):
    q = q / np.sqrt(q.shape[1]).astype(q.dtype)
    state = nothing_yet(len(q), v.shape[1], q.dtype)
    for j in range(0, len(k), 128):
        scores = q @ k[j : j + 128].T
        scores[np.arange(len(q))[:, None] < np.arange(j, j + scores.shape[1])] = -np.inf
        state = absorb(scores, v[j : j + 128], state)
    return state[2] / state[1][:, None]


# %% breaks="causal" says="300 queries and keys"
def causal_attention(q, k, v):
    q = q / np.sqrt(q.shape[1]).astype(q.dtype)
    out = np.empty((len(q), v.shape[1]), q.dtype)
    for i in range(0, len(q), 128):
        rows = q[i : i + 128]
        state = nothing_yet(len(rows), v.shape[1], q.dtype)
        for j in range(0, max(i, 1), 128):  # the tile on the diagonal is skipped, too
            scores = rows @ k[j : j + 128].T
            hidden = np.arange(i, i + len(rows))[:, None] < np.arange(j, j + scores.shape[1])
            scores[hidden] = -np.inf
            state = absorb(scores, v[j : j + 128], state)
        out[i : i + 128] = state[2] / state[1][:, None]
    return out


# %% breaks="causal" slow=true says="points from 0.8 to 1.8 times"
def causal_attention(q, k, v):
    q = q / np.sqrt(q.shape[1]).astype(q.dtype)
    out = np.empty((len(q), v.shape[1]), q.dtype)
    for i in range(len(q)):  # a query at a time
        state = nothing_yet(1, v.shape[1], q.dtype)
        for j in range(0, i + 1, 32):
            keys = slice(j, min(j + 32, i + 1))
            state = absorb(q[i : i + 1] @ k[keys].T, v[keys], state)
        out[i] = state[2][0] / state[1][0]
    return out
