# %% [markdown] id="question" goal="Why three loops take a hundred times as long as BLAS, and how to climb from the one to the other" minutes=1 after=["01"]
# # 03 · A matrix product on a CPU, rung by rung
#
# Almost all arithmetic in a network is one formula, $c_{ij} = \sum_p a_{ip}\, b_{pj}$. Three
# nested loops compute it, and a compiler makes good machine code of them. Yet they reach about
# 1 % of the speed of BLAS, the library behind NumPy's `@`, which makes exactly the same
# multiplications. Where do the other 99 % of the time go, and how much of it can be won back in
# Python?
#
# Speeds below are ratios, measured on one core each time this chapter runs. Those in the text are
# from one machine; yours are printed beside them.

# %% [markdown] lang="zh" of="question" en="542af2a1" goal="三重循环为什么比 BLAS 慢一百倍，又怎样从前者一级一级爬到后者"
# # 03 · CPU 上的矩阵乘法：一级一级往上爬
#
# 网络里几乎所有的算术都是同一个公式：$c_{ij} = \sum_p a_{ip}\, b_{pj}$。三重循环就能算，编译器也
# 能把它翻译成不错的机器码。可是它的速度只有 BLAS（NumPy 的 `@` 背后的库）的 1 % 左右，而两者做的
# 乘法一次不多、一次不少。其余 99 % 的时间花到哪里去了？用 Python 又能赢回多少？
#
# 下文的速度都是比值，每次运行本章时在一个核上测得。文中的数来自一台机器，你的数会打印在旁边。

# %%
import math
import os
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

from minigen import kernels
from minigen.chapters.lesson import claim, fast, show
from minigen.testing import assert_gradients

kernels.on_compile = print  # if Numba has to compile a kernel of minigen first, say so here
SIZE, TRIES = (96, 3) if fast() else (512, 9)
rng = np.random.default_rng(0)
# This thread's own time: what else runs on the machine does not count. Windows counts too coarsely.
clock = time.perf_counter if os.name == "nt" else time.thread_time


def compiled(function):
    """Machine code; sums may be taken in another order, or no sum could become a vector."""
    return njit(function, nogil=True, fastmath={"reassoc", "contract", "nsz"})


def race(calls, tries=TRIES):
    """The best seconds of each, as what disturbs a run only makes it longer. They take turns, so
    that a machine which slows down slows them all."""
    best = dict.fromkeys(calls, math.inf)
    for call in calls.values():
        call()  # compiles, and warms the caches
    for _ in range(tries):
        for name, call in calls.items():
            start = clock()
            call()
            best[name] = min(best[name], clock() - start)
    return best


# %% [markdown] id="roof"
# ## What must be computed, and what must be moved
#
# A matrix $(m, k)$ times a matrix $(k, n)$ takes $mkn$ multiply-adds, that is $2mkn$ operations.
# At the least, both operands have to be read and the result written, four bytes a number in
# float32. The quotient is the **arithmetic intensity**,
#
# $$I = \frac{2mkn}{4\,(mk + kn + mn)}$$
#
# operations a byte. For square matrices that is $n/6$: at 512 it is 85.3. Adding two vectors has
# 0.083, whatever their length. If a core can do $\pi$ operations a second, and its memory
# delivers $\beta$ bytes a second, then
#
# $$\mathrm{speed} \le \min(\pi,\; \beta I).$$
#
# This is the *roofline* (Williams, Waterman and Patterson 2009): a slope where memory decides,
# then a flat roof where arithmetic does. A large product belongs far to the right, under the flat
# part. But $I$ assumes that every number is fetched once. Whether it is, the order of the loops
# decides.
#
# | what | shape | bytes at 512 | should stay in |
# |---|---|---|---|
# | A, B, C | (m, k), (k, n), (m, n) | 1 MB each | memory, or the last cache |
# | block of B | (64, 256) | 64 kB | second-level cache |
# | panel of B | (k, 16) | 32 kB | first-level cache |
# | strip of A | (6, k) | 12 kB | first-level cache |
# | tile of C | (6, 16) | 384 | registers |

