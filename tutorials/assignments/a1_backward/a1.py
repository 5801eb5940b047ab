# %% [markdown] id="intro"
# # A1 · Backward, by hand
#
# A network computes its loss from its weights in many small steps. To learn which way to change
# the weights, it walks those steps back: each hands the slope of the loss with respect to its
# *output*, here called `g`, on to its *inputs*. You write that for ten operations; then the two
# things every engine needs besides: undoing NumPy's broadcasting, and the order in which to walk.
#
# Everything is plain NumPy. `x` and `y` are inputs of the operation, `out` its output, and `g`
# has the shape of `out`. A backward function returns a tuple, the slope with respect to each input
# in the shape of that input (where there is only one, it may stand alone):
#
# $$\bar x_i = \sum_j \bar o_j \, \frac{\partial o_j}{\partial x_i}.$$
#
# Run a test by calling it, for instance `test_exp(exp_backward)` after the cell that defines it.
# It compares your slopes with difference quotients, and says what is wrong; its messages call `g`
# the *cotangent* and a slope a *gradient*. How such rules are found is the subject of chapter 01.
# Some tests stay with the grader: they ask the same of other shapes, and you can write such tests
# yourself with `assert_gradients`. Hand in the `.py` file or the notebook, not both.

# %% [markdown] lang="zh" of="intro" en="91f2f968"
# # A1 · 手写反向传播
#
# 网络从权重出发，经过许多小步骤算出损失。要知道权重该往哪个方向调，就得把这些步骤倒着走一遍：每
# 一步收到损失对自己*输出*的斜率（这里记作 `g`），再把它传给自己的*输入*。你要为十种运算写出这一
# 步；另外还有每个自动微分引擎都少不了的两件事：撤销 NumPy 的广播，以及确定倒着走的次序。
#
# 全部用 NumPy 写。`x`、`y` 是运算的输入，`out` 是输出，`g` 与 `out` 形状相同。反向函数返回一个
# 元组，依次是对每个输入的斜率，形状与该输入一致（只有一个斜率时，也可以直接返回它）：
#
# $$\bar x_i = \sum_j \bar o_j \, \frac{\partial o_j}{\partial x_i}.$$
#
# 想运行某个测试，就在定义函数的单元之后调用它，例如 `test_exp(exp_backward)`。测试会把你的斜率
# 与差商比较，并指出错在哪里；英文提示里的 cotangent（余切向量）就是 `g`，gradient（梯度）就是斜
# 率。怎样求出这样的规则，见第 01 章。还有一些测试留在评分端：要求相同，只是形状不同；你也可以用
# `assert_gradients` 自己写这样的测试。`.py` 文件与笔记本，交其中一个即可。

# %%
import numpy as np

from minigen.testing import assert_gradients


def numbers(rng, *shape, positive=False):
    """Random float64 numbers, none close to 0; between 0.5 and 2 if positive."""
    drawn = rng.uniform(0.5, 2.0, shape)
    return drawn if positive else drawn * rng.choice([-1.0, 1.0], shape)


# %% [markdown] id="elementwise"
# ## One number at a time
#
# The output at a place depends on the input at that place only, so the sum above has one term. Of
# `exp`, `tanh` and `relu` the slope can be had from the *output*, which is at hand already. At
# exactly 0, take 0 for the slope of `relu`.

# %% [markdown] lang="zh" of="elementwise" en="c0dccb67"
# ## 逐元素运算
#
# 某处的输出只依赖同一处的输入，上面的求和只剩一项。`exp`、`tanh`、`relu` 的斜率都可以从现成的
# *输出*求得。`relu` 在恰好为 0 处，斜率取 0。


# %% solution="exp"
def exp_backward(g, out):
    """out = exp(x) -> (slope of x,)"""
    # BEGIN SOLUTION
    return (g * out,)
    # END SOLUTION


# %% test="exp" points=4
def test_exp(exp_backward, seed=0):
    """which derivative has exp, and how is it had from out?"""
    rng = np.random.default_rng(seed)
    assert_gradients((np.exp, lambda g, x: exp_backward(g, np.exp(x))), numbers(rng, 3, 4))


# %% test="exp, other shapes" points=2 hidden=true
def test_exp_shapes(exp_backward, seed=0):
    """any number of dimensions, one number too"""
    rng = np.random.default_rng(seed)
    for shape in ((), (5,), (2, 1, 3)):
        assert_gradients((np.exp, lambda g, x: exp_backward(g, np.exp(x))), numbers(rng, *shape))


