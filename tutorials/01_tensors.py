# %% [markdown] id="title" goal="How a network gets its slopes: reverse mode, built from NumPy" minutes=0.3 after=[]
# # 01 · Tensors and reverse mode
#
# A network turns arrays of numbers, its weights and some data, into one number, the loss. To
# learn is to ask of every weight: if it grew a little, by how much would the loss grow? The
# answer is its *slope*; all slopes together are the gradient.
#
# One way to find a slope is to move one weight, compute the loss again, and divide the change of
# the loss by that of the weight: a *difference quotient*. For a million weights that is a million
# computations. *Reverse mode* finds every slope in a single walk back through one computation,
# for about the price of a second one. This chapter builds it out of NumPy and ends with the same
# gradients as minigen's.

# %% [markdown] lang="zh" of="title" en="3f471e81" goal="神经网络的斜率从哪里来：用 NumPy 搭出反向模式"
# # 01 · 张量与反向模式
#
# 神经网络把许多数（权重和一批数据）变成一个数：损失。所谓学习，就是对每个权重发问：它若增大一点
# 点，损失会增大多少？答案就是它的*斜率*；全部斜率合在一起，就是梯度。
#
# 求斜率的一个办法，是把一个权重稍微动一动，再把损失算一遍，用损失的变化除以权重的变化，这叫*差
# 商*。一百万个权重，就要算一百万遍。*反向模式*只需沿着一次计算倒着走一趟，就求出所有斜率，代价大
# 约相当于再算一遍。本章只用 NumPy 把它搭出来，最后得到与 minigen 相同的梯度。

# %% [markdown] id="record"
# ## Write down what was computed
#
# However large a network is, it is put together from small operations. We keep a record of each:
# the resulting array, the values it was computed from (its *parents*), and a rule for the way
# back. A value without parents, a weight for instance, is a *leaf*. An array with such a record
# is what libraries call a *tensor*, and all records together are the *graph*.
#
# The rule gets `g`, the slope of the loss with respect to the operation's *output*, in the shape
# of the output; it returns the slope with respect to each *input*, in the shape of that input.
# (`g` is also called the *cotangent*.)
#
# In the code, `claim` checks that a number in the text is the one this run finds; if you change
# things, expect it to complain. `show` is for pictures, and `fast` tells of a short run.

# %% [markdown] lang="zh" of="record" en="ae23eac7"
# ## 把算过的记下来
#
# 再大的网络，也是由小小的运算拼成的。我们给每一步留下记录：得到的数组、它由哪些值算出（它的
# *父值*），以及往回走时用的规则。没有父值的值，比如权重，叫作*叶子*。带着这种记录的数组，在各种
# 库里叫*张量*；所有记录合起来，就是*计算图*。
#
# 规则收到 `g`，也就是损失对该运算*输出*的斜率，形状与输出相同；它返回损失对每个*输入*的斜率，形
# 状与那个输入相同。（`g` 在文献中又叫 cotangent，余切向量。）
#
# 代码中的 `claim` 核对文中的数就是这次运行得到的数：你若改了代码，它多半会抱怨。`show` 用来显示
# 图，`fast` 表示这次是否只求快跑一遍。

# %%
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np

import minigen
from minigen import viz
from minigen.chapters.lesson import claim, fast, show
from minigen.testing import assert_gradients, check_gradients

ages = itertools.count()


class Value:
    """An array, and how it was computed."""

    def __init__(self, array, parents=(), rule=None):
        self.array = np.asarray(array, dtype=np.float64)
        self.parents, self.rule = parents, rule
        self.slope = None  # of the loss with respect to this value, in the shape of the array
        self.age = next(ages)  # a value is always younger than its parents


@dataclass
class Operation:
    """forward(*arrays) -> array;  rule(g, out, *arrays) -> a tuple, one slope for each."""

    forward: Callable
    rule: Callable

    def __call__(self, *inputs, **options):
        arrays = [value.array for value in inputs]
        out = self.forward(*arrays, **options)
        return Value(out, inputs, lambda g: self.rule(g, out, *arrays, **options))


def check(operation, *arrays, names="xy", **options):
    """Compare the rule with difference quotients; if it is wrong, the error says how."""

    def forward(*arrays):
        return operation.forward(*arrays, **options)

    def rule(g, *arrays):
        return operation.rule(g, forward(*arrays), *arrays, **options)

    assert_gradients((forward, rule), *arrays, names=names[: len(arrays)])