# %% [markdown] lang="zh" of="roof" en="d4b7bfc0"
# ## 必须算多少，必须搬多少
#
# $(m, k)$ 的矩阵乘以 $(k, n)$ 的矩阵，要做 $mkn$ 次乘加，也就是 $2mkn$ 次运算。至少得把两个操作数
# 各读一遍、把结果写一遍，float32 每个数 4 字节。两者之商叫作**算术强度**：
#
# $$I = \frac{2mkn}{4\,(mk + kn + mn)}$$
#
# 单位是每字节的运算次数。对方阵它等于 $n/6$，边长 512 时是 85.3。两个向量相加，不论多长都只有
# 0.083。设一个核每秒能做 $\pi$ 次运算，内存每秒送来 $\beta$ 字节，那么
#
# $$\mathrm{speed} \le \min(\pi,\; \beta I).$$
#
# 这就是*屋顶线模型*（Williams、Waterman 与 Patterson，2009）：左边是斜坡，由内存说了算；右边是平
# 顶，由算术说了算。大矩阵的乘法理应远在右边，站在平顶之下。不过 $I$ 假定每个数只取一次。事实是否
# 如此，要看循环的次序。
#
# | 名称 | 形状 | 边长 512 时的字节数 | 应当留在 |
# |---|---|---|---|
# | A、B、C | (m, k)、(k, n)、(m, n) | 各 1 MB | 内存或末级缓存 |
# | B 的块 | (64, 256) | 64 kB | 二级缓存 |
# | B 的面板 | (k, 16) | 32 kB | 一级缓存 |
# | A 的条带 | (6, k) | 12 kB | 一级缓存 |
# | C 的小块 | (6, 16) | 384 | 寄存器 |


# %%
def intensity(m, k, n):
    """Operations a byte, if every number is moved once."""
    return 2 * m * k * n / (4 * (m * k + k * n + m * n))


claim("85.3", intensity(512, 512, 512))
claim("0.083", 1 / 12)  # one operation for two numbers read and one written

# %% [markdown] id="naive"
# ## Rung 1: the formula
#
# Every kernel here fills in `c`. A sum of $k$ rounded products may be wrong by rounding alone,
# but not by more than $(k+1)\,u\,|A||B|$ element by element, with $u = 2^{-24}$ in float32. That
# bound is the test; "close enough" is not.

# %% [markdown] lang="zh" of="naive" en="c25f0b76"
# ## 第一级：照公式写
#
# 这里的每个内核都把结果填进 `c`。$k$ 个舍入过的乘积相加，误差只来自舍入，逐元素不超过
# $(k+1)\,u\,|A||B|$，float32 的 $u = 2^{-24}$。检验就按这个界来做，“差不多”不算数。


# %%
@compiled
def three_loops(a, b, c):
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            total = np.float32(0)
            for p in range(a.shape[1]):
                total += a[i, p] * b[p, j]
            c[i, j] = total


def check(kernel, *shapes):
    """Compare with float64, c poisoned first: a number that is never written shows."""
    for m, k, n in shapes:
        a = rng.standard_normal((m, k), dtype=np.float32)
        b = rng.standard_normal((k, n), dtype=np.float32)
        c = np.full((m, n), np.nan, np.float32)
        kernel(a, b, c)
        exact = a.astype(np.float64) @ b.astype(np.float64)
        bound = (k + 1) * 2.0**-24 * (np.abs(a) @ np.abs(b))
        assert np.all(np.abs(c - exact) <= bound), f"wrong at shapes {(m, k)}, {(k, n)}"


check(three_loops, (1, 1, 1), (3, 5, 2), (33, 70, 41))

a, b = (rng.standard_normal((SIZE, SIZE), dtype=np.float32) for _ in "ab")
c = np.empty((SIZE, SIZE), np.float32)
rungs = {"BLAS": np.matmul, "three loops": three_loops}


def compare(first, second):
    """How many times as fast the first rung is as the second."""
    with kernels.blas.single_threaded():
        times = race({n: lambda n=n: rungs[n](a, b, c) for n in (first, second)})
    ratio = times[second] / times[first]
    print(f"{first}: {ratio:.3g} times as fast as {second}")
    return ratio


share = compare("three loops", "BLAS")
claim("1 %", share, within=0.09, trained=True)
claim("99 %", 1 - share, within=0.09, trained=True)

