"""Many ``cm run`` at one instant in one CM_REPOS: starting them, and naming what is lost.

Used by the tests here and by ``benchmarks.races``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack

from tests.harness.build import Installation
from tests.harness.cm import CM, Result

DIFFERENT = (
    ("onnx",),
    ("onnx", "opset-8"),
    ("tf",),
    ("pytorch",),
    ("pytorch", "int8"),
    ("ncnn",),
    ("tflite", "no-argmax"),
    ("tflite", "int8", "no-argmax"),
)
"""Eight requests that mean eight artifacts."""

FILES = 9
"""The files that they want: ncnn is two."""

_SILENT = {
    "cmind/utils.py": (
        "            return {'return':4, 'error': f'detected problem in {file_name}: {e}'}",
        "        return {'return':16, 'error':'{} was not found'.format(file_name)}",
    ),
    "cmx4mlops/repo/automation/script/module.py": (
        "            rr = {\n                'return': 2,\n                'error': 'Portable CM",
    ),
}
"""Where the engine returns an error without a line: unreadable JSON, a file that is gone, a
native script that failed."""
_TRACE = (
    "import sys, traceback; sys.stderr.write('RETURNED BY ' + ' '.join(f'{f.filename}:{f.lineno}' "
    "for f in reversed(traceback.extract_stack())) + '\\n'); "
)
_FRAME = re.compile(
    r'File "[^"]*?/site-packages/(cmind|cmx4mlops|cmx_resnet50)/([^"]+)", line (\d+)'
)
_CALL = re.compile(r"/site-packages/(cmind|cmx4mlops)/(\S+?):(\d+)")


def at_once(cm: CM, requests: Sequence[Sequence[str]], *, quiet: bool = True) -> list[Result]:
    """Start a ``cm run`` for each request before any can have ended; wait for all."""
    with ExitStack() as stack:
        running = [
            stack.enter_context(cm.start(*cm.request(*variations, quiet=quiet)))
            for variations in requests
        ]
        return [process.wait(300) for process in running]


def trace(installation: Installation) -> None:
    """Let the engine's copy in `installation` say where it returns an error without a line."""
    for name, places in _SILENT.items():
        path = installation.site_packages / name
        text = path.read_text(encoding="utf-8")
        for place in places:
            if place not in text:
                raise LookupError(f"{path} is not that of cmind 4.2.0 and cmx4mlops 1.0.1")
            # On the same line, so that none is moved.
            text = text.replace(place.lstrip(), _TRACE + place.lstrip())
        path.write_text(text, encoding="utf-8")


def loss(result: Result) -> str:
    """Name what became of a failed run: what it says last, and the line of the engine.

    With `trace`, that is the line of a script or of CM's script automation that asked for what
    failed, as far as there is one.
    """
    lines = result.err.strip().splitlines() or [f"exit {result.code}, nothing said"]
    errors = [line for line in lines if line.startswith("CM error: ")] or lines
    said = re.sub(r"/\S+/(\S+)", r"…/\1", errors[-1])
    said = re.sub(r"\b[0-9a-f]{16}\b", "<uid>", said).removeprefix("CM error: ")
    return f"{said[:120]} [{_line(lines)}]"


def _line(lines: Sequence[str]) -> str:
    found = [match.groups() for line in lines if (match := _FRAME.search(line))]
    told = [line for line in lines if line.startswith("RETURNED BY ")]
    if told:
        calls = _CALL.findall(told[-1])
        asked = [c for c in calls if c[0] == "cmx4mlops" and not c[1].endswith("cache/module.py")]
        found += asked[:1] or calls[1:2]
    if not found:
        return "no line told"
    package, file, number = found[-1]
    return f"{package}/{'/'.join(file.split('/')[-2:])}:{number}"
