"""Hostile PyTorch files, kept as recipes: each is refused, calls nothing, and costs little."""

from __future__ import annotations

import io
import pickle as python_pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import Damaged, NotReadHere
from tests.formats import torch_files as files
from tests.formats.messages import read_cheaply
from tests.formats.opcodes import call, integer, mark, name, pickle, text

DOUBLINGS = 60


def _doubled(last: bytes) -> bytes:
    """Return a tuple of itself twice, nested: small to write, endless to walk; then `last`."""
    return pickle(b")q\x00" + b"h\x00h\x00\x86q\x00" * DOUBLINGS + last)


def _reduce_of_system(tmp_path: Path) -> bytes:
    return call("os", "system", text(f"touch {tmp_path / 'called'}"))


PICKLES: dict[str, tuple[bytes, str]] = {
    "builtins.eval": (pickle(call("builtins", "eval", text("1"))), r"names 'builtins\.eval'"),
    "getattr by stack": (
        pickle(text("builtins") + text("getattr") + b"\x93"),
        r"names 'builtins\.getattr'",
    ),
    "a loader of PyTorch": (pickle(name("torch", "load")), r"names 'torch\.load'"),
    "a module of TorchScript": (pickle(name("__torch__", "M")), r"names '__torch__\.M'"),
    "a name with control letters": (pickle(name("os\x1b[2J", "x")), r"names 'os\\x1b\[2J\.x'"),
    "a storage type called": (
        pickle(call("torch", "FloatStorage", integer(1 << 30))),
        "not callable",
    ),
    "INST": (pickle(b"(ios\nsystem\n"), "opcode 0x69"),
    "OBJ": (pickle(b"(" + name("torch", "Size") + b"o"), "opcode 0x6f"),
    "EXT1": (pickle(b"\x82\x01"), "opcode 0x82"),
    "tuple doubling as a key": (_doubled(b"}h\x00Ns"), "neither text nor number"),
    "tuple doubling as a call": (
        _doubled(name("collections", "OrderedDict") + b"h\x00R"),
        "invalid arguments",
    ),
    "tuple doubling as a shape": (
        _doubled(call("torch._utils", "_rebuild_tensor", b"N", b"N", b"h\x00", b"h\x00")),
        "no storage",
    ),
    "LONG4 of 2 GB": (pickle(b"\x8b\xff\xff\xff\x7f"), "opcode 0x8b"),
    "LONG1 of 255 bytes": (pickle(b"\x8a\xff" + b"\xff" * 255), "integer of 255 bytes"),
    "decimal of 400 digits": (pickle(b"I" + b"9" * 400 + b"\n"), "invalid integer"),
    "text of 4 GB": (pickle(b"X\xff\xff\xff\xff"), "claims 4,294,967,295 bytes"),
    "text of 16 EB": (pickle(b"\x8d" + b"\xff" * 8), "bytes"),
    "negative text": (pickle(b"T\xff\xff\xff\xff"), "claims -1 bytes"),
    "much text": (
        pickle((b"X\x00\x00\x01\x00" + b"a" * 65536 + b"0") * 80),
        "more text than the limit here",
    ),
    "far memo": (pickle(b"Nr\xff\xff\xff\xff"), "no named weights"),
    "memo that is not there": (pickle(b"j\xff\xff\xff\xff"), "never stored"),
    "lists in lists": (pickle(b"]" * 400_000), "opcodes"),
    "marks in marks": (pickle(b"(" * 100_000), "deeper than 256"),
    "a list in itself": (pickle(b"]q\x00h\x00a"), "no named weights"),
    "many dicts": (pickle(b"}q\x00" * 200_000), "opcodes"),
    "endless line": (pickle(b"c" + b"a" * 100_000), "longer than 512"),
    "frames": (pickle(b"\x95" + b"\xff" * 8), "no|value"),
    "stack underflow": (pickle(b"\x87"), "does not exist"),
    "mark taken as a value": (pickle(b"(\x85"), "does not exist"),
    "append to a tuple": (pickle(b")Na"), "other than a list"),
    "set an item of a list": (pickle(b"]NNs"), "other than a dict"),
    "odd items": (pickle(b"}(Nu"), "without a value"),
    "a negative size": (
        pickle(
            call(
                "torch._utils",
                "_rebuild_tensor",
                files.storage("fc.bias", 10, legacy=False),
                integer(0),
                mark(integer(-1)),
                mark(integer(1)),
            )
        ),
        "is invalid",
    ),
    "a storage out of the archive": (
        pickle(files.storage("../../etc/passwd", 10, legacy=False)),
        "lacks the storage",
    ),
    "bytes after the pickle": (pickle(b"}") + b"more", "follow the end of the pickle"),
}


