"""A file that is written without a loss: complete or not there, and nothing else is replaced."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from cmx_resnet50.errors import NotWritableError, Resnet50Error


def write_new(
    out: Path,
    write: Callable[[Path], None],
    *,
    may_be_ours: Callable[[Path], bool],
    force: bool = False,
) -> Path:
    """Let `write` write a file to `out`; leave alone what is there, an error unless it is the same.

    Nobody loses a file that way, and the same call can be repeated.

    Parameters
    ----------
    may_be_ours : callable
        Whether a file can be what `write` writes, by a look at it: any other is refused before
        the work.
    force : bool
        Whether the user gives up what is at `out`; a folder stays all the same.

    Raises
    ------
    NotWritableError
        If its folder does not exist or cannot be written.
    Resnet50Error
        If something else is at `out`.
    """
    if not out.parent.is_dir():
        raise NotWritableError(
            f"{out} cannot be written: {out.parent} is not a folder. Create it, or name another."
        )
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise NotWritableError(
            f"{out} cannot be written: the folder {out.parent} is not writable for this user. Make "
            "it writable, or name another."
        )
    if os.path.lexists(out) and not (out.is_file() or (force and not out.is_dir())):
        raise Resnet50Error(f"{out} exists already, and is not a file. Name another file.")
    if out.is_file() and not force and not may_be_ours(out):
        raise _taken(out)
    with TemporaryDirectory(dir=out.parent, prefix=".cmx-resnet50-") as folder:
        made = Path(folder, out.name)
        write(made)
        if force:
            made.replace(out)
            return out
        try:
            os.link(made, out)
        except OSError as error:
            if not os.path.lexists(out):
                made.replace(out)  # a file system without links
            elif not out.is_file() or not filecmp.cmp(made, out, shallow=False):
                raise _taken(out) from error
    return out


def _taken(out: Path) -> Resnet50Error:
    return Resnet50Error(
        f"{out} exists already, with other content. It is left alone. Name another file; or "
        "replace it: --force, in Python force=True."
    )