# %% [markdown] id="chain" grad="elementwise"
# ## The chain rule, backwards
#
# When an input moves, every output that depends on it moves, and through each of them the loss.
# Take $o_1 = x_1 x_2$ and $o_2 = x_1$, and write a bar for "slope of the loss with respect to".
# If $x_1$ grows by a little, $o_1$ grows by $x_2$ times that, $o_2$ by just that. The loss hears
# of both, so $\bar x_1 = \bar o_1 x_2 + \bar o_2$; for $x_2$ it is $\bar x_2 = \bar o_1 x_1$. In
# general the contributions of all outputs add up:
#
# $$\bar x_i = \sum_j \bar o_j \, \frac{\partial o_j}{\partial x_i}.$$
#
# Here $\partial o_j / \partial x_i$ is the ordinary derivative, every other input held still. All
# of them form a matrix, the Jacobian $J$, and the sum is the vector $\bar o$, our `g`, times that
# matrix: a *vector-Jacobian product*. A rule computes the product and never the matrix. For the
# sine of a million numbers the matrix would fill 8 TB, with zeros but for its diagonal.
#
# In an operation that treats every number by itself, one term of the sum is left: `g` times the
# derivative you know from school. Sometimes the output already holds it. For the sigmoid
# $\sigma(x) = 1 / (1 + e^{-x})$,
#
# $$\sigma'(x) = \frac{e^{-x}}{(1 + e^{-x})^2} = \frac{1}{1 + e^{-x}} \cdot \frac{e^{-x}}{1 + e^{-x}} = \sigma(x) \, (1 - \sigma(x)).$$
#
# | operation | shapes in | shape out and of `g` | slopes |
# |---|---|---|---|
# | $x - y$ | (m, n), (m, n) | (m, n) | $g$ and $-g$ |
# | $x^2$ | (m, n) | (m, n) | $2 x g$ |
# | $\sin x$ | (m, n) | (m, n) | $\cos(x) \, g$ |
# | $o = \sigma(x)$ | (m, n) | (m, n) | $o (1 - o) \, g$ |
#
# The next cell checks all four. `minigen.testing` draws a random `g`, moves the inputs a little,
# and compares what the outputs do with what the rule says; chapter 02 shows how.

# %% [markdown] lang="zh" of="chain" en="f3b80ed3"
# ## 倒过来用链式法则
#
# 一个输入动了，依赖它的每个输出都会动，损失又随着每个输出而动。看一个例子：$o_1 = x_1 x_2$，
# $o_2 = x_1$，并用上横线表示“损失对它的斜率”。$x_1$ 增大一点点，$o_1$ 的增量是它的 $x_2$ 倍，
# $o_2$ 的增量与它相同；两路都传到损失，所以 $\bar x_1 = \bar o_1 x_2 + \bar o_2$。而 $x_2$ 只牵
# 动 $o_1$，所以 $\bar x_2 = \bar o_1 x_1$。一般地，把来自所有输出的贡献相加：
#
# $$\bar x_i = \sum_j \bar o_j \, \frac{\partial o_j}{\partial x_i}.$$
#
# 其中 $\partial o_j / \partial x_i$ 就是普通的导数，求导时其他输入保持不动。这些导数排成一个矩阵，
# 即雅可比矩阵 $J$；上面的求和就是向量 $\bar o$（也就是 `g`）乘以这个矩阵，叫作*向量-雅可比乘积*。
# 规则只算乘积，从不写出矩阵：对一百万个数求正弦，这个矩阵要占 8 TB，而除了对角线全是零。
#
# 如果运算对每个数单独进行，求和就只剩一项：`g` 乘以中学里学过的那个导数。有时导数可以直接从输出
# 得到。例如 sigmoid 函数 $\sigma(x) = 1 / (1 + e^{-x})$，
#
# $$\sigma'(x) = \frac{e^{-x}}{(1 + e^{-x})^2} = \frac{1}{1 + e^{-x}} \cdot \frac{e^{-x}}{1 + e^{-x}} = \sigma(x) \, (1 - \sigma(x)).$$
#
# | 运算 | 输入形状 | 输出与 `g` 的形状 | 斜率 |
# |---|---|---|---|
# | $x - y$ | (m, n), (m, n) | (m, n) | $g$ 与 $-g$ |
# | $x^2$ | (m, n) | (m, n) | $2 x g$ |
# | $\sin x$ | (m, n) | (m, n) | $\cos(x) \, g$ |
# | $o = \sigma(x)$ | (m, n) | (m, n) | $o (1 - o) \, g$ |
#
# 下一个单元检查这四条规则。`minigen.testing` 随机取一个 `g`，把输入稍微动一动，看输出的变化与规
# 则所说的是否一致；其中的道理见第 02 章。

