# %% [markdown] id="intro"
# # A3 · Two kernels
#
# Nearly all the time of a Transformer is spent in two functions: the matrix product, and
# attention. Both can be written in three lines that are right and slow. Here you write them so
# that they are right and quick; in that order, for a kernel that is quick and wrong is worth
# nothing. The speed of a kernel is measured only when it passes every other test.
#
# Arrays are two-dimensional, float32 or float64, and what comes out has the dtype of what went
# in. Everything runs on one core. `@njit` compiles a function at its first call, which is not
# counted. It knows most of NumPy, and loops over numbers are as fast in it as in C. (Its option
# `cache=True` does not work for the grader, which runs your text, not your file.)

# %% [markdown] lang="zh" of="intro" en="aa40e44a"
# # A3 · 两个内核
#
# Transformer 的时间几乎都花在两个函数上：矩阵乘法和注意力。两者都能用三行写完，结果正确但很慢。这
# 里要写得又对又快；次序不能颠倒，因为快而错的内核一文不值。只有其他测试全部通过，才会去量它的速度。
#
# 数组都是二维的，float32 或 float64，输出的 dtype 与输入相同。一切都在一个核上运行。`@njit` 在第
# 一次调用时编译函数，这段时间不计。它认得 NumPy 的大部分，逐个数的循环在里面和 C 一样快。（它的选
# 项 `cache=True` 在评分端不能用：评分端运行的是你的代码文本，而不是你的文件。）

# %%
import numpy as np
from numba import njit

from minigen.classroom import racing

race = racing.race  # with which you call the tests of speed


def numbers(*shape, dtype="float64", rng=None):
    """Standard normal numbers; without a rng, others every time."""
    return (rng or np.random.default_rng()).standard_normal(shape).astype(dtype)


def agree(got, want, what, within=1e-10):
    """Whether `got` is `want`, up to `within` times the largest number of it."""
    got = np.asarray(got)
    assert got.shape == want.shape, f"{what}: should be of shape {want.shape}, is {got.shape}"
    assert got.dtype == want.dtype, f"{what}: should be {want.dtype}, is {got.dtype}"
    off = np.abs(got.astype("float64") - want)
    bad = ~(off <= within * max(1.0, np.abs(want).max(initial=0)))
    if bad.any():
        row, column = map(int, np.argwhere(bad)[0])
        raise AssertionError(
            f"{what}: {int(bad.sum())} of {bad.size} entries are wrong, the first at row {row}, "
            f"column {column}: {got[row, column]:.6g}, expected {want[row, column]:.6g}"
        )


# %% [markdown] id="matmul"
# ## The matrix product
#
# $c_{ij} = \sum_p a_{ip} b_{pj}$, with $a$ of shape (m, k), $b$ of (k, n), any sizes, also 0.
# `simple_matmul` has the loops in a good order: the innermost one runs along rows of $b$ and $c$,
# neighbours in memory, eight or sixteen of which the processor multiplies at once. Put `p`
# innermost instead, and it is many times slower.
#
# What still holds it back: for every step of `p` it loads and stores a whole row of $c$, two
# accesses for each multiplication. Take four steps of `p` at a time, and the row is loaded and
# stored a quarter as often. Alone that gains little, for all of $b$ still comes from a farther
# cache, once for each row of $a$. Take several rows of $a$ as well, and each number of $b$, once
# loaded, is used for all of them. What is left over when sizes are no multiples of four has to be
# done, too.
#
# Write `matmul(a, b)` with loops. Products that somebody else wrote are refused: `@`, `np.dot`,
# `np.einsum`, and so on; and so is `simple_matmul`. Full points for speed are given from 1.5
# times the speed of `simple_matmul` on, none up to 1.2 times.