# %% solution="tanh"
def tanh_backward(g, out):
    """out = tanh(x) -> (slope of x,)"""
    # BEGIN SOLUTION
    return (g * (1 - out**2),)
    # END SOLUTION


# %% test="tanh" points=4
def test_tanh(tanh_backward, seed=0):
    """which derivative has tanh, and how is it had from out?"""
    rng = np.random.default_rng(seed)
    assert_gradients((np.tanh, lambda g, x: tanh_backward(g, np.tanh(x))), numbers(rng, 3, 4))


# %% test="tanh, other shapes" points=2 hidden=true
def test_tanh_shapes(tanh_backward, seed=0):
    """any number of dimensions, one number too"""
    rng = np.random.default_rng(seed)
    for shape in ((), (5,), (2, 1, 3)):
        x = numbers(rng, *shape)
        assert_gradients((np.tanh, lambda g, x: tanh_backward(g, np.tanh(x))), x)


# %% solution="relu"
def relu_backward(g, out):
    """out = max(x, 0) -> (slope of x,)"""
    # BEGIN SOLUTION
    return (g * (out > 0),)
    # END SOLUTION


# %% test="relu" points=4
def test_relu(relu_backward, seed=0):
    """how much of a small change comes through, on either side of 0?"""
    rng = np.random.default_rng(seed)

    def relu(x):
        return np.maximum(x, 0)

    assert_gradients((relu, lambda g, x: relu_backward(g, relu(x))), numbers(rng, 3, 4))


# %% test="relu at 0" points=2 hidden=true
def test_relu_at_zero(relu_backward):
    """nothing comes through where the output is 0, whatever g is"""
    slope = np.ravel(relu_backward(np.array([3.0, -2.0, 5.0]), np.array([0.0, 0.0, 1.5])))
    assert list(slope) == [0.0, 0.0, 5.0], f"at outputs 0, 0, 1.5 with g = 3, -2, 5: {slope}"


# %% [markdown] id="broadcast"
# ## What broadcasting copied comes back as a sum
#
# NumPy stretches a row of shape (4,) to add it to a matrix (3, 4): each number of the row is used
# three times. Used three times, it gets three slopes, and they add up. Write `unbroadcast(g,
# shape)`: it sums `g` over every axis along which an array of `shape` was stretched, and returns
# an array of exactly `shape`. Axes in front, which `shape` does not have, go entirely; axes of
# size 1 stay, as size 1. `add`, `multiply` and `divide` below need it.

# %% [markdown] lang="zh" of="broadcast" en="485d28fa"
# ## 广播复制出去的，要加回来
#
# NumPy 把形状 `(4,)` 的一行拉伸后与矩阵 `(3, 4)` 相加：这一行里每个数被用了三次。用了三次，就收
# 到三个斜率，应当相加。请写 `unbroadcast(g, shape)`：沿着形状为 `shape` 的数组被拉伸过的每个轴
# 对 `g` 求和，返回形状恰为 `shape` 的数组。`shape` 前面没有的轴整个消去；长度为 1 的轴保留，长
# 度仍为 1。下面的加、乘、除都要用到它。


# %% solution="unbroadcast"
def unbroadcast(g, shape):
    """The sum of g over what broadcasting stretched: an array of `shape`."""
    # BEGIN SOLUTION
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return g.sum(axis=stretched, keepdims=True)
    # END SOLUTION


# %% test="unbroadcast" points=4
def test_unbroadcast(unbroadcast):
    """a row used three times gets the sum of three slopes"""
    g = np.arange(12.0).reshape(3, 4)
    for shape, want in (((4,), g.sum(0)), ((3, 1), g.sum(1, keepdims=True)), ((3, 4), g)):
        got = np.asarray(unbroadcast(g, shape))
        assert got.shape == shape, f"asked for shape {shape}, got shape {got.shape}"
        assert np.allclose(got, want), f"for shape {shape}: got {got}, expected {want}"


# %% test="unbroadcast, several axes" points=4 hidden=true
def test_unbroadcast_axes(unbroadcast, rng):
    """axes in front and axes of size 1 at once, down to a single number"""
    g = numbers(rng, 2, 3, 4)
    for shape in ((), (1,), (4,), (3, 1), (1, 1, 4), (2, 3, 4), (1, 4)):
        got = np.asarray(unbroadcast(g, shape))
        assert got.shape == shape, f"from (2, 3, 4), asked for {shape}, got shape {got.shape}"
        # What broadcasting and unbroadcast must satisfy: <g, stretched a> = <unbroadcast g, a>.
        a = numbers(rng, *shape)
        assert np.isclose((g * a).sum(), (got * a).sum()), f"the sum to {shape} is not right"


