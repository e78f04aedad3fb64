"""Where everything is in a store, and how its small files are written: in one step.

::

    cmx-resnet50-store.json            the mark, see ``mark``; and CACHEDIR.TAG
    objects/<aa>/<sha256>/data         the bytes, mode 0444
    objects/<aa>/<sha256>/record.json  provenance
    objects/<aa>/<sha256>/stamp        when its digests were compared, see ``stat_stamp``
    objects/<aa>/<sha256>/keys         the keys that are not digests and that it answers
    aliases/<key>                      the sha256 that a key stands for
    placements/<sha256>/<id>.json      a file that was placed, see ``placements``
    verified/<key>                     the sha256 of a download, see ``verified``
    incoming/<key>/partial             what is being made, and the maker's own files beside it
    locks/<name>.lock, .holder         see ``locks``
    temporary/                         files on their way, never read
    models/<sha256>/                   what is delivered where the user names no folder
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cmx_resnet50.store.access import (
    Access,
    access,
    folder_mode,
    foreign_error,
    require_own,
    withdraw_write,
)
from cmx_resnet50.store.files import children, is_folder, read_small, remove
from cmx_resnet50.store.link_or_copy import stale, temporary_beside
from cmx_resnet50.store.mark import VERSION_FILE, Mark, read_mark, write_mark
from cmx_resnet50.store.model import StoreError

_KEY = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,158}[a-z0-9])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGEST_KEY = re.compile(r"(?:sha256-[0-9a-f]{64}|md5-[0-9a-f]{32})")


def checked_key(key: str) -> str:
    """Return `key` if it can name an object on every file system.

    Raises
    ------
    StoreError
        If it is not 1 to 160 of ``a-z 0-9 . _ -`` between letters or digits, or if it claims
        to be a digest and is none.
    """
    if not is_key(key):
        raise StoreError(
            f"{key!r} is not a key of the store: 1 to 160 of a-z, 0-9, '.', '_' and '-', "
            "that begin and end with a letter or digit."
        )
    if is_digest(key) and not _DIGEST_KEY.fullmatch(key):
        raise StoreError(f"{key!r} is not a key of the store: its digest has the wrong length.")
    return key


def is_key(name: str) -> bool:
    """Whether `name` can be a key of the store."""
    return _KEY.fullmatch(name) is not None


def is_digest(key: str) -> bool:
    """Whether `key` is a digest of the object itself, which every object is compared with."""
    return key.startswith(("sha256-", "md5-"))


def is_sha256(text: str) -> bool:
    """Whether `text` is a sha256 in lower-case hexadecimal."""
    return _SHA256.fullmatch(text) is not None


def contradiction(keys: tuple[str, ...], sha256: str, md5: str) -> str | None:
    """Return the first digest key in `keys` that is not of these digests, or None."""
    own = {"sha256": sha256, "md5": md5}
    for key in keys:
        kind, _, value = key.partition("-")
        if own.get(kind, value) != value:
            return key
    return None


def plain(path: Path) -> Path:
    """Return `path` absolute and without ``..``; unlike resolve(), a link at its end stays."""
    return Path(os.path.abspath(path))  # noqa: PTH100


class Layout:
    """The paths of one store, and its small files.

    Parameters
    ----------
    root : Path
        The store's folder; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = plain(root)
        self._temporaries = self.root / "temporary" / "file"
        self._mark: Mark | None = None

    @property
    def shared(self) -> bool:
        """Whether a group writes the store."""
        return self._mark is not None and self._mark.shared

    def access(self) -> Access:
        """Return whose store this is.

        Raises
        ------
        NotAStore
            If the folder holds something else.
        """
        return access(self.root, self.require())

    def require(self) -> Mark | None:
        """Return the mark of the store, or None where there is nothing yet.

        Raises
        ------
        NotAStore
            If the folder holds something else.
        """
        if self._mark is None:
            self._mark = read_mark(self.root)
        return self._mark

    def prepare(self) -> None:
        """Make sure that the folder is a store that this user writes, before anything is written.

        Raises
        ------
        NotAStore
            If the folder holds something else.
        StoreReadOnly
            If it is another user's.
        """
        whose = self.access()
        if whose is Access.FOREIGN:
            raise foreign_error(self.root)
        if self._mark is None or not os.path.lexists(self.root / VERSION_FILE):
            self._mark = self._mark or Mark()
            write_mark(self.root, self._mark)
        if whose is Access.OWN:
            withdraw_write(self.root)

    def models(self, name: str) -> Path:
        """Folder for what is delivered where the user names none."""
        return self.root / "models" / name

    def folder(self, sha256: str) -> Path:
        """Folder of an object."""
        return self.root / "objects" / sha256[:2] / sha256

    def data(self, sha256: str) -> Path:
        """File of an object's bytes."""
        return self.folder(sha256) / "data"

    def placements(self, sha256: str) -> Path:
        """Folder of the records of the places that an object fills."""
        return self.root / "placements" / sha256

    def partial(self, key: str) -> Path:
        """File in which the object of `key` is made; the same for every attempt."""
        return self.root / "incoming" / key / "partial"

    def lock(self, name: str) -> Path:
        """Lock file of that name."""
        return self.root / "locks" / f"{name}.lock"

    def temporary(self) -> Path:
        """Return a fresh name on the store's file system, in an existing folder."""
        self.make_folder(self._temporaries.parent)
        return temporary_beside(self._temporaries)

    def left_temporary(self) -> Iterator[Path]:
        """Yield the temporary files and folders of processes of this host that have ended."""
        return stale(self._temporaries)

    def write(self, path: Path, text: str, *, durable: bool = True) -> None:
        """Put `text` at `path` in one step, whatever is there.

        Parameters
        ----------
        durable : bool
            Whether it is on the disk before it has its name, so that no power loss leaves an
            empty file. Without, only for what is rebuilt at no cost of fetching.
        """
        temporary = self.temporary()
        try:
            # "x": nothing that is there already is written to.
            with open(temporary, "xb") as file:
                if self.shared and sys.platform != "win32":  # whatever the umask
                    os.fchmod(file.fileno(), 0o644)
                file.write(text.encode())
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            self.move(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def move(self, source: Path, path: Path) -> None:
        """Put the file `source` at `path` in one step; folders in the way are cleared away."""
        try:
            self.make_folder(path.parent)
            source.replace(path)
        except (IsADirectoryError, PermissionError):
            if not path.is_dir() or path.is_symlink():
                raise
            self.clear(path)
            source.replace(path)

    def make_folder(self, folder: Path) -> None:
        """Make `folder`, below the root; a file or a link in its way is removed."""
        self.prepare()
        path = self.root
        for part in folder.relative_to(self.root).parts:
            path /= part
            if self._make_one(path):
                continue
            if path.parent == self.root:
                raise StoreError(f"{path} is not a folder, as it is in a store. Move it away.")
            path.unlink(missing_ok=True)
            self._make_one(path)

    def _make_one(self, path: Path) -> bool:
        """Make the folder `path` if nothing is there; whether a folder of ours is there then."""
        mode = folder_mode(path.relative_to(self.root).parts[0], shared=self.shared)
        try:
            path.mkdir(mode=mode)
        except FileExistsError:
            if not is_folder(path):
                return False
            if path.parent == self.root and not self.shared:
                require_own(path)
        else:
            if self.shared:  # whatever the umask
                path.chmod(mode)
        return True

    def clear(self, path: Path) -> None:
        """Remove a file or a whole folder of the store, from its name in one step."""
        temporary = self.temporary()
        try:
            path.rename(temporary)
        except FileNotFoundError:
            return
        remove(temporary)

    def alias(self, key: str) -> str | None:
        """Return the sha256 that `key` stands for, if it is known."""
        self.require()
        kind, _, value = key.partition("-")
        if kind == "sha256":
            return value
        text = (read_small(self.root / "aliases" / key) or "").strip()
        return text if is_sha256(text) else None

    def bind(self, key: str, sha256: str) -> None:
        """Let `key` stand for an object."""
        if not key.startswith("sha256-") and self.alias(key) != sha256:
            self.write(self.root / "aliases" / key, sha256 + "\n")

    def aliases(self) -> Iterator[tuple[str, str]]:
        """Every key but the sha256 ones, with the sha256 that it stands for."""
        for path in children(self.root / "aliases"):
            sha256 = self.alias(path.name) if is_key(path.name) else None
            if sha256 is not None:
                yield path.name, sha256

    def digests(self) -> Iterator[str]:
        """The sha256 of every object folder."""
        self.require()
        for group in children(self.root / "objects"):
            for folder in children(group):
                if is_sha256(folder.name) and folder.name[:2] == group.name:
                    yield folder.name


def drop_empty(folder: Path) -> None:
    """Remove `folder` if no file in it holds a byte: there is nothing to go on from."""
    with suppress(OSError):
        if not any(path.is_dir() or path.lstat().st_size for path in folder.iterdir()):
            remove(folder)
