"""``python -m tests.formats.fuzz [FORMAT ...]``: mutated models, each read within bounds.

A reader may take a mutated file, or refuse it with one of the formats' own errors. Anything else
fails: another exception, more than a second of CPU, more than 100 MB of memory. A failure is
printed with its seed, and the file kept; ``--seed N --cases 1`` makes it again. ``make fuzz`` runs
this for a minute a format.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from cmx_resnet50 import convert, dummy
from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import FormatError
from tests.formats import torch_files
from tests.harness.edgetpu import edgetpu
from tests.harness.torchscript import torchscript

SECONDS = 60.0
CPU_SECONDS = 1.0
MEMORY = 100 << 20
MUTATIONS = (1, 1, 1, 2, 3, 8)
"""How many a file may have: most with several are refused at the first."""
LARGEST = 24 << 20
"""Bytes that a mutated file may grow to."""

INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 63) - 1)


class TooSlow(BaseException):
    """Raised in a reader that took too long; no handler for exceptions takes it."""


def _dummies(*names: str) -> list[bytes]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            path = Path(folder) / name
            dummy.write(name, path, width=1)
            found.append(path.read_bytes())
    return found


def _onnx() -> list[bytes]:
    import onnx

    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    kinds = ("test_if*", "test_loop*", "test_scan*", "test_sequence_map*", "test_constant*")
    small = [path for kind in kinds for path in sorted(data.glob(f"node/{kind}/model.onnx"))]
    return [path.read_bytes() for path in small[:20]] + _dummies("onnx-opset-8", "onnx-from-tf")


def _pytorch() -> list[bytes]:
    (tar,) = _dummies("pytorch-fp32")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tar"
        path.write_bytes(tar)
        zipped = convert(path, Path(folder) / "zip").read_bytes()
    small = [
        torch_files.tar(torch_files.tar_files()),
        torch_files.legacy(),
        torch_files.zipped(),
    ]
    return [*small, tar, zipped, torchscript("resnet50")]


CORPORA: dict[str, Callable[[], list[bytes]]] = {
    "onnx": _onnx,
    "tensorflow": lambda: _dummies("tensorflow"),
    "tflite": lambda: [*_dummies("tflite-argmax"), edgetpu()],
    "pytorch": _pytorch,
    "ncnn": lambda: _dummies("ncnn-param"),
}
"""By format: valid files to begin with."""


def mutated(corpus: Sequence[bytes], seed: int) -> bytes:
    """Return a file of the corpus with a few changes; the same ones for the same seed."""
    chance = random.Random(seed)
    data = bytearray(chance.choice(corpus))
    for _ in range(chance.choice(MUTATIONS)):
        _mutate(data, corpus, chance)
        if not data:
            break
    return bytes(data)


def _mutate(data: bytearray, corpus: Sequence[bytes], chance: random.Random) -> None:
    at = _place(data, chance)
    run = min(len(data) - at, 1 << chance.randint(0, 12))
    match chance.randrange(9):
        case 0:
            data[at] ^= 1 << chance.randrange(8)
        case 1:
            data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, chance.randrange(256)))
        case 2:
            width = chance.choice((1, 2, 4, 8))
            number = chance.choice(INTEGERS) + chance.randint(-2, 2)
            data[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, "little")
        case 3:
            del data[at : at + run]
        case 4:
            del data[at:]
        case 5:
            data[at:at] = bytes(data[at : at + run])
        case 6:
            times = 1 << chance.randint(1, 20)
            small = bytes(data[at : at + chance.randint(1, 32)])
            data[at:at] = small * min(times, (LARGEST - len(data)) // len(small))
        case 7:
            other = chance.choice(corpus)
            begin = chance.randrange(len(other))
            data[at : at + run] = other[begin : begin + run]
        case _:
            digits = str(chance.choice((*INTEGERS, -1, -233, -23300))).encode()
            data[at : at + chance.randint(0, 4)] = digits


def _place(data: bytearray, chance: random.Random) -> int:
    """Return an offset, more often where names are than among the weights."""
    at = chance.randrange(len(data))
    for _ in range(20):
        if chance.random() < 0.1 or data[at : at + 3].isalnum():
            break
        at = chance.randrange(len(data))
    return max(0, at - chance.randrange(16))


def work(name: str, first: int, cases: int, seconds: float, folder: Path) -> int:
    """Read mutated files until the time or the cases are used up; return the exit code."""
    corpus = CORPORA[name]()
    path = folder / ("model.param" if name == "ncnn" else "model")
    for data in corpus:  # imports all, before memory is bounded
        path.write_bytes(data)
        read_facts(path)
    status = Path("/proc/self/statm").read_text().split()
    bound = int(status[0]) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    signal.signal(signal.SIGPROF, _stop)
    outcomes: Counter[str] = Counter()
    end = time.monotonic() + seconds
    for seed in range(first, first + cases):
        if time.monotonic() > end:
            break
        data = mutated(corpus, seed)
        path.write_bytes(data)
        (folder / "seed").write_text(str(seed))
        del data
        spent = int(time.process_time()) + 30
        resource.setrlimit(resource.RLIMIT_CPU, (spent, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        try:
            read_facts(path)
            outcome = "facts"
        except FormatError as error:
            outcome = type(error).__name__
            if not str(error).isprintable():
                raise ValueError(f"seed {seed}: an error that cannot be printed: {error}") from None
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        outcomes[outcome] += 1
    counted = ", ".join(f"{number:,} {what}" for what, number in outcomes.most_common())
    print(f"{name}: seeds {first} to {first + outcomes.total() - 1}: {counted}")
    return 0


def _stop(*_: object) -> None:
    raise TooSlow(f"more than {CPU_SECONDS} s of CPU")


def main(arguments: Sequence[str]) -> int:
    """Read the command line; run each format in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.formats.fuzz", description=__doc__)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=", ".join(CORPORA))
    parser.add_argument("--seed", type=int, help="the first one; by default another each time")
    parser.add_argument("--cases", type=int, default=1 << 40, help="files of each format")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each format")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    names = parsed.formats or list(CORPORA)
    seed = random.SystemRandom().randrange(1 << 32) if parsed.seed is None else parsed.seed
    if parsed.worker is not None:
        return work(names[0], seed, parsed.cases, parsed.seconds, parsed.worker)
    failed = [name for name in names if _failed(name, seed, parsed)]
    return 1 if failed else 0


def _failed(name: str, seed: int, parsed: argparse.Namespace) -> bool:
    """Run the process of a format; whether it failed."""
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    command = [sys.executable, "-m", "tests.formats.fuzz", name, "--worker", str(folder)]
    bounds = ["--seed", seed, "--cases", parsed.cases, "--seconds", parsed.seconds]
    done = subprocess.run([*command, *map(str, bounds)], check=False)
    if done.returncode:
        last = (folder / "seed").read_text() if (folder / "seed").exists() else str(seed)
        print(
            f"FAILED: {name}, exit {done.returncode}; the file is in {folder}. Again: "
            f"python -m tests.formats.fuzz {name} --seed {last} --cases 1"
        )
        return True
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
