# %% [markdown] id="question" goal="How attention and its gradient are computed exactly, in memory that grows with the text and not with its square" minutes=0.5 after=["03"]
# # 04 · Attention without its scores
#
# Attention lets each of $T$ tokens look at $T$ tokens. That is a matrix of $T \times T$ scores,
# in order to return $T \times E$ numbers. At $T = 4096$ and $E = 64$ one head holds 64 MB of
# scores for 1 MB of result, and twice the text needs four times the memory. The scores are only a
# means. Can the same numbers be computed without ever holding them, and the gradient too?
#
# Everything below is for one head, in NumPy; `q`, `k` and `v` have shape $(T, E)$. What the
# scores mean is the subject of chapter 16; here it is enough that the formula is a softmax
# between two matrix products.

# %% [markdown] lang="zh" of="question" en="0b8aa229" goal="怎样精确地算出注意力和它的梯度，而内存只随文本长度增长，不随其平方增长"
# # 04 · 不存分数的注意力
#
# 注意力让 $T$ 个词元个个都去看这 $T$ 个词元，于是有一个 $T \times T$ 的分数矩阵，而最后要的
# 只是 $T \times E$ 个数。$T = 4096$、$E = 64$ 时，一个头的分数占 64 MB，结果只有 1 MB；文本长一
# 倍，分数要四倍的内存。分数不过是中间产物。能不能从头到尾都不存它，却算出同样的数，连梯度也算出
# 来？
#
# 下文都只讲一个头，用 NumPy 写；`q`、`k`、`v` 的形状是 $(T, E)$。分数有什么含义是第 16 章的题目，
# 这里只要知道：公式就是两个矩阵乘法中间夹一个 softmax。

# %%
import math
import os
import time
import tracemalloc

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from minigen import kernels
from minigen.chapters.lesson import claim, fast, show
from minigen.testing import assert_gradients

kernels.on_compile = print  # if Numba has to compile a kernel of minigen first, say so here
rng = np.random.default_rng(0)
# This thread's own time: what else runs on the machine does not count. Windows counts too coarsely.
clock = time.perf_counter if os.name == "nt" else time.thread_time
claim("64", 4096 * 4096 * 4 / 2**20)
claim("1", 4096 * 64 * 4 / 2**20)

# %% [markdown] id="formula"
# ## Rung 1: the formula
#
# With scores $s_{ij} = q_i \cdot k_j / \sqrt{E}$, and for a causal model only the keys $j \le i$,
#
# $$o_i = \sum_j p_{ij}\, v_j, \qquad p_{ij} = \frac{e^{s_{ij}}}{\sum_{j'} e^{s_{ij'}}}
# = e^{s_{ij} - L_i}, \qquad L_i = \log \sum_j e^{s_{ij}}.$$
#
# $L_i$, the *logsumexp*, is one number a query that holds all a softmax needs to know about its
# row. It comes back below. In float32 $e^s$ overflows beyond $s = 88.72$, so the largest score of
# a row is subtracted first, which changes nothing in the quotient.
#
# | what | shape | numbers at 4096, $E = 64$ |
# |---|---|---|
# | Q, K, V, O | (T, E) | 262,144 each |
# | scores S, weights P | (T, T) | 16,777,216 each |
# | logsumexp L | (T,) | 4,096 |
# | a tile of S | (64, 64) | 4,096 |
# | running m, l, o of 64 queries | (64, 1), (64, 1), (64, E) | 4,224 |

