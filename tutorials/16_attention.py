# %% [markdown] id="intro" goal="Derive attention from a lookup, with its gradient, scale, masks, positions and heads" minutes=0.3 after=["02"]
# # 16 · The mathematics of attention
#
# In "the cat ate because it was hungry", the word "it" needs something from the word "cat". Which
# word to ask is no matter of a fixed distance: it depends on what the words are. Programs have a
# structure for this, the dictionary: look up a key, get a value. But as the question changes, a
# dictionary's answer jumps from one value to the next, and a jump has no slope to learn from. How
# does one look something up with a gradient?
#
# Everything here is NumPy in float64; minigen only checks it, until the last cells.

# %% [markdown] lang="zh" of="intro" en="fff61727" goal="从一次查找推出注意力，以及它的梯度、缩放、掩码、位置与多头"
# # 16 · 注意力的数学
#
# 在 “the cat ate because it was hungry” 这句话里，“it” 需要从 “cat” 那里取一些信息。该问哪个词，
# 与固定的距离无关，而取决于这些词是什么。程序里早有这样的结构：字典，给出键，取得值。可是当问题慢
# 慢改变时，字典的回答会从一个值突然跳到另一个值，跳跃没有斜率，也就无从学习。怎样才能做一次有梯度
# 的查找？
#
# 本章全部用 NumPy 的 float64 来写；在最后几个单元之前，minigen 只用来检验。

# %% [markdown] id="lookup"
# ## A lookup that can be differentiated
#
# Let a query $q$ and keys $k_1, \ldots, k_S$ be vectors, and let the score $s_j = q \cdot k_j$
# say how well key $j$ matches. A dictionary puts the whole weight on the largest score. Spread
# weights $p_j \ge 0$ with $\sum_j p_j = 1$ instead, and ask for two things: a high mean score,
# and no more certainty than that pays for, which is a high entropy $H(p) = -\sum_j p_j \ln p_j$:
#
# $$\max_p \; \sum_j p_j s_j + H(p).$$
#
# With a multiplier $\lambda$ for the constraint, the slope along each $p_j$ has to vanish, $s_j -
# \ln p_j - 1 - \lambda = 0$, so $p_j$ is proportional to $e^{s_j}$:
#
# $$p_j = \frac{e^{s_j}}{\sum_i e^{s_i}}.$$
#
# This is softmax. The maximum is $\ln \sum_j e^{s_j}$, and any other $p$ falls short of it by its
# Kullback-Leibler divergence from softmax. The answer to the query is $\sum_j p_j v_j$, a mean of
# the values. Scores of 2, 1 and 0 get the weights 0.665, 0.245 and 0.090, and the maximum is
# 2.408. With scores ten times as large the first weight is 0.99995: the dictionary is the limit
# of large scores.

# %% [markdown] lang="zh" of="lookup" en="b696a7d5"
# ## 可以求导的查找
#
# 设查询 $q$ 与键 $k_1, \ldots, k_S$ 都是向量，分数（score）$s_j = q \cdot k_j$ 表示第 $j$ 个键有多匹配。
# 字典把全部权重给分数最高的键。我们改为把权重分散开，$p_j \ge 0$，$\sum_j p_j = 1$，并同时要求两
# 件事：平均分数高；又不比分数所支持的更武断，也就是熵 $H(p) = -\sum_j p_j \ln p_j$ 也要高：
#
# $$\max_p \; \sum_j p_j s_j + H(p).$$
#
# 给约束配上乘子 $\lambda$，沿每个 $p_j$ 的斜率都应为零：$s_j - \ln p_j - 1 - \lambda = 0$，所以
# $p_j$ 与 $e^{s_j}$ 成正比：
#
# $$p_j = \frac{e^{s_j}}{\sum_i e^{s_i}}.$$
#
# 这就是 softmax。最大值是 $\ln \sum_j e^{s_j}$，任何别的 $p$ 都比它低，低多少恰好是 $p$ 相对
# softmax 的 KL 散度。查询的回答是 $\sum_j p_j v_j$，即各个值的加权平均。分数 2、1、0 得到的权重是
# 0.665、0.245、0.090，最大值是 2.408。分数放大十倍，第一个权重就到了 0.99995：字典正是分数趋于无
# 穷大时的极限。

# %%
import numpy as np
from matplotlib.figure import Figure

import minigen
from minigen import kernels, nn
from minigen.chapters.lesson import claim, show
from minigen.models import GPT, GPTConfig
from minigen.nn import functional as F
from minigen.testing import assert_gradients, check_gradients


def softmax(scores):
    """Over the last axis. The largest score is subtracted, so that no exponential overflows."""
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def entropy(p):
    return -(p * np.log(np.maximum(p, 1e-300))).sum(-1)


