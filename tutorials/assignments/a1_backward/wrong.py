"""Wrong solutions of A1, one a cell: which part of it they break, and what the student is told."""


# %% breaks="exp" says="does not depend on the gradient that comes in"
def exp_backward(g, out):
    return (out,)


# %% breaks="exp" says="12 of 12 entries differ"
def exp_backward(g, out):
    return (g * np.exp(out),)


# %% breaks="tanh" says="derivative"
def tanh_backward(g, out):
    return (g * (1 - out),)


# %% breaks="relu" says="at outputs 0, 0, 1.5"
def relu_backward(g, out):
    return (g * (out >= 0),)


# %% breaks="unbroadcast" also=["add", "multiply", "divide"] says="asked for shape (3, 1), got shape (3,)"
def unbroadcast(g, shape):
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1))


# %% breaks="unbroadcast" also=["add", "multiply", "divide"] only_hidden=true says="asked for ()"
def unbroadcast(g, shape):
    while g.ndim > max(1, len(shape)):
        g = g.sum(0)
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return g.sum(axis=stretched, keepdims=True)


# %% breaks="add" only_hidden=true says="summed"
def add_backward(g, x, y):
    return g, g


# %% breaks="multiply" says="it is the right gradient of y"
def multiply_backward(g, x, y):
    return unbroadcast(g * x, x.shape), unbroadcast(g * y, y.shape)


# %% breaks="divide" says="sign"
def divide_backward(g, x, y):
    return unbroadcast(g / y, x.shape), unbroadcast(g * x / y**2, y.shape)


# %% breaks="sum" says="shape"
def sum_backward(g, x, axis):
    return (g,)


# %% breaks="sum" only_hidden=true says="gradient of x"
def sum_backward(g, x, axis):
    for place, n in enumerate(x.shape):
        if g.shape == x.shape[:place] + x.shape[place + 1 :]:  # guesses the axis by the sizes
            return (np.repeat(np.expand_dims(g, place), n, place),)


# %% breaks="transpose" only_hidden=true says="the right gradient, transposed"
def transpose_backward(g, axes):
    return (g.transpose(axes),)


# %% breaks="matmul" only_hidden=true says="transposed"
def matmul_backward(g, x, y):
    return (g @ y if y.shape[0] == y.shape[1] else g @ y.T), x.T @ g


# %% breaks="softmax" says="missing"
def softmax_backward(g, out):
    return (out * g,)


# %% breaks="softmax" says="what goes through a sum over the others is missing"
def softmax_backward(g, out):
    return (out * (g - g * out),)


# %% breaks="order" says="stand"
def topological_order(root, parents):
    order, queue = [], [root]
    while queue:
        name = queue.pop(0)
        if name not in order:
            order.append(name)
            queue.extend(parents[name])
    return order


# %% breaks="order" says="b stands before c, which was computed from it: ['d', 'b', 'a', 'c']"
def topological_order(root, parents):
    found, waiting = [], [root]
    while waiting:
        name = waiting.pop()
        if name not in found:  # stands where it was first reached, not after its last user
            found.append(name)
            waiting.extend(parents[name])
    return found


# %% breaks="order" says="not a list of names, but None"
def topological_order(root, parents):
    order, waiting = [], [root]
    while waiting:
        order.append(waiting.pop())
        waiting.extend(parents[order[-1]])  # and no return


# %% breaks="order" only_hidden=true says="RecursionError"
def topological_order(root, parents):
    order, seen = [], set()

    def visit(name):
        if name not in seen:
            seen.add(name)
            for parent in parents[name]:
                visit(parent)
            order.append(name)

    visit(root)
    return order[::-1]


# %% breaks="order" only_hidden=true says="took longer than"
def topological_order(root, parents):
    paths, depth = [root], {root: 0}
    while paths:  # every path, one by one
        name = paths.pop()
        for parent in parents[name]:
            depth[parent] = max(depth.get(parent, 0), depth[name] + 1)
            paths.append(parent)
    return sorted(depth, key=depth.__getitem__)