# %% check="elementwise"
subtract = Operation(np.subtract, lambda g, out, x, y: (g, -g))
square = Operation(np.square, lambda g, out, x: (2 * x * g,))
sine = Operation(np.sin, lambda g, out, x: (np.cos(x) * g,))
sigmoid = Operation(lambda x: 1 / (1 + np.exp(-x)), lambda g, out, x: (out * (1 - out) * g,))

rng = np.random.default_rng(0)
x, y = rng.standard_normal((2, 3, 4))  # two matrices of 3 rows and 4 columns
check(subtract, x, y)
for operation in (square, sine, sigmoid):
    check(operation, x)

claim("8", 1e6 * 1e6 * 8 / 1e12)  # 8 bytes for each number

# %% [markdown] id="coupled" grad="center"
# ## When every output depends on every input
#
# Take the mean away from each row: $o_j = x_j - \frac{1}{n} \sum_k x_k$. Every $x_i$ moves every
# $o_j$, once through the mean and, if $i = j$, once more directly:
#
# $$\frac{\partial o_j}{\partial x_i} = \delta_{ij} - \frac{1}{n},$$
#
# where $\delta_{ij}$ is 1 if $i = j$ and 0 otherwise. Put this into the sum. There $\delta_{ij}$
# picks one term, and the other part is the same for all $i$, so no matrix is left:
#
# $$\bar x_i = \sum_j g_j \left(\delta_{ij} - \frac{1}{n}\right) = g_i - \frac{1}{n} \sum_j g_j.$$

# %% [markdown] lang="zh" of="coupled" en="2017eba6"
# ## 当每个输出都依赖每个输入
#
# 把每一行减去它的平均值：$o_j = x_j - \frac{1}{n} \sum_k x_k$。每个 $x_i$ 都会牵动每个 $o_j$：
# 一次通过平均值；若 $i = j$，还有一次是直接的：
#
# $$\frac{\partial o_j}{\partial x_i} = \delta_{ij} - \frac{1}{n},$$
#
# 其中 $\delta_{ij}$ 在 $i = j$ 时为 1，否则为 0。代入求和式。$\delta_{ij}$ 只挑出一项，剩下的部
# 分对所有 $i$ 都一样，于是矩阵不见了：
#
# $$\bar x_i = \sum_j g_j \left(\delta_{ij} - \frac{1}{n}\right) = g_i - \frac{1}{n} \sum_j g_j.$$

# %% check="center"
center = Operation(
    lambda x: x - x.mean(-1, keepdims=True),  # (m, n) - (m, 1): keepdims leaves an axis of size 1
    lambda g, out, x: (g - g.mean(-1, keepdims=True),),
)
check(center, x)

# %% [markdown] id="matvec" grad="matrix times vector"
# ## Read the rule off the indices
#
# A matrix $W$ of shape (m, k) times a vector $v$ of shape (k,) is $o_j = \sum_i W_{ji} v_i$; as
# before, $j$ counts outputs. Every output contains $v_i$, times $W_{ji}$. An entry of $W$ has two
# indices, so its sum needs a third, $l$, for the outputs; only $o_j$ contains $W_{ji}$, so one
# term is left:
#
# $$\bar v_i = \sum_j g_j W_{ji}, \qquad \bar W_{ji} = \sum_l g_l \frac{\partial o_l}{\partial W_{ji}} = g_j v_i.$$
#
# The first is $W^T g$, the second the outer product of $g$ and $v$. This is the recipe for every
# product: write the operation with indices, put it into the sum, and see which product of arrays
# has come out. Shapes help: $W^T g$ is (k, m) times (m,), thus (k,), as $v$ is.

# %% [markdown] lang="zh" of="matvec" en="d403da43"
# ## 从下标读出规则
#
# 形状为 (m, k) 的矩阵 $W$ 乘以形状为 (k,) 的向量 $v$，就是 $o_j = \sum_i W_{ji} v_i$；与前面一样，
# $j$ 数的是输出。每个输出里都有 $v_i$，乘的是 $W_{ji}$。$W$ 的元素有两个下标，求和时要另用一个字
# 母 $l$ 来数输出；但 $W_{ji}$ 只出现在 $o_j$ 里，于是只剩一项：
#
# $$\bar v_i = \sum_j g_j W_{ji}, \qquad \bar W_{ji} = \sum_l g_l \frac{\partial o_l}{\partial W_{ji}} = g_j v_i.$$
#
# 前者是 $W^T g$，后者是 $g$ 与 $v$ 的外积。凡是乘积，都可照此办理：把运算写成下标形式，代入求和
# 式，再看得到的是哪种数组乘积。形状可以帮忙验算：$W^T g$ 是 (k, m) 乘 (m,)，得 (k,)，正与 $v$ 相
# 同。

