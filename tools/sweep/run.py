"""Goes over model files, compares the facts of each with the reference, prints what differs."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import FormatError, ModelFacts, TensorInfo
from tools.sweep.reference import REFERENCES, Tensor

SUFFIXES = {
    ".onnx": "onnx",
    ".tflite": "tflite",
    ".pt": "pytorch",
    ".pth": "pytorch",
    ".pb": "tensorflow",
    ".param": "ncnn",
}
"""What a file of that name may be; what it is, its content decides."""


@dataclass(frozen=True)
class Seen:
    """What `inspect` says of a file: its facts, or the error."""

    path: Path
    facts: ModelFacts | None
    error: FormatError | None


class Reference:
    """The process that reads files with one format's own library; started again after a crash."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: subprocess.Popen[str] | None = None
        self.library = ""
        """The library and its version; empty where it is not installed."""
        self._start()

    def ask(self, path: Path) -> dict[str, Any]:
        """Return what the library says of a file."""
        process = self._process or self._start()
        if process.stdin is not None:
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
        answer = self._line(process)
        if answer is None:
            self.close()
            return {"error": "the library crashed"}
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.sweep.reference", self._name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.library = (self._line(self._process) or {}).get("library", "")
        return self._process

    @staticmethod
    def _line(process: subprocess.Popen[str]) -> dict[str, Any] | None:
        line = process.stdout.readline() if process.stdout is not None else ""
        return json.loads(line) if line else None


def files_below(folders: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Yield the format that its name promises, and each file, in order."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            name = SUFFIXES.get(path.suffix.lower())
            if name is not None and path.is_file():
                yield name, path


def differences(name: str, seen: Seen, reference: Mapping[str, Any]) -> Iterator[str]:
    """Describe each fact that is wrong, and a refusal of what the library takes."""
    facts, error = seen.facts, seen.error
    if "error" in reference:
        return
    if facts is None:
        yield f"{type(error).__name__}: {error}; the library takes it"
        return
    if facts.format != name:
        yield f"is {facts.format} for inspect; the library takes it as {name}"
        return
    known = {
        "opset": facts.opset,
        "ir": facts.version.get("ir"),
        "container": facts.version.get("container"),
        "producer": facts.version.get("producer"),
        "parameter_count": facts.parameter_count,
        "parameter_bytes": facts.parameter_bytes,
        "input_names": [one.name for one in facts.inputs],
        "output_names": [one.name for one in facts.outputs],
    }
    for key, value in reference.items():
        if key in ("inputs", "outputs"):
            yield from _tensor_differences(key, getattr(facts, key), value)
        elif known[key] is not None and known[key] != value:
            yield f"{key} is {known[key]}; for the library {value}"


def _tensor_differences(
    kind: str, ours: tuple[TensorInfo, ...], theirs: Sequence[Tensor]
) -> Iterator[str]:
    if [one.name for one in ours] != [name for name, _, _ in theirs]:
        yield f"{kind} are {[one.name for one in ours]}; for the library {[t[0] for t in theirs]}"
        return
    for one, (_, shape, dtype) in zip(ours, theirs, strict=True):
        if one.dtype is not None and dtype is not None and _dtype(one.dtype) != _dtype(dtype):
            yield f"{kind}: {one.name} is {one.dtype}; for the library {dtype}"
        sizes = one.shape and [size if isinstance(size, int) else None for size in one.shape]
        if one.shape is not None and shape is not None and list(sizes or ()) != list(shape):
            yield f"{kind}: {one.name} has the shape {one.shape}; for the library {shape}"


def _dtype(name: str) -> str:
    return {"str": "object", "bytes_": "object", "string": "object", "bool_": "bool"}.get(
        name, name
    )


def sweep(folders: Sequence[Path]) -> int:
    """Compare all files; return the exit code."""
    references: dict[str, Reference] = {}
    counts: dict[str, Counter[str]] = {name: Counter() for name in REFERENCES}
    wrong = 0
    try:
        for name, path in files_below(folders):
            count = counts[name]
            seen = _inspect(path)
            count["files"] += 1
            count["read" if seen.facts else type(seen.error).__name__] += 1
            reference = references[name] = references.get(name) or Reference(name)
            if not reference.library:
                continue
            said = reference.ask(path)
            count["refused by the library" if "error" in said else "compared"] += 1
            if "error" in said and seen.facts is not None:
                print(f"  only read here: {path}: {said['error']}")
            for text in differences(name, seen, said):
                wrong += 1
                print(f"WRONG: {path}: {text}")
    finally:
        for reference in references.values():
            reference.close()
    for name, count in counts.items():
        if name not in references:
            print(f"{name}: no files")
            continue
        with_what = references[name].library or "no library is installed to compare with"
        parts = ", ".join(f"{number} {what}" for what, number in count.items())
        print(f"{name} ({with_what}): {parts}")
    print(f"{wrong} wrong facts or refusals")
    return 1 if wrong else 0


def _inspect(path: Path) -> Seen:
    try:
        return Seen(path, read_facts(path), None)
    except FormatError as error:
        return Seen(path, None, error)


def main(arguments: Sequence[str]) -> int:
    """Read the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.sweep", description=__doc__)
    installed = Path(sysconfig.get_paths()["purelib"])
    parser.add_argument("folders", nargs="*", type=Path, default=[installed], metavar="FOLDER")
    return sweep(parser.parse_args(arguments).folders)