scores = np.array([2.0, 1.0, 0.0])
best = np.log(np.exp(scores).sum())
for text, weight in zip(("0.665", "0.245", "0.090"), softmax(scores)):
    claim(text, weight)
claim("2.408", best)
claim("0.99995", softmax(10 * scores)[0])

others = np.random.default_rng(0).dirichlet(np.ones(3), 1000)  # (1000, 3): other weights
reached = others @ scores + entropy(others)
shortfall = (others * np.log(others / softmax(scores))).sum(-1)
assert reached.max() < best
assert np.allclose(reached + shortfall, best)
print(f"softmax reaches {best:.4f}; the best of 1,000 random weightings {reached.max():.4f}")

# %% [markdown] id="shapes"
# ## For all queries at once
#
# The queries, keys and values are the rows of three matrices. In self-attention all three come
# from the same $T$ words by three learned matrices, and $L = S = T$.
#
# | | shape | a row is |
# |---|---|---|
# | $Q$ | $(L, d)$ | what a word asks for |
# | $K$ | $(S, d)$ | what a word can be found by |
# | $V$ | $(S, d_v)$ | what it hands over |
# | $Q K^\top / \sqrt{d}$ | $(L, S)$ | the scores of one query |
# | $P$ = softmax, row by row | $(L, S)$ | its weights, which sum to 1 |
# | $O = P V$ | $(L, d_v)$ | its answer |

# %% [markdown] lang="zh" of="shapes" en="bc27d95f"
# ## 所有查询一起算
#
# 查询、键、值是三个矩阵的行。在自注意力中，三者都由同样的 $T$ 个词经三个可学习的矩阵得到，于是
# $L = S = T$。
#
# | | 形状 | 一行的含义 |
# |---|---|---|
# | $Q$ | $(L, d)$ | 一个词要问什么 |
# | $K$ | $(S, d)$ | 一个词凭什么被找到 |
# | $V$ | $(S, d_v)$ | 它交出什么 |
# | $Q K^\top / \sqrt{d}$ | $(L, S)$ | 一个查询的全部分数 |
# | $P$ = 逐行 softmax | $(L, S)$ | 它的权重，和为 1 |
# | $O = P V$ | $(L, d_v)$ | 它得到的回答 |


# %%
def attention_weights(q, k, allowed=True):
    """(..., L, d), (..., S, d) -> (..., L, S); allowed: where a query may look."""
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return softmax(np.where(allowed, scores, -np.inf))


def attention(q, k, v, allowed=True):
    return attention_weights(q, k, allowed) @ v  # (..., L, S) (..., S, dv) -> (..., L, dv)


# %% [markdown] id="scale"
# ## Why divide by the root of d
#
# Let the entries of $q$ and $k$ be independent, with mean 0 and variance 1. Each product $q_i
# k_i$ then has mean 0 and variance 1, and $q \cdot k$, a sum of $d$ of them, has variance $d$.
# For $d = 64$ two scores differ by 8 or more quite often, and their weights by a factor of $e^8
# \approx 2981$: before anything is learned, the lookup is hard. Divided by $\sqrt{d}$, scores
# have variance 1 for every $d$. Over 20,000 pairs with $d = 64$ the variance is 63.1 without the
# division and 0.99 with it.
#
# How much certainty is left can be computed. For many keys with scores from $N(0, 1)$ the mean of
# $e^s$ is $e^{1/2}$, so $\ln \sum_j e^{s_j} \approx \ln S + \frac{1}{2}$; weighting by $e^s$
# moves the mean of a normal distribution by its variance, so $\sum_j p_j s_j \approx 1$; and
# entropy is the difference of the two, $\ln S - \frac{1}{2}$. For 64 keys this is 3.66. With $d =
# 256$ the mean entropy is 3.69 nats if the scores are divided, and 0.26 if they are not.

# %% [markdown] lang="zh" of="scale" en="157a7724" captions={"scale": "64 个键上权重的熵，以及 softmax 传回去多少，随 d 的变化。"}
# ## 为什么要除以 d 的平方根
#
# 设 $q$ 与 $k$ 的分量相互独立，均值 0，方差 1。那么每个乘积 $q_i k_i$ 的均值为 0、方差为 1，而
# $q \cdot k$ 是 $d$ 个这样的乘积之和，方差为 $d$。$d = 64$ 时，两个分数相差 8 以上是常事，权重就
# 相差 $e^8 \approx 2981$ 倍：还什么都没学，查找已经是硬的了。除以 $\sqrt{d}$ 之后，无论 $d$ 是多
# 少，分数的方差都是 1。取 $d = 64$ 的 20,000 对向量实测，不除时方差为 63.1，除了之后是 0.99。
#
# 还剩多少不确定性，可以算出来。键很多、分数服从 $N(0, 1)$ 时，$e^s$ 的均值是 $e^{1/2}$，所以
# $\ln \sum_j e^{s_j} \approx \ln S + \frac{1}{2}$；用 $e^s$ 加权会把正态分布的均值移动一个方差，
# 所以 $\sum_j p_j s_j \approx 1$；熵是两者之差，即 $\ln S - \frac{1}{2}$。64 个键时等于 3.66。实
# 测 $d = 256$ 时，除以 $\sqrt{d}$ 的平均熵是 3.69 纳特，不除只有 0.26。