# %% [markdown] lang="zh" of="matmul" en="962c5179"
# ## 矩阵乘法
#
# $c_{ij} = \sum_p a_{ip} b_{pj}$，$a$ 的形状是 (m, k)，$b$ 是 (k, n)，大小任意，也可以是 0。
# `simple_matmul` 的循环次序是好的：最内层沿着 $b$ 和 $c$ 的行走，这些数在内存里相邻，处理器一次能
# 乘八个或十六个。要是把 `p` 放到最内层，就要慢许多倍。
#
# 它还慢在哪里：`p` 每走一步，就把 $c$ 的整行读一遍再写一遍，一次乘法要两次访存。一次走四步 `p`，
# 这一行的读写就只剩四分之一。单这样做收效不大，因为 $a$ 每走一行，整个 $b$ 还是要从更远的缓存再搬
# 一遍。再同时取 $a$ 的几行，那么 $b$ 的每个数读进来一次，这几行就都能用上。大小不是四的倍数时，剩
# 下的零头也要算完。
#
# 请用循环写 `matmul(a, b)`。别人写好的乘法一律不收：`@`、`np.dot`、`np.einsum` 等等；
# `simple_matmul` 也不收。速度达到 `simple_matmul` 的 1.5 倍得满分，不到 1.2 倍没有分。


# %%
@njit
def simple_matmul(a, b):
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for i in range(a.shape[0]):
        for p in range(a.shape[1]):
            for j in range(b.shape[1]):
                c[i, j] += a[i, p] * b[p, j]
    return c


# %% solution="matmul" without="@ *dot inner einsum matmul *vec* scipy torch minigen simple_*"
@njit(fastmath={"contract", "reassoc"})  # a * b + c as one instruction, sums in any order
def matmul(a, b):
    """a (m, k), b (k, n) -> the product (m, n)."""
    # BEGIN SOLUTION
    m, k, n = a.shape[0], a.shape[1], b.shape[1]
    rows, steps = (m + 3) // 4 * 4, (k + 3) // 4 * 4  # filled up with zeros: nothing is left over
    x, y = np.zeros((rows, steps), a.dtype), np.zeros((steps, n), a.dtype)
    x[:m, :k] = a
    y[:k] = b
    c = np.zeros((rows, n), a.dtype)
    for start in range(0, steps, 64):  # 64 rows of y at a time, which stay in the cache
        for i in range(0, rows, 4):
            c0, c1, c2, c3 = c[i], c[i + 1], c[i + 2], c[i + 3]
            for p in range(start, min(start + 64, steps), 4):
                s0, s1, s2, s3 = x[i, p], x[i, p + 1], x[i, p + 2], x[i, p + 3]
                t0, t1, t2, t3 = x[i + 1, p], x[i + 1, p + 1], x[i + 1, p + 2], x[i + 1, p + 3]
                u0, u1, u2, u3 = x[i + 2, p], x[i + 2, p + 1], x[i + 2, p + 2], x[i + 2, p + 3]
                v0, v1, v2, v3 = x[i + 3, p], x[i + 3, p + 1], x[i + 3, p + 2], x[i + 3, p + 3]
                for j in range(n):
                    y0, y1, y2, y3 = y[p, j], y[p + 1, j], y[p + 2, j], y[p + 3, j]
                    c0[j] += s0 * y0 + s1 * y1 + s2 * y2 + s3 * y3
                    c1[j] += t0 * y0 + t1 * y1 + t2 * y2 + t3 * y3
                    c2[j] += u0 * y0 + u1 * y1 + u2 * y2 + u3 * y3
                    c3[j] += v0 * y0 + v1 * y1 + v2 * y2 + v3 * y3
    return c[:m]
    # END SOLUTION


# %% test="matmul" points=6 seconds=30
def test_matmul(matmul, rng):
    """the sum over p, for a square and for a flat matrix"""
    for m, k, n in ((8, 8, 8), (4, 12, 20)):
        a, b = numbers(m, k, rng=rng), numbers(k, n, rng=rng)
        want = (a[:, :, None] * b[None]).sum(1)  # (m, k, 1) * (1, k, n)
        agree(matmul(a, b), want, f"({m}, {k}) times ({k}, {n})")


# %% test="matmul, all sizes" points=5 seconds=30 hidden=true
def test_matmul_sizes(matmul, rng):
    """sizes that are no multiples of anything, of 1 and of 0"""
    for m, k, n in (
        (1, 1, 1), (7, 5, 3), (5, 7, 1), (1, 9, 17), (13, 1, 11), (2, 0, 3), (0, 4, 2), (3, 2, 0),
        (67, 131, 33), (10, 259, 6),
    ):  # fmt: skip
        a, b = numbers(m, k, rng=rng), numbers(k, n, rng=rng)
        agree(matmul(a, b), a @ b, f"({m}, {k}) times ({k}, {n})")


