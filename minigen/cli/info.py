"""`minigen info`: what minigen runs on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np

import minigen.kernels as kernels
from minigen.devices import cupy
from minigen.version import __version__

PACKAGES = ("numpy", "numba", "cupy-cuda12x", "safetensors", "matplotlib", "rich", "typer")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def print_info() -> None:
    """Print versions, devices, threads, and the kernel of each operation with the reason."""
    print(f"minigen {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print("  " + ", ".join(f"{name} {installed(name)}" for name in PACKAGES))
    print("devices")
    print(f"  cpu: {processor()}, {cores()} cores for this process")
    print(f"  cuda: {gpu()}")
    print("threads")
    print(f"  BLAS: {blas()}, {threads()}")
    print(f"  kernels: {kernels.parallel.threads()}, once layers ask for them; until then one")
    print("kernels")
    for name in kernels.operations():
        print(f"  {kernels.why(name)}")


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def cores() -> int:
    """How many this process may use, which in a container can be fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def blas() -> str:
    """The library that NumPy multiplies matrices with."""
    config = np.show_config(mode="dicts")
    found = config.get("Build Dependencies", {}).get("blas", {}) if config else {}
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()


def threads() -> str:
    """How many threads BLAS was told to use."""
    told = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if name in os.environ]
    return ", ".join(told) if told else "as many threads as there are cores"


def gpu() -> str:
    """The GPU's name, or why there is none."""
    try:
        module = cupy()
    except RuntimeError as error:
        return str(error)
    properties = module.cuda.runtime.getDeviceProperties(0)
    return properties["name"].decode()