# %%
rng = np.random.default_rng(1)
print("   d   variance of q k   of q k / sqrt(d)")
variances = {}
for d in (4, 16, 64, 256):
    q, k = rng.standard_normal((2, 20_000, d))
    products = (q * k).sum(-1)
    variances[d] = products.var(), (products / np.sqrt(d)).var()
    print(f"{d:4}   {variances[d][0]:15.2f}   {variances[d][1]:16.3f}")
claim("2981", np.exp(8))
claim("63.1", variances[64][0])
claim("0.99", variances[64][1])

# %%
KEYS, QUERIES = 64, 1000
sizes = [2**i for i in range(11)]
curves = {"divided by √d": [], "not divided": []}
for d in sizes:
    q = rng.standard_normal((QUERIES, 1, d))
    keys = rng.standard_normal((KEYS, d))
    s = (q @ keys.T)[:, 0]  # (QUERIES, KEYS)
    for name, p in zip(curves, (softmax(s / np.sqrt(d)), softmax(s))):
        passed = (p * (1 - p)).sum(-1)  # the trace of softmax's Jacobian, of the next section
        curves[name].append((entropy(p).mean(), passed.mean()))
at_256 = sizes.index(256)
claim("3.66", np.log(KEYS) - 0.5)
claim("3.69", curves["divided by √d"][at_256][0])
claim("0.26", curves["not divided"][at_256][0])
claim("0.14", curves["not divided"][at_256][1])

figure = Figure(figsize=(7, 3), layout="constrained")
left, right = figure.subplots(1, 2)
for (name, values), style in zip(curves.items(), ("o-", "s--")):
    for axes, column in zip((left, right), zip(*values)):
        axes.semilogx(sizes, column, style, base=2, label=name, markersize=4,
                      color={"o": "#0072b2", "s": "#d55e00"}[style[0]])  # fmt: skip
left.axhline(np.log(KEYS) - 0.5, color="#666666", linewidth=1, linestyle=":")
left.text(40, np.log(KEYS) - 0.95, "ln S − 1/2", color="#444444", fontsize=9)
left.set(xlabel="d", ylabel="entropy of the weights (nats)", ylim=(0, 4.3))
right.set(xlabel="d", ylabel="Σ p (1 − p), what passes back", ylim=(0, 1.05))
right.legend(frameon=False, fontsize=9, loc="center right", bbox_to_anchor=(1, 0.7))
show(figure, "scale", "Entropy of the weights over 64 keys, and what softmax passes back, by d.")

# %% [markdown] id="softmax" grad="softmax"
# ## The slope of softmax
#
# By the quotient rule $\partial p_i / \partial s_j = p_i (\delta_{ij} - p_j)$. A loss that has
# the slope $\bar p_i$ along each weight therefore has, along each score,
#
# $$\bar s_j = \sum_i \bar p_i p_i (\delta_{ij} - p_j) = p_j (\bar p_j - \sum_i \bar p_i p_i).$$
#
# Two consequences. The trace of the Jacobian is $\sum_j p_j (1 - p_j)$, which goes to 0 as one
# weight goes to 1: a saturated softmax passes nothing back. This is the right panel above: at $d
# = 256$ without the division, 0.14 is left. And if all $\bar p_i$ are equal, the slope is 0:
# weights that sum to 1 cannot all be raised.

# %% [markdown] lang="zh" of="softmax" en="c4fec1e1"
# ## softmax 的斜率
#
# 由商的求导法则，$\partial p_i / \partial s_j = p_i (\delta_{ij} - p_j)$。若损失对各权重的斜率是
# $\bar p_i$，它对各分数的斜率就是
#
# $$\bar s_j = \sum_i \bar p_i p_i (\delta_{ij} - p_j) = p_j (\bar p_j - \sum_i \bar p_i p_i).$$
#
# 由此得到两点。雅可比矩阵的迹是 $\sum_j p_j (1 - p_j)$，当某个权重趋于 1 时趋于 0：饱和的 softmax
# 什么也传不回去。上图右边画的就是它：$d = 256$ 而不除时，只剩 0.14。另外，若所有 $\bar p_i$ 都相
# 等，斜率为 0：和为 1 的权重不可能一齐增大。


