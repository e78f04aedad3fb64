"""A folder as a mirror: of this machine, or a share. It is a bundle, which can be imported."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from cmx_resnet50.digests import CHUNK, digest_file
from cmx_resnet50.mirror.target import Advance, Named, PublishError


class FolderTarget:
    """The files below a folder. A file counts as there when its bytes, read, are right."""

    local = True

    def __init__(self, url: str) -> None:
        self._root = _path(url)
        self.printable = str(self._root)

    def holds(self, named: Named) -> bool:
        """Whether the file is there, by its digest."""
        path = self._root / named.name
        with self._explained():
            if not path.is_file() or path.stat().st_size != named.size:
                return False
            return digest_file(path).sha256 == named.sha256

    def send(self, path: Path, named: Named, advance: Advance) -> None:
        """Copy the file."""
        with (
            self._explained(),
            self._appearing(named.name) as temporary,
            open(path, "rb") as source,
            open(temporary, "xb") as made,
        ):
            while data := source.read(CHUNK):
                made.write(data)
                advance(len(data))

    def duplicate(self, first: Named, second: Named, path: Path) -> None:
        """Link the file to its second name, or copy it where no link can be made."""
        there = self._root / first.name
        with self._explained(), self._appearing(second.name) as temporary:
            try:
                os.link(there, temporary)
            except OSError:
                self.send(path, second, lambda count: None)

    def names(self, folder: str) -> list[str]:
        """Return the names in `folder`."""
        with self._explained():
            try:
                return sorted(path.name for path in (self._root / folder).iterdir())
            except FileNotFoundError:
                return []

    def read(self, name: str, limit: int) -> bytes | None:
        """Return the beginning of a file."""
        with self._explained():
            try:
                with open(self._root / name, "rb") as file:
                    return file.read(limit)
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        with self._explained(), self._appearing(name) as temporary:
            temporary.write_bytes(content)

    @contextmanager
    def _appearing(self, name: str) -> Iterator[Path]:
        """Give a path for a file that appears as `name` when it is whole."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name[:40]}-{secrets.token_hex(8)}")
        try:
            yield temporary
            if temporary.exists():
                temporary.chmod(0o644)
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = error.filename or self._root
            raise PublishError(f"{where}: {error.strerror or error}.") from error


def _path(url: str) -> Path:
    if "://" not in url:
        try:
            return Path(Path.cwd(), Path(url).expanduser())
        except RuntimeError as error:
            raise PublishError(f"{url}: {error}") from error
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path or "\0" in url:
        raise PublishError(f"{url}: a file:// address is file:///FOLDER, without a host.")
    return Path(url2pathname(parts.path))
