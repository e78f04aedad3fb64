"""The directories of tar and zip archives, read from a memory map without extracting anything.

Only what PyTorch writes is accepted: regular files with relative names, in a tar of ustar headers
or a zip whose entries do not overlap. Sizes, counts and names are checked before they are used.
Layouts: POSIX.1-2001 "ustar Interchange Format" and PKWARE's APPNOTE.TXT 6.3.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from itertools import pairwise
from typing import NamedTuple

from cmx_resnet50.formats.facts import Damaged, NotReadHere

_BLOCK = 512
_TAR_MEMBERS = 16
_PAX_BYTES = 64 << 10
_TAR_PADDING = 1 << 20

_DIRECTORY_BYTES = 1 << 20
"""Size of a zip's directory; a TorchScript ResNet-50 has about 100 KB, for 600 entries."""

INFLATED_ENTRY = 16 << 20
INFLATED_ALL = 64 << 20
"""Bytes that one deflated entry, and all of them, may claim to inflate to."""

_STORED, _DEFLATED = 0, 8
_END, _END64, _END64_AT = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_ENTRY, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
_END_SIZE, _END64_SIZE, _END64_AT_SIZE, _ENTRY_SIZE, _LOCAL_SIZE = 22, 56, 20, 46, 30
_COMMENT = 0xFFFF
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF


class Member(NamedTuple):
    """One file of an archive.

    Parameters
    ----------
    at : int
        Offset of its bytes in the archive.
    stored : int
        Bytes it occupies there.
    size : int
        Bytes it has when inflated.
    deflated : bool
        Whether its bytes are compressed; otherwise they are stored as they are.
    """

    at: int
    stored: int
    size: int
    deflated: bool = False

    @property
    def end(self) -> int:
        """Offset of the first byte after it."""
        return self.at + self.stored