# %% check="matrix times vector"
matvec = Operation(np.matmul, lambda g, out, W, v: (np.outer(g, v), W.T @ g))
check(matvec, rng.standard_normal((5, 3)), rng.standard_normal(3), names="Wv")

# %% [markdown] id="take" grad="take"
# ## Used more than once
#
# Indexing copies: $o_j = x_{n_j}$, where $n$ is an array of row numbers. A row that is taken
# twice influences the loss in two ways, and its slope is the sum of both. A row nobody took has
# slope 0. (Where an index repeats, NumPy's `slope[index] += g` adds only once; `np.add.at` adds
# every time.)
#
# If $n$ is a permutation, every row is used once and nothing has to be added. The slopes only go
# back to where the rows came from, by the *inverse* permutation. One such as (1, 0, 2) is its own
# inverse, and a test with it would not notice that you forgot.

# %% [markdown] lang="zh" of="take" en="2d58a181"
# ## 用了不止一次
#
# 取下标就是复制：$o_j = x_{n_j}$，其中 $n$ 是一组行号。某一行若被取了两次，它就从两条路影响损失，
# 斜率是两者之和；没有被取到的行，斜率为 0。（下标有重复时，NumPy 的 `slope[index] += g` 只加一
# 次，`np.add.at` 才会每次都加。）
#
# 如果 $n$ 恰是一个排列，每行正好用一次，就没有什么要加的，斜率只需按*逆*排列回到各行原来的位置。
# 像 (1, 0, 2) 这样的排列，逆就是它自己；拿它来测试，忘了取逆也看不出来。


# %% check="take"
def take_rule(g, out, x, index):
    slope = np.zeros_like(x)
    np.add.at(slope, index, g)
    return (slope,)


take = Operation(lambda x, index: x[index], take_rule)
check(take, x, index=np.array([2, 0, 2, 2]))  # row 2 three times, row 1 never
check(take, x, index=np.array([1, 2, 0]))  # a permutation; its inverse is (2, 0, 1)

# %% [markdown] id="stretch" grad="stretch and mean"
# ## Broadcasting
#
# NumPy copies without being asked, too. To combine two shapes it lines them up at their last
# axes, puts axes of size 1 in front of the shorter one, and stretches every axis of size 1 to the
# size of the other. Numbers are then used many times, and their slopes must be added up. The way
# back undoes the two steps in reverse: sum over each axis that was stretched, then drop those
# that were put in front.
#
# | input | lined up | stretched | its slope, from `g` of shape (3, 4) |
# |---|---|---|---|
# | (4,) | (1, 4) | (3, 4) | sum over axis 0; axis 0 goes: (4,) |
# | (3, 1) | (3, 1) | (3, 4) | sum over axis 1; axis 1 stays: (3, 1) |
# | () | (1, 1) | (3, 4) | sum over both; both go: () |
#
# Our engine does nothing unasked: stretching an axis is an operation like any other. Its reverse
# is a sum; and the reverse of a sum is a stretch, since every number that was added gets the
# slope of the total (`np.expand_dims` puts an axis back that a sum has dropped). The mean of $N$
# numbers, which will be our loss, hands $g / N$ to each.

# %% [markdown] lang="zh" of="stretch" en="c15934f4"
# ## 广播
#
# NumPy 还会不声不响地复制。要把两个形状合在一起时，它先按最后一个轴对齐，在较短的形状前面补上长
# 度为 1 的轴，再把每个长度为 1 的轴拉伸到对方的长度。这样一来，有的数被用了许多次，收到的斜率要
# 加起来。往回走时把这两步倒着撤销：先沿每个被拉伸的轴求和，再去掉补在前面的轴。
#
# | 输入 | 对齐之后 | 拉伸之后 | 由形状 (3, 4) 的 `g` 求它的斜率 |
# |---|---|---|---|
# | (4,) | (1, 4) | (3, 4) | 沿轴 0 求和，去掉轴 0：(4,) |
# | (3, 1) | (3, 1) | (3, 4) | 沿轴 1 求和，保留轴 1：(3, 1) |
# | () | (1, 1) | (3, 4) | 沿两个轴求和，都去掉：() |
#
# 我们的引擎不会自作主张：拉伸一个轴，也是一个普通的运算。拉伸倒过来是求和；求和倒过来是拉伸，因
# 为每个加数收到的都是总和的斜率（求和消去的轴，可用 `np.expand_dims` 补回来）。$N$ 个数的平均值
# （待会儿用作损失）则给每个数 $g / N$。

