"""Submissions that try to end, block or deceive the grader, each a function `double`.

HOSTILE: name: (code that leaves no honest answer, words of the message that it gets)
UNANSWERED: name: code without an honest answer to a question about arrays

tests/classroom sees that none gains a point or stops the next one; grading.py grades all of them
among the honest.
"""

from __future__ import annotations

WRITE = """
import os, struct
def say(text):
    for fd in range(3, 20):
        try: os.write(fd, struct.pack('<QQ', len(text), 0) + text)
        except OSError: pass
"""
HOSTILE = {
    "rebinds the checker": (
        "import minigen.testing\nminigen.testing.assert_gradients = lambda *a, **k: None\n"
        "import builtins\nbuiltins.AssertionError = KeyError\ndef double(x): return 0\n",
        "two times",
    ),
    "patches numpy": (
        "import numpy as np\nnp.allclose = lambda *a, **k: True\n"
        "np.testing.assert_allclose = print\ndef double(x): return 0\n",
        "two times",
    ),
    "prints results": (
        'def double(x):\n    print(\'{"score": 3, "tests": []}\', flush=True)\n    return 0\n',
        "two times",
    ),
    "an object that equals everything": (
        "class Yes(int):\n    def __eq__(self, other): return True\n"
        "def double(x): return Yes(0)\n",
        "two times",
    ),
    "ends its process": ("import os\ndef double(x): os._exit(0)\n", "ended the process"),
    "ends while it is loaded": ("import os\nos._exit(0)\n", "loading it ended the process"),
    "raises SystemExit": ("import sys\ndef double(x): sys.exit(0)\n", "SystemExit: 0"),
    "loops": ("def double(x):\n    while True: pass\n", "took longer than 1 seconds"),
    "loops while it is loaded": ("while True: pass\n", "loading it took longer"),
    "ignores signals and sleeps": (
        "import signal, time\nfor s in (2, 15): signal.signal(s, signal.SIG_IGN)\n"
        "def double(x): time.sleep(60)\n",
        "took longer than 1 seconds",
    ),
    "allocates": (
        "import numpy as np\ndef double(x): return np.ones(2**40)\n",
        "Unable to allocate",
    ),
    "grows": (
        "import numpy as np\ndef double(x):\n    a = []\n"
        "    while True: a.append(np.empty(2**24))\n", "Unable to allocate",
    ),
    "answers too much": (
        "import numpy as np\ndef double(x): return np.zeros(2**26)\n", "more than 256 MiB",
    ),
    "writes into the pipe": (
        "import os\ndef double(x):\n    for fd in range(3, 20):\n"
        "        try: os.write(fd, b'\\xff' * 4096)\n        except OSError: pass\n    return 0\n",
        "wrote where only results belong",
    ),
    "forges an answer": (
        WRITE + "def double(x):\n    say(b'{\"list\": [\"result\", 6]}')\n    os._exit(0)\n",
        "",  # 6 is the right answer to the first test: an answer is all that can be forged
    ),
    "nests without end": (
        "def double(x):\n    for _ in range(10**5): x = [x]\n    return x\n", "nested deeper",
    ),
    "calls back what is not there": (
        WRITE + "def double(x): say(b'{\"list\": [\"callback\", 7, {\"list\": []}]}')\n",
        "wrote where only results belong",
    ),
    "closes everything": (
        "import os\ndef double(x): os.closerange(0, 50)\n", "ended the process",
    ),
    "starts processes": (
        "import os\ndef double(x):\n    while True: os.fork()\n", "PermissionError",
    ),
    "runs a program": (
        "import os\ndef double(x): os.execv('/bin/sh', ['sh', '-c', 'true'])\n", "PermissionError",
    ),
    "calls home": (
        "import socket\ndef double(x):\n    socket.create_connection(('127.0.0.1', 9), 1)\n",
        "PermissionError",
    ),
    "writes a large file": (
        "import tempfile\ndef double(x):\n    with tempfile.TemporaryFile() as f:\n"
        "        for _ in range(64): f.write(bytes(2**20))\n",
        "OSError",
    ),
}  # fmt: skip
UNANSWERED = {
    "a class of its own that says it equals everything": (
        "import numpy as np\nclass Yes(np.ndarray):\n"
        "    def __eq__(self, other): return np.ones(3, bool)\n"
        "    def __array_function__(self, *a, **k): return True\n"
        "    def __array_ufunc__(self, *a, **k): return np.ones(3, bool)\n"
        "def double(x): return np.zeros(3).view(Yes)\n"
    ),
    "a number that compares as it likes": (
        "class Any(float):\n    def __eq__(self, other): return True\n"
        "    def __abs__(self): return 0.0\n    def __sub__(self, other): return 0.0\n"
        "def double(x): return Any(7)\n"
    ),
    "a text that is longer than itself": (
        "class Text(str):\n    def __len__(self): return 3\n"
        "def double(x): return Text('6')\n"
    ),
    "a generator": "def double(x):\n    yield 2 * x\n",
    "a promise": "def double(x): return lambda: 2 * x\n",
    "a coroutine": "async def double(x): return 2 * x\n",
    "a list that grows as it is read": (
        "class Long(list):\n    def __iter__(self):\n        while True: yield 0\n"
        "def double(x): return Long([1])\n"
    ),
    "a mapping whose items change": (
        "class Shy(dict):\n    n = 0\n    def items(self):\n        Shy.n += 1\n"
        "        return [('a', 1)] if Shy.n % 2 else [(object(), object())]\n"
        "def double(x): return Shy(a=1)\n"
    ),
    "not a number": "def double(x): return float('nan')\n",
    "an error that cannot be told": (
        "class Bad(Exception):\n    def __str__(self): raise SystemExit\n"
        "def double(x): raise Bad\n"
    ),
    "an error that takes forever to tell": (
        "class Bad(Exception):\n    def __str__(self):\n        while True: pass\n"
        "def double(x): raise Bad\n"
    ),
    "an error as long as a book": "def double(x): raise ValueError('x' * 10**7)\n",
    "an empty error": "def double(x): raise ValueError('')\n",
    "calls itself": "def double(x): return double(x)\n",
    "calls itself until the stack is gone": (
        "import sys\nsys.setrecursionlimit(10**8)\n"
        "def double(x): return [double(x)] if x is not None else 0\n"
    ),
    "patches what carries its answers": (
        "import sys\nfrom minigen.classroom import wire, worker\n"
        "wire.encode = lambda value: b'\\0' * 16\ndef double(x): return 0\n"
    ),
    "an import hook": (
        "import sys\nclass Hook:\n    def find_spec(self, name, path=None, target=None):\n"
        "        raise SystemExit\nsys.meta_path.insert(0, Hook())\n"
        "def double(x):\n    import decimal\n    return 0\n"
    ),
    "works when it is taken away": (
        "import os\nclass Last:\n    def __del__(self): os._exit(0)\n"
        "last = Last()\ndef double(x):\n    global last\n    last = None\n    return 0\n"
    ),
    "a thread that answers later": (
        "import os, threading, time\ndef late():\n    time.sleep(0.05)\n"
        "    for fd in range(3, 20):\n        try: os.write(fd, b'x' * 64)\n"
        "        except OSError: pass\n"
        "def double(x):\n    threading.Thread(target=late).start()\n    return 0\n"
    ),
    "as many threads as there may be": (
        "import threading, time\ndef double(x):\n"
        "    while True: threading.Thread(target=time.sleep, args=(9,)).start()\n"
    ),
    "hands its process to a thread at its end": (
        "import atexit, os, threading\n"
        "atexit.register(lambda: threading.Thread(target=print, args=('x' * 10**8,)).start())\n"
        "def double(x): raise SystemExit\n"
    ),
    "kills the process that starts submissions": (
        "import os\ndef double(x):\n    os.kill(os.getppid() or 2**22, 9)\n    return 0\n"
    ),
}  # fmt: skip