# %% [markdown] lang="zh" of="formula" en="1bee7184"
# ## 第一级：照公式写
#
# 分数是 $s_{ij} = q_i \cdot k_j / \sqrt{E}$；因果模型只看 $j \le i$ 的键：
#
# $$o_i = \sum_j p_{ij}\, v_j, \qquad p_{ij} = \frac{e^{s_{ij}}}{\sum_{j'} e^{s_{ij'}}}
# = e^{s_{ij} - L_i}, \qquad L_i = \log \sum_j e^{s_{ij}}.$$
#
# $L_i$ 叫 *logsumexp*，每个查询一个数；softmax 要知道的关于这一行的一切都在里面，后面还会用到它。
# float32 里 $s$ 超过 $88.72$，$e^s$ 就溢出，所以先减去一行中最大的分数，商不会因此改变。
#
# | 名称 | 形状 | $T = 4096$、$E = 64$ 时有多少个数 |
# |---|---|---|
# | Q、K、V、O | (T, E) | 各 262,144 |
# | 分数 S、权重 P | (T, T) | 各 16,777,216 |
# | logsumexp L | (T,) | 4,096 |
# | S 的一个小块 | (64, 64) | 4,096 |
# | 64 个查询的 m、l、o | (64, 1)、(64, 1)、(64, E) | 4,224 |


# %%
def future(length):
    """(T, T), true where the key comes after the query."""
    return ~np.tri(length, dtype=bool)


def by_formula(q, k, v):
    """Causal attention: out (T, E), logsumexp (T, 1)."""
    scores = (q / math.sqrt(q.shape[-1])) @ k.T  # (T, T)
    scores[future(len(q))] = -np.inf
    m = scores.max(axis=-1, keepdims=True)
    scores -= m
    weights = np.exp(scores, out=scores)  # in place: one such matrix is held, not three
    total = weights.sum(axis=-1, keepdims=True)
    return weights @ v / total, m + np.log(total)


def draw(length, width=64, dtype=np.float64):
    return tuple(rng.standard_normal((length, width)).astype(dtype) for _ in "qkv")


def check(attention, length=200):
    """Compare out and logsumexp with minigen's formula in float64."""
    q, k, v = draw(length, 16)
    want = kernels.get("attention", "reference")(q, k, v, is_causal=True)
    out, logsumexp = attention(q, k, v)
    assert np.allclose(out, want[0], atol=1e-12)
    assert np.allclose(logsumexp[:, 0], want[1], atol=1e-12)


check(by_formula)
claim("88.72", math.log(np.finfo(np.float32).max))

# %% [markdown] id="passes"
# ## Rung 2: one query at a time
#
# A row of scores needs no other row. So take one query after the other, in three passes over its
# keys: the scores and the largest of them; the exponentials and their sum; the mixture. Instead
# of $T^2$ scores, $T$ are held. What it costs is arithmetic intensity (chapter 03): each query
# reads all of K and V, $2E$ numbers a key, for $4E$ operations a key. That is 0.5 operations a
# byte in float32, the far left of the roofline.

# %% [markdown] lang="zh" of="passes" en="a4ab3612"
# ## 第二级：一次一个查询
#
# 每一行分数都不依赖别的行。那就一个查询一个查询地来，对它的键走三遍：第一遍求分数和其中最大的，第
# 二遍求指数与它们的和，第三遍把值混合起来。这样只需存 $T$ 个分数，不用存 $T^2$ 个。代价在算术强度
# 上（第 03 章）：每个查询都要把整个 K 和 V 读一遍，每个键读 $2E$ 个数，做 $4E$ 次运算。按 float32
# 算，每字节只有 0.5 次运算，在屋顶线图的最左边。


# %%
def three_passes(q, k, v):
    out, logsumexp = np.empty_like(v), np.empty((len(q), 1), q.dtype)
    for i, query in enumerate(q):
        scores = k[: i + 1] @ query / math.sqrt(len(query))  # (i + 1,)
        m = scores.max()
        weights = np.exp(scores - m)
        total = weights.sum()
        out[i], logsumexp[i] = weights @ v[: i + 1] / total, m + np.log(total)
    return out, logsumexp


check(three_passes)
claim("0.5", 4 * 64 / (2 * 64 * 4))