# %% solution="add"
def add_backward(g, x, y):
    """out = x + y -> (slope of x, slope of y)"""
    # BEGIN SOLUTION
    return unbroadcast(g, x.shape), unbroadcast(g, y.shape)
    # END SOLUTION


# %% test="add" points=4
def test_add(add_backward, seed=0):
    """how does out change when x alone grows, how when y alone does?"""
    rng = np.random.default_rng(seed)
    assert_gradients((np.add, add_backward), numbers(rng, 3, 4), numbers(rng, 3, 4), names="xy")


# %% test="add, broadcast" points=2 hidden=true
def test_add_broadcast(add_backward, seed=0):
    """inputs of different shapes"""
    rng = np.random.default_rng(seed)
    for a, b in (((3, 4), (4,)), ((2, 1, 3), (5, 1)), ((), (2, 2))):
        assert_gradients((np.add, add_backward), numbers(rng, *a), numbers(rng, *b), names="xy")


# %% solution="multiply"
def multiply_backward(g, x, y):
    """out = x * y -> (slope of x, slope of y)"""
    # BEGIN SOLUTION
    return unbroadcast(g * y, x.shape), unbroadcast(g * x, y.shape)
    # END SOLUTION


# %% test="multiply" points=4
def test_multiply(multiply_backward, seed=0):
    """how does out change when one input grows and the other is held still?"""
    rng = np.random.default_rng(seed)
    assert_gradients(
        (np.multiply, multiply_backward), numbers(rng, 3, 4), numbers(rng, 3, 4), names="xy"
    )


# %% test="multiply, broadcast" points=2 hidden=true
def test_multiply_broadcast(multiply_backward, seed=0):
    """inputs of different shapes"""
    rng = np.random.default_rng(seed)
    for a, b in (((3, 4), (4,)), ((2, 1, 3), (5, 1)), ((), (2, 2))):
        assert_gradients(
            (np.multiply, multiply_backward), numbers(rng, *a), numbers(rng, *b), names="xy"
        )


# %% solution="divide"
def divide_backward(g, x, y):
    """out = x / y -> (slope of x, slope of y)"""
    # BEGIN SOLUTION
    return unbroadcast(g / y, x.shape), unbroadcast(-g * x / y**2, y.shape)
    # END SOLUTION


# %% test="divide" points=4
def test_divide(divide_backward, seed=0):
    """the slope of a fraction, above the line and below it"""
    rng = np.random.default_rng(seed)
    x, y = numbers(rng, 3, 4), numbers(rng, 3, 4, positive=True)
    assert_gradients((np.divide, divide_backward), x, y, names="xy")


# %% test="divide, broadcast" points=2 hidden=true
def test_divide_broadcast(divide_backward, seed=0):
    """inputs of different shapes"""
    rng = np.random.default_rng(seed)
    for a, b in (((3, 4), (4,)), ((2, 1, 3), (5, 1)), ((), (2, 2))):
        x, y = numbers(rng, *a), numbers(rng, *b, positive=True)
        assert_gradients((np.divide, divide_backward), x, y, names="xy")


# %% [markdown] id="shapes"
# ## Sums, shapes and products
#
# A sum uses every number once, so each gets the slope of the sum it went into.
# `x.transpose(axes)` puts axis `axes[j]` of `x` at place `j`. It changes no number, so the slopes
# only go back to their places. For a matrix product write it with indices, $o_{ij} =
# \sum_k x_{ik} y_{kj}$. The outputs have two indices now, so the sum above runs over both. What
# comes out are two matrix products again, and the shapes leave no choice which.
#
# In softmax every output depends on every input of its row, $o_i = e^{x_i} / \sum_k e^{x_k}$. Its
# Jacobian is $\partial o_j / \partial x_i = o_j (\delta_{ij} - o_i)$; summed against `g` it needs
# no matrix at all. Say in a comment why.