# %% check="softmax"
def softmax_backward(g, scores):
    p = softmax(scores)
    return (p * (g - (g * p).sum(-1, keepdims=True)),)


s = rng.standard_normal((3, 5))
assert_gradients((softmax, softmax_backward), s, names=["s"], terms="softmax")

p = softmax(s[0])
jacobian = np.diag(p) - np.outer(p, p)
assert np.isclose(np.trace(jacobian), (p * (1 - p)).sum())
assert np.allclose(jacobian @ np.ones(5), 0)
print("softmax: agrees with difference quotients; the Jacobian takes equal slopes to 0")

# %% [markdown] id="gradient" grad="attention"
# ## The gradient of attention
#
# Attention is two matrix products with a softmax between them. For $C = A B$ the rules are $\bar
# A = \bar C B^\top$ and $\bar B = A^\top \bar C$. Walking back from $\bar O$:
#
# $$\bar V = P^\top \bar O, \qquad \bar P = \bar O V^\top,$$
#
# $$\bar S_{ij} = P_{ij} (\bar P_{ij} - r_i), \qquad r_i = \sum_j \bar P_{ij} P_{ij},$$
#
# $$\bar Q = \frac{1}{\sqrt{d}} \bar S K, \qquad \bar K = \frac{1}{\sqrt{d}} \bar S^\top Q.$$
#
# One rearrangement is worth the trouble: $r_i = \sum_j P_{ij} (\bar o_i \cdot v_j) = \bar o_i
# \cdot o_i$. The sum over all keys is a product of two rows that are at hand already. This is
# what lets a kernel walk back without ever having the whole of $P$ in memory (chapter 04).

# %% [markdown] lang="zh" of="gradient" en="f6b94a1c"
# ## 注意力的梯度
#
# 注意力是两次矩阵乘法，中间夹一个 softmax。对 $C = A B$，规则是 $\bar A = \bar C B^\top$、
# $\bar B = A^\top \bar C$。从 $\bar O$ 往回走：
#
# $$\bar V = P^\top \bar O, \qquad \bar P = \bar O V^\top,$$
#
# $$\bar S_{ij} = P_{ij} (\bar P_{ij} - r_i), \qquad r_i = \sum_j \bar P_{ij} P_{ij},$$
#
# $$\bar Q = \frac{1}{\sqrt{d}} \bar S K, \qquad \bar K = \frac{1}{\sqrt{d}} \bar S^\top Q.$$
#
# 有一步变形很值得：$r_i = \sum_j P_{ij} (\bar o_i \cdot v_j) = \bar o_i \cdot o_i$。对所有键的求
# 和，化成了两行现成向量的点积。正因如此，内核往回走时从来不必把整个 $P$ 放在内存里（第 04 章）。


# %% check="attention"
def attention_backward(g, q, k, v, allowed=True):
    scale = 1 / np.sqrt(q.shape[-1])
    p = attention_weights(q, k, allowed)
    r = (g * (p @ v)).sum(-1, keepdims=True)
    ds = p * (g @ v.swapaxes(-1, -2) - r)  # (..., L, S)
    return scale * ds @ k, scale * ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ g


q, k = rng.standard_normal((2, 2, 5, 3))  # two heads of 5 words, d = 3
v = rng.standard_normal((2, 5, 4))
assert_gradients((attention, attention_backward), q, k, v, names="qkv", terms="attention")
print("attention: the gradients of q, k and v agree with difference quotients")

# %% [markdown] id="break"
# ## Break it: the test that cannot see
#
# Forget $1/\sqrt{d}$ in $\bar Q$. With $d = 64$ the gradient is 8 times too large. A popular test
# calls `out.sum().backward()` and compares the gradients with difference quotients; the incoming
# $\bar O$ is then all ones, and $\bar P_{ij} = \sum_c V_{jc}$ is the sum of row $j$ of the
# values. Where all rows of $V$ have the same sum, $\bar P$ is constant along a row, $\bar S$ is
# 0, and 8 times 0 is 0. Such values are common: one-hot rows sum to 1, the output of a layer norm
# sums to 0, and a test of the weights themselves, `weights.sum()`, amounts to $V = I$.
#
# Predict, for each line of the table, whether the test sees the mistake.