# %% [markdown] id="online"
# ## Rung 3: online softmax
#
# A softmax seems to need its largest score before its first exponential. It does not (Milakov and
# Gimelshein 2018). Walk over the keys, and after any set $A$ of them hold three things:
#
# $$m = \max_{j \in A} s_j, \qquad l = \sum_{j \in A} e^{s_j - m}, \qquad
# o = \sum_{j \in A} e^{s_j - m}\, v_j.$$
#
# Let another set $B$ of keys have $m', l', o'$. Together their largest score is
# $\hat m = \max(m, m')$, and since $e^{s_j - \hat m} = e^{s_j - m} \, e^{m - \hat m}$ for every
# $j$ in $A$, what was summed up under the old maximum is *rescaled* by one factor:
#
# $$\hat l = e^{m - \hat m}\, l + e^{m' - \hat m}\, l', \qquad
# \hat o = e^{m - \hat m}\, o + e^{m' - \hat m}\, o'.$$
#
# At the end the result is $o / l$, and $L = m + \log l$. A single key is the set $(s, 1, v)$; no
# key at all is $(-\infty, 0, 0)$. In which order sets are merged does not matter, so they may be
# keys, tiles, or the halves of two processors.

# %% [markdown] lang="zh" of="online" en="6dfa161c"
# ## 第三级：在线 softmax
#
# 要算 softmax 的第一个指数，好像非得先知道最大的分数不可。其实不必（Milakov 与 Gimelshein，
# 2018）。沿着键往前走，对走过的任意一组键 $A$，手里拿着三样东西：
#
# $$m = \max_{j \in A} s_j, \qquad l = \sum_{j \in A} e^{s_j - m}, \qquad
# o = \sum_{j \in A} e^{s_j - m}\, v_j.$$
#
# 设另一组键 $B$ 有 $m', l', o'$。合在一起，最大的分数是 $\hat m = \max(m, m')$。对 $A$ 中每个 $j$
# 都有 $e^{s_j - \hat m} = e^{s_j - m} \, e^{m - \hat m}$，所以在旧的最大值之下加起来的东西，只要
# 乘一个因子就*换算*过来了：
#
# $$\hat l = e^{m - \hat m}\, l + e^{m' - \hat m}\, l', \qquad
# \hat o = e^{m - \hat m}\, o + e^{m' - \hat m}\, o'.$$
#
# 走到最后，结果是 $o / l$，而 $L = m + \log l$。单独一个键就是 $(s, 1, v)$，一个键也没有就是
# $(-\infty, 0, 0)$。各组按什么次序合并都一样，所以一组可以是一个键、一个小块，也可以是两个处理器
# 各做的一半。

# %% [markdown] id="exercise" exercise="merge"
# ## Exercise: the rescaling
#
# Write `merge(first, second)`: each is a triple `(m, l, o)` for $R$ queries, of shapes $(R, 1)$,
# $(R, 1)$ and $(R, E)$, and so is what you return. No exponential may overflow, however large the
# scores. And beware of two sets without keys: $-\infty - (-\infty)$ is not a number, but the
# merged set has $l = 0$ and $o = 0$. Everything after this cell runs on your function.

# %% [markdown] lang="zh" of="exercise" en="c86c3123"
# ## 练习：换算
#
# 请写 `merge(first, second)`：两个参数都是 $R$ 个查询的三元组 `(m, l, o)`，形状为 $(R, 1)$、
# $(R, 1)$、$(R, E)$，返回值也是。不论分数多大，指数都不许溢出。还要当心两组都没有键的情形：
# $-\infty - (-\infty)$ 不是一个数，可是合并之后应有 $l = 0$、$o = 0$。从下一个单元起，一切都在你
# 的函数上运行。


# %% solution="merge"
def merge(first, second):
    """The (m, l, o) of two sets of keys together."""
    # BEGIN SOLUTION
    m1, l1, o1 = first
    m2, l2, o2 = second
    m = np.maximum(m1, m2)
    shift = np.where(np.isneginf(m), 0, m)  # exp(-inf - 0) is 0
    f1, f2 = np.exp(m1 - shift), np.exp(m2 - shift)
    return m, f1 * l1 + f2 * l2, f1 * o1 + f2 * o2
    # END SOLUTION