# %% [markdown] id="cache"
# ## Rung 2: the order of the loops
#
# Memory hands out lines of 64 bytes, sixteen neighbours of a row. The inner loop above walks down
# a column of B: every step touches another line and uses one number of it. If the column's lines
# are gone from the cache before its neighbour wants them, each is fetched sixteen times.
#
# That can be counted. Here is a cache that keeps the 32 lines touched last, and matrices of
# $48 \times 48$. Before you run it: how many lines does a multiply-add of the three loops fetch,
# and how many if the loops run in the order $i, p, j$, so that the inner one walks along rows?

# %% [markdown] lang="zh" of="cache" en="ec26cd08"
# ## 第二级：循环的次序
#
# 内存每次送来一个*缓存行*：64 字节，装着矩阵某一行里相邻的十六个数。上面的内层循环沿着 B 的一列往
# 下走，每一步都碰到另一个缓存行，却只用其中一个数。如果轮到右边那一列时，这些缓存行已被挤出缓存，
# 那么每个缓存行都要取十六次。
#
# 这是可以数出来的。下面这个缓存只保留最近碰过的 32 个缓存行，矩阵是 $48 \times 48$。运行之前先想
# 一想：三重循环平均每次乘加要取几个缓存行？如果循环次序改成 $i, p, j$，让内层循环沿着矩阵的行走，
# 又要取几个？


