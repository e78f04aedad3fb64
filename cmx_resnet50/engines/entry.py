"""The folder of a run's cache entry, which others may remove while the run works in it.

``cm rm cache -f`` removes what a running script works in, and the engine fails wherever it next
uses its working folder. So the engine is sent to a folder of this run alone, and the entry is made
again before and after each hook, as the engine made it. Where a removal breaks the run all the
same, a line says what happened.
"""

from __future__ import annotations

import json
import os
import sys
import weakref
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

from cmx_resnet50.errors import Resnet50Error

ALIAS = "get-ml-model-resnet50"
"""Begins the names of our entries in MLC; in CM they have no such name, and no doubles."""
SLACK = 60.0
"""Seconds that the engine may need, on a busy machine, from its list of entries to its own."""
_KEY = "cmx_resnet50_entry"


class EntryRemoved(Resnet50Error):
    """The cache entry of this run was removed while the run worked in it."""


class Entry:
    """The cache entry of one run, which the engine has just made and gone into.

    Parameters
    ----------
    meta : str
        The file of an entry that says what it is.
    remove : str
        The command that removes entries, as the error names it.
    """

    def __init__(self, meta: str, remove: str) -> None:
        self._text = (
            "The cache entry of this run was removed while the run worked in it, say by "
            f"{remove}. What was fetched is in the store. Run the same command again."
        )
        self._file, self._meta, self._begun = Path(meta), b"", 0.0
        with suppress(OSError):  # Gone already: `restore` says so.
            self._file = Path.cwd() / meta
            self._meta = self._file.read_bytes()
            self._begun = self._file.stat().st_mtime
        self._elsewhere: Path | None = None
        self._finalizer = weakref.finalize(self, _report, self._file, self._text)

    @property
    def folder(self) -> Path:
        """The entry."""
        return self._file.parent

    def restore(self) -> None:
        """Make the entry again if it was removed.

        Raises
        ------
        EntryRemoved
            If it cannot be made.
        """
        if not self._meta:
            raise self.removed()
        try:
            if not self._file.exists():
                self.folder.mkdir(parents=True, exist_ok=True)
                with suppress(FileExistsError), self._file.open("xb") as file:
                    file.write(self._meta)
        except OSError:
            raise self.removed() from None

    def work_elsewhere(self) -> None:
        """Leave the entry for a folder that nobody else removes, if one can be made."""
        from tempfile import mkdtemp

        with suppress(OSError):
            if self._elsewhere is None:
                self._elsewhere = Path(mkdtemp(prefix="cmx-resnet50-"))
                weakref.finalize(self, _remove, self._elsewhere, self.folder)
            os.chdir(self._elsewhere)

    def is_double(self) -> bool:
        """Whether a run at the same time has finished an entry that answers the same request.

        MLC looks for an entry before it calls anything of ours, and so makes one for each of
        several runs at one instant. Then it would ask which to use.
        """
        asked = _tags(self._meta)
        for file in self.folder.parent.glob(f"{ALIAS}*/{self._file.name}"):
            with suppress(OSError):
                tags = _tags(file.read_bytes())
                young = file.stat().st_mtime > self._begun - SLACK
                if file != self._file and young and "tmp" not in tags and asked - {"tmp"} <= tags:
                    return True
        return False

    def is_gone(self) -> bool:
        """Whether it was removed since it was last restored."""
        return not self._file.exists()

    def removed(self) -> EntryRemoved:
        """Return the error that says so."""
        return EntryRemoved(self._text)

    def end(self) -> None:
        """Leave it to others to report what becomes of the run."""
        self._finalizer.detach()


def begin(i: dict[str, Any], meta: str, remove: str) -> None:
    """Look at the entry of a run, if it has one, before anything takes time; see `Entry`."""
    if not i["input"].get("skip_cache"):
        i["run_script_input"][_KEY] = Entry(meta, remove)


def of(i: dict[str, Any]) -> Entry | None:
    """Return the entry of the run that a hook is called for with `i`, if it has one."""
    entry: Entry | None = i["run_script_input"].get(_KEY)
    return entry


def _tags(meta: bytes) -> set[str]:
    """Return the tags of an entry; an unreadable one counts as unfinished."""
    try:
        return set(json.loads(meta)["tags"])
    except (ValueError, KeyError, TypeError):
        return {"tmp"}


def _remove(elsewhere: Path, folder: Path) -> None:
    """Remove the folder of a run; where the engine is still in it, it goes back to the entry."""
    with suppress(OSError):
        if elsewhere.samefile("."):
            os.chdir(folder)
    rmtree(elsewhere, ignore_errors=True)


def _report(file: Path, text: str) -> None:
    """Say why the engine failed, where an entry is gone when its run ends."""
    if not file.exists():
        sys.stderr.write(f"cmx-resnet50: {text}\n")
        sys.stderr.flush()