# %%
def nothing(rows, width, dtype=np.float64):
    """The set without keys, for so many queries."""
    zero = np.zeros((rows, 1), dtype)
    return zero - np.inf, zero, np.zeros((rows, width), dtype)


def keys(scores, v):
    """The (m, l, o) of one set of keys: scores (R, S), v (S, E)."""
    m = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - m)
    return m, weights.sum(axis=-1, keepdims=True), weights @ v


scores, v = 500 * rng.standard_normal((3, 10)), rng.standard_normal((10, 4))  # e^500 overflows
whole = keys(scores, v)
for cut in range(1, 10):
    left, right = keys(scores[:, :cut], v[:cut]), keys(scores[:, cut:], v[cut:])
    for merged in (merge(left, right), merge(right, left)):
        assert all(np.allclose(got, want) for got, want in zip(merged, whole)), f"cut at {cut}"
for merged in (merge(whole, nothing(3, 4)), merge(nothing(3, 4), whole)):
    assert all(np.array_equal(got, want) for got, want in zip(merged, whole)), "with no keys"
_, l, o = merge(nothing(3, 4), nothing(3, 4))
assert np.all(np.hstack([l, o]) == 0), f"nothing and nothing: l = {l.ravel()}, o = {o.ravel()}"


def online(q, k, v):
    """One pass: every key is met once, and no row of scores exists."""
    out, logsumexp = np.empty_like(v), np.empty((len(q), 1), q.dtype)
    for i in range(len(q)):
        running = nothing(1, v.shape[1], q.dtype)
        for j in range(i + 1):
            score = q[i] @ k[j] / math.sqrt(q.shape[1])
            running = merge(running, keys(score.reshape(1, 1), v[j : j + 1]))
        m, l, o = running
        out[i], logsumexp[i] = o / l, m + np.log(l)
    return out, logsumexp


check(online, 40)

# %% [markdown] id="tiles"
# ## Rung 4: tiles, and those that are skipped
#
# One key at a time saves memory and wastes time: K and V still pass by every query. Take 64
# queries and 64 keys at once, and their scores are one small matrix product, whose keys serve 64
# queries for one trip from memory: 32 operations a byte instead of 0.5. That is FlashAttention
# (Dao and others 2022): at its heart, `merge` over tiles.
#
# A causal model gets a gift. Tiles above the diagonal are all minus infinity, so they are not
# even computed; below it nothing needs a mask; only tiles on it do. **Predict**: which share of
# the tiles is left at $T = 512$? And at $T = 4096$?

# %% [markdown] lang="zh" of="tiles" en="776565ee" captions={"tiles": "小块按访问的先后着色：蓝色整块计算，橙色要加掩码，灰色跳过。"}
# ## 第四级：小块，以及跳过的小块
#
# 一次一个键，省了内存，费了时间：K 和 V 照旧要从每个查询面前走一遍。一次取 64 个查询和 64 个键，
# 它们的分数就是一个小的矩阵乘法，键从内存来一趟能供 64 个查询用：每字节 32 次运算，而不是 0.5
# 次。这就是 FlashAttention（Dao 等，2022），核心就是在小块上做 `merge`。
#
# 因果模型还有一份额外的好处。对角线以上的小块全是负无穷，根本不用算；对角线以下的不需要掩码；只有
# 对角线上的才要。**先预测**：$T = 512$ 时还剩几成小块？$T = 4096$ 时呢？


# %%
def tiles(length, size=64):
    """(queries, keys, on the diagonal) for every tile that is visited, in order."""
    blocks = [slice(start, min(start + size, length)) for start in range(0, length, size)]
    for i, rows in enumerate(blocks):
        for j, columns in enumerate(blocks[: i + 1]):  # later keys are not computed at all
            yield rows, columns, i == j


