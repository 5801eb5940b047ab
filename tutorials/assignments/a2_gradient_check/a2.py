# %% [markdown] id="intro"
# # A2 · Who checks the gradients?
#
# Code that computes a wrong gradient does not crash. The network still learns, only worse, and
# nobody can tell why. So every gradient is checked against the definition of a derivative:
#
# $$\frac{\partial f}{\partial x_i} \approx \frac{f(x + h e_i) - f(x - h e_i)}{2h}.$$
#
# You write that check. It is graded by what it does: it is handed functions with right gradients
# and with wrong ones, gets points for every wrong one that it catches, and loses points for every
# right one that it accuses. Whoever accuses all of them keeps nothing.
#
# `forward(*inputs)` returns one array. `backward(g, *inputs)` returns a tuple with the slope of
# $\sum_j g_j\, o_j$ with respect to each input, $o$ being the output. `inputs` are float64
# arrays. Return True if every slope is right and False otherwise.

# %% [markdown] lang="zh" of="intro" en="90fd425f"
# # A2 · 谁来检查梯度？
#
# 梯度算错的代码不会崩溃。网络照样在学，只是学得差一些，谁也说不出原因。所以每个梯度都要同导数的定
# 义比对：
#
# $$\frac{\partial f}{\partial x_i} \approx \frac{f(x + h e_i) - f(x - h e_i)}{2h}.$$
#
# 这个检查由你来写，评分只看它的表现：评分端会交给它一批梯度正确的函数和一批梯度错误的函数，每揪出
# 一个错的得分，每冤枉一个对的扣分；把对的全都冤枉了，就一分不剩。
#
# `forward(*inputs)` 返回一个数组。`backward(g, *inputs)` 返回一个元组，依次是 $\sum_j g_j\, o_j$
# 对每个输入的斜率，其中 $o$ 是输出。`inputs` 是 float64 数组。全部斜率都对就返回 True，否则返回
# False。

# %%
import numpy as np

# %% [markdown] id="advice"
# ## Three questions to settle first
#
# *Which* $g$? With ones everywhere, the check adds up all outputs. The outputs of a softmax add
# up to 1 whatever goes in, so their sum has slope 0, and a backward that returns 0 passes.
#
# *Which* $h$? Too large, and the curve is not straight between the two points; too small, and the
# two values of $f$ agree in all their digits but the last few. With float64 the best is near
# $10^{-5}$ to $10^{-6}$ times the size of $x$.
#
# *When* are two numbers the same? A slope of $10^{6}$ and one of $10^{-6}$ cannot share a
# tolerance.

# %% [markdown] lang="zh" of="advice" en="ca59507a"
# ## 先想清楚三个问题
#
# *取什么样的* $g$？若处处为 1，检查的就是全部输出之和。softmax 的输出之和恒为 1，这个和的斜率是 0
# ，于是返回 0 的反向函数也能通过。
#
# *取多大的* $h$？太大，两点之间的曲线就不直；太小，$f$ 的两个值只剩最后几位不同。用 float64 时，
# 最好取 $x$ 大小的 $10^{-5}$ 到 $10^{-6}$ 倍。
#
# *怎样才算*两个数相同？$10^{6}$ 的斜率和 $10^{-6}$ 的斜率不能用同一个容差。


# %% solution="check"
def check_gradient(forward, backward, inputs):
    """Whether backward returns the slopes of forward at these inputs: True or False."""
    # BEGIN SOLUTION
    inputs = [np.array(x, dtype=float) for x in inputs]
    rng = np.random.default_rng(0)
    out = np.asarray(forward(*inputs))
    g = rng.standard_normal(out.shape)
    slopes = backward(g, *inputs)
    if len(slopes) != len(inputs):
        return False
    for x, slope in zip(inputs, slopes):
        if np.shape(slope) != x.shape:
            return False
        numeric = np.zeros_like(x)
        for i in np.ndindex(x.shape):
            h = 1e-6 * max(abs(x[i]), 1e-2)
            kept, values = x[i], []
            for x[i] in (kept + h, kept - h):
                values.append(np.sum(g * forward(*inputs)))
            x[i] = kept
            numeric[i] = (values[0] - values[1]) / (2 * h)
        size = max(np.abs(numeric).max(initial=0), np.abs(slope).max(initial=0))
        if not np.allclose(slope, numeric, rtol=1e-5, atol=1e-6 * size):
            return False
    return True
    # END SOLUTION


# %%
class Case:
    """A function, its right backward, and wrong ones by what is wrong with them."""

    def __init__(self, forward, right, inputs, **wrong):
        self.forward, self.right, self.inputs, self.wrong = forward, right, inputs, wrong