def tar_members(data: bytes | mmap.mmap) -> dict[str, Member]:
    """Return the files of a tar archive by name.

    Raises
    ------
    Damaged
        If a header contradicts itself, a name points out of the archive, an entry is not a
        regular file, or the archive is cut.
    """
    members: dict[str, Member] = {}
    position = 0
    while True:
        header = data[position : position + _BLOCK]
        if len(header) < _BLOCK:
            raise Damaged("the tar archive ends without its end mark: it is cut", position)
        if not any(header):
            _check_tar_end(data, position)
            return members
        name, size, kind = _tar_header(header, position)
        member = Member(position + _BLOCK, size, size)
        if member.end > len(data):
            raise Damaged(f"{name} claims {size:,} bytes: the tar archive is cut", position)
        if kind == b"x":
            _check_pax(data, member)
        elif kind not in (b"0", b"\0"):
            raise Damaged(f"{name} is not a regular file in the tar archive", position)
        elif name in members:
            raise Damaged(f"{name} occurs twice in the tar archive", position)
        elif len(members) == _TAR_MEMBERS:
            raise NotReadHere(
                f"the tar archive has more than {_TAR_MEMBERS} files, the limit here", position
            )
        else:
            members[name] = member
        position = member.at + -(-size // _BLOCK) * _BLOCK


def zip_members(data: bytes | mmap.mmap) -> dict[str, Member]:
    """Return the files of a zip archive by name.

    Raises
    ------
    Damaged
        If the directory is missing, too large or contradicts the entries, entries overlap, inflate
        to absurd sizes, are encrypted, or a name points out of the archive.
    """
    start, size, count = _zip_directory(data)
    members: dict[str, Member] = {}
    spans = []
    position, inflated = start, 0
    for _ in range(count):
        name, member, header, position = _zip_entry(data, position, start + size)
        if name in members:
            raise Damaged(f"{name} occurs twice in the zip archive", header)
        if member.deflated:
            inflated += member.size
            if member.size > INFLATED_ENTRY or inflated > INFLATED_ALL:
                raise NotReadHere(
                    f"{name} inflates to {member.size:,} bytes, more than the limit here of"
                    f" {INFLATED_ENTRY:,}, or {INFLATED_ALL:,} for all files",
                    header,
                )
        members[name] = member
        spans.append((header, member.end, name))
    if position != start + size:
        raise Damaged("the directory of the zip archive has another length than it declares", start)
    spans.sort()
    for (_, end, name), (following, _, other) in pairwise(spans):
        if following < end:
            raise Damaged(f"{name} and {other} overlap in the zip archive", following)
    if spans and spans[-1][1] > start:
        raise Damaged(f"{spans[-1][2]} overlaps the directory of the zip archive", start)
    return members


def unpack(data: bytes | mmap.mmap, member: Member, limit: int = INFLATED_ENTRY) -> bytes:
    """Return the bytes of a member of a zip archive, at most `limit`.

    Raises
    ------
    Damaged
        If it is larger, or does not inflate to its declared size.
    """
    if member.size > limit:
        raise NotReadHere(
            f"a file of the zip archive has {member.size:,} bytes, more than the limit here of"
            f" {limit:,}",
            member.at,
        )
    packed = data[member.at : member.end]
    if not member.deflated:
        return packed
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(packed, member.size + 1)
    except zlib.error as error:
        raise Damaged(f"does not inflate: {error}", member.at) from None
    if len(content) != member.size:
        raise Damaged(f"does not inflate to the declared {member.size:,} bytes", member.at)
    return content


def _check_name(raw: bytes, at: int) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise Damaged("a name in the archive is not text", at) from None
    if (
        not name
        or not name.isprintable()
        or name.startswith("/")
        or "\\" in name
        or ":" in name
        or ".." in name.split("/")
    ):
        raise Damaged(f"the archive contains the name {name[:80]!a}, which points out of it", at)
    return name


def _tar_header(header: bytes, at: int) -> tuple[str, int, bytes]:
    """Return name, size and type of a ustar header, after its checksum."""
    blank = header[:148] + b" " * 8 + header[156:]
    if header[257:262] != b"ustar" or _octal(header[148:156], at) != sum(blank):
        raise Damaged("a header of the tar archive is altered", at)
    kind = header[156:157]
    name = header[:100].split(b"\0")[0]
    return _check_name(name, at), _octal(header[124:136], at), kind


def _octal(field: bytes, at: int) -> int:
    digits = field.strip(b"\0 ")
    if not digits or digits.strip(b"01234567"):
        raise Damaged("a number in the tar archive is invalid", at)
    return int(digits, 8)


def _check_pax(data: bytes | mmap.mmap, member: Member) -> None:
    """Skip what Python adds for fractions of seconds in times; nothing else may change."""
    if member.size > _PAX_BYTES:
        raise NotReadHere(
            f"an extended header of the tar archive has {member.size:,} bytes, more than the limit"
            f" here of {_PAX_BYTES:,}",
            member.at,
        )
    content = data[member.at : member.end]
    for record in content.split(b"\n"):
        keyword = record.partition(b" ")[2].partition(b"=")[0]
        if keyword in (b"path", b"linkpath", b"size") or keyword.startswith(b"GNU.sparse"):
            raise NotReadHere("an extended header of the tar archive renames a file", member.at)


def _check_tar_end(data: bytes | mmap.mmap, position: int) -> None:
    if len(data) - position > _TAR_PADDING or data[position:].strip(b"\0"):
        raise Damaged("bytes follow the end mark of the tar archive", position)


def _zip_directory(data: bytes | mmap.mmap) -> tuple[int, int, int]:
    """Return offset, size and count of a zip's directory from the records at its end."""
    at = data.rfind(_END, max(0, len(data) - _END_SIZE - _COMMENT))
    if at < 0 or at + _END_SIZE > len(data):
        raise Damaged("the zip archive ends without its directory: it is cut", len(data))
    disk, first, here, count, size, start, comment = struct.unpack_from("<4H2IH", data, at + 4)
    if at + _END_SIZE + comment != len(data):
        raise Damaged("bytes follow the end of the zip archive", at)
    limit = at
    locator = at - _END64_AT_SIZE
    if locator >= 0 and data[locator : locator + 4] == _END64_AT:
        (limit,) = struct.unpack_from("<Q", data, locator + 8)
        if limit + _END64_SIZE > locator or data[limit : limit + 4] != _END64:
            raise Damaged("the zip64 record of the archive is not where it should be", locator)
        disk, first, here, count, size, start = struct.unpack_from("<2I4Q", data, limit + 16)
    if disk or first or here != count:
        raise NotReadHere("the zip archive is one of several volumes", at)
    if count * _ENTRY_SIZE > size:
        raise Damaged(f"the zip archive claims {count:,} entries in {size:,} bytes", at)
    if size > _DIRECTORY_BYTES:
        raise NotReadHere(
            f"the directory of the zip archive claims {count:,} entries in {size:,} bytes, more"
            f" than the limit here of {_DIRECTORY_BYTES:,} bytes",
            at,
        )
    if start + size != limit:
        raise Damaged("the directory of the zip archive is not where it should be", at)
    return start, size, count


def _zip_entry(data: bytes | mmap.mmap, position: int, stop: int) -> tuple[str, Member, int, int]:
    """Return name, member and header offset of the entry at `position`, and the next position."""
    if position + _ENTRY_SIZE > stop or data[position : position + 4] != _ENTRY:
        raise Damaged("an entry of the zip archive's directory is altered", position)
    flags, method = struct.unpack_from("<2H", data, position + 8)
    stored, size, named, extra, comment = struct.unpack_from("<2I3H", data, position + 20)
    (header,) = struct.unpack_from("<I", data, position + 42)
    after_name = position + _ENTRY_SIZE + named
    following = after_name + extra + comment
    if following > stop:
        raise Damaged("an entry of the zip archive's directory is cut", position)
    raw_name = data[position + _ENTRY_SIZE : after_name]
    name = _check_name(raw_name, position)
    if _FULL32 in (stored, size, header):
        stored, size, header = _zip64(
            data[after_name : after_name + extra], (size, stored, header), position
        )
    if flags & 1:
        raise NotReadHere(f"{name} is encrypted", position)
    if method not in (_STORED, _DEFLATED):
        raise NotReadHere(f"{name} is compressed in a way that PyTorch does not write", position)
    if method == _STORED and stored != size:
        raise Damaged(f"{name} is stored with two lengths", position)
    if header + _LOCAL_SIZE > len(data) or data[header : header + 4] != _LOCAL:
        raise Damaged(f"{name} is not where the zip archive's directory says", position)
    local_named, local_extra = struct.unpack_from("<2H", data, header + 26)
    begin = header + _LOCAL_SIZE
    if data[begin : begin + local_named] != raw_name:
        raise Damaged(f"{name} has another name in its local header", header)
    at = begin + local_named + local_extra
    if at + stored > len(data):
        raise Damaged(f"{name} claims {stored:,} bytes: the zip archive is cut", header)
    return name, Member(at, stored, size, method == _DEFLATED), header, following


def _zip64(extra: bytes, numbers: tuple[int, int, int], at: int) -> tuple[int, int, int]:
    """Return stored size, size and header offset, with those of 64 bits filled in."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == 1:
            wide = extra[position + 4 : position + 4 + length]
            found = []
            for number in numbers:
                if number == _FULL32:
                    if len(wide) < 8:
                        break
                    number, wide = int.from_bytes(wide[:8], "little"), wide[8:]
                found.append(number)
            if len(found) == len(numbers):
                size, stored, header = found
                return stored, size, header
            break
        position += 4 + length
    raise Damaged("an entry of the zip archive lacks its 64-bit sizes", at)