# %% test="matmul, float32" points=3 seconds=30 hidden=true
def test_matmul_float32(matmul, rng):
    """float32 in, float32 out, as exact as float32 is; and what is infinite stays so"""
    a, b = numbers(33, 70, dtype="float32", rng=rng), numbers(70, 9, dtype="float32", rng=rng)
    want = a.astype("float64") @ b.astype("float64")
    agree(matmul(a, b), want.astype("float32"), "a product in float32", within=70 * 2**-24)
    b[5, 3] = np.inf
    got = np.asarray(matmul(a, b))
    assert np.isinf(got[:, 3]).all(), "an infinite number in b: its column of c has to be infinite"
    assert np.isfinite(np.delete(got, 3, 1)).all(), "and no other column may be"


# %%
def two_matrices():
    return numbers(640, 640, dtype="float32"), numbers(640, 640, dtype="float32")


def is_product(c, a, b):
    agree(c, a @ b, "the product that was timed", within=1e-4)


# %% test="matmul, speed" points=10 seconds=10
def test_matmul_speed(matmul, race):
    """two matrices (640, 640) in float32, beside simple_matmul"""
    race("matmul", matmul, simple_matmul, two_matrices, is_product, none=1.2, full=1.5)


# %% [markdown] id="absorb"
# ## Softmax, a piece at a time
#
# Attention is $\mathrm{softmax}(q k^T / \sqrt{d})\, v$. The softmax of a row needs the largest
# score of the row and a sum over all of it, so it seems to need the whole row. It does not. Say
# that of some keys we know, for each query: the largest score $m$; the sum of $e^{s - m}$, $l$;
# and the sum of $e^{s - m} v$, a vector, $o$. Then $o / l$ is the attention to these keys. Now
# more keys come, with scores and values of their own. If the largest score stays the largest, the
# new terms are just added. If it does not, all that was gathered refers to an old $m$; but it can
# be brought to the new one without looking at the old scores again. Find out how, on paper.
#
# Write `absorb(scores, v, state)`. `scores` are (Tq, B), of Tq queries and B further keys, `v`
# are (B, d), and `state` is the tuple $(m, l, o)$ of shapes (Tq,), (Tq,), (Tq, d). Return the new
# state; the one that you were given must stay as it was. Before any key, $m = -\infty$, $l = 0$,
# $o = 0$. A score of $-\infty$ is that of a key that the query may not see; it adds nothing, even
# if there was nothing before.

# %% [markdown] lang="zh" of="absorb" en="27789d34"
# ## 一段一段地算 softmax
#
# 注意力是 $\mathrm{softmax}(q k^T / \sqrt{d})\, v$。一行的 softmax 要用到整行的最大分数和整行的和
# ，看起来非有整行不可，其实不必。设对已经看过的一些键，我们知道每个查询的：最大分数 $m$；
# $e^{s - m}$ 之和 $l$；$e^{s - m} v$ 之和，即向量 $o$。那么 $o / l$ 就是对这些键的注意力。现在又
# 来了一些键，带着自己的分数和值。如果最大的还是原来那个，把新的项加上就行。如果不是，先前攒下的都
# 是相对旧的 $m$ 而言的；但不必再看旧分数，就能把它们换算到新的 $m$。请在纸上想清楚怎么换算。
#
# 请写 `absorb(scores, v, state)`。`scores` 的形状是 (Tq, B)，即 Tq 个查询对新来的 B 个键的分数；
# `v` 是 (B, d)；`state` 是元组 $(m, l, o)$，形状为 (Tq,)、(Tq,)、(Tq, d)。返回新的状态；传进来的
# 那个不许改动。还没有键的时候，$m = -\infty$，$l = 0$，$o = 0$。分数 $-\infty$ 表示查询不许看这个
# 键；它什么也不加，哪怕之前什么都没有。


