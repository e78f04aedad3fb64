"""PyTorch's containers: which tensors a file contains, and where their bytes are in it.

Four kinds, distinguished by their first bytes: the *tar* of PyTorch 0.1 (the published ResNet-50
weights are one), the *legacy pickle* of 0.2 to 1.5, the *zip* since 1.6, and TorchScript, a zip
that carries code. Layouts as `torch.serialization` reads them.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass

from cmx_resnet50.formats.facts import Damaged, NotAModel, NotReadHere
from cmx_resnet50.formats.pytorch.archives import Member, tar_members, unpack, zip_members
from cmx_resnet50.formats.pytorch.pickles import PickleReader
from cmx_resnet50.formats.pytorch.records import (
    PlainVocabulary,
    StorageRecord,
    TensorRecord,
    TorchVocabulary,
    count,
    storage_key,
    storage_kind,
    tensor_record,
)

_TAR_FILES = ("sys_info", "pickle", "storages", "tensors")
_ZIP = b"PK\x03\x04"
_MAGIC = 0x1950A86A20F9469CFC6C
_MAGIC_BYTES = b"\x8a\x0a" + _MAGIC.to_bytes(10, "little")
_LEGACY_PROTOCOL = 1001
_TAR_PROTOCOL = 1000
_PICKLE = b"\x80"
_MAGIC_WITHIN = 32
_TENSORS = 20_000
"""Tensors and storages in one file; a ResNet-50 has 267 to 320."""

_DIMENSIONS = 64


@dataclass(frozen=True)
class Contents:
    """The contents of a PyTorch file.

    Parameters
    ----------
    container : str
        ``tar``, ``pickle``, ``zip`` or ``torchscript``.
    value : object
        What the main pickle describes: for a state_dict, a dict of names to tensors.
    tensors : tuple of TensorRecord
        All tensors in the order of the file, each with a `StorageRecord`.
    """

    container: str
    value: object
    tensors: tuple[TensorRecord, ...]


def container_of(head: bytes) -> str | None:
    """Return ``tar``, ``pickle`` or ``zip`` by the first bytes of a file, or None.

    `head` should be 2 KB or the complete file; a zip may still be anything.
    """
    if head.startswith(_ZIP):
        return "zip"
    if head.startswith(_PICKLE) and _MAGIC_BYTES in head[:_MAGIC_WITHIN]:
        return "pickle"
    if head[257:262] == b"ustar":
        # Python may put an extended header, named after the file, in front of the first file.
        names = {head[:100].split(b"\0")[0].rsplit(b"/")[-1], head[1024:1124].split(b"\0")[0]}
        if any(name.encode() in names for name in _TAR_FILES):
            return "tar"
    return None


def read_contents(data: bytes | mmap.mmap) -> Contents:
    """Read the contents of a PyTorch file, without its weights.

    Raises
    ------
    NotAModel
        If it is not one of the containers.
    Damaged
        If it contradicts itself, or a storage is not completely inside it.
    """
    container = container_of(data[:2048])
    if container == "tar":
        return _read_tar(data)
    if container == "pickle":
        return _read_legacy(data)
    if container == "zip":
        return _read_zip(data)
    raise NotAModel("is not one of PyTorch's containers (tar, pickle, zip)", 0)


def _read_tar(data: bytes | mmap.mmap) -> Contents:
    members = tar_members(data)
    for name in _TAR_FILES:
        if name not in members:
            raise Damaged(f"the tar archive lacks the file {name!r}")
    plain = PickleReader(data, PlainVocabulary())
    _check_system(
        plain.load(members["sys_info"].at, members["sys_info"].end)[0],
        _TAR_PROTOCOL,
        members["sys_info"].at,
    )
    storages = _tar_storages(data, plain, members["storages"])
    tensors = _tar_tensors(data, plain, members["tensors"], storages)

    def resolve(persistent: object, at: int) -> object:
        if isinstance(persistent, str) and persistent.isascii() and persistent.isdigit():
            found = tensors.get(int(persistent)) if len(persistent) < 24 else None
            if found is not None:
                return found
        raise Damaged("the pickle refers to a tensor that the file does not contain", at)

    main = members["pickle"]
    value, end = PickleReader(data, TorchVocabulary(resolve)).load(main.at, main.end)
    _check_end("pickle", end, main)
    return Contents("tar", value, tuple(tensors.values()))


def _tar_storages(
    data: bytes | mmap.mmap, plain: PickleReader, member: Member
) -> dict[str | int, StorageRecord]:
    storages: dict[str | int, StorageRecord] = {}
    total, position = plain.load(member.at, member.end)
    for _ in range(_bounded(total, member.at)):
        at = position
        entry, position = plain.load(position, member.end)
        key, _, kind = _items(entry, 3, at)
        storage = _storage_begin(data, storage_kind(kind, at), position, member.end)
        storages[storage_key(key, at)] = storage
        position = storage.at + storage.nbytes
    at = position
    views, position = plain.load(position, member.end)
    if not isinstance(views, list | tuple):
        raise Damaged("the views of the storages are not a list", at)
    for view in views:
        target, root, offset, numel = _items(view, 4, at)
        whole = storages.get(storage_key(root, at))
        if whole is None:
            raise Damaged("a view is of a storage that the file does not contain", at)
        storages[storage_key(target, at)] = _part(whole, count(offset, at), count(numel, at), at)
    _check_end("storages", position, member)
    return storages


def _tar_tensors(
    data: bytes | mmap.mmap,
    plain: PickleReader,
    member: Member,
    storages: dict[str | int, StorageRecord],
) -> dict[str | int, TensorRecord]:
    tensors: dict[str | int, TensorRecord] = {}
    total, position = plain.load(member.at, member.end)
    for _ in range(_bounded(total, member.at)):
        at = position
        entry, position = plain.load(position, member.end)
        key, storage, _ = _items(entry, 3, at)
        # The number of dimensions, 4 unused bytes, sizes, strides, offset.
        (dimensions,) = _numbers(data, "<i", position, member.end)
        if not 0 <= dimensions <= _DIMENSIONS:
            raise Damaged(f"a tensor has {dimensions} dimensions", position)
        position += 8
        layout = f"<{2 * dimensions + 1}q"
        numbers = _numbers(data, layout, position, member.end)
        position += struct.calcsize(layout)
        whole = storages.get(storage_key(storage, at))
        tensors[storage_key(key, at)] = tensor_record(
            whole, numbers[-1], numbers[:dimensions], numbers[dimensions:-1], at
        )
    _check_end("tensors", position, member)
    return tensors


def _read_legacy(data: bytes | mmap.mmap) -> Contents:
    plain = PickleReader(data, PlainVocabulary())
    magic, position = plain.load(0, len(data))
    if magic != _MAGIC:
        raise NotAModel("is a pickle, but not one of PyTorch's", 0)
    at = position
    protocol, position = plain.load(position, len(data))
    system, position = plain.load(position, len(data))
    _check_system(system, _LEGACY_PROTOCOL, at, protocol)
    storages: dict[str | int, StorageRecord] = {}
    parts: list[tuple[StorageRecord, StorageRecord, int]] = []

    def resolve(persistent: object, at: int) -> object:
        items = _items(persistent, 6, at)
        key, named = _named_storage(items, at)
        storage = storages.setdefault(key, named)
        if (storage.kind, storage.numel) != (named.kind, named.numel):
            raise Damaged("a storage is described in two ways", at)
        if items[5] is None:
            return storage
        _, offset, numel = _items(items[5], 3, at)
        part = _part(storage, count(offset, at), count(numel, at), at)
        parts.append((part, storage, count(offset, at)))
        return part

    vocabulary = TorchVocabulary(resolve)
    value, position = PickleReader(data, vocabulary).load(position, len(data))
    at = position
    keys, position = plain.load(position, len(data))
    if not isinstance(keys, list | tuple):
        raise Damaged("the keys of the storages are not a list", at)
    _bounded(len(keys), at)
    for key in keys:
        storage = storages.get(storage_key(key, at))
        if storage is None or storage.at >= 0:
            raise Damaged("a storage is in the file that no tensor uses, or twice", at)
        begin = _storage_begin(data, storage.kind, position, len(data))
        if begin.numel != storage.numel:
            raise Damaged(
                f"a storage has {begin.numel:,} elements instead of {storage.numel:,}", position
            )
        storage.at = begin.at
        position = begin.at + begin.nbytes
    missing = sum(storage.at < 0 for storage in storages.values())
    if missing:
        raise Damaged(f"{missing} storages are missing", position)
    if position != len(data):
        raise Damaged(f"{len(data) - position:,} bytes follow the last storage", position)
    for part, whole, offset in parts:
        part.at = whole.at + offset * whole.itemsize
    return Contents("pickle", value, tuple(vocabulary.tensors))


def _read_zip(data: bytes | mmap.mmap) -> Contents:
    members = zip_members(data)
    roots = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")]
    if len(roots) != 1 or roots[0].count("/") != 1:
        raise NotAModel("is a zip archive, but not one of PyTorch's: it has no data.pkl", 0)
    root = roots[0]
    order = members.get(f"{root}byteorder")
    if order is not None and unpack(data, order, limit=16).strip() != b"little":
        raise NotReadHere("its numbers are not little-endian", order.at)
    script = f"{root}constants.pkl" in members
    value, tensors = _zip_pickle(data, members, f"{root}data", script)
    if script:
        _, constants = _zip_pickle(data, members, f"{root}constants", script)
        tensors += constants
    return Contents("torchscript" if script else "zip", value, tuple(tensors))


def _zip_pickle(
    data: bytes | mmap.mmap, members: dict[str, Member], stem: str, script: bool
) -> tuple[object, list[TensorRecord]]:
    """Read `stem`.pkl, whose storages are the files in the folder `stem`."""

    def resolve(persistent: object, at: int) -> object:
        key, storage = _named_storage(_items(persistent, 5, at), at)
        member = members.get(f"{stem}/{key}")
        if member is None:
            raise Damaged(f"the zip archive lacks the storage {str(key)[:80]!a}", at)
        storage.at = member.at
        if member.deflated:
            raise NotReadHere("a storage is compressed, which PyTorch does not do", member.at)
        if member.size != storage.nbytes:
            raise Damaged(
                f"a storage has {member.size:,} bytes instead of {storage.nbytes:,}", member.at
            )
        return storage

    member = members[f"{stem}.pkl"]
    content = unpack(data, member)
    vocabulary = TorchVocabulary(resolve, script)
    reader = PickleReader(content, vocabulary, 0 if member.deflated else member.at)
    value, end = reader.load(0, len(content))
    if end != len(content):
        raise Damaged("bytes follow the end of the pickle", member.at + end)
    return value, vocabulary.tensors


def _named_storage(persistent: tuple[object, ...], at: int) -> tuple[str | int, StorageRecord]:
    """Return key and record of the storage that a persistent id names; its offset is not in it."""
    tag, kind, key, _, numel = persistent[:5]
    if tag not in ("storage", b"storage"):
        raise Damaged("the pickle refers to something other than a storage", at)
    return storage_key(key, at), StorageRecord(storage_kind(kind, at), count(numel, at))


def _storage_begin(data: bytes | mmap.mmap, kind: str, position: int, stop: int) -> StorageRecord:
    """Return the storage whose number of elements is at `position`, followed by its bytes."""
    (numel,) = _numbers(data, "<q", position, stop)
    storage = StorageRecord(kind, count(numel, position), position + 8)
    if storage.at + storage.nbytes > stop:
        raise Damaged(
            f"a storage claims {storage.nbytes:,} bytes where {stop - storage.at:,} are left:"
            " the file is cut or altered",
            position,
        )
    return storage


def _part(whole: StorageRecord, offset: int, numel: int, at: int) -> StorageRecord:
    if offset + numel > whole.numel:
        raise Damaged("a view exceeds its storage", at)
    return StorageRecord(whole.kind, numel, whole.at + offset * whole.itemsize)


def _numbers(data: bytes | mmap.mmap, layout: str, position: int, stop: int) -> tuple[int, ...]:
    if position + struct.calcsize(layout) > stop:
        raise Damaged("the file is cut before the numbers of a tensor", position)
    return struct.unpack_from(layout, data, position)


def _items(value: object, length: int, at: int) -> tuple[object, ...]:
    if not isinstance(value, tuple | list) or len(value) != length:
        raise Damaged("a storage or tensor has an unknown description", at)
    return tuple(value)


def _bounded(total: object, at: int) -> int:
    number = count(total, at)
    if number > _TENSORS:
        raise NotReadHere(
            f"claims {number:,} tensors or storages, more than the limit here of {_TENSORS:,}", at
        )
    return number


def _check_end(name: str, end: int, member: Member) -> None:
    if end != member.end:
        raise Damaged(f"{member.end - end:,} bytes follow the end of {name}", end)


def _check_system(system: object, protocol: int, at: int, stated: object = None) -> None:
    """Check protocol version and byte order of the machine that wrote the file."""
    if not isinstance(system, dict):
        raise Damaged("has no record of the machine that wrote it", at)
    if protocol not in (stated, system.get("protocol_version")):
        raise NotReadHere(f"is of another version of the container than {protocol}", at)
    if system.get("little_endian") is not True:
        raise NotReadHere("its numbers are not little-endian", at)