def tile_scores(q, k, diagonal):
    scores = q @ k.T / math.sqrt(q.shape[-1])  # (64, 64)
    if diagonal:
        scores[future(len(q))] = -np.inf
    return scores


def flash(q, k, v, size=64, merge=merge):
    """Causal attention with O(T) memory."""
    out, logsumexp = np.empty_like(v), np.empty((len(q), 1), q.dtype)
    for rows, columns, diagonal in tiles(len(q), size):
        if columns.start == 0:
            running = nothing(len(q[rows]), v.shape[1], q.dtype)
        running = merge(running, keys(tile_scores(q[rows], k[columns], diagonal), v[columns]))
        if diagonal:  # the last tile of these queries
            m, l, o = running
            out[rows], logsumexp[rows] = o / l, m + np.log(l)
    return out, logsumexp


for length in (1, 64, 65, 200):
    check(flash, length)
claim("32", 64 * 0.5)

# %%
visited = np.zeros((8, 8))  # T = 512: 0 skipped, 1 without a mask, 2 on the diagonal
figure, axes = plt.subplots(figsize=(4.6, 4.6))
for step, (rows, columns, diagonal) in enumerate(tiles(512), 1):
    i, j = rows.start // 64, columns.start // 64
    visited[i, j] = 1 + diagonal
    axes.text(j, i, step, ha="center", va="center", color="black" if diagonal else "white")
axes.imshow(visited, cmap=ListedColormap(["#eeeeee", "#0072b2", "#e69f00"]))
axes.set_xticks(np.arange(8), [f"{64 * j}" for j in range(8)])
axes.set_yticks(np.arange(8), [f"{64 * i}" for i in range(8)])
axes.set(xlabel="first key of the tile", ylabel="first query of the tile")
axes.text(5.5, 1.5, "skipped", ha="center", va="center")
show(figure, "tiles", "Tiles in the order of their visit: blue whole, orange masked, grey skipped.")
claim("56 %", (visited > 0).mean())
claim("51 %", len(list(tiles(4096))) / 64**2)

# %% [markdown] id="broken"
# Of 64 tiles 36 are visited, 56 %; at 4096 it is 51 %, on the way to a half.
#
# ## Break it: forget one factor
#
# A common slip is to rescale the denominator $l$ and forget the mixture $o$. **Predict** two
# things about that bug: what a test with $T = 64$ finds, and how many of the rows are wrong at
# $T = 512$.

# %% [markdown] lang="zh" of="broken" en="61c6ffdb"
# 64 个小块里访问了 36 个，占 56 %；$T = 4096$ 时是 51 %，正向一半靠拢。
#
# ## 故意弄坏：忘掉一个因子
#
# 常见的疏忽是换算了分母 $l$，却忘了混合值 $o$。请对这个错误**预测**两件事：用 $T = 64$ 来测试，能
# 发现什么？$T = 512$ 时有多少行是错的？


# %%
def forgetful(first, second):
    m, l, _ = merge(first, second)
    return m, l, first[2] + np.exp(second[0] - m) * second[2]  # the old mixture as it was


def wrong_rows(length, seed=0):
    q, k, v = np.random.default_rng(seed).standard_normal((3, length, 64))
    gap = np.abs(flash(q, k, v, merge=forgetful)[0] - by_formula(q, k, v)[0])
    return int((gap.max(axis=1) > 1e-9).sum())


wrong = [wrong_rows(512, seed) for seed in range(20)]
print("rows wrong:", wrong_rows(64), "of 64;", wrong[:3], "... of 512")
claim("0", wrong_rows(64))
claim("315", sum(1 - 64 / (i + 1) for i in range(64, 512)))
claim("317", np.mean(wrong))