# %% check="stretch and mean"
stretch = Operation(
    lambda x, axis, size: np.repeat(x, size, axis),  # of an axis of size 1
    lambda g, out, x, axis, size: (g.sum(axis, keepdims=True),),
)
mean = Operation(np.mean, lambda g, out, x: (np.full(x.shape, g / x.size),))
check(stretch, x[:1], axis=0, size=3)
check(mean, x)

# What happens to those who forget the sum: a row (4,) taken from each row of a matrix (3, 4).
report = check_gradients((lambda x, row: x - row, lambda g, x, row: (g, -g)), (x, y[0]))
print(report)
assert "summed over axis 0" in str(report)

# %% [markdown] id="order"
# ## The order to walk in
#
# A slope may be handed on only when it is complete, after *every* value computed from this one
# has had its turn. An order with that property is called topological. Here it costs nothing: a
# value is younger than its parents, so the youngest goes first.
#
# Where ages are not known, count for each value how often it is used by values that the loss
# depends on. Begin at the loss. Whoever has had its turn lowers the counts of its parents, and a
# parent whose count reaches zero may come next. For $L = t - s$ with $t = \sin(s)$ and $s = x^2$:
#
# | turn of | counts after it |
# |---|---|
# | (start) | t: 1, s: 2, x: 1 |
# | L | t: 0, s: 1, x: 1 |
# | t | s: 0, x: 1 |
# | s | x: 0 |
# | x | (done) |
#
# Two traps: walking path by path takes forever,
# because every value used twice doubles the number of paths (1,073,741,824 after 30 steps); and a
# function that calls itself for each parent fails on long chains, because Python allows about a
# thousand nested calls. A list of values still to visit has neither problem.

# %% [markdown] lang="zh" of="order" en="070c95d8"
# ## 走的次序
#
# 一个值的斜率必须齐全之后才能往下传，也就是要等*所有*由它算出的值都处理完。满足这一点的次序叫作
# 拓扑序。在这里它不费功夫：一个值总比它的父值年轻，所以从最年轻的开始就行。
#
# 如果不知道年龄，就先数一数每个值被用了几次（只数损失所依赖的那些值）。从损失出发，处理完一个值，
# 就把它各个父值的计数减一；谁的计数减到零，谁就可以接着处理。以 $L = t - s$、$t = \sin(s)$、
# $s = x^2$ 为例：
#
# | 处理 | 处理之后的计数 |
# |---|---|
# | （开始） | t: 1, s: 2, x: 1 |
# | L | t: 0, s: 1, x: 1 |
# | t | s: 0, x: 1 |
# | s | x: 0 |
# | x | （完） |
#
# 有两个陷阱：一是沿着每条路径逐一去
# 走，那是走不完的，因为每有一个值用两次，路径数就翻一倍（30 步之后是 1,073,741,824 条）；二是用
# 函数递归访问父值，遇到长链就会失败，因为 Python 只允许大约一千层嵌套调用。用一个列表记下还没访
# 问的值，两个问题都不会出现。


# %%
def youngest_first(root):
    """Everything that root was computed from, and root itself, once each."""
    found, waiting = {root}, [root]
    while waiting:
        for parent in waiting.pop().parents:
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return sorted(found, key=lambda value: value.age, reverse=True)


def walk(order):
    """Let each value hand its slope on to its parents; the first is the loss."""
    order[0].slope = np.ones_like(order[0].array)  # the loss grows by 1 when it grows by 1
    for value in order:
        for parent, slope in zip(value.parents, value.rule(value.slope) if value.rule else ()):
            parent.slope = slope if parent.slope is None else parent.slope + slope


def backward(root):
    """Add the slope of root to .slope of every leaf it was computed from."""
    order = youngest_first(root)
    for value in order:
        if value.parents:
            value.slope = None  # what an earlier walk left there
    walk(order)


claim("1,073,741,824", 2**30)

# %% [markdown] id="wrong_order"
# Compute this $L$ at $x = 1$. Since $s$ is used twice, its slope is $\cos(1) - 1 = -0.460$, and
# that of $x$ is $2x$ times as much, $-0.919$. Now let $s$ have its turn too early, before $t$.
# What will be the slope of $x$? Decide before you look at the last line that is printed.