# %% [markdown] lang="zh" of="shapes" en="374e1386"
# ## 求和、形状与矩阵乘法
#
# 求和把每个数用一次，所以每个数收到的就是它所进入的那个和的斜率。`x.transpose(axes)` 把 `x` 的
# 轴 `axes[j]` 放到位置 `j`；它不改变任何数，斜率只需回到原处。矩阵乘法请写成下标形式
# $o_{ij} = \sum_k x_{ik} y_{kj}$：输出现在有两个下标，开头的求和就要对这两个下标进行。得到的仍是
# 两个矩阵乘法，形状已经决定了是哪两个。
#
# softmax 的每个输出依赖该行的每个输入，$o_i = e^{x_i} / \sum_k e^{x_k}$。它的雅可比矩阵是
# $\partial o_j / \partial x_i = o_j (\delta_{ij} - o_i)$；与 `g` 求和之后，根本不必写出矩阵。请
# 用一句注释说明原因。


# %% solution="sum"
def sum_backward(g, x, axis):
    """out = x.sum(axis), the axis gone -> (slope of x,)"""
    # BEGIN SOLUTION
    return (np.broadcast_to(np.expand_dims(g, axis), x.shape),)
    # END SOLUTION


# %% test="sum" points=4
def test_sum(sum_backward, seed=0):
    """every number that was summed gets the slope of its sum"""
    rng = np.random.default_rng(seed)
    for axis in (0, 1):
        pair = (lambda x: x.sum(axis), lambda g, x: sum_backward(g, x, axis))  # noqa: B023
        assert_gradients(pair, numbers(rng, 3, 4))


# %% test="sum, other axes" points=2 hidden=true
def test_sum_axes(sum_backward, seed=0):
    """an axis in the middle, one counted from the end, two equal sizes"""
    rng = np.random.default_rng(seed)
    for shape, axis in (((2, 3, 4), 1), ((2, 3, 4), -1), ((3, 3), 0), ((3, 3), 1)):
        pair = (lambda x: x.sum(axis), lambda g, x: sum_backward(g, x, axis))  # noqa: B023
        assert_gradients(pair, numbers(rng, *shape))


# %% solution="transpose"
def transpose_backward(g, axes):
    """out = x.transpose(axes), a tuple -> (slope of x,)"""
    # BEGIN SOLUTION
    return (g.transpose(np.argsort(axes)),)
    # END SOLUTION


# %% test="transpose" points=4
def test_transpose(transpose_backward, seed=0):
    """the slopes go back to where the numbers came from"""
    rng = np.random.default_rng(seed)
    for axes in ((1, 0), (0, 1)):
        pair = (lambda x: x.transpose(axes), lambda g, x: transpose_backward(g, axes))  # noqa: B023
        assert_gradients(pair, numbers(rng, 3, 4))


# %% test="transpose, three axes" points=2 hidden=true
def test_transpose_axes(transpose_backward, seed=0):
    """a permutation that is not its own inverse"""
    rng = np.random.default_rng(seed)
    for axes in ((1, 2, 0), (2, 0, 1), (0, 2, 1)):
        pair = (lambda x: x.transpose(axes), lambda g, x: transpose_backward(g, axes))  # noqa: B023
        assert_gradients(pair, numbers(rng, 2, 2, 2))
        assert_gradients(pair, numbers(rng, 2, 3, 4))


# %% solution="matmul"
def matmul_backward(g, x, y):
    """out = x @ y, of matrices -> (slope of x, slope of y)"""
    # BEGIN SOLUTION
    return g @ y.T, x.T @ g
    # END SOLUTION


# %% test="matmul" points=4
def test_matmul(matmul_backward, seed=0):
    """two matrix products; the shapes say which"""
    rng = np.random.default_rng(seed)
    assert_gradients(
        (np.matmul, matmul_backward), numbers(rng, 3, 4), numbers(rng, 4, 2), names="xy"
    )


# %% test="matmul, square and thin" points=2 hidden=true
def test_matmul_shapes(matmul_backward, seed=0):
    """squares, where a transposition too many goes unnoticed by the shape; sizes of 1"""
    rng = np.random.default_rng(seed)
    for m, k, n in ((3, 3, 3), (1, 4, 2), (5, 1, 1)):
        assert_gradients(
            (np.matmul, matmul_backward), numbers(rng, m, k), numbers(rng, k, n), names="xy"
        )


# %% solution="softmax"
def softmax_backward(g, out):
    """out = softmax(x) over the last axis -> (slope of x,)"""
    # BEGIN SOLUTION
    return (out * (g - (g * out).sum(-1, keepdims=True)),)
    # END SOLUTION


# %%
def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# %% test="softmax" points=4
def test_softmax(softmax_backward, seed=0):
    """every input of a row moves every output of it"""
    rng = np.random.default_rng(seed)
    pair = (softmax, lambda g, x: softmax_backward(g, softmax(x)))
    assert_gradients(pair, numbers(rng, 3, 4), terms="softmax")


