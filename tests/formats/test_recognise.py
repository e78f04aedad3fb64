"""The dispatcher: a format is told by the content, and a refusal says what the file looks like."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmx_resnet50 import dummy
from cmx_resnet50.formats import format_of, read_facts
from cmx_resnet50.formats.facts import Damaged, FormatError, NotAModel, NotReadHere, WrongFormat
from cmx_resnet50.formats.protobuf import encode_bytes, encode_varint_field
from cmx_resnet50.formats.recognise import describe, recognise
from tests.formats.messages import read_cheaply

KINDS = {
    "onnx-opset-8": "onnx",
    "onnx-opset-11": "onnx",
    "onnx-from-tf": "onnx",
    "tensorflow": "tensorflow",
}

REFUSED = {
    "nothing": (b"", "an empty file"),
    "HTML": (
        b"\n\n<!DOCTYPE html><html><head><title>Drive - Virus scan warning</title></head></html>",
        "an HTML page titled 'Drive - Virus scan warning'",
    ),
    "HTML after a comment": (b"<!-- x --><HTML><body>gone</body></HTML>", "an HTML page"),
    "newline and text": (b"\n\x0cHello, world and more of it", "text that begins with 'Hello"),
    "JSON": (json.dumps({"message": "rate limit"}).encode(), "JSON that begins with '{"),
    "XML": (b'<?xml version="1.0"?><Error>AccessDenied</Error>', "an XML document"),
    "gzip": (gzip.compress(b"model"), "gzip data"),
    "bzip2": (bz2.compress(b"model"), "bzip2 data"),
    "xz": (lzma.compress(b"model"), "xz data"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
    "text": (b"404: Not Found\n", "text that begins with '404: Not Found'"),
    "zeros": (bytes(5000), "a file of zeros"),
    "SavedModel": (
        encode_varint_field(1, 1) + encode_bytes(2, encode_bytes(1, b"meta")),
        "a TensorFlow SavedModel",
    ),
    "safetensors": (b'\x02\x00\x00\x00\x00\x00\x00\x00{"a": 1}', "a safetensors file"),
    "noise": (b"\xfe\xed\x00\x01\x02", "unknown data, which begins with the bytes fe ed 00 01 02"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_name_does_not_matter(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    dummy.write(kind, path, width=1)
    assert format_of(path) == read_facts(path).format == KINDS[kind]


TITLES = {
    "onnx-opset-11": "ONNX model",
    "tensorflow": "TensorFlow graph",
    "tflite-argmax": "TensorFlow Lite model",
    "pytorch-fp32": "PyTorch file",
    "ncnn-param": "ncnn model",
}


@pytest.mark.parametrize("kind", TITLES)
def test_a_cut_file_is_called_what_it_is(kind: str, tmp_path: Path) -> None:
    """A few bytes are not called a model; and what is called damaged is called by its format."""
    whole = tmp_path / "whole.param"
    dummy.write(kind, whole, width=1)
    data = whole.read_bytes()
    path = tmp_path / "short.param"
    kinds = set()
    for length in (*range(40), *range(40, 4000, 97), len(data) // 2):
        path.write_bytes(data[:length])
        with pytest.raises(FormatError) as caught:
            read_facts(path)
        text = str(caught.value)
        kinds.add(type(caught.value))
        if isinstance(caught.value, Damaged):
            assert length > 3
            assert f"{path} is not a valid {TITLES[kind]}: " in text
        else:
            assert not re.search("is cut|damaged|altered", text), text
            assert re.search("is not a model but|message without the graph of", text), text
    assert kinds == {Damaged, NotAModel}


def test_a_message_that_begins_as_an_onnx_model_does(tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(encode_varint_field(1, 9) + encode_bytes(2, "hello"))
    with pytest.raises(NotAModel, match="is a protobuf message without the graph of an ONNX model"):
        read_facts(path)


def test_what_exceeds_a_limit_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "model.param"
    path.write_bytes(b"7767517\n30000 30000\nInput x 0 1 x\n")
    with pytest.raises(NotReadHere) as caught:
        read_facts(path)
    assert str(caught.value).startswith(
        f"{path} may be a valid ncnn model, but is not read here: the graph declares 30,000 layers,"
        " more than the limit here of 20,000"
    )


def test_a_file_next_to_an_ncnn_graph_is_not_taken_for_its_weights(tmp_path: Path) -> None:
    (tmp_path / "notes.param").write_text("7767517\n1 1\nInput x 0 1 x\n")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(NotAModel, match="is not a model but text"):
        read_facts(tmp_path / "notes.txt")


def test_another_format_than_asked(tmp_path: Path) -> None:
    path = tmp_path / "resnet50_v1.onnx"
    dummy.write("tensorflow", path, width=1)
    assert read_facts(path, "tensorflow").format == "tensorflow"
    with pytest.raises(WrongFormat, match="is a model for tensorflow, expected one for onnx"):
        read_facts(path, "onnx")


@pytest.mark.parametrize("name", REFUSED)
def test_no_model(name: str, tmp_path: Path) -> None:
    content, looks = REFUSED[name]
    path = tmp_path / "resnet50_v1.onnx"
    path.write_bytes(content)
    with pytest.raises(NotAModel) as caught:
        read_facts(path, "onnx")
    assert looks in str(caught.value)
    assert str(path) in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotAModel, match="a folder"):
        read_facts(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_facts(tmp_path / "absent")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of Unix")
def test_a_named_pipe_does_not_block(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(NotAModel, match="device"):
        read_facts(pipe)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_any_head_can_be_told_and_described(head: bytes) -> None:
    recognise(head)
    assert describe(head).isprintable()


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=300))
def test_plain_text_is_never_protobuf(text: str) -> None:
    assert recognise(b"\n" + text.encode()) not in ("onnx", "tensorflow")


@pytest.mark.full
@pytest.mark.unmeasured
@pytest.mark.parametrize("kind", [*TITLES, "ncnn"])
def test_the_weights_of_a_full_size_model_are_not_loaded(kind: str, tmp_path: Path) -> None:
    """102 MB are read within 50 MB beyond what the interpreter takes, about 10."""
    path = tmp_path / f"model.{'param' if kind == 'ncnn-param' else 'bin'}"
    dummy.write(kind, path)
    if kind == "ncnn":
        dummy.write("ncnn-param", path.with_suffix(".param"))
    assert read_cheaply(path, 60) == "facts"


@pytest.mark.unmeasured
@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_needed_is_imported(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    dummy.write(kind, path, width=1)
    program = (
        "import sys; from pathlib import Path; from cmx_resnet50.formats import read_facts;"
        f"read_facts(Path({str(path)!r})); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"onnx", "numpy", "google.protobuf", "tarfile", "zipfile", "pickle"}
    readers = {f"cmx_resnet50.formats.{name}" for name in ("pytorch", "tflite", "ncnn")}
    assert not loaded & readers