# %% solution="absorb" without="simple_* scipy torch minigen"
def absorb(scores, v, state):
    """(m, l, o) of the keys so far, scores (Tq, B) and values (B, d) of B more -> (m, l, o)."""
    # BEGIN SOLUTION
    m, l, o = state
    largest = np.maximum(m, scores.max(1))
    base = np.where(np.isneginf(largest), np.zeros_like(largest), largest)  # -inf - -inf is NaN
    old = np.exp(m - base)
    weights = np.exp(scores - base[:, None])
    return largest, l * old + weights.sum(1), o * old[:, None] + weights @ v
    # END SOLUTION


# %%
def nothing_yet(queries, d, dtype="float64"):
    """The state before any key."""
    l, o = np.zeros(queries, dtype), np.zeros((queries, d), dtype)
    return np.full(queries, -np.inf, dtype), l, o


def absorb_all(absorb, scores, v, ends, within):
    """Absorb keys up to each of `ends`, looking at the state after each time."""
    state, begin = nothing_yet(len(scores), v.shape[1], scores.dtype.str), 0
    for end in ends:
        before = state[0]
        state = absorb(scores[:, begin:end], v[begin:end], state)
        assert len(state) == 3, "absorb should return three arrays, m, l and o"
        m = scores[:, :end].max(1)
        weights = np.exp(scores[:, :end] - np.where(np.isneginf(m), 0, m)[:, None])
        grew = "whose largest score has grown" if (m > before).any() else "all smaller"
        what = f"after {end} keys, {end - begin} of them new, {grew}"
        if begin and (m > before).any():
            what += ", so that what was gathered before refers to another one"
        for name, got, want in zip("mlo", state, (m, weights.sum(1), weights @ v[:end])):
            finite = np.where(np.isneginf(want), -1e30, want).reshape(len(scores), -1)
            got = np.asarray(got)
            got = np.where(np.isneginf(got), got.dtype.type(-1e30), got).reshape(len(scores), -1)
            agree(got, finite.astype(scores.dtype), f"{name} {what}", within)
        begin = end
    return state


# %% test="absorb" points=7
def test_absorb(absorb, rng):
    """keys in pieces, in two orders: scores that grow, and scores that fall"""
    for order in (1, -1):
        scores, v = np.sort(numbers(4, 12, rng=rng))[:, ::order], numbers(12, 3, rng=rng)
        _, l, o = absorb_all(absorb, scores, v, (5, 6, 12), 1e-10)
        weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        agree(o / l[:, None], weights @ v, "o / l at the end")


# %% test="absorb, in all cases" points=4 hidden=true
def test_absorb_cases(absorb, rng):
    """large scores, keys that nobody may see, first and last, float32, one key"""
    scores, v = numbers(5, 9, rng=rng), numbers(9, 2, rng=rng)
    absorb_all(absorb, scores + 1000, v, (4, 9), 1e-10)
    absorb_all(absorb, 300 * scores, v, (1, 2, 3, 9), 1e-10)
    absorb_all(absorb, scores.astype("float32"), v.astype("float32"), (4, 9), 1e-5)
    scores[1, :] = -np.inf
    scores[2, :4] = -np.inf
    scores[3, 4:] = -np.inf
    absorb_all(absorb, scores, v, (4, 9), 1e-10)


# %% [markdown] id="attention"
# ## Attention that never has all the scores
#
# Write `attention(q, k, v)`: (Tq, d), (Tk, d), (Tk, e) to (Tq, e). Go through the keys in tiles
# of at most 128, and absorb one after the other. 8,000 queries and keys have 64 million scores, a
# quarter of a gigabyte; one test gives you less memory than that.

# %% [markdown] lang="zh" of="attention" en="ee631972"
# ## 从不存下全部分数的注意力
#
# 请写 `attention(q, k, v)`：输入 (Tq, d)、(Tk, d)、(Tk, e)，输出 (Tq, e)。把键分成每块至多 128 个
# ，一块接一块地吸收。8,000 个查询和键有六千四百万个分数，合四分之一 GB；有一个测试给你的内存比这
# 还少。


