"""The mark of a store: a version file, and a tag that tells backup programs to leave it out.

Only a folder with a mark is a store. An empty folder becomes one; a folder with anything else in
it is never written to, and nothing in it is ever removed: a wrong ``CM_RESNET50_STORE`` costs an
error. The mark is made before all else in the folder, so a folder with content and no mark is no
store that was interrupted.
"""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cmx_resnet50.limits import because
from cmx_resnet50.store.files import children, is_folder, read_json, sync_folder, to_json
from cmx_resnet50.store.model import NotAStore, StoreError

VERSION_FILE = "cmx-resnet50-store.json"
TAG = "CACHEDIR.TAG"
FORMAT = "cmx-resnet50-store"
VERSION = 1
FOLDERS = (
    "objects",
    "aliases",
    "placements",
    "verified",
    "incoming",
    "locks",
    "temporary",
    "models",
)
"""All that a store has beside its mark."""

_TAG_TEXT = """\
Signature: 8a477f597d28d172789f06886806bc55
# This folder is a store of cmx-resnet50: a cache, which backup programs may leave out.
"""
_TEMPORARY = re.compile(r"\.cmx-resnet50-store-\d+-[0-9a-f]{12}")
_OF_BEFORE = {*FOLDERS, "views", "places"}
"""The folders of a store that was made before there was a mark."""


@dataclass(frozen=True)
class Mark:
    """What the version file says; `shared` is whether the folder's group writes the store."""

    version: int = VERSION
    shared: bool = False

    @property
    def text(self) -> str:
        """The version file."""
        return to_json({"format": FORMAT, "version": self.version, "shared": self.shared})


def read_mark(root: Path) -> Mark | None:
    """Return the mark of the store at `root`; None where a store may be made.

    Raises
    ------
    NotAStore
        If the folder holds something and has no mark.
    StoreError
        If it cannot be read, or a newer version of this package made it.
    """
    # Whoever makes a store makes the mark first: where there is more, the mark must show, on a
    # network file system perhaps a moment later.
    for _ in range(10):
        mark = _parse(root)
        if mark is not None:
            return mark
        try:
            names = [path.name for path in root.iterdir()]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                f"The store {root} cannot be read "
                + because(
                    error,
                    "Make it readable for this user, or name another folder with "
                    "CM_RESNET50_STORE.",
                )
            ) from error
        others = [name for name in names if not _is_of_mark(name)]
        if not others:
            return None
        if VERSION_FILE not in names:
            break
        time.sleep(0.1)
    raise NotAStore(
        f"{root} is not a store of cmx-resnet50: it holds {sorted(others)[0]!r}, and no "
        f"{VERSION_FILE}. Nothing in it was changed. Name another folder with CM_RESNET50_STORE. "
        "If it is a store that lost that file, or of an earlier version: "
        f"cmx-resnet50 store init '{root}'"
    )


def write_mark(root: Path, mark: Mark) -> None:
    """Make the folder `root` a store, or change its mark.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    _put(root, TAG, _TAG_TEXT)
    _put(root, VERSION_FILE, mark.text)
    sync_folder(root)


def require_store_content(root: Path) -> None:
    """Make sure that a folder without a mark holds what a store holds, and nothing else.

    Raises
    ------
    NotAStore
        If it does not; the text names what is not of a store.
    """
    wrong = [path for path in children(root) if not _is_of_store(path)]
    objects = root / "objects"
    wrong += [
        path
        for group in children(objects)
        for path in (group, *children(group))
        if not re.fullmatch(r"[0-9a-f]{2}" if path is group else r"[0-9a-f]{64}", path.name)
        or not is_folder(path)
    ]
    if wrong or not is_folder(objects):
        found = f"it holds {wrong[0]}, which no store has" if wrong else "it has no folder objects"
        raise NotAStore(f"{root} is not a store: {found}. Nothing in it was changed.")


def _parse(root: Path) -> Mark | None:
    content = read_json(root / VERSION_FILE)
    version = (content or {}).get("version")
    if content is None or content.get("format") != FORMAT or type(version) is not int:
        return None
    if version != VERSION:
        raise StoreError(
            f"The store {root} has version {version}, and this cmx-resnet50 knows {VERSION}. "
            "Update cmx-resnet50, or name another folder with CM_RESNET50_STORE."
        )
    return Mark(version, content.get("shared") is True)


def _is_of_mark(name: str) -> bool:
    return name in (TAG, VERSION_FILE) or _TEMPORARY.fullmatch(name) is not None


def _is_of_store(path: Path) -> bool:
    return _is_of_mark(path.name) or (path.name in _OF_BEFORE and is_folder(path))


def _put(root: Path, name: str, text: str) -> None:
    temporary = root / f".cmx-resnet50-store-{os.getpid()}-{os.urandom(6).hex()}"
    try:
        with open(temporary, "xb") as file:
            if sys.platform != "win32":
                os.fchmod(file.fileno(), 0o644)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(root / name)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