# %% [markdown] id="broken_answer"
# At $T = 64$ there is one tile, nothing is merged, and the test finds 0 wrong rows. At 512 a row
# comes out right only if its largest score lies in its first tile, so that no maximum ever rises.
# For row $i \ge 64$ the chance of that is $64/(i+1)$, which lets one expect 315 wrong rows;
# twenty draws have 317 on average. A kernel needs tests at sizes that cross every boundary it
# has.

# %% [markdown] lang="zh" of="broken_answer" en="fbce16c7"
# $T = 64$ 时只有一个小块，没有什么要合并，测试发现 0 个错行。$T = 512$ 时，一行只有当最大的分数恰
# 好落在它的第一个小块里，最大值从此不再上升，结果才是对的。对第 $i \ge 64$ 行，这件事的概率是
# $64/(i+1)$，据此预计有 315 个错行；抽二十次，平均是 317。一个内核有多少道边界，测试的尺寸就得跨
# 过多少道。

# %% [markdown] id="gradient" grad="attention"
# ## Rung 5: the gradient, recomputed
#
# For its backward pass the formula keeps P, $T^2$ numbers. But $p_{ij} = e^{s_{ij} - L_i}$, and
# $L$ is $T$ numbers: P can be computed again, tile by tile. Let $\bar o_i$ be the slope of the
# loss with respect to $o_i = \sum_j p_{ij} v_j$. Then $\bar v_j = \sum_i p_{ij}\, \bar o_i$, and
# $\bar p_{ij} = \bar o_i \cdot v_j$. Through the softmax, whose Jacobian is
# $\partial p_{ij} / \partial s_{ij'} = p_{ij}(\delta_{jj'} - p_{ij'})$,
#
# $$\bar s_{ij} = p_{ij} \Big(\bar p_{ij} - \sum_{j'} p_{ij'}\, \bar p_{ij'}\Big).$$
#
# The inner sum runs over a whole row, which no tile has. But
# $\sum_{j'} p_{ij'}\, \bar o_i \cdot v_{j'} = \bar o_i \cdot o_i$: it is a product of two rows
# that are at hand. Call it $\delta_i$. With the scale of the scores,
#
# $$\bar s_{ij} = p_{ij} (\bar o_i \cdot v_j - \delta_i), \qquad
# \bar q_i = \frac{1}{\sqrt E} \sum_j \bar s_{ij}\, k_j, \qquad \bar k_j = \frac{1}{\sqrt E}
# \sum_i \bar s_{ij}\, q_i.$$

# %% [markdown] lang="zh" of="gradient" en="6ae462fd"
# ## 第五级：梯度，重新算一遍
#
# 照公式做，反向时要留着 P，共 $T^2$ 个数。但 $p_{ij} = e^{s_{ij} - L_i}$，而 $L$ 只有 $T$ 个数：P
# 可以一个小块一个小块地重新算出来。记 $\bar o_i$ 为损失对 $o_i = \sum_j p_{ij} v_j$ 的斜率，那么
# $\bar v_j = \sum_i p_{ij}\, \bar o_i$，$\bar p_{ij} = \bar o_i \cdot v_j$。再穿过 softmax，它的
# 雅可比矩阵是 $\partial p_{ij} / \partial s_{ij'} = p_{ij}(\delta_{jj'} - p_{ij'})$，得
#
# $$\bar s_{ij} = p_{ij} \Big(\bar p_{ij} - \sum_{j'} p_{ij'}\, \bar p_{ij'}\Big).$$
#
# 括号里的和要走遍一整行，而哪个小块都没有一整行。不过
# $\sum_{j'} p_{ij'}\, \bar o_i \cdot v_{j'} = \bar o_i \cdot o_i$，它是手边现成的两行的点积，记作
# $\delta_i$。再带上分数的缩放，
#
# $$\bar s_{ij} = p_{ij} (\bar o_i \cdot v_j - \delta_i), \qquad
# \bar q_i = \frac{1}{\sqrt E} \sum_j \bar s_{ij}\, k_j, \qquad
# \bar k_j = \frac{1}{\sqrt E} \sum_i \bar s_{ij}\, q_i.$$