# %%
def lines_fetched(touched, n=48, capacity=32):
    """Cache lines fetched a multiply-add, by loops that touch (matrix, row, column) in turn."""
    cache, fetched = OrderedDict(), 0
    for matrix, row, column in touched:
        line = (matrix, row, column // 16)
        if line in cache:
            cache.move_to_end(line)
            continue
        fetched += 1
        cache[line] = True
        if len(cache) > capacity:
            cache.popitem(last=False)  # the one not touched for longest
    return fetched / n**3


def touched_ijp(n=48):
    for i in range(n):
        for j in range(n):
            for p in range(n):
                yield "A", i, p
                yield "B", p, j
            yield "C", i, j


def touched_ipj(n=48, rows=48, columns=48):
    """The other order, block by block of B; one block is all of it."""
    for left in range(0, n, columns):
        for top in range(0, n, rows):
            for i in range(n):
                for p in range(top, top + rows):
                    yield "A", i, p
                    for j in range(left, left + columns):
                        yield "B", p, j
                        yield "C", i, j


lines = [lines_fetched(t) for t in (touched_ijp(), touched_ipj(), touched_ipj(48, 16, 16))]
print("lines a multiply-add: {:.3f} by columns, {:.3f} by rows, {:.3f} by blocks".format(*lines))
claim("1.083", lines[0])
claim("0.065", lines[1])
claim("17", lines[0] / lines[1])
claim("7", lines[1] / lines[2])

# %% [markdown] id="reordered"
# By columns 1.083, by rows 0.065: 17 times fewer. The sums are the same, in the same order for
# each $c_{ij}$; only which of them come one after the other has changed. And numbers that lie
# side by side fit a vector register, so the compiler now does several multiply-adds in one
# instruction. Together that made the product about 30 times as fast.

# %% [markdown] lang="zh" of="reordered" en="e3911fd3"
# 按列走是 1.083 个缓存行，按行走是 0.065 个，只有前者的 1/17。每个 $c_{ij}$ 的求和没有变，连相加
# 的先后都没有变，变的只是哪些加法挨在一起做。而且相邻的数正好装进一个向量寄存器，编译器于是用一条
# 指令做好几次乘加。两者合起来，速度成了原来的 30 倍左右。


# %%
@compiled
def by_rows(a, b, c):
    c[:] = 0
    for i in range(c.shape[0]):
        c_row = c[i]
        for p in range(a.shape[1]):
            x, b_row = a[i, p], b[p]
            for j in range(c_row.size):
                c_row[j] += x * b_row[j]


check(by_rows, (1, 1, 1), (3, 5, 2), (33, 70, 41))
rungs["by rows"] = by_rows
claim("30", compare("by rows", "three loops"), within=28, trained=True)

# %% [markdown] id="blocks"
# ## Rung 3: blocks, and a surprise
#
# By rows, all of B passes by for every row of C. Cut it into blocks that fit the cache, let all
# rows of A visit one block before the next is fetched, and each number of B is fetched once. The
# counter printed above says 0.009 lines, 7 times fewer again. **Predict** what the blocks gain,
# then look.

# %% [markdown] lang="zh" of="blocks" en="b3380370"
# ## 第三级：分块，和一个意外
#
# 按行走的时候，C 的每一行都要让整个 B 从头到尾过一遍。把 B 切成缓存装得下的块，等 A 的所有行都用
# 过这一块，再取下一块，B 的每个数就只取一次。上面的计数器给出 0.009 个，又只剩 1/7。**先预测**分
# 块能快多少，再往下看。


# %%
@compiled
def by_blocks(a, b, c):
    c[:] = 0
    for left in range(0, c.shape[1], 256):
        for top in range(0, a.shape[1], 64):
            for i in range(c.shape[0]):
                c_row = c[i, left : left + 256]
                for p in range(top, min(top + 64, a.shape[1])):
                    x, b_row = a[i, p], b[p, left : left + 256]
                    for j in range(c_row.size):
                        c_row[j] += x * b_row[j]


check(by_blocks, (1, 1, 1), (3, 70, 2), (33, 70, 300))
rungs["by blocks"] = by_blocks
claim("0.009", lines[2])
claim("0.8", compare("by blocks", "by rows"), within=0.6, trained=True)

# %% [markdown] id="registers"
# It came out 0.8 times as fast: slower. Real caches fetch ahead along rows, so the lines that the
# counter counts cost little here. What holds the core up is closer: for each multiply-add, by
# rows, it loads a number of B and one of C, and stores one of C again. Many cores start two loads
# and two multiply-adds a cycle, so at best half of the arithmetic stands idle.
#
# ## Rung 4: a tile in registers
#
# A register costs no load. Keep a tile of $r \times s$ sums there, while $p$ runs over its whole
# range. Each step needs $r$ numbers of a column of A and $s$ of a row of B, and makes $rs$
# multiply-adds: an outer product. So
#
# $$\frac{\mathrm{multiply\ adds}}{\mathrm{loads}} = \frac{r s}{r + s},$$
#
# 0.5 for one sum at a time, 1 for $2 \times 2$, 4.4 for $6 \times 16$. To be read in a single
# stream, the panel of B is first copied (*packed*) so that its 16 columns lie step behind step.
# This is how BLAS libraries work (Goto and van de Geijn 2008). In NumPy, for the idea and not the
# speed:

# %% [markdown] lang="zh" of="registers" en="af412fc0"
# 结果是 0.8 倍：反而慢了。真正的缓存会沿着行提前取数，所以计数器数出来的那些缓存行在这里几乎不花
# 时间。拖住处理器的东西离它更近：按行走时，每次乘加要读 B 的一个数和 C 的一个数，还要把 C 的数写
# 回去。许多处理器每个周期能发起两次读取和两次乘加，于是算术部件至少有一半闲着。
#
# ## 第四级：寄存器里的小块
#
# 寄存器里的数不用读取。让 $r \times s$ 个和一直留在寄存器里，$p$ 从头走到尾。每一步需要 A 的一列
# 里的 $r$ 个数和 B 的一行里的 $s$ 个数，做 $rs$ 次乘加：这是一个外积。于是
#
# $$\frac{\mathrm{multiply\ adds}}{\mathrm{loads}} = \frac{r s}{r + s},$$
#
# 即每次读取能换来的乘加次数：一次只算一个和时是 0.5，$2 \times 2$ 时是 1，$6 \times 16$ 时是
# 4.4。为了能一口气顺着读下去，先把 B 的面板抄一份（*打包*），使它的 16 列一步挨着一步地排好。BLAS
# 库就是这样工作的（Goto 与 van de Geijn，2008）。下面用 NumPy 写出来，为的是看清思路，不是速度：


# %%
def by_panels(a, b):
    """A B by 6 x 16 tiles: every tile of C is written once, and never read."""
    c = np.empty((a.shape[0], b.shape[1]))
    for left in range(0, b.shape[1], 16):
        panel = np.ascontiguousarray(b[:, left : left + 16])  # (k, 16), packed
        for top in range(0, a.shape[0], 6):
            strip = np.ascontiguousarray(a[top : top + 6].T)  # (k, 6), packed
            tile = np.zeros((strip.shape[1], panel.shape[1]))
            for x, y in zip(strip, panel):
                tile += x[:, None] * y  # 96 multiply-adds for 22 numbers
            c[top : top + 6, left : left + 16] = tile
    return c


def multiply_adds_a_load(r, s):
    return r * s / (r + s)


claim("0.5", multiply_adds_a_load(1, 1))
claim("1", multiply_adds_a_load(2, 2))
claim("4.4", multiply_adds_a_load(6, 16))

# %% [markdown] id="gradient" grad="matmul"
# ## The gradient is two more products
#
# With $G$ the slope of a loss with respect to $C$, the chain rule gives
# $\bar a_{ip} = \sum_j g_{ij}\, b_{pj}$ and $\bar b_{pj} = \sum_i a_{ip}\, g_{ij}$, that is
#
# $$\bar A = G B^\top, \qquad \bar B = A^\top G.$$
#
# A training step is therefore three products of the same size, two of them with a transposed
# operand. Packing absorbs that: whichever way a matrix lies, its panel lies step behind step.

# %% [markdown] lang="zh" of="gradient" en="bd3a3dfa"
# ## 梯度不过是另外两个乘法
#
# 设 $G$ 是损失对 $C$ 的斜率，由链式法则，$\bar a_{ip} = \sum_j g_{ij}\, b_{pj}$，
# $\bar b_{pj} = \sum_i a_{ip}\, g_{ij}$，也就是
#
# $$\bar A = G B^\top, \qquad \bar B = A^\top G.$$
#
# 所以训练一步要做三个同样大小的乘法，其中两个的操作数是转置的。打包把这个差别抹平了：不论矩阵怎样
# 存放，面板总是一步挨着一步。

# %% check="matmul"
assert_gradients(
    (by_panels, lambda g, a, b: (by_panels(g, b.T), by_panels(a.T, g))),
    rng.standard_normal((7, 5)),
    rng.standard_normal((5, 18)),
    names="ab",
)

# %% [markdown] id="exercise" exercise="two_by_two"
# ## Exercise: beat a rung
#
# Write `two_by_two(a, bt, c)`. `bt` is B transposed, so that a row of `a` and a row of `bt` are
# both read along $p$, and $c_{ij}$ is their dot product. Compute four at a time: rows $i, i+1$ of
# `a` with rows $j, j+1$ of `bt`, four sums in four variables (start them at `np.float32(0)`), one
# inner loop. $m$ and $n$ are even. It should beat every rung so far.

# %% [markdown] lang="zh" of="exercise" en="c708fd5e"
# ## 练习：赢它一级
#
# 请写 `two_by_two(a, bt, c)`。`bt` 是 B 的转置，所以 `a` 的一行和 `bt` 的一行都沿着 $p$ 读，
# $c_{ij}$ 就是两行的点积。一次算四个：`a` 的第 $i, i+1$ 行配 `bt` 的第 $j, j+1$ 行，四个和放在四
# 个变量里（初值取 `np.float32(0)`），只用一个内层循环。$m$ 和 $n$ 都是偶数。它应当胜过前面的每一
# 级。


# %% solution="two_by_two"
def two_by_two(a, bt, c):
    """c (m, n) = a (m, k) times the transpose of bt (n, k); m and n even."""
    # BEGIN SOLUTION
    for i in range(0, c.shape[0], 2):
        a0, a1 = a[i], a[i + 1]
        for j in range(0, c.shape[1], 2):
            b0, b1 = bt[j], bt[j + 1]
            s00 = s01 = s10 = s11 = np.float32(0)
            for p in range(a0.size):
                s00 += a0[p] * b0[p]
                s01 += a0[p] * b1[p]
                s10 += a1[p] * b0[p]
                s11 += a1[p] * b1[p]
            c[i, j], c[i, j + 1] = s00, s01
            c[i + 1, j], c[i + 1, j + 1] = s10, s11
    # END SOLUTION


# %%
def packed(kernel):
    return lambda a, b, c: kernel(a, np.ascontiguousarray(b.T), c)


check(packed(two_by_two), (2, 1, 2), (4, 5, 6))  # as Python, where an error is easy to read
yours = compiled(two_by_two)
check(packed(yours), (2, 1, 2), (34, 70, 42))
rungs["2 x 2 tile"] = packed(yours)
claim("1.6", compare("2 x 2 tile", "by rows"), within=1.4, trained=True)

# %% [markdown] id="ladder"
# The $2 \times 2$ tile was 1.6 times as fast as the rows, packing included. minigen's ladder goes
# on from here: `tile` holds $4 \times 3$ dot products, as many as sixteen registers allow, and
# `panels` the $6 \times 16$ outer product of `by_panels`, with named vector registers, because
# the compiler alone would not keep 96 sums in place. That is all there is between plain loops and
# BLAS: `panels` ends beside it.

# %% [markdown] lang="zh" of="ladder" en="a85a7e22" captions={"ladder": "从三重循环到 BLAS 的各级：你的用橙色，minigen 的用蓝色。"}
# 连打包的时间算在内，$2 \times 2$ 的小块速度是按行走的 1.6 倍。minigen 的梯子从这里接着往上：
# `tile` 一次算 $4 \times 3$ 个点积，十六个寄存器正好够用；`panels` 就是 `by_panels` 里
# $6 \times 16$ 的外积，不过向量寄存器是逐个点名写出来的，因为单靠编译器留不住 96 个和。从朴素的循
# 环到 BLAS，中间就隔着这些：`panels` 的终点已在 BLAS 旁边。

# %%
for name in ("tile", "panels"):
    kernel = kernels.get("matmul", name)
    rungs[name] = lambda a, b, c, kernel=kernel: kernel(a, b)
with kernels.blas.single_threaded():
    times = race({name: lambda rung=rung: rung(a, b, c) for name, rung in rungs.items()})
times = dict(sorted(times.items(), key=lambda item: -item[1]))
ratios = {name: times["BLAS"] / t for name, t in times.items()}

figure, axes = plt.subplots(figsize=(7, 3))
blue, orange, grey = "#0072b2", "#d55e00", "#7a7a7a"
colours = [{"2 x 2 tile": orange, "tile": blue, "panels": blue}.get(name, grey) for name in ratios]
bars = axes.barh(list(ratios), list(ratios.values()), color=colours)
axes.bar_label(bars, [f" {r:.3f}" if r < 0.1 else f" {r:.2f}" for r in ratios.values()])
axes.set(
    xscale="log", xlim=(0.003, 4), xlabel=f"speed over BLAS, {SIZE} x {SIZE}, float32, one core"
)
axes.invert_yaxis()
axes.spines[["top", "right"]].set_visible(False)
show(figure, "ladder", "The rungs from three loops to BLAS: yours in orange, minigen's in blue.")

# %% [markdown] id="threads"
# ## Rung 5: several cores
#
# Rows of C do not depend on each other. Cut A and C into strips of rows, and give each to a
# thread: nothing that is written is shared, so nothing has to wait. `nogil=True` lets compiled
# code run in Python's threads at the same time. Each number of C is the same sum in the same
# order as before, so the result has the same *bits*, however many threads there are. How many
# times faster it is depends on your cores; this chapter claims nothing about it.

# %% [markdown] lang="zh" of="threads" en="5e2c526f"
# ## 第五级：多个核
#
# C 的各行互不相干。把 A 和 C 横切成条，每个线程分一条：要写的东西谁也不和谁共用，所以谁也不必等
# 谁。`nogil=True` 让编译好的代码能在 Python 的多个线程里同时运行。C 的每个数仍是同样的和、同样的
# 次序，所以不论几个线程，结果*逐位*相同。能快几倍取决于你有几个核，本章不作断言。


# %%
def on_threads(kernel, a, b, c, threads):
    cuts = [2 * (len(a) // 2 * t // threads) for t in range(threads + 1)]  # even numbers of rows

    def part(t):
        rows = slice(cuts[t], cuts[t + 1])
        kernel(a[rows], b, c[rows])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, range(threads)))
    return c


alone = on_threads(packed(yours), a, b, np.empty_like(c), 1)
for threads in (2, 3, 4):
    assert np.array_equal(alone, on_threads(packed(yours), a, b, np.empty_like(c), threads))

# %% [markdown] id="roofline"
# ## Measure your own roof
#
# For $\beta$, multiply a matrix that no cache holds by one vector: two operations for every four
# bytes, so memory sets the pace. For $\pi$, take the fastest product seen. Between them the same
# matrix meets $r$ vectors at once, with an intensity close to $r/2$. **Predict**: how much longer
# than two vectors do sixteen take, with eight times the arithmetic?

# %% [markdown] lang="zh" of="roofline" en="76b50497" captions={"roofline": "每一级的上限都一样；图中可见各级离它还有多远。"}
# ## 量一量自己的屋顶
#
# 求 $\beta$：拿一个哪级缓存都装不下的矩阵去乘一个向量，每四个字节只做两次运算，快慢由内存决定。求
# $\pi$：取见过的最快的乘法。在两者之间，让同一个矩阵一次遇上 $r$ 个向量，算术强度约为 $r/2$。
# **先预测**：十六个向量的运算是两个向量的八倍，时间会是几倍？

# %%
side = 512 if fast() else 4096
wide = rng.standard_normal((side, side), dtype=np.float32)
vectors = {r: rng.standard_normal((side, r), dtype=np.float32) for r in (1, 2, 8, 16, 64, 256)}
with kernels.blas.single_threaded():
    sweep = race({r: lambda x=x: wide @ x for r, x in vectors.items()}, tries=min(TRIES, 7))
points = [(intensity(side, side, r), 2 * side**2 * r / t / 1e9) for r, t in sweep.items()]
ours = {name: 2 * SIZE**3 / t / 1e9 for name, t in times.items()}
memory = points[0][1] / points[0][0]  # billion bytes a second
peak = max([speed for _, speed in points] + list(ours.values()))
print(f"this core: {peak:.0f} billion operations, {memory:.1f} billion bytes a second")
print(f"the roof bends at {peak / memory:.1f} operations a byte")
print(f"sixteen vectors take {sweep[16] / sweep[2]:.1f} times as long as two")
claim("1.3", sweep[16] / sweep[2], within=1.2, trained=True)

figure, axes = plt.subplots(figsize=(7, 4.2))
reach = np.array([0.3, peak / memory, 300])
axes.plot(reach, np.minimum(peak, memory * reach), color="black")
axes.text(0.32, memory, "the roof", color="black")
axes.plot(*zip(*points), "o-", color=blue)
axes.text(1.3, points[1][1] * 0.7, f"{side} x {side} by 1 to 256 vectors", color=blue)
place, above = intensity(SIZE, SIZE, SIZE), 0.0
for name, speed in ours.items():  # from the slowest on
    above = max(speed, 1.3 * above)  # where its name does not cover another
    axes.plot(place, speed, "s", color=orange)
    white = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # the roof is behind the names
    axes.annotate(name, (1.6 * place, above), va="center", bbox=white)
axes.set(xscale="log", yscale="log", xlabel="operations a byte, if each number moves once")
axes.set(
    ylabel="billion operations a second", xlim=(0.3, 900), ylim=(min(ours.values()) / 2, 2 * peak)
)
axes.spines[["top", "right"]].set_visible(False)
show(figure, "roofline", f"One promise for every rung at {SIZE} x {SIZE}; how far each is from it.")

# %% [markdown] id="dot"
# Along the blue line sixteen vectors took 1.3 times as long as two, because all vectors share one
# trip of the matrix from memory. (Two take longer than one for another reason: BLAS packs the
# matrix for them, which a single vector does without.) The orange rungs stand at one intensity,
# far right of the bend: none of them is limited by the memory of this formula, and each waits for
# something nearer. The roof says what is possible, not what a loop makes of it.
#
# ## Break it: a product that is not one
#
# `np.dot` is often introduced as matrix multiplication. **Predict** the shape of `np.dot(x, y)`
# for `x` of shape (16, 64, 128) and `y` of shape (16, 128, 64). And if `w` has shape (128, 384),
# `x @ w` and `np.dot(x, w)` agree; which is faster, and why?

# %% [markdown] lang="zh" of="dot" en="3919a6c7"
# 蓝线上，十六个向量的时间是两个向量的 1.3 倍，因为所有向量共用矩阵从内存来的这一趟。（两个比一个
# 慢，另有原因：遇到两个向量，BLAS 会先把矩阵打包，只有一个向量时不必。）橙色的各级都在同一个强度
# 上，远在折点右边：按公式说，没有一级受内存限制，每一级等的都是更近处的东西。屋顶说的是能做到多
# 少，不是一个循环实际做到了多少。
#
# ## 故意弄坏：有一种乘法不是矩阵乘法
#
# `np.dot` 常被当作矩阵乘法来介绍。**先预测**：`x` 的形状是 `(16, 64, 128)`，`y` 的形状是
# `(16, 128, 64)`，`np.dot(x, y)` 的形状是什么？再设 `w` 的形状是 `(128, 384)`，`x @ w` 与
# `np.dot(x, w)` 结果一致；哪个快，为什么？

# %%
x = rng.standard_normal((16, 64, 128), dtype=np.float32)
y = rng.standard_normal((16, 128, 64), dtype=np.float32)
w = rng.standard_normal((128, 384), dtype=np.float32)
pairs = np.dot(x, y)
print("np.dot:", pairs.shape, " @:", (x @ y).shape)
claim("16", pairs.size / (x @ y).size)
assert all(np.allclose(pairs[i, :, i], (x @ y)[i], atol=1e-4) for i in range(16))

with kernels.blas.single_threaded():
    slow = race({"dot": lambda: np.dot(x, w), "@": lambda: x @ w}, tries=3)
ratio = slow["dot"] / slow["@"]
print(f"np.dot takes {ratio:.0f} times as long as @")
claim("10", min(10, ratio), trained=True)

# %% [markdown] id="dot_answer"
# `np.dot` pairs every matrix of `x` with every matrix of `y`: shape (16, 64, 16, 64), 16 times
# the numbers, and the products that were meant lie on its diagonal. With a matrix on the right
# the result is correct, but NumPy computes it number by number: it took more than 10 times as
# long. `@` goes to BLAS. minigen lays the rows of such a batch under each other, (1024, 128)
# times (128, 384), and calls BLAS once.
#
# ## What you may now use
#
# - `minigen.kernels.rungs("matmul")`: the ladder; `kernels/matmul/` has a file for each rung,
#   from `naive.py` to `panels.py`, in the order of this chapter.
# - `minigen.kernels.get("matmul", "panels")(a, b)`: one rung.
# - `minigen.kernels.why("matmul", a, b)`: which one minigen uses for these arrays, and why.
# - `minigen.kernels.use(matmul=mine)`: your kernel under every layer and model, its shapes and
#   dtypes checked at each call. Chapter 18 trains a GPT on it.
# - `minigen kernels bench`: the same ladders, raced on your machine.
#
# What was measured here is one size, one dtype and one core, with everything warm. Small products
# spend their time on the call, and other shapes and caches give other ratios.

# %% [markdown] lang="zh" of="dot_answer" en="5641a63d"
# `np.dot` 让 `x` 的每个矩阵与 `y` 的每个矩阵配对，形状是 `(16, 64, 16, 64)`，数的个数成了 16 倍，
# 真正想要的那些乘积躺在它的对角线上。右边只有一个矩阵时结果是对的，可是 NumPy 一个数一个数地算，
# 时间是 `@` 的 10 倍以上；`@` 则交给 BLAS。minigen 会把这样一批矩阵的各行上下叠起来，成为
# `(1024, 128)` 乘 `(128, 384)`，只调用一次 BLAS。
#
# ## 现在可以用的
#
# - `minigen.kernels.rungs("matmul")`：整架梯子；`kernels/matmul/` 里每级一个文件，从 `naive.py`
#   到 `panels.py`，与本章次序相同。
# - `minigen.kernels.get("matmul", "panels")(a, b)`：其中一级。
# - `minigen.kernels.why("matmul", a, b)`：对这些数组 minigen 用哪一级，为什么。
# - `minigen.kernels.use(matmul=mine)`：把你的内核换到所有层和模型底下，每次调用都检查形状和
#   dtype。第 18 章会用它训练一个 GPT。
# - `minigen kernels bench`：让同样的梯子在你的机器上比一比。
#
# 这里只测了一种大小、一种 dtype、一个核，而且一切都已预热。小矩阵的时间大多花在调用上，换了形状或
# 缓存，比值也会变。
