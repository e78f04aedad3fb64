"""The journal next to a partial file: which bytes are present, of which file, from where.

It is a text file. The first line is a JSON object, `Header`; each further line, ``+START END``,
records that these bytes were written. Lines are appended after the bytes, so a process may be
killed at any point. A line that was cut, or merged with the next, does not parse and is
skipped. Nothing that is recorded here is trusted before the file's digest was compared.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch.http.validator import Validator
from cmx_resnet50.fetch.partial_file.ranges import RangeSet

VERSION = 1
LIMIT = 16 << 20
"""Bytes of a journal that are read; a longer one was not written here."""

_LINE = re.compile(r"\+(\d{1,18}) (\d{1,18})")


@dataclass(frozen=True)
class Header:
    """What the bytes belong to.

    `key` names the source by a hash, because its URL may hold secrets; `source` is the URL
    that may be shown. Without an expected digest only the same source, with the same
    validator, may continue the file.
    """

    version: int
    md5: str | None
    sha256: str | None
    size: int
    key: str
    source: str
    etag: str = ""
    modified: str = ""

    @property
    def validator(self) -> Validator:
        """The version of the remote file."""
        return Validator(self.etag, self.modified)

    def belongs_to(self, expected: Expected) -> bool:
        """Whether the bytes were fetched for a file of these digests and this size."""
        return (
            self.version == VERSION
            and (self.md5, self.sha256) == (expected.md5, expected.sha256)
            and expected.size in (None, self.size)
            and self.size <= (self.size if expected.most is None else expected.most)
        )


class Journal:
    """The journal of one partial file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def read(self) -> tuple[Header, RangeSet] | None:
        """Return the content of the journal, or None where there is no valid one."""
        try:
            with open(self.path, "rb") as file:
                text = file.read(LIMIT + 1)
        except OSError:
            return None
        first, *lines = text.decode("utf-8", "replace").split("\n")
        try:
            header = Header(**json.loads(first))
            valid = isinstance(header.size, int) and header.size >= 0 and len(text) <= LIMIT
        except (ValueError, TypeError, RecursionError):
            return None
        if not valid or not all(
            isinstance(getattr(header, name), str) for name in ("key", "source", "etag", "modified")
        ):
            return None
        ranges = RangeSet()
        # What follows the last line end was cut while it was written.
        for line in lines[:-1]:
            match = _LINE.fullmatch(line)
            if match:
                ranges.add(int(match[1]), min(int(match[2]), header.size))
        return header, ranges

    def begin(self, header: Header, ranges: RangeSet) -> None:
        """Replace the journal atomically, and keep it open to append."""
        self.close()
        new = self.path.with_name(self.path.name + ".new")
        with open(new, "wb") as file:
            file.write(json.dumps(asdict(header)).encode() + b"\n")
            file.writelines(b"+%d %d\n" % pair for pair in ranges)
        new.replace(self.path)
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 - kept until close()

    def add(self, start: int, end: int) -> None:
        """Record that the bytes from `start` to before `end` are written."""
        if self._file is not None:
            self._file.write(b"+%d %d\n" % (start, end))

    def close(self) -> None:
        """Close the file; its content stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def drop(self) -> None:
        """Remove the journal: the bytes on disk cannot be continued."""
        self.close()
        for path in (self.path, self.path.with_name(self.path.name + ".new")):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