# %% check="attention"
def flash_backward(g, q, k, v, out, logsumexp, size=64):
    """Slopes of q, k, v from that of out, with O(T) memory."""
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    delta = (g * out).sum(axis=-1, keepdims=True)  # (T, 1)
    for rows, columns, diagonal in tiles(len(q), size):
        p = np.exp(tile_scores(q[rows], k[columns], diagonal) - logsumexp[rows])
        ds = p * (g[rows] @ v[columns].T - delta[rows]) / math.sqrt(q.shape[-1])
        dq[rows] += ds @ k[columns]
        dk[columns] += ds.T @ q[rows]
        dv[columns] += p.T @ g[rows]
    return dq, dk, dv


assert_gradients(
    (
        lambda q, k, v: flash(q, k, v, size=8)[0],
        lambda g, q, k, v: flash_backward(g, q, k, v, *flash(q, k, v, size=8), size=8),
    ),
    *draw(20, 3),
    names="qkv",
)

# %% [markdown] id="memory"
# ## Measured: memory, then time
#
# `tracemalloc` knows every array that NumPy makes. Double $T$ from 1024 to 2048, and count the
# bytes that each function holds at most.

# %% [markdown] lang="zh" of="memory" en="25327c60"
# ## 实测：先看内存，再看时间
#
# NumPy 建的每个数组，`tracemalloc` 都知道。把 $T$ 从 1024 加倍到 2048，数一数每个函数最多同时占多
# 少字节。


# %%
def peak(function, *arrays):
    tracemalloc.start()
    result = function(*arrays)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del result
    return held


def forward_and_back(q, k, v):
    return flash_backward(v, q, k, v, *flash(q, k, v))


lengths = (256, 512, 1024, 2048)
functions = {"formula": by_formula, "tiles": flash, "tiles, with gradient": forward_and_back}
held = {
    name: [peak(function, *draw(n, dtype=np.float32)) / 2**20 for n in lengths]
    for name, function in functions.items()
}
for name, sizes in held.items():
    print(f"{name:20}", *(f"{size:6.2f}" for size in sizes), "MB at T =", lengths)
growth = {name: sizes[-1] / sizes[-2] for name, sizes in held.items()}
claim("4.0", growth["formula"])
claim("2.0", growth["tiles, with gradient"])

# %% [markdown] id="race"
# The formula holds 4.0 times as much; tiles with the whole gradient 2.0 times, for they hold a
# few copies of Q, K and V and nothing else that grows.
#
# Time is another matter: in NumPy each tile costs a dozen calls. So race minigen's rungs, which
# are the functions of this chapter as compiled loops: `three_passes`, `online` and `flash`,
# against `numpy`, the formula with BLAS under it. **Predict** their order.

# %% [markdown] lang="zh" of="race" en="0d7b232c" captions={"memory": "左：照公式算，内存随 T 的平方增长；分块算，只随 T 增长。右：各级的速度。"}
# 公式要的内存是原来的 4.0 倍；小块连同整个梯度是 2.0 倍，因为它只留着几份与 Q、K、V 一样大的数
# 组，此外再没有会增长的东西。
#
# 时间是另一回事：用 NumPy 写，每个小块都要花十来次调用。所以让 minigen 的各级来比，它们就是本章的
# 这些函数，只是编译成了循环：`three_passes`、`online`、`flash`，对手是 `numpy`，即由 BLAS 支撑的
# 公式。**先预测**它们的名次。

# %%
heads, length = (1, 128) if fast() else (4, 1024)
q, k, v = (rng.standard_normal((heads, length, 64), dtype=np.float32) for _ in "qkv")
names = ("numpy", "three_passes", "online", "flash")
calls = {n: lambda n=n: kernels.get("attention", n)(q, k, v, is_causal=True) for n in names}
calls["all tiles"] = lambda: kernels.get("attention", "flash")(q, k, v)
best = dict.fromkeys(calls, math.inf)
with kernels.blas.single_threaded():
    for _ in range(3 if fast() else 10):  # in turns: what slows the machine down slows all
        for name, call in calls.items():
            start = clock()
            call()
            best[name] = min(best[name], clock() - start)
