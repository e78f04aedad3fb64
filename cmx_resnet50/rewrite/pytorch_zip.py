"""A PyTorch state_dict rewritten into the zip container that today's `torch.load` reads safely.

The published ResNet-50 weights are in the tar container of PyTorch 0.1, which
`torch.load(weights_only=True)`, the default since 2.6, refuses. The tensors are copied byte for
byte; the same source gives the same bytes. PyTorch is not needed.
"""

from __future__ import annotations

import mmap
import secrets
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.formats.facts import FormatError
from cmx_resnet50.formats.protobuf import map_file
from cmx_resnet50.formats.pytorch.containers import Contents, read_contents
from cmx_resnet50.formats.pytorch.reader import is_checkpoint, state_dict
from cmx_resnet50.formats.pytorch.records import StorageRecord, TensorRecord

_ROOT = "archive"
_ALIGNMENT = 64
"""Storages begin at multiples of so many bytes, so that a memory map of them can be used."""

_CHUNK = 1 << 20
_LOCAL_HEADER = 30
_EPOCH = (1980, 1, 1, 0, 0, 0)
_PADDING_ID = b"FB"
"""Mark of the extra field that fills up to the alignment, as PyTorch itself writes it."""

_CONVERTED = ("tar", "pickle")


class ConversionError(Resnet50Error):
    """A file that cannot be converted; the text says why."""


def is_converted(path: Path) -> bool:
    """Whether `path` is a file that `convert` may have written."""
    from cmx_resnet50.formats import read_facts

    try:
        return read_facts(path, "pytorch").version.get("container") == "zip"
    except (FormatError, OSError):
        return False


def convert(source: Path, dest: Path, key: str | None = None) -> None:
    """Write the tensors of the state_dict `source`, in a tar or legacy pickle, as a zip at `dest`.

    Of a training checkpoint, in any container, the state_dict inside is written; `key` names it
    where there are several. `dest` appears under its name only when it is complete; an existing
    file is replaced.

    Raises
    ------
    ConversionError
        If `source` is not such a state_dict, is damaged, or is `dest` itself.
    OSError
        If a file cannot be read or written.
    """
    if dest.exists() and dest.samefile(source):
        raise ConversionError(f"{source} cannot be converted onto itself: choose another file")
    try:
        with map_file(source) as document:
            contents = read_contents(document.data)
            tensors = _convertible(source, contents, key)
            _publish(document.data, tensors, dest)
    except FormatError as error:
        raise ConversionError(
            f"{source} cannot be converted: {error}. Expected a PyTorch state_dict in the tar or"
            f" legacy pickle container. Details: run cmx-resnet50 inspect {source}"
        ) from error


def _convertible(source: Path, contents: Contents, key: str | None) -> dict[str, TensorRecord]:
    if contents.container != "torchscript" and (key is not None or is_checkpoint(contents)):
        return state_dict(contents, key)
    if contents.container == "zip":
        raise ConversionError(f"{source} is already in the zip container: use it as it is")
    if contents.container not in _CONVERTED:
        raise ConversionError(f"{source} is {contents.container}, not a state_dict")
    value = contents.value
    tensors = state_dict(contents) if isinstance(value, dict) and value else {}
    if not isinstance(value, dict) or not tensors or len(tensors) != len(value):
        raise ConversionError(
            f"{source} is not a state_dict: it contains something other than named tensors"
        )
    return tensors


def _publish(data: bytes | mmap.mmap, tensors: dict[str, TensorRecord], dest: Path) -> None:
    part = dest.with_name(f".{dest.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            _write(data, tensors, file)
        part.replace(dest)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _write(data: bytes | mmap.mmap, tensors: dict[str, TensorRecord], file: BinaryIO) -> None:
    keys = {}
    storages: list[StorageRecord] = []
    for tensor in tensors.values():
        storage = tensor.storage
        if _identity(storage) not in keys:
            keys[_identity(storage)] = str(len(storages))
            storages.append(storage)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        archive.writestr(_entry("data.pkl"), _pickle(tensors, keys))
        archive.writestr(_entry("byteorder"), "little")
        for storage in storages:
            entry = _entry(f"data/{keys[_identity(storage)]}")
            entry.file_size = storage.nbytes
            entry.extra = _padding(file.tell() + _LOCAL_HEADER + len(entry.filename))
            with archive.open(entry, "w") as target:
                end = storage.at + storage.nbytes
                for at in range(storage.at, end, _CHUNK):
                    target.write(data[at : min(at + _CHUNK, end)])
        archive.writestr(_entry("version"), "3\n")


def _identity(storage: StorageRecord) -> tuple[str, int, int]:
    return storage.kind, storage.at, storage.numel


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"{_ROOT}/{name}", _EPOCH)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry


def _padding(begin: int) -> bytes:
    """Return an extra field after which a storage begins at a multiple of the alignment."""
    size = -(begin + 4) % _ALIGNMENT
    return _PADDING_ID + struct.pack("<H", size) + b"Z" * size


def _pickle(tensors: dict[str, TensorRecord], keys: dict[tuple[str, int, int], str]) -> bytes:
    """Return the pickle, protocol 2, of an OrderedDict of names to tensors."""
    ordered = b"ccollections\nOrderedDict\n)R"
    out = [b"\x80\x02", ordered, b"("]
    for name, tensor in tensors.items():
        storage = tensor.storage
        out += [
            _text(name),
            b"ctorch._utils\n_rebuild_tensor_v2\n((",
            _text("storage"),
            f"ctorch\n{storage.kind}\n".encode(),
            _text(keys[_identity(storage)]),
            _text("cpu"),
            _integer(storage.numel),
            b"tQ",
            _integer(tensor.offset),
            _integers(tensor.shape),
            _integers(tensor.strides),
            b"\x89",  # requires_grad
            ordered,  # no hooks
            b"tR",
        ]
    return b"".join([*out, b"u."])


def _text(text: str) -> bytes:
    raw = text.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def _integer(number: int) -> bytes:
    if number < 1 << 31:
        return b"J" + struct.pack("<i", number)
    return b"\x8a\x08" + struct.pack("<q", number)


def _integers(numbers: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(_integer(number) for number in numbers) + b"t"