# %%
def plain_attention(q, k, v, causal=False):
    """All the scores at once: right, and easy to read."""
    scores = q @ k.T / np.sqrt(q.shape[1]).astype(q.dtype)
    if causal:
        scores[np.triu(np.ones(scores.shape, bool), 1)] = -np.inf
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return weights @ v / weights.sum(1, keepdims=True)


# %% solution="attention" without="plain_* simple_* scipy torch minigen"
def attention(q, k, v):
    """softmax(q k^T / sqrt(d)) v: (Tq, d), (Tk, d), (Tk, e) -> (Tq, e)."""
    # BEGIN SOLUTION
    q = q / np.sqrt(q.shape[1]).astype(q.dtype)
    state = nothing_yet(len(q), v.shape[1], q.dtype)
    for j in range(0, len(k), 128):
        state = absorb(q @ k[j : j + 128].T, v[j : j + 128], state)
    _, l, o = state
    return o / l[:, None]
    # END SOLUTION


# %% test="attention" points=6
def test_attention(attention, rng):
    """what plain_attention gives, for 40 queries and 300 keys"""
    q, k, v = numbers(40, 16, rng=rng), numbers(300, 16, rng=rng), numbers(300, 8, rng=rng)
    got = np.asarray(attention(q, k, v))
    assert got.shape != (40, 8) or not np.allclose(got, plain_attention(4 * q, k, v)), (
        "the scores have to be divided by the root of d; they are not divided"
    )
    assert got.shape != (40, 8) or not np.allclose(got, plain_attention(q / 4, k, v)), (
        "the scores have to be divided by the root of d; they are divided by d"
    )
    agree(got, plain_attention(q, k, v), "40 queries, 300 keys")


# %% test="attention, all sizes" points=4 hidden=true
def test_attention_sizes(attention, rng):
    """one key, one query, sizes around that of a tile, large scores, float32"""
    for queries, keys, d, e in (
        (1, 1, 1, 1), (3, 1, 4, 2), (1, 127, 4, 3), (5, 128, 2, 2), (130, 129, 3, 5), (9, 257, 4, 1)
    ):  # fmt: skip
        q, k, v = numbers(queries, d, rng=rng), numbers(keys, d, rng=rng), numbers(keys, e, rng=rng)
        for factor in (1, 50):
            want = plain_attention(factor * q, k, v)
            agree(attention(factor * q, k, v), want, f"{queries} queries, {keys} keys, d = {d}")
    q, k, v = (x.astype("float32") for x in (q, k, v))
    agree(attention(q, k, v), plain_attention(q, k, v), "in float32", within=1e-5)


# %% test="attention, memory" points=5 seconds=20 spare=190
def test_attention_memory(attention):
    """8,000 queries and keys, with less memory than their scores need"""
    q, k, v = (numbers(8000, 4, dtype="float32") for _ in range(3))
    got = np.asarray(attention(q, k, v))
    agree(got[::1000], plain_attention(q[::1000], k, v), "8,000 queries and keys", within=1e-4)


# %% [markdown] id="causal"
# ## Half of it need not be done
#
# In a language model query $i$ may see the keys $j \le i$ only. Nearly half of the tiles then
# hold nothing but keys of the future. Write `causal_attention(q, k, v)`, with as many queries as
# keys: tiles of at most 128 queries by at most 128 keys, and those that no query of theirs may
# see are *skipped*, not computed and masked. Only tiles on the diagonal need a mask.
#
# How can a test know? It puts NaN into keys and values far in the future. Whoever multiplies them
# by a weight of 0 gets NaN; whoever never looks at them does not. The other test is the clock:
# full points from 1.8 times the speed of `plain_attention` on, none up to 0.8 times.

# %% [markdown] lang="zh" of="causal" en="4402207d"
# ## 有一半根本不用算
#
# 在语言模型里，第 $i$ 个查询只许看 $j \le i$ 的键。于是差不多一半的块里全是未来的键。请写
# `causal_attention(q, k, v)`，查询和键一样多：每块至多 128 个查询乘 128 个键；块里的查询一个键都
# 不许看的，要*跳过*，而不是算完再遮掉。只有对角线上的块才需要掩码。
#
# 测试怎么知道？它在远在未来的键和值里放进 NaN。拿权重 0 去乘它们，得到的是 NaN；根本不去看，就没
# 有事。另一个测试是秒表：速度达到 `plain_attention` 的 1.8 倍得满分，不到 0.8 倍没有分。