# %% [markdown] lang="zh" of="break" en="a99d39e8"
# ## 故意弄坏：看不见错误的测试
#
# 在 $\bar Q$ 里漏掉 $1/\sqrt{d}$。$d = 64$ 时，梯度大了 8 倍。常见的测试调用
# `out.sum().backward()`，再把梯度与差商比较；这时传进来的 $\bar O$ 全是 1，而
# $\bar P_{ij} = \sum_c V_{jc}$ 是值矩阵第 $j$ 行之和。如果 $V$ 各行之和都相同，$\bar P$ 在每一行
# 里就是常数，$\bar S$ 为 0，而 0 的 8 倍还是 0。这样的值很常见：独热行之和为 1，层归一化的输出之
# 和为 0，直接测试权重的 `weights.sum()` 则相当于 $V = I$。
#
# 请先预测：表中每一行，测试能看见错误吗？


# %%
def without_scale(g, q, k, v):
    dq, dk, dv = attention_backward(g, q, k, v)
    return dq * np.sqrt(q.shape[-1]), dk, dv


rng, d = np.random.default_rng(2), 64
q, k, normal = rng.standard_normal((3, 5, d))
one_hot = np.eye(5, d)
layer_normed = (normal - normal.mean(-1, keepdims=True)) / normal.std(-1, keepdims=True)
ones, cotangent = np.ones((5, d)), rng.standard_normal((5, d))
seen = {}
print("incoming    values         largest error in the gradient of q")
for values, v in {"one-hot": one_hot, "layer norm": layer_normed, "normal": normal}.items():
    for incoming, g in {"ones": ones, "random": cotangent}.items():
        error = np.abs(without_scale(g, q, k, v)[0] - attention_backward(g, q, k, v)[0]).max()
        seen[incoming, values] = error
        print(f"{incoming:10}  {values:12}  {error:.1e}")
assert max(seen["ones", "one-hot"], seen["ones", "layer norm"]) < 1e-12
assert all(seen["random", values] > 0.1 for values in ("one-hot", "layer norm", "normal"))

report = check_gradients((attention, without_scale), [q, k, one_hot], names="qkv")
assert not report
claim("8", float(np.sqrt(d)))
print(report.findings[0])

# %% [markdown] id="masks"
# ## Masks
#
# Some keys are forbidden to a query. A model that predicts the next word must not look at it
# (*causal*: query $i$ sees keys $j \le i$), and the short sentences of a batch are filled up with
# *padding* that is no word. Forbidden scores become $-\infty$ *before* softmax: their weights are
# exactly 0, and the others sum to 1. Setting the weights to 0 *after* softmax looks alike and is
# not: the forbidden scores stand in the denominator, and through it the future reaches the past.
# The cell replaces the last of 8 words and looks at the answers of the other seven. The first way
# they change by exactly 0, the second by up to 0.12.

# %% [markdown] lang="zh" of="masks" en="d29f93db"
# ## 掩码
#
# 有些键是某个查询不许看的。预测下一个词的模型不能偷看那个词（*因果掩码*：查询 $i$ 只看 $j \le i$
# 的键）；一批句子中，短句用*填充*补齐，而填充不是词。做法是在 softmax *之前*把禁止的分数设为
# $-\infty$：它们的权重恰好为 0，其余权重之和为 1。在 softmax *之后*再把权重清零，看上去一样，其实
# 不然：禁止的分数已经进了分母，未来便通过分母影响过去。下面的单元换掉 8 个词中的最后一个，再看其
# 余七个词的回答。第一种做法的变化恰好是 0，第二种可达 0.12。


# %%
def masked_too_late(q, k, v, allowed):
    return (attention_weights(q, k) * allowed) @ v


rng, T, d = np.random.default_rng(3), 8, 16
words = rng.standard_normal((T, d))
changed = words.copy()
changed[-1] = rng.standard_normal(d)
causal = np.tri(T, dtype=bool)  # (T, T): True at j <= i
leaks = {}
for attend in (attention, masked_too_late):
    before, after = (attend(x, x, x, causal)[:-1] for x in (words, changed))
    leaks[attend.__name__] = np.abs(after - before).max()
    print(f"{attend.__name__}: the past changes by {leaks[attend.__name__]:.2g}")
assert leaks["attention"] == 0
claim("0.12", leaks["masked_too_late"])

padded = np.concatenate([words[:5], np.full((3, d), 1e3)])  # 5 words, filled up to 8
alone = attention(words[:5], words[:5], words[:5])
assert np.allclose(attention(padded, padded, padded, np.arange(T) < 5)[:5], alone)