# %% test="softmax, other shapes" points=2 hidden=true
def test_softmax_shapes(softmax_backward, seed=0):
    """one row, and stacks of rows"""
    rng = np.random.default_rng(seed)
    pair = (softmax, lambda g, x: softmax_backward(g, softmax(x)))
    for shape in ((5,), (2, 3, 3)):
        assert_gradients(pair, numbers(rng, *shape), terms="softmax")


# %% [markdown] id="order"
# ## The order to walk in
#
# A value may be used by several others. Its slope is the sum of what comes from all of them, so
# it may be handed on only after all of them have been dealt with. `parents` says for every value
# which values it was computed from. Return all that `root` depends on, `root` among them, in an
# order in which every value stands *after* all values computed from it: `root` comes first. Each
# value stands there once, even if it was used often. A long chain has thousands of values, more
# than Python lets functions call themselves. Say in a comment how often your function looks at
# each name in the lists of `parents`.

# %% [markdown] lang="zh" of="order" en="2eea5ca2"
# ## 走的次序
#
# 一个值可能被好几个值用到。它的斜率是从这些值传来的斜率之和，所以要等它们全部处理完，才能继续往
# 下传。`parents` 给出每个值由哪些值算得。请返回 `root` 所依赖的全部值（包括 `root` 自己），使每
# 个值都排在由它算出的所有值*之后*：`root` 排第一。每个值只出现一次，哪怕被用过多次。长链会有成
# 千上万个值，超过 Python 允许的递归深度。请用一句注释说明，`parents` 各个列表里的每个名字，你的函
# 数看了几次。


# %% solution="order"
def topological_order(root, parents):
    """root: a name; parents: {name: [names it was computed from]} -> list of names, root first."""
    # BEGIN SOLUTION
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        name, done = stack.pop()
        if done:
            order.append(name)
        elif name not in seen:
            seen.add(name)
            stack.append((name, True))
            stack.extend((parent, False) for parent in parents[name])
    return order[::-1]
    # END SOLUTION


# %%
def check_order(order, root, parents):
    """What must hold of an order, in words if it does not."""
    assert isinstance(order, list | tuple), f"not a list of names, but {order!r}"
    needed, stack = set(), [root]
    while stack:
        name = stack.pop()
        if name not in needed:
            needed.add(name)
            stack.extend(parents[name])
    assert len(set(order)) == len(order), f"a value stands there twice: {order[:10]}"
    missing, extra = sorted(needed - set(order)), sorted(set(order) - needed)
    assert not missing, f"{missing[:5]} are missing: {root} depends on them"
    assert not extra, f"{extra[:5]} do not belong there: {root} does not depend on them"
    place = {name: i for i, name in enumerate(order)}
    for name in order:
        for parent in parents[name]:
            assert place[parent] > place[name], (
                f"{parent} stands before {name}, which was computed from it: {order[:10]}"
            )


# %% test="topological order" points=6
def test_order(topological_order):
    """b is computed from a, c from a and b, d from b and c, whichever parent is named first"""
    parents = {"a": [], "b": ["a"], "c": ["a", "b"], "d": ["b", "c"], "unused": ["d"]}
    for graph in (parents, {name: named[::-1] for name, named in parents.items()}):
        for root in ("d", "c", "a"):
            check_order(topological_order(root, graph), root, graph)


# %% test="topological order, any graph" points=2 hidden=true
def test_order_any(topological_order, rng):
    """graphs of twelve values, in which a value may wait long for the last of its users"""
    names = [str(i) for i in range(12)]
    for _ in range(20):
        graph = {
            n: [names[j] for j in rng.integers(0, i, 3)] if i else [] for i, n in enumerate(names)
        }
        check_order(topological_order("11", graph), "11", graph)


# %% test="topological order, long chain" points=2 hidden=true
def test_order_long(topological_order):
    """a chain of 5,000 values, more than Python lets functions call themselves"""
    chain = {"0": []} | {str(i): [str(i - 1)] for i in range(1, 5000)}
    check_order(topological_order("4999", chain), "4999", chain)


# %% test="topological order, many paths" points=2 hidden=true
def test_order_paths(topological_order):
    """60 values, each used twice by the next: too many paths to walk them one by one"""
    ladder = {"0": []} | {str(i): [str(i - 1), str(i - 1)] for i in range(1, 60)}
    check_order(topological_order("59", ladder), "59", ladder)