# %% [markdown] lang="zh" of="wrong_order" en="d051a2f3" captions={"slopes": "数值，以及传回去的斜率（橙色），一直传到 x。"}
# 在 $x = 1$ 处计算这个 $L$。$s$ 用了两次，斜率为 $\cos(1) - 1 = -0.460$；$x$ 的斜率是它的 $2x$
# 倍，即 $-0.919$。现在故意让 $s$ 抢在 $t$ 之前处理，$x$ 的斜率会变成多少？先想好，再看打印出来的
# 最后一行。


# %%
def example():
    x = Value(1.0)
    s = square(x)
    t = sine(s)
    return {"x": x, "s = x²": s, "t = sin s": t, "L = t - s": subtract(t, s)}


def draw(values, places, handed_on):
    """values: by name; handed_on: (from, to, text) for each slope that is passed."""
    figure, axes = plt.subplots(figsize=(9, 3))
    axes.set(xlim=(-1, 8), ylim=(-0.6, 2))
    axes.axis("off")
    boxes = {}
    for (name, value), at in zip(values.items(), places):
        text = f"{name} = {value.array:.3f}\nslope {value.slope:.3f}"
        style = {"boxstyle": "round,pad=0.5", "facecolor": "#eef3f8", "edgecolor": "#456"}
        boxes[at] = axes.text(*at, text, ha="center", va="center", bbox=style, fontsize=12)
    figure.canvas.draw()  # now the boxes know how large they are
    for start, end, text in handed_on:
        ends = {"patchA": boxes[start].get_bbox_patch(), "patchB": boxes[end].get_bbox_patch()}
        axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "#b5500c", **ends})
        x, y = np.add(start, end) / 2
        side = {"ha": "right" if x < 4 else "left"} if start[1] != end[1] else {"ha": "center"}
        axes.text(x, y + 0.12, f" {text} ", color="#b5500c", fontsize=12, **side)
    return figure


right, wrong = example(), example()
x1, s1, t1, L1 = right.values()
backward(L1)
at_x, at_s, at_t, at_L = (0, 0), (3.3, 0), (4.4, 1.5), (7, 0)  # where their boxes stand
arrows = [
    (at_L, at_t, "+1"), (at_t, at_s, f"cos(s) = {np.cos(s1.array):.3f}"),
    (at_L, at_s, "-1"), (at_s, at_x, f"2x · ({s1.slope:.3f})"),
]  # fmt: skip
picture = draw(right, (at_x, at_s, at_t, at_L), arrows)
show(picture, "slopes", "Values, and in orange the slopes that are handed back until they reach x.")

x2, s2, t2, L2 = wrong.values()
walk([L2, s2, t2, x2])  # s before t
print(f"slope of x: {x1.slope:.3f}; in the wrong order: {x2.slope:.3f}")
claim("-0.460", s1.slope)
claim("-0.919", x1.slope)
claim("-2", x2.slope)

# %% [markdown] id="too_early"
# When its turn came too early, $s$ had only heard from $L$ directly, $-1$, and handed on $-2$. What
# $t$ added afterwards stayed with $s$ forever. Nothing crashed; the number was just wrong.

# %% [markdown] lang="zh" of="too_early" en="c3338af2"
# $s$ 抢先处理时，只从 $L$ 那里直接收到 $-1$，于是传出 $-2$；后来 $t$ 再补上的那一份，就永远留在
# $s$ 那里了。程序不会报错，只是数不对。

# %% [markdown] id="engine"
# ## The whole engine at work
#
# Two hundred points with three measurements each form a matrix $X$ of shape (200, 3); each point
# belongs to a group, $y = 0$ or $1$. The model gives the probability of group 1 as $p = \sigma(X
# w - b)$, and the loss is the mean of $(p - y)^2$.
#
# The weights get their slopes from our engine, from minigen, and from difference quotients. The
# two engines agree to the last digits of float64; the quotients, being approximations, to nine.

# %% [markdown] lang="zh" of="engine" en="0ba80f8e" captions={"graph": "minigen 记下的计算图：正是我们的这些运算，b 的拉伸包含在 sub 里。"}
# ## 让整个引擎运转起来
#
# 两百个点，每个点有三个测量值，排成形状 (200, 3) 的矩阵 $X$；每个点属于一组，$y = 0$ 或 $1$。模
# 型给出属于第 1 组的概率 $p = \sigma(X w - b)$，损失是 $(p - y)^2$ 的平均值。
#
# 权重的斜率用三种办法来求：我们的引擎、minigen、差商。两个引擎一致到 float64 的末几位；差商是近
# 似值，一致到九位。