# %% [markdown] id="order"
# ## Without positions, order is invisible
#
# Let the matrix $\Pi$ put the words in another order. Then $Q K^\top$ becomes $\Pi Q K^\top
# \Pi^\top$. Softmax works on rows whatever their order, so $P$ becomes $\Pi P \Pi^\top$, and $O$
# becomes $\Pi P \Pi^\top \Pi V = \Pi O$. "Dog bites man" and "man bites dog" get the same three
# vectors, in another order. Attention is *equivariant* to permutations, so what stands where has
# to be put into the vectors.
#
# Vaswani et al. (2017) add $p_m$ to the word at place $m$, with frequencies $\omega_i =
# 10000^{-2i/d}$:
#
# $$p_m = (\sin m\omega_0, \cos m\omega_0, \sin m\omega_1, \ldots),$$
#
# $$p_m \cdot p_n = \sum_i \cos((m - n)\,\omega_i).$$
#
# Among themselves these see only the distance $m - n$. But $(x_m + p_m) \cdot (x_n + p_n)$ also
# has the terms $x_m \cdot p_n$ and $p_m \cdot x_n$, which do not. Move the sentence by 100
# places, and some score changes by 2.9.

# %% [markdown] lang="zh" of="order" en="f8512de5"
# ## 没有位置，就看不见次序
#
# 设矩阵 $\Pi$ 把各词重新排列。$Q K^\top$ 变为 $\Pi Q K^\top \Pi^\top$。softmax 逐行进行，与行的次
# 序无关，所以 $P$ 变为 $\Pi P \Pi^\top$，$O$ 变为 $\Pi P \Pi^\top \Pi V = \Pi O$。“狗咬人”与“人咬
# 狗”得到同样的三个向量，只是换了次序。注意力对排列是*等变*的，因此哪个词站在哪里，必须写进向量里。
#
# Vaswani 等人（2017）给第 $m$ 处的词加上 $p_m$，频率为 $\omega_i = 10000^{-2i/d}$：
#
# $$p_m = (\sin m\omega_0, \cos m\omega_0, \sin m\omega_1, \ldots),$$
#
# $$p_m \cdot p_n = \sum_i \cos((m - n)\,\omega_i).$$
#
# 这些向量彼此之间只看得见距离 $m - n$。但 $(x_m + p_m) \cdot (x_n + p_n)$ 里还有 $x_m \cdot p_n$
# 与 $p_m \cdot x_n$ 两项，它们就不只取决于距离了。把句子整体移动 100 个位置，有的分数会改变 2.9。