@pytest.mark.parametrize("kind", PICKLES)
def test_hostile_pickles(tmp_path: Path, kind: str) -> None:
    body, reason = PICKLES[kind]
    path = tmp_path / "model.pth"
    path.write_bytes(files.zipped(body))
    with pytest.raises(Exception, match=reason) as caught:
        read_facts(path)
    assert type(caught.value).__module__ == "cmx_resnet50.formats.facts"


@pytest.mark.parametrize("container", ["tar", "pickle", "zip"])
def test_a_call_is_refused_by_name_and_not_made(tmp_path: Path, container: str) -> None:
    body = pickle(_reduce_of_system(tmp_path))
    path = tmp_path / "model.pth"
    path.write_bytes(
        {
            "tar": lambda: files.tar({**files.tar_files(), "pickle": body}),
            "pickle": lambda: files.legacy(body),
            "zip": lambda: files.zipped(body),
        }[container]()
    )
    with pytest.raises(NotReadHere, match=r"names 'os\.system', .* not called \(at byte \d+\)"):
        read_facts(path)
    assert not (tmp_path / "called").exists()
    # The recipe is no dud: Python's own unpickler makes the call.
    python_pickle.loads(body)
    assert (tmp_path / "called").exists()


def test_every_pickle_of_a_tar_is_guarded(tmp_path: Path) -> None:
    honest = files.tar_files()
    path = tmp_path / "model.pth"
    for member in honest:
        path.write_bytes(files.tar({**honest, member: pickle(_reduce_of_system(tmp_path))}))
        with pytest.raises(NotReadHere, match=r"names '(os|posix)\.system'"):
            read_facts(path)
    assert not (tmp_path / "called").exists()


def _central(raw: bytes, field: int, layout: str, value: int, entry: int = 0) -> bytes:
    """Return a zip archive with a number of one directory entry changed."""
    at = -1
    for _ in range(entry + 1):
        at = raw.index(b"PK\x01\x02", at + 1)
    changed = bytearray(raw)
    struct.pack_into(layout, changed, at + field, value)
    return bytes(changed)


def _overlapping() -> bytes:
    raw = files.zipped()
    second = raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 1)
    (size,) = struct.unpack_from("<I", raw, second + 20)
    return _central(_central(raw, 20, "<I", size + 64, 1), 24, "<I", size + 64, 1)


def _bomb(size: int) -> bytes:
    """Return a zip whose pickle unpacks to `size` zeros."""
    return files.zipped(bytes(size), method=zipfile.ZIP_DEFLATED, shapes={})