# %%
points = rng.standard_normal((200, 3))
group = (points @ [1.0, -2.0, 0.5] + rng.standard_normal(200) > 0).astype(float)
w0, b0 = np.array([0.1, -0.2, 0.3]), np.array([0.5])


def model(w, b):
    z = subtract(matvec(Value(points), w), stretch(b, axis=0, size=200))
    return mean(square(subtract(sigmoid(z), Value(group))))


w, b = Value(w0), Value(b0)
backward(model(w, b))

h = 1e-6
quotients = [  # w moved up and down; why both ways, says chapter 02
    (model(Value(w0 + h * e), b).array - model(Value(w0 - h * e), b).array) / (2 * h)
    for e in np.eye(3)
]

w_mg = minigen.tensor(w0, requires_grad=True)
b_mg = minigen.tensor(b0, requires_grad=True)
p = (minigen.tensor(points) @ w_mg - b_mg).sigmoid()
loss = ((p - minigen.tensor(group)) ** 2).mean()
drawing = viz.graph(loss, {"w": w_mg, "b": b_mg, "p": p})
loss.backward()

print("ours:     ", w.slope, b.slope)
print("minigen:  ", w_mg.grad.numpy(), b_mg.grad.numpy())
print("quotients:", np.array(quotients))
assert np.allclose(w.slope, w_mg.grad.numpy(), rtol=1e-13, atol=0)
assert np.allclose(b.slope, b_mg.grad.numpy(), rtol=1e-13, atol=0)
assert np.allclose(w.slope, quotients, rtol=1e-9, atol=0)
show(drawing.svg, "graph", "What minigen recorded: our operations, the stretch of b within sub.")

# %% [markdown] id="twice"
# ## Break it: walk twice
#
# Call `backward` for a second loss and the slopes of the leaves add up. That is meant: a batch
# too large for memory is dealt with in parts. (To start afresh, set them to `None`; minigen's
# optimizers call that `zero_grad`.) The same loss twice gives 2 times the slope.
#
# The values in between must start from nothing each time. From `w` to the loss there are five of
# them: product, difference, sigmoid, difference, square. If on a second walk they still hold what
# the first one left (the loss starts at 1 again), how many times its slope will `w` have?

# %% [markdown] lang="zh" of="twice" en="17412f43"
# ## 故意弄坏：走两趟
#
# 对第二个损失再调用 `backward`，叶子上的斜率会累加。这是有意的：一批数据太大，内存放不下，就分
# 几次来算。（想从头开始，就把它们设为 `None`；minigen 的优化器把这一步叫 `zero_grad`。）同一个
# 损失走两趟，得到 2 倍的斜率。
#
# 中间的值却必须每次从零开始。从 `w` 到损失，中间隔着五个值：乘积、差、sigmoid、差、平方。如果走
# 第二趟时，上一趟留下的斜率还在（损失仍从 1 开始），`w` 会得到正确斜率的几倍？

# %%
w.slope = b.slope = None
loss = model(w, b)
backward(loss)
once = w.slope
backward(loss)
print("with the reset:   ", w.slope / once)
claim("2", (w.slope / once).mean())

w.slope = b.slope = None
order = youngest_first(model(w, b))
walk(order)
walk(order)  # nobody took away what the first walk left
print("without the reset:", w.slope / once)
claim("7", (w.slope / once).mean())

# %% [markdown] id="seven"
# On the second walk each value handed on what it kept from the first *and* what it received now:
# the one next to the loss 2 times its slope, the next 3, the fifth 6. With its own first slope,
# `w` then had 7 times the right one. A test that calls `backward` once cannot find this mistake.

# %% [markdown] lang="zh" of="seven" en="a5c0a9a3"
# 走第二趟时，每个值传出的是上一趟留下的*加上*这一趟收到的：紧挨着损失的那个传出自身斜率的 2 倍，
# 再下一个 3 倍，第五个 6 倍。连同第一趟已有的一份，`w` 得到的就是正确值的 7 倍。只调用一次
# `backward` 的测试，发现不了这个错。

# %% [markdown] id="exercise" exercise="running total"
# ## Exercise: the running total
#
# `np.cumsum` along the last axis turns (1, 2, 3, 4) into (1, 3, 6, 10): $o_j = \sum_{i \le j}
# x_i$. Write its rule. Ask which outputs $x_i$ went into, and then how NumPy can add those slopes
# up without a loop.

