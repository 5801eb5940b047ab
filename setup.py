"""The package: `minigen/` as it stands, and `kernels/` installed as `minigen.kernels`.

The kernels live at the top level because they are a subject of their own and import nothing of
minigen; they install inside minigen because the plain name `kernels` is taken on PyPI.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (ROOT / "minigen/version.py").read_text(encoding="utf-8"), re.M
)
assert VERSION is not None

TORCH = "torch==2.13.0"  # the oracle of the tests; minigen itself never imports it

# CUDA 13: CuPy with the libraries it calls, and the compiler of the kernels in CUDA C++.
CUDA = ["cupy-cuda13x[ctk]>=14", "cuda-bindings>=13,<14", "numba-cuda[cu13]>=0.30"]

# What the tests of kernels need on a machine without a GPU: CuPy to be importable, NVRTC and NVVM.
# All of one CUDA release, 13.0: newer compilers write code that a driver of 13.0 refuses. Where
# there are no such packages, on a Mac, the tests that need them are skipped.
CUDA_WITHOUT_A_GPU = [
    f"{package}; sys_platform == 'linux'"
    for package in (
        "cupy-cuda13x>=14",
        "cuda-bindings>=13,<14",
        "numba-cuda>=0.30",
        "nvidia-cuda-nvrtc==13.0.*",
        "nvidia-nvvm==13.0.*",
        "nvidia-nvjitlink>=13",
        "nvidia-cuda-runtime==13.0.*",
        "nvidia-cuda-cccl==13.0.*",
    )
]

# Pages of the chapters, with their formulas; notebooks written back to text, and run.
DOCS = ["latex2mathml>=3.77", "jupytext>=1.16", "nbclient>=0.10", "ipykernel>=6.29"]

setup(
    name="minigen",
    version=VERSION[1],
    description="Generative models from first principles: autograd, kernels, GAN, VAE, Transformer",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE", "minigen/data/files/DATA-LICENSES"],
    python_requires=">=3.11,<3.14",
    packages=[
        *find_packages(include=["minigen", "minigen.*"]),
        *("minigen." + name for name in find_packages(include=["kernels", "kernels.*"])),
    ],
    package_dir={"minigen": "minigen", "minigen.kernels": "kernels"},
    package_data={
        "minigen": ["py.typed", "data/files/*", "metrics/files/*"],
        "minigen.kernels": [
            "cuda/*.cuh",
            "cuda/*.h",
            "cuda/*.cpp",
            "cuda/*.json",
            "*/cuda/*.cu",
            "*/cuda/*.cuh",
        ],
    },
    install_requires=[
        "numpy>=2.1",
        "numba>=0.61",
        "matplotlib>=3.8",
        "pillow>=10",
        "safetensors>=0.4.3",
        "rich>=13.7",
        "typer>=0.12",
    ],
    extras_require={
        "cuda": CUDA,
        "test": [
            TORCH,
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "scikit-image>=0.25",  # the oracle of image metrics; with SciPy, that of the others
            "tokenizers>=0.20",
            "ruff==0.17.6",
            "mypy==2.4.1",
            "autograd>=1.7",
            "build>=1",
            *DOCS,
            *CUDA_WITHOUT_A_GPU,
        ],
        # For classes that grade with these. `minigen classroom grade` needs none of them.
        "classroom": ["nbgrader>=0.9.5", "otter-grader>=7", "ipykernel>=6"],
        "docs": DOCS,
    },
    entry_points={"console_scripts": ["minigen = minigen.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Education",
        "Typing :: Typed",
    ],
)