# %%
def angles(places, d):
    """m ω_i: (T,) -> (T, d / 2)."""
    return np.outer(places, 10000.0 ** (-2 * np.arange(d // 2) / d))


def sinusoids(places, d):
    turn = angles(places, d)
    return np.stack([np.sin(turn), np.cos(turn)], -1).reshape(len(places), d)  # pairs interleaved


order = np.random.default_rng(4).permutation(T)
out = attention(words, words, words)
permuted = attention(words[order], words[order], words[order])
print(f"permutation test: differs by {np.abs(permuted - out[order]).max():.0e}")
assert np.allclose(permuted, out[order], atol=1e-12)
here, there = sinusoids(np.arange(T), d), sinusoids(np.arange(T) + 100, d)
assert np.allclose(here @ here.T, there @ there.T, atol=1e-12)
assert not np.allclose(attention(words + here, words, words)[order], permuted, atol=0.01)
moved = np.abs((words + here) @ (words + here).T - (words + there) @ (words + there).T) / np.sqrt(d)
claim("2.9", moved.max())

# %% [markdown] id="rotary"
# ## Rotary positions
#
# Su et al. (2021) turn instead of adding. Take the entries of $q$ in pairs, each pair as a
# complex number, and turn the query at place $m$ by the angles $m \omega_i$, the key at place $n$
# by $n \omega_i$. A score is the real part of
#
# $$(q_i u^m) (k_i u^n)^* = q_i k_i^* u^{m-n}, \quad u = e^{\mathrm{i} \omega_i},$$
#
# summed over the pairs, the star for the complex conjugate: for *any* words only $m - n$ is left.
# Moving everything by 1,000 places changes the scores by less than $10^{-12}$, which is rounding.
# A turn keeps lengths, so the argument for $\sqrt{d}$ stands.

# %% [markdown] lang="zh" of="rotary" en="d5c5ee51" captions={"maps": "谁在看谁：行是查询，列是键，每行之和为 1。"}
# ## 旋转位置编码
#
# Su 等人（2021）不用加法，而用旋转。把 $q$ 的分量两两配对，每对看作一个复数；第 $m$ 处的查询转过
# 角度 $m \omega_i$，第 $n$ 处的键转过 $n \omega_i$。分数是下式的实部
#
# $$(q_i u^m) (k_i u^n)^* = q_i k_i^* u^{m-n}, \quad u = e^{\mathrm{i} \omega_i},$$
#
# 再对各对求和，星号表示复共轭：无论是*什么*词，剩下的只有 $m - n$。把一切移动 1,000 个位置，分数
# 的变化小于 $10^{-12}$，只是舍入误差。旋转不改变长度，所以关于 $\sqrt{d}$ 的论证依然成立。


# %%
def rotate(x, places):
    pairs = x[..., 0::2] + 1j * x[..., 1::2]  # (..., T, d) -> complex (..., T, d / 2)
    turned = pairs * np.exp(1j * angles(places, x.shape[-1]))
    return np.stack([turned.real, turned.imag], -1).reshape(x.shape)


q, k = rng.standard_normal((2, T, d))
near, far = (rotate(q, at) @ rotate(k, at).T for at in (np.arange(T), np.arange(T) + 1000))
print(f"scores up to {np.abs(near).max():.1f} change by {np.abs(near - far).max():.0e}")
assert np.abs(near - far).max() < 1e-12
assert np.allclose(np.linalg.norm(rotate(q, np.arange(T)), axis=-1), np.linalg.norm(q, axis=-1))

# %%
sentence = ["the", "dog", "saw", "the", "cat", "and", "the", "cat", "ran"]
n = len(sentence)
vector = {word: rng.standard_normal(32) for word in dict.fromkeys(sentence)}
x = np.stack([vector[word] for word in sentence])  # the same word, the same vector
places = np.arange(n)
same = np.ones((n, 32)) * 1.5
maps = {
    "words alone": attention_weights(x, x),
    "words alone, causal": attention_weights(x, x, np.tri(n, dtype=bool)),
    "sinusoids alone": attention_weights(2 * sinusoids(places, 32), sinusoids(places, 32)),
    "one word everywhere, rotated": attention_weights(rotate(same, places), rotate(same, places)),
}
assert np.allclose(maps["words alone"][:, 4], maps["words alone"][:, 7])  # cat and cat

figure = Figure(figsize=(7, 6.6), layout="constrained")
for axes, (title, weights) in zip(figure.subplots(2, 2).flat, maps.items()):
    labels = ["cat"] * n if "one word" in title else sentence
    image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=0.6)
    axes.set_title(title, fontsize=10)
    axes.set_xticks(range(n), labels, rotation=90, fontsize=8)
    axes.set_yticks(range(n), labels, fontsize=8)
    axes.tick_params(length=0)
figure.colorbar(image, ax=figure.axes, shrink=0.5, label="weight", extend="max")
show(figure, "maps", "Who looks at whom: rows are queries, columns keys, each row sums to 1.")

# %% [markdown] id="heads" exercise="heads"
# ## Several heads, and an exercise
#
# In the map of words alone, both cats look the same to everyone: one softmax can express one
# preference. So the $C$ channels are cut into $h$ parts of $d = C / h$, and each part attends for
# itself. No new formula is needed, only axes in another order:
#
# | step | shape |
# |---|---|
# | the words, $x$ | $(T, C)$ |
# | $x W_{qkv}^\top$: queries, keys, values | $(T, 3C)$, cut into three $(T, C)$ |
# | reshape | $(T, h, d)$ |
# | transpose | $(h, T, d)$ |
# | attention, heads as a leading axis | $(h, T, d)$ |
# | transpose back, reshape | $(T, C)$ |
# | $W_o^\top$ from the right, which mixes the heads | $(T, C)$ |
#
# Write it. Reshaping $(T, C)$ to $(h, T, d)$ at once has the right shape, and puts the numbers of
# several words into one row.

# %% [markdown] lang="zh" of="heads" en="90925374"
# ## 多个头，与一道练习
#
# 在“只有词”的图里，两个 cat 在谁看来都一样：一个 softmax 只能表达一种偏好。于是把 $C$ 个通道切成
# $h$ 份，每份 $d = C / h$，各自做注意力。不需要新的公式，只要调换轴的次序：
#
# | 步骤 | 形状 |
# |---|---|
# | 词 $x$ | $(T, C)$ |
# | $x W_{qkv}^\top$：查询、键、值 | $(T, 3C)$，切成三个 $(T, C)$ |
# | 变形 | $(T, h, d)$ |
# | 转置 | $(h, T, d)$ |
# | 注意力，头作为前面的轴 | $(h, T, d)$ |
# | 转置回来，变形 | $(T, C)$ |
# | 右乘 $W_o^\top$，把各头混合起来 | $(T, C)$ |
#
# 请写出来。把 $(T, C)$ 直接变形为 $(h, T, d)$，形状没错，却把好几个词的数放进了同一行。


# %% solution="heads"
def multi_head(x, w_qkv, w_out, heads, allowed=True):
    """x (T, C), w_qkv (3 C, C), w_out (C, C) -> (T, C); use `attention` from above."""
    # BEGIN SOLUTION
    t, c = x.shape
    q, k, v = (
        part.reshape(t, heads, c // heads).swapaxes(0, 1)  # (T, C) -> (T, h, d) -> (h, T, d)
        for part in np.split(x @ w_qkv.T, 3, axis=-1)
    )
    out = attention(q, k, v, allowed)  # (h, T, d)
    return out.swapaxes(0, 1).reshape(t, c) @ w_out.T
    # END SOLUTION


# %%
minigen.manual_seed(0)
layer = nn.MultiheadAttention(12, 3, bias=False, batch_first=True, dtype=minigen.float64)
x = minigen.randn(1, 6, 12, dtype=minigen.float64)
forbidden = minigen.ones(6, 6, dtype=minigen.bool).triu(1)  # PyTorch's mask says where not
expected, _ = layer(x, x, x, attn_mask=forbidden, need_weights=False)
w_qkv, w_out = layer.in_proj_weight.detach().numpy(), layer.out_proj.weight.detach().numpy()
yours = multi_head(x.numpy()[0], w_qkv, w_out, 3, np.tri(6, dtype=bool))
assert yours.shape == (6, 12), f"expected shape (6, 12), got {yours.shape}"
difference = np.abs(yours - expected.detach().numpy()[0]).max()
assert difference < 1e-12, f"differs by {difference:.2g}: does a row hold one word's numbers?"
print(f"multi_head: equals nn.MultiheadAttention to {difference:.0e}")

# %% [markdown] id="use"
# ## What you may now use
#
# `F.scaled_dot_product_attention` of `minigen.nn.functional` is the formula above with both
# masks, on kernels that never store $P$; `nn.MultiheadAttention` has the heads; `rotate` stands
# in `minigen.models.llama`; the registered terms `"attention"` of `minigen.testing` name which
# part of a gradient is wrong.
#
# The argument for $\sqrt{d}$ assumed entries of variance 1. Is it so in a real model? The cell
# listens to the attention of `minigen.models.GPT`, untrained, on random text, through a kernel of
# its own. The queries' variance is 0.05: the matrices start that small. With the division the
# last of 64 places has 4.158 nats of entropy, of at most $\ln 64 = 4.159$: it averages over
# everything. Without it there are still 4.12. So at its start a GPT is in no danger; the division
# is there for what training makes of the weights.

# %% [markdown] lang="zh" of="use" en="5162d6a3"
# ## 现在可以用的
#
# `minigen.nn.functional` 里的 `F.scaled_dot_product_attention` 就是上面的公式，两种掩码都有，所用
# 的内核从不存下 $P$；`nn.MultiheadAttention` 有多个头；`rotate` 在 `minigen.models.llama` 里；
# `minigen.testing` 登记的 `"attention"` 各项能说出梯度的哪一部分错了。
#
# 关于 $\sqrt{d}$ 的论证假定分量的方差为 1。真实的模型是这样吗？下面的单元用一个自己的内核，旁听未
# 经训练的 `minigen.models.GPT` 在随机文本上的注意力。查询的方差只有 0.05：矩阵的初值就这么小。除
# 以 $\sqrt{d}$ 时，64 个位置中最后一处的熵是 4.158 纳特，而上限是 $\ln 64 = 4.159$：它几乎在对一
# 切取平均。不除也还有 4.12。所以 GPT 在起点并无危险；这个除法，是为训练之后的权重准备的。

# %%
q, k, v = (minigen.randn(2, 4, 9, 8, dtype=minigen.float64, requires_grad=True) for _ in range(3))
out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
g = minigen.randn(*out.shape, dtype=minigen.float64)
arrays = [t.detach().numpy() for t in (q, k, v)]
for ours, theirs in zip(
    attention_backward(g.numpy(), *arrays, np.tri(9, dtype=bool)),
    minigen.autograd.grad(out, (q, k, v), g),
):
    assert np.allclose(ours, theirs.numpy(), atol=1e-12)

heard = []
formula = kernels.get("attention", "numpy")


def listening(q, k, v, *options, **named):
    heard.append((q, k))
    return formula(q, k, v, *options, **named)


model = GPT(GPTConfig())
text = minigen.from_numpy(rng.integers(0, 76, (8, 64)))
with kernels.use(attention=listening), minigen.no_grad():
    model(text)
q, k = heard[-1]  # of the last of 4 layers: (N, h, T, d) = (8, 4, 64, 32)
scores = (q @ k.swapaxes(-1, -2))[:, :, -1]  # (8, 4, 64), of the last place
claim("0.05", q.var())
claim("4.158", entropy(softmax(scores / np.sqrt(32))).mean(), within=0.0005)
claim("4.159", np.log(64))
claim("4.12", entropy(softmax(scores)).mean(), within=0.01)