# %% [markdown] lang="zh" of="exercise" en="b24a2a85"
# ## 练习：累计和
#
# `np.cumsum` 沿最后一个轴把 (1, 2, 3, 4) 变成 (1, 3, 6, 10)：$o_j = \sum_{i \le j} x_i$。请写出
# 它的规则。先问 $x_i$ 进入了哪些输出，再想怎样用 NumPy 不写循环就把这些斜率加起来。


# %% solution="running total"
def running_total_rule(g, out, x):
    """out = x.cumsum(-1) -> (slope of x,)"""
    # BEGIN SOLUTION
    # x_i went into out_i and all outputs after it, so its slope is the sum of g from i to the end:
    # a running total once more, begun at the other end.
    from_the_end = g[..., ::-1]
    totals = from_the_end.cumsum(-1)
    return (totals[..., ::-1],)
    # END SOLUTION


# %%
running_total = Operation(lambda x: x.cumsum(-1), running_total_rule)
for shape in ((4,), (3, 4), (2, 1, 3)):
    check(running_total, rng.standard_normal(shape))

# %% [markdown] id="use"
# ## What you may now use
#
# `minigen.tensor(..., requires_grad=True)`, `loss.backward()` and `.grad` do what you have built;
# `minigen.autograd.grad` returns slopes without storing them; `minigen.viz.graph` draws the
# record. In the source, `minigen/autograd.py` is the walk, also the youngest first, and
# `minigen/ops` holds the rules, each beside its operation. They do two things more: slopes nobody
# asked for are not computed, and what no rule needs any longer is freed.
#
# You can now solve assignment A1; `minigen classroom build tutorials/assignments/a1_backward`
# writes it. Its rules are not in this chapter, but each follows from the same three questions:
# which outputs did this number go into, with which derivative, and which of NumPy's functions is
# that sum?

# %% [markdown] lang="zh" of="use" en="9627b362"
# ## 现在可以用的
#
# `minigen.tensor(..., requires_grad=True)`、`loss.backward()` 和 `.grad` 所做的，就是你刚刚搭出
# 来的；`minigen.autograd.grad` 返回斜率而不存下来；`minigen.viz.graph` 把记录画成图。源码中，
# `minigen/autograd.py` 就是倒着走的那一趟，同样从最年轻的开始；`minigen/ops` 里是各条规则，每条
# 都写在自己的运算旁边。那里还多做两件事：没人要的斜率不算，规则不再需要的东西及时释放。
#
# 现在可以做作业 A1 了，题目由 `minigen classroom build tutorials/assignments/a1_backward` 生成。
# 其中的规则不在本章之中，但每一条都来自同样的三个问题：这个数进入了哪些输出，导数各是多少，这个
# 和对应 NumPy 的哪个函数？

# %% [markdown] id="measure"
# ## What it costs
#
# Twenty operations, one after the other, on 10,000 numbers: the walk back took about 1.0 times
# as long as the computation. (Where products of matrices take most of the time, expect twice: there
# are two on the way back for each one on the way there.) Difference quotients would need 20,000
# computations for the same slopes. The price is memory: each of the twenty values between is kept
# until its rule has run, 1.6 MB in all, where computing alone needs no more than two of them at a
# time.

# %% [markdown] lang="zh" of="measure" en="f6368dce"
# ## 代价是多少
#
# 对 10,000 个数接连做二十次运算：倒着走一趟的时间约为计算本身的 1.0 倍。（若时间主要花在矩
# 阵乘法上，就要两倍：去时每做一个乘法，回来时要做两个。）用差商求同样的斜率，要把计算重复 20,000
# 遍。代价在于内存：中间的二十个值都要留到各自的规则用过为止，共 1.6 MB；若只计算，同时留两个就
# 够了。

# %%
start = Value(rng.standard_normal(10_000))


def chain():
    value = start
    for _ in range(10):
        value = center(sine(value))
    return value, mean(value)


def seconds(function, times):
    """The shortest of several runs: whatever else the machine did, it disturbed that one least."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        taken.append(time.perf_counter() - began)
    return min(taken)


_, loss = chain()
times = 3 if fast() else 30
ratio = seconds(lambda: backward(loss), times) / seconds(chain, times)
kept = sum(value.array.nbytes for value in youngest_first(loss) if value.parents)
print(f"back / forward: {ratio:.2f}; kept: {kept / 1e6:.1f} MB")
claim("1.0", ratio, within=1.0, trained=True)
claim("20,000", 2 * start.array.size)
claim("1.6", kept / 1e6)
