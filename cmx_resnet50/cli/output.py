"""What the command prints: results on stdout as lines, tables or JSON; all else on stderr."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO


@contextmanager
def reader_may_leave(stream: TextIO) -> Iterator[None]:
    """Drop what is written to `stream` once its reader, say ``head``, has closed its end.

    The command goes on, and its exit code is its own.
    """
    try:
        yield
    except BrokenPipeError:
        drop(stream)


def drop(stream: TextIO) -> None:
    """Drop what `stream` has not written yet, and all that is written to it later."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_text(text: str) -> None:
    """Print a result as it is."""
    with reader_may_leave(sys.stdout):
        sys.stdout.write(text)


def print_line(text: str = "") -> None:
    """Print a result."""
    print_text(f"{plain(text)}\n")


def print_json(content: Any) -> None:
    """Print a result as JSON."""
    import json

    print_line(json.dumps(content, indent=2))


def print_note(text: str) -> None:
    """Print what is not a result: what to do next, what is going on."""
    with reader_may_leave(sys.stderr):
        sys.stderr.write(f"{plain(text)}\n")
        sys.stderr.flush()


def print_error(text: str, command: str = "cmx-resnet50") -> None:
    """Print an error of `command`."""
    print_note(f"{command}: {text}")


def print_warning(text: str) -> None:
    """Print what is not as requested, or worth knowing, and no error."""
    print_note(f"cmx-resnet50: {text}")


def begin_transfer(parsed: argparse.Namespace) -> bool:
    """Set up stderr as `arguments.transfer_switches` ask for; return whether to show progress."""
    if parsed.verbose:
        _show_log(10)
    elif parsed.silent and not parsed.quiet:
        _show_log(20)
    return not (parsed.silent or parsed.quiet)


def _show_log(level: int) -> None:
    """Print on stderr what the library logs from `level` on, one of ``logging``."""
    import logging

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print_error(record.getMessage())

    logger = logging.getLogger("cmx_resnet50")
    logger.addHandler(Handler())
    logger.setLevel(level)


def print_table(rows: Sequence[Sequence[str]], *, indent: str = "") -> None:
    """Print `rows` in columns as wide as they need; the last one is left ragged."""
    rows = [[plain(cell).replace("\n", "\\n") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print_line((indent + "  ".join(cells)).rstrip())


def tensor_text(name: str, shape: Sequence[int | str | None] | None, dtype: str | None) -> str:
    """Return how one input or output of a graph is shown; "?" is what is not known."""
    sizes = ["?" if size is None else str(size) for size in shape or ()]
    shown = "?" if shape is None else f"[{', '.join(sizes)}]"
    return f"{name or '(no name)'} {dtype or '?'} {shown}"


def plain(text: str) -> str:
    """Return `text` with control characters spelt out: it may come from a hostile file."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1]
        for letter in text
    )