# %% solution="causal" without="plain_* simple_* scipy torch minigen"
def causal_attention(q, k, v):
    """Attention in which query i sees the keys j <= i: (T, d), (T, d), (T, e) -> (T, e)."""
    # BEGIN SOLUTION
    q = q / np.sqrt(q.shape[1]).astype(q.dtype)
    out = np.empty((len(q), v.shape[1]), q.dtype)
    future = np.triu(np.ones((128, 128), bool), 1)
    for i in range(0, len(q), 128):
        rows = q[i : i + 128]
        state = nothing_yet(len(rows), v.shape[1], q.dtype)
        for j in range(0, i + 1, 128):
            scores = rows @ k[j : j + 128].T
            if j == i:
                scores[future[: len(rows), : len(rows)]] = -np.inf
            state = absorb(scores, v[j : j + 128], state)
        out[i : i + 128] = state[2] / state[1][:, None]
    return out
    # END SOLUTION


# %% test="causal attention" points=5
def test_causal(causal_attention, rng):
    """what plain_attention gives, for 10, 128 and 300 queries and keys"""
    for size in (10, 128, 300):
        q, k, v = numbers(size, 8, rng=rng), numbers(size, 8, rng=rng), numbers(size, 4, rng=rng)
        got = causal_attention(q, k, v)
        agree(got, plain_attention(q, k, v, causal=True), f"{size} queries and keys")


# %% test="causal attention, the future" points=5 hidden=true
def test_future(causal_attention, rng):
    """keys and values of the future are not looked at, not even to multiply them by 0"""
    for size in (1, 129, 500):
        q, k, v = numbers(size, 8, rng=rng), numbers(size, 8, rng=rng), numbers(size, 4, rng=rng)
        want = plain_attention(q, k, v, causal=True)
        k[380:], v[380:] = np.nan, np.nan
        seen = min(size, 250)  # these share no tile with the keys from 380 on
        got = np.asarray(causal_attention(q, k, v))
        spoilt = np.argwhere(np.isnan(got[:seen]).any(1))
        assert not len(spoilt), (
            f"keys and values from 380 on are NaN, and so is the result of query {spoilt[0, 0]}: "
            "tiles of the future must be skipped"
        )
        agree(got[:seen], want[:seen], f"{size} queries and keys")


# %%
def three_arrays():
    return tuple(numbers(2048, 64, dtype="float32") for _ in range(3))


def plain_causal_attention(q, k, v):
    return plain_attention(q, k, v, causal=True)


def is_attention(out, q, k, v):
    some = slice(0, None, 64)  # looking at all of it would take longer than computing it
    scores = q[some] @ k.T / 8
    scores[np.arange(len(k)) > np.arange(len(q))[some, None]] = -np.inf
    weights = np.exp(scores - scores.max(1, keepdims=True))
    want = weights @ v / weights.sum(1, keepdims=True)
    assert np.shape(out) == v.shape, f"the result is of shape {np.shape(out)}"
    agree(np.asarray(out)[some], want, "the attention that was timed", within=1e-4)


# %% test="causal attention, speed" points=10 seconds=10
def test_causal_speed(causal_attention, race):
    """2,048 queries and keys of 64 numbers in float32, beside plain_attention"""
    race(
        "causal attention", causal_attention, plain_causal_attention, three_arrays, is_attention,
        none=0.8, full=1.8,
    )  # fmt: skip


# %% [markdown] id="hand"
# ## To be read by a human
#
# Write above each of `matmul` and `causal_attention`, as a comment, how many bytes it reads and
# writes for each multiplication, roughly, and what you changed because of it; with the ratios
# that you measured before and after.

# %% [markdown] lang="zh" of="hand" en="ec8512b9"
# ## 由人来读的部分
#
# 请在 `matmul` 和 `causal_attention` 上方各写一段注释：每做一次乘法大约要读写多少字节，你为此改了
# 什么；并写出改动前后量到的比值。