speeds = {name: best["numpy"] / best[name] for name in names}
print(*(f"{name} {speed:.2f}" for name, speed in speeds.items()), sep=", ")
claim("4", speeds["flash"], within=3, trained=True)
claim("1.8", best["all tiles"] / best["flash"], within=0.7, trained=True)
claim("0.6", speeds["online"] / speeds["three_passes"], within=0.4, trained=True)

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for (name, sizes), colour in zip(held.items(), ("#d55e00", "#0072b2", "#009e73")):
    left.plot(lengths, sizes, "o-", color=colour, label=name)
left.set(xscale="log", yscale="log", xlabel="T, tokens", ylabel="MB held at most, one head")
left.set_xticks(lengths, [str(n) for n in lengths], minor=False)
left.minorticks_off()
left.legend(frameon=False)
bars = right.barh(list(speeds), list(speeds.values()), color=["#d55e00", *["#0072b2"] * 3])
right.bar_label(bars, fmt=" %.2f")
right.set(xlabel=f"speed over numpy, causal, T = {length}", xlim=(0, 1.2 * max(speeds.values())))
right.invert_yaxis()
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
show(
    figure,
    "memory",
    "Left: the formula grows with T squared, tiles with T. Right: the rungs' speed.",
)

# %% [markdown] id="use"
# `online` is the slowest: it does 0.6 of the speed of `three_passes`, as every exponential waits
# for its score. It is on the ladder for its idea. In tiles the idea saves both memory and time:
# `flash` was 4 times as fast as the formula with BLAS. Part of that is the skipping: without the
# causal mask it takes 1.8 times as long. All of this is one size, on one core of one machine.
#
# ## What you may now use
#
# - `minigen.ops.scaled_dot_product_attention`, with PyTorch's arguments; under it the kernels
#   `attention` and `attention_backward`.
# - `kernels/attention/`: `reference.py`, `whole.py`, `three_passes.py`, `online.py`, `flash.py`
#   and `flash_backward.py`, in the order of this chapter, and `tiles.py`, where the register tile
#   of chapter 03 comes back.
# - `minigen.kernels.use(attention="online")`, or a function of yours, inside a `with`: every
#   Transformer of `minigen.models` then runs on it.
#
# You can now solve assignment A3; `minigen classroom build tutorials/assignments/a3_kernels`
# makes its sheet.

# %% [markdown] lang="zh" of="use" en="ec829f9b"
# 最慢的是 `online`：速度只有 `three_passes` 的 0.6 倍，因为每个指数都得等自己的分数。它在梯子上，
# 是为了那个想法。放进小块，这个想法既省内存又省时间：`flash` 的速度是由 BLAS 支撑的公式的 4 倍。
# 其中一部分来自跳过的小块：不用因果掩码，时间是 1.8 倍。这一切都只是一种大小，在一台机器的一个核
# 上。
#
# ## 现在可以用的
#
# - `minigen.ops.scaled_dot_product_attention`，参数与 PyTorch 相同；底下是内核 `attention` 和
#   `attention_backward`。
# - `kernels/attention/`：`reference.py`、`whole.py`、`three_passes.py`、`online.py`、
#   `flash.py`、`flash_backward.py`，与本章次序相同；还有 `tiles.py`，第 03 章的寄存器小块在那里又
#   出现了。
# - 在 `with` 里写 `minigen.kernels.use(attention="online")`，或换成你自己的函数：
#   `minigen.models` 的所有 Transformer 就都在它上面运行。
#
# 现在可以做作业 A3 了，题目由 `minigen classroom build tutorials/assignments/a3_kernels` 生成。