def _crowd(entries: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for index in range(entries):
            archive.writestr(f"a/{index}", b"")
    return out.getvalue()


def _end(raw: bytes, at: int, layout: str, value: int) -> bytes:
    changed = bytearray(raw)
    struct.pack_into(layout, changed, len(raw) - 22 + at, value)
    return bytes(changed)


def _encrypted() -> bytes:
    return _central(files.zipped(), 8, "<H", 1)


def _many_numbers() -> bytes:
    held = files.tar_files()
    held["tensors"] = pickle(integer(2_000_000_000))
    return files.tar(held)


def _tar_size(value: bytes) -> bytes:
    raw = bytearray(files.tar(files.tar_files()))
    raw[124:136] = value
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    return bytes(raw)


ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip: up": (lambda: files.zipped(extra={"archive/../../x": b""}), "points out of it"),
    "zip: absolute": (lambda: files.zipped(extra={"/etc/x": b""}), "points out of it"),
    "zip: drive": (lambda: files.zipped(extra={"C:x": b""}), "points out of it"),
    "zip: overlap": (_overlapping, "overlap|altered|another|reaches"),
    "zip: bomb of 100 MB": (lambda: _bomb(100_000_000), "more than the limit here"),
    "zip: bomb of 15 MB": (lambda: _bomb(15_000_000), "opcode"),
    "zip: many bombs": (
        lambda: files.zipped(
            extra={f"archive/code/{n}": bytes(15_000_000) for n in range(5)},
            method=zipfile.ZIP_DEFLATED,
        ),
        "more than the limit here",
    ),
    "zip: lies about its size": (
        lambda: _central(_bomb(15_000_000), 24, "<I", 1_000_000),
        "does not inflate to the declared 1,000,000 bytes",
    ),
    "zip: packed weights": (
        lambda: files.zipped(method=zipfile.ZIP_DEFLATED, shapes={"a": (2000,)}),
        "a storage is compressed",
    ),
    "zip: encrypted": (_encrypted, "encrypted"),
    "zip: crowd": (lambda: _crowd(30_000), "claims 30,000 entries"),
    "zip: count": (lambda: _end(files.zipped(), 10, "<H", 9), "volumes"),
    "zip: directory elsewhere": (lambda: _end(files.zipped(), 16, "<I", 7), "not where"),
    "zip: comment": (lambda: files.zipped() + b"trailing", "follow the end|without its directory"),
    "zip: no directory": (lambda: files.zipped()[:-22], "without its directory"),
    "zip: entry beyond": (
        lambda: _central(files.zipped(), 42, "<I", 0x7FFFFFFF),
        "not where",
    ),
    "tar: up": (lambda: files.tar({**files.tar_files(), "../x": b""}), "points out of it"),
    "tar: absolute": (lambda: files.tar({**files.tar_files(), "/x": b""}), "points out of it"),
    "tar: link": (
        lambda: files.tar(files.tar_files(), type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0),
        "not a regular file",
    ),
    "tar: crowd": (
        lambda: files.tar({**files.tar_files(), **{f"f{n}": b"" for n in range(50)}}),
        "more than 16 files",
    ),
    "tar: renamed": (
        lambda: files.tar(files.tar_files(), pax_headers={"path": "x"}),
        "renames a file",
    ),
    "tar: size of 8 GB": (lambda: _tar_size(b"77777777777\0"), "is cut"),
    "tar: size in base 256": (lambda: _tar_size(b"\x80" + b"\xff" * 11), "is invalid"),
    "tar: bytes after the end": (
        lambda: files.tar(files.tar_files()) + b"x",
        "follow the end mark",
    ),
    "tar: two billion tensors": (_many_numbers, "claims 2,000,000,000 tensors"),
}


MAY_BE_VALID = {
    "zip: bomb of 100 MB",
    "zip: bomb of 15 MB",
    "zip: many bombs",
    "zip: packed weights",
    "zip: encrypted",
    "zip: crowd",
    "zip: count",
    "tar: crowd",
    "tar: renamed",
    "tar: two billion tensors",
}
"""Of those, what exceeds a limit of the reader, or is not known to it."""


@pytest.mark.parametrize("kind", ARCHIVES)
def test_hostile_archives(tmp_path: Path, kind: str) -> None:
    recipe, reason = ARCHIVES[kind]
    path = tmp_path / "model.pth"
    path.write_bytes(recipe())
    expected = NotReadHere if kind in MAY_BE_VALID else Damaged
    with pytest.raises(expected, match=reason):
        read_facts(path)


def _opcodes() -> bytes:
    return files.zipped(pickle(b"]q\x00" * 1_000_000))


def _memo() -> bytes:
    return files.zipped(pickle(b"}" + b"\x94" * 1_000_000))


def _names() -> bytes:
    crowd = b"".join(text(f"{n:06}") + b"N" for n in range(200_000))
    return files.zipped(pickle(b"}(" + crowd + b"u"))


def _calls() -> bytes:
    one = name("collections", "OrderedDict") + b")R"
    return files.zipped(pickle(b"](" + one * 200_000 + b"e"))


@pytest.mark.parametrize(
    "recipe", [_opcodes, _memo, _names, _calls, lambda: _bomb(16 << 20), lambda: _crowd(22_000)]
)
def test_what_a_hostile_file_costs(tmp_path: Path, recipe: Callable[[], bytes]) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(recipe())
    assert read_cheaply(path) != "facts"


def test_strides_of_zero_do_not_make_a_large_model(tmp_path: Path) -> None:
    reference = files.storage("a", 1, legacy=False)
    huge = call(
        "torch._utils",
        "_rebuild_tensor",
        reference,
        integer(0),
        mark(*[integer(1 << 30)] * 3),
        mark(*[integer(0)] * 3),
    )
    path = tmp_path / "model.pth"
    path.write_bytes(files.zipped(pickle(b"}" + text("a") + huge + b"s"), shapes={"a": (1,)}))
    with pytest.raises(Damaged, match="together they are larger than the file"):
        read_facts(path)
