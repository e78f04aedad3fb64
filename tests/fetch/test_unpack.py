"""Unpacking gzip: whole or not at all, and never without a bound."""

from __future__ import annotations

import copy
import gzip
import hashlib
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmx_resnet50.catalog.table import Catalog, Request
from cmx_resnet50.delivery.delivered import Delivery
from cmx_resnet50.delivery.pipeline import Pipeline
from cmx_resnet50.gunzip import UnpackError, gunzip
from cmx_resnet50.options import Options

TEXT = b"weights and biases, " * 5000


def unpack(tmp_path: Path, packed: bytes, limit: int = len(TEXT)) -> bytes:
    source, dest = tmp_path / "model.gz", tmp_path / "model"
    source.write_bytes(packed)
    digests = gunzip(source, dest, limit=limit)
    data = dest.read_bytes()
    assert digests.size == len(data)
    assert digests.sha256 == hashlib.sha256(data).hexdigest()
    return data


def test_what_was_packed_comes_out(tmp_path: Path) -> None:
    assert unpack(tmp_path, gzip.compress(TEXT)) == TEXT
    assert unpack(tmp_path, gzip.compress(b"")) == b""
    assert unpack(tmp_path, gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:])) == TEXT


@given(parts=st.lists(st.binary(max_size=300), min_size=1, max_size=4), repeat=st.integers(1, 9000))
def test_any_members_come_out(parts: list[bytes], repeat: int, tmp_path: Path) -> None:
    whole = b"".join(part * repeat for part in parts)
    packed = b"".join(gzip.compress(part * repeat, 1) for part in parts)
    assert unpack(tmp_path, packed, len(whole)) == whole


@given(end=st.integers(0, len(gzip.compress(TEXT)) - 1))
def test_a_cut_archive_is_refused(end: int, tmp_path: Path) -> None:
    with pytest.raises(UnpackError, match="is truncated"):
        unpack(tmp_path, gzip.compress(TEXT)[:end])
    assert not (tmp_path / "model").exists()


def test_other_data_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress(TEXT)
    with pytest.raises(UnpackError, match="trailing data"):
        unpack(tmp_path, packed + b"<html>")
    with pytest.raises(UnpackError, match="not a valid gzip file"):
        unpack(tmp_path, b"<html>not found</html>")
    with pytest.raises(UnpackError, match="not a valid gzip file"):
        unpack(tmp_path, zlib.compress(TEXT))
    altered = bytearray(packed)
    altered[-6] ^= 1
    with pytest.raises(UnpackError, match="not a valid gzip file"):
        unpack(tmp_path, bytes(altered))
    assert not (tmp_path / "model").exists()


def test_a_bomb_ends_at_the_bound(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(200 << 20), 9)
    with pytest.raises(UnpackError, match=r"more than the allowed 1,000 bytes"):
        unpack(tmp_path, bomb, 1000)
    assert not (tmp_path / "model").exists()
    assert unpack(tmp_path, gzip.compress(TEXT), len(TEXT)) == TEXT
    with pytest.raises(UnpackError, match="more than"):
        unpack(tmp_path, gzip.compress(TEXT), len(TEXT) - 1)


def test_an_archive_of_the_table_has_a_bound_of_its_own(tmp_path: Path) -> None:
    """Its digest is right, and what is in it grows beyond what the table says."""
    meta = copy.deepcopy(dict(Catalog.load().meta))
    (facts,) = (f for f in meta["artifacts"].values() if f["name"] == "tflite-argmax")
    bomb = gzip.compress(bytes(20 << 20), 9)
    facts["archive"]["md5"] = hashlib.md5(bomb, usedforsecurity=False).hexdigest()
    (tmp_path / "resnet50_v1.tflite.gz").write_bytes(bomb)
    options = Options(store=tmp_path / "store", mirror=(tmp_path.as_uri(),))

    def obtain(limit: int) -> Delivery:
        facts["archive"]["max_unpacked_bytes"] = limit
        catalog = Catalog(meta)
        request = Request(framework="tflite", explicit=frozenset({"tflite"}))
        return Pipeline(catalog, options).obtain(catalog.resolve(request))

    with pytest.raises(UnpackError, match="more than the allowed 1,000,000 bytes"):
        obtain(1_000_000)
    assert not list((tmp_path / "store" / "incoming").rglob("partial"))
    assert obtain(20 << 20).model.size == 20 << 20
