"""A zip or gzip file that is made to harm: refused in words, within a bound of memory and time."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50 import Resnet50Error, get, unzip
from cmx_resnet50.gunzip import UnpackError
from tests.api.conftest import World

ANY: dict[str, Any] = {"progress": False, "accept_any": True, "offline": True}


def zipped(method: int, **members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


NAMES = [
    "../x",
    "/etc/x",
    "a\\..\\x",
    "C:\\x",
    "CON",
    "a/../../x",
    "./x",
    "~/x",
    "-rf",
    "\x1b[31m",
    "\u202ex",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_members_name_is_no_path(world: World, user: Path, name: str) -> None:
    content = world.served["onnx-opset-8"].read_bytes()
    (user / "mine.zip").write_bytes(zipped(zipfile.ZIP_DEFLATED, **{name: content}))
    before = sorted(user.parent.glob("*"))
    model = get("onnx", checkpoint="mine.zip", **ANY)
    assert (model.path.name, model.path.read_bytes()) == ("resnet50_v1.onnx", content)
    assert sorted(path for path in user.parent.glob("*") if path.name != "store") == [
        path for path in before if path.name != "store"
    ]
    assert [path.name for path in user.iterdir()] == ["mine.zip"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
def test_what_python_unpacks_without_a_bound_is_refused(user: Path, method: int) -> None:
    """Of lzma, a megabyte becomes seven gigabytes in one piece."""
    (user / "mine.zip").write_bytes(zipped(method, model=b"\x08\x06" + bytes(300 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(Resnet50Error, match="compressed by another method than deflate"):
            get("onnx", checkpoint="mine.zip", **ANY)
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()


def test_members_without_content_are_refused(user: Path) -> None:
    """Each costs a copy of what follows it."""
    (user / "mine.gz").write_bytes(gzip.compress(b"") * 200_000)
    with pytest.raises(Resnet50Error, match=r"more than 1,001 members, most of them empty"):
        get("onnx", checkpoint="mine.gz", **ANY)


@pytest.mark.parametrize("large", [False, True], ids=["zip", "zip64"])
def test_a_list_without_end_is_not_read(user: Path, large: bool) -> None:
    """Python takes a second for each 3 MB of it, and nine times the memory."""
    entry = b"PK\x01\x02\x14\0\x14" + bytes(21) + b"\1" + bytes(17) + b"a"
    local, listed = b"PK\x03\x04" + bytes(26), entry * 100_000
    size = 0xFFFFFFFF if large else len(listed)
    record = b"PK\x05\x06" + bytes(4) + b"\xff\xff" * 2 + struct.pack("<2LH", size, len(local), 0)
    if large:
        at = len(local) + len(listed)
        counts = struct.pack("<2Q", 100_000, 100_000)
        first = struct.pack("<Q2H2L", 44, 45, 45, 0, 0) + counts
        first += struct.pack("<2Q", len(listed), len(local))
        record = b"PK\x06\x06" + first + struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1) + record
    (user / "mine.zip").write_bytes(local + listed + record)
    with zipfile.ZipFile(user / "mine.zip") as archive:
        assert len(archive.infolist()) == 100_000
    with pytest.raises(Resnet50Error, match=r"lists too many members\."):
        get("onnx", checkpoint="mine.zip", **ANY)


def mutated(seed: int) -> Iterator[bytes]:
    """Yield zip files with a few bytes changed where a zip file says what it holds."""
    chance = random.Random(seed)
    bodies = {"model.onnx": b"\x08\x06" + chance.randbytes(200), "notes.txt": b"x" * 30}
    packed = [zipped(method, **bodies) for method in (0, 8, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)]
    for _ in range(1500):
        made = bytearray(chance.choice(packed))
        for _ in range(chance.randint(1, 4)):
            near = chance.randrange(60)
            at = near if chance.random() < 0.4 else len(made) - 1 - chance.randrange(190)
            if chance.random() < 0.9:
                made[at] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
            else:
                del made[at : at + chance.randrange(9)]
        yield bytes(made)


@pytest.mark.parametrize("seed", range(2))
def test_any_damage_is_told(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "x.zip"
    for number, content in enumerate(mutated(seed)):
        path.write_bytes(content)
        with warnings.catch_warnings(), unzip.opened(path) as archive:
            for info in archive.files if archive is not None else ():
                target = tmp_path / f"{number}"
                try:
                    archive.head(info, 64)  # type: ignore[union-attr]
                    archive.extract(info, target, limit=1 << 20)  # type: ignore[union-attr]
                except UnpackError as error:
                    assert "cannot be unpacked" in str(error)
                target.unlink(missing_ok=True)