def judge(check_gradient, cases):
    """The share of points, and what was missed or wrongly accused, in words."""
    missed, accused, wrongs = [], [], 0
    asked = [(name, "", case.right) for name, case in cases.items()]
    asked += [(name, *pair) for name, case in cases.items() for pair in case.wrong.items()]
    # In another order every time: an answer must come from the gradients, not from their place.
    for place in np.random.default_rng().permutation(len(asked)):
        name, mistake, backward = asked[place]
        case = cases[name]
        right = check_gradient(case.forward, backward, [np.array(x) for x in case.inputs])
        wrongs += bool(mistake)
        if mistake and right:
            missed.append(f"{name}: {mistake.replace('_', ' ')}")
        elif not mistake and not right:
            accused.append(name)
    missed.sort()
    accused.sort()
    # Always True catches nothing, always False accuses all: neither is worth anything.
    share = max(0.0, 1 - len(missed) / wrongs - len(accused) / len(cases))
    told = [f"right gradients that were called wrong: {', '.join(accused)}"] if accused else []
    told += [f"wrong gradients that were not noticed: {'; '.join(missed)}"] if missed else []
    return share, ". ".join(told)


def partly(share, told):
    """Give a share of the points for what is not all right."""
    if told:
        from minigen.classroom.grading import Partly

        raise Partly(share, told)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# %% test="everyday mistakes" points=20
def test_everyday(check_gradient, seed=0):
    """a product, a square, a matrix product: signs, factors, and the wrong input"""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.5, 2, (2, 3, 3)) * rng.choice([-1, 1], (2, 3, 3))
    cases = {
        "x * y": Case(
            np.multiply, lambda g, x, y: (g * y, g * x), [a, b],
            swapped=lambda g, x, y: (g * x, g * y),
            second_input_gets_nothing=lambda g, x, y: (g * y, 0 * y),
        ),
        "x squared": Case(
            np.square, lambda g, x: (2 * g * x,), [a],
            no_factor_2=lambda g, x: (g * x,),
            wrong_sign=lambda g, x: (-2 * g * x,),
        ),
        "x @ y": Case(
            np.matmul, lambda g, x, y: (g @ y.T, x.T @ g), [a, b],
            not_transposed=lambda g, x, y: (g @ y, x.T @ g),
        ),
    }  # fmt: skip
    partly(*judge(check_gradient, cases))


# %% test="mistakes that hide" points=40 hidden=true
def test_hidden(check_gradient, seed=0):
    """sums that cancel, indices that repeat, one entry among many, very large and very small"""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.5, 2, (2, 2, 3)) * rng.choice([-1, 1], (2, 2, 3))
    index = np.array([0, 2, 0, 1])

    def scatter(g, x):
        slope = np.zeros_like(x)
        np.add.at(slope, index, g)
        return (slope,)

    def scatter_last(g, x):
        slope = np.zeros_like(x)
        slope[index] = g
        return (slope,)

    def corner(g, x):
        slope = g * np.cos(x)
        slope.flat[-1] *= 1.01
        return (slope,)

    def jacobian(g, x):
        y = softmax(x)
        return (y * (g - (g * y).sum(-1, keepdims=True)),)

    cases = {
        "softmax": Case(
            softmax, jacobian, [a],
            zero=lambda g, x: (0 * x,),
            each_entry_alone=lambda g, x: (g * softmax(x) * (1 - softmax(x)),),
        ),
        "rows by index": Case(
            lambda x: x[index], scatter, [rng.standard_normal((3, 2))],
            repeated_rows_not_added=scatter_last,
        ),
        "sine": Case(
            np.sin, lambda g, x: (g * np.cos(x),), [a],
            one_entry_one_percent_off=corner,
            incoming_gradient_forgotten=lambda g, x: (np.cos(x),),
        ),
        "a million times x squared": Case(
            lambda x: 1e6 * x**2, lambda g, x: (2e6 * g * x,), [a],
            a_thousandth_off=lambda g, x: (2.002e6 * g * x,),
        ),
        "a millionth of x cubed": Case(
            lambda x: 1e-6 * x**3, lambda g, x: (3e-6 * g * x**2,), [a],
            twice_too_large=lambda g, x: (6e-6 * g * x**2,),
        ),
        "x + y, y stretched": Case(
            np.add, lambda g, x, y: (g, g.sum(0)), [a, b[0]],
            not_summed=lambda g, x, y: (g, g),
        ),
        "large x": Case(
            np.sqrt, lambda g, x: (g / (2 * np.sqrt(x)),), [1e4 * abs(a)],
            no_factor=lambda g, x: (g / np.sqrt(x),),
        ),
        "the larger of two": Case(
            np.maximum, lambda g, x, y: (g * (x > y), g * (x <= y)),
            [a, a + np.resize([0.5, -0.5], a.shape)],  # each is the larger one somewhere
            all_to_the_first=lambda g, x, y: (g, 0 * g),
        ),
    }  # fmt: skip
    partly(*judge(check_gradient, cases))
