"""PyTorch files made by hand, opcode by opcode, for the tests of their reader."""

from __future__ import annotations

import io
import math
import struct
import tarfile
import zipfile
from collections.abc import Mapping

from tests.formats.opcodes import call, integer, mark, name, pickle, text

MAGIC = 0x1950A86A20F9469CFC6C
Shapes = Mapping[str, tuple[int, ...]]

SHAPES: Shapes = {"conv.weight": (4, 3, 2, 2), "fc.weight": (10, 4), "fc.bias": (10,)}
COUNT = sum(math.prod(shape) for shape in SHAPES.values())


def content(key: str, numel: int) -> bytes:
    """Return float32 values that differ from storage to storage."""
    return struct.pack(f"<{numel}f", *(sum(key.encode()) + i for i in range(numel)))


def storage(key: str, numel: int, *, legacy: bool, kind: str = "FloatStorage") -> bytes:
    """Return the opcodes of a reference to a storage."""
    items = [text("storage"), name("torch", kind), text(key), text("cpu"), integer(numel)]
    return mark(*items, *([b"N"] if legacy else [])) + b"Q"


def tensor(reference: bytes, shape: tuple[int, ...], offset: int = 0) -> bytes:
    """Return the opcodes of a contiguous tensor on a storage."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    hooks = name("collections", "OrderedDict") + b")R"
    numbers = [mark(*map(integer, shape)), mark(*map(integer, strides))]
    return call(
        "torch._utils", "_rebuild_tensor_v2", reference, integer(offset), *numbers, b"\x89", hooks
    )


def state_dict(shapes: Shapes = SHAPES, *, legacy: bool) -> bytes:
    """Return the pickle of a state_dict; each tensor has a storage of its own name."""
    items = b"".join(
        text(key) + tensor(storage(key, math.prod(shape), legacy=legacy), shape)
        for key, shape in shapes.items()
    )
    return pickle(name("collections", "OrderedDict") + b")R(" + items + b"u")


def system(protocol: int, little: bytes = b"\x88") -> bytes:
    """Return the pickle that tells of the machine that wrote a file."""
    told = text("protocol_version") + integer(protocol) + text("little_endian") + little
    return pickle(b"}(" + told + b"u")


def magic() -> bytes:
    """Return the pickle that a legacy file begins with."""
    return pickle(b"\x8a\x0a" + MAGIC.to_bytes(10, "little"))


def legacy(main: bytes | None = None, shapes: Shapes = SHAPES, little: bytes = b"\x88") -> bytes:
    """Return a file in the legacy pickle container."""
    keys = pickle(b"](" + b"".join(map(text, shapes)) + b"e")
    tail = b"".join(
        struct.pack("<q", math.prod(shape)) + content(key, math.prod(shape))
        for key, shape in shapes.items()
    )
    main = state_dict(shapes, legacy=True) if main is None else main
    return magic() + pickle(integer(1001)) + system(1001, little) + main + keys + tail


def zipped(
    main: bytes | None = None,
    extra: Mapping[str, bytes] | None = None,
    shapes: Shapes = SHAPES,
    method: int = zipfile.ZIP_STORED,
) -> bytes:
    """Return a file in the zip container; `extra` holds more files, under their full names."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        main = state_dict(shapes, legacy=False) if main is None else main
        archive.writestr("archive/data.pkl", main)
        for key, shape in shapes.items():
            archive.writestr(f"archive/data/{key}", content(key, math.prod(shape)))
        for file, held in (extra or {}).items():
            archive.writestr(file, held)
        archive.writestr("archive/version", "3\n")
    return out.getvalue()


def tar(files: Mapping[str, bytes], **header: object) -> bytes:
    """Return a tar archive; `header` sets attributes of each TarInfo."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for file, held in files.items():
            info = tarfile.TarInfo(file)
            info.size = len(held)
            for key, value in header.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(held))
    return out.getvalue()


def tar_files(shapes: Shapes = SHAPES) -> dict[str, bytes]:
    """Return the four files of the tar container, keys and text as Python 2 wrote them."""
    storages = [pickle(integer(len(shapes)))]
    tensors = [pickle(integer(len(shapes)))]
    pairs = b""
    for index, (key, shape) in enumerate(shapes.items()):
        where, there = (
            b"I%d\n" % (94_000_000_000_000 + index),
            b"I%d\n" % (95_000_000_000_000 + index),
        )
        numel = math.prod(shape)
        storages.append(pickle(mark(where, text("cpu"), name("torch", "FloatStorage"))))
        storages.append(struct.pack("<q", numel) + content(key, numel))
        tensors.append(pickle(mark(there, where, name("torch", "FloatTensor"))))
        strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        numbers = (*shape, *strides, 0)
        tensors.append(struct.pack(f"<ii{len(numbers)}q", len(shape), 0, *numbers))
        identity = there[1:-1]
        pairs += b"](" + b"U" + bytes([len(key)]) + key.encode()
        pairs += b"U" + bytes([len(identity)]) + identity + b"Qe"
    main = pickle(name("collections", "OrderedDict") + b"](" + pairs + b"e\x85R")
    return {
        "sys_info": system(1000),
        "pickle": main,
        "tensors": b"".join(tensors),
        "storages": b"".join([*storages, pickle(b"]")]),
    }
