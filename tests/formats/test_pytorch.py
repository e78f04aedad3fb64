"""The reader of PyTorch files: facts of honest files in each container, and broken ones refused."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import Damaged, FormatError, ModelFacts, NotAModel, NotReadHere
from tests.formats import torch_files as files
from tests.formats.opcodes import call, integer, name, pickle, text
from tests.harness.torchscript import torchscript

"""Examples may share a folder: each writes its file anew."""

HONEST = {
    "tar": files.tar(files.tar_files()),
    "tar, times in fractions": files.tar(files.tar_files(), mtime=1.5),
    "pickle": files.legacy(),
    "zip": files.zipped(),
}


def facts_of(tmp_path: Path, raw: bytes) -> ModelFacts:
    path = tmp_path / "model.pth"
    path.write_bytes(raw)
    return read_facts(path, "pytorch")


@pytest.mark.parametrize("kind", HONEST)
def test_each_container_gives_the_same_facts(tmp_path: Path, kind: str) -> None:
    facts = facts_of(tmp_path, HONEST[kind])
    assert facts == ModelFacts(
        format="pytorch",
        version={"container": kind.partition(",")[0]},
        layout="NCHW",
        precision="fp32",
        classes=10,
        parameter_count=files.COUNT,
        parameter_bytes=4 * files.COUNT,
    )


def test_file_of_the_published_kind(tmp_path: Path) -> None:
    path = tmp_path / "resnet50.pth"
    dummy.write("pytorch-fp32", path, width=2)
    facts = read_facts(path)
    assert facts.version == {"container": "tar"}
    assert (facts.classes, facts.precision) == (1000, "fp32")
    assert facts.parameter_bytes == 4 * (facts.parameter_count or 0)


def test_torchscript(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, torchscript("model"))
    assert facts.version == {"container": "torchscript"}
    assert (facts.classes, facts.precision) == (1000, "int8")


def test_two_names_of_one_tensor_count_once(tmp_path: Path) -> None:
    one = files.tensor(files.storage("a", 6, legacy=False), (3, 2))
    main = pickle(b"}(" + text("x") + one + text("y") + one + b"u")
    facts = facts_of(tmp_path, files.zipped(main, shapes={"a": (3, 2)}))
    assert facts.parameter_count == 6
    assert facts.layout is None  # without a convolution


def test_precision_is_that_of_most_bytes(tmp_path: Path) -> None:
    half = files.tensor(files.storage("h", 40, legacy=False, kind="HalfStorage"), (20, 2))
    whole = files.tensor(files.storage("f", 4, legacy=False), (4,))
    main = pickle(b"}(" + text("h") + half + text("f") + whole + b"u")
    raw = files.zipped(main, {"archive/data/h": bytes(80), "archive/data/f": bytes(16)}, {})
    assert facts_of(tmp_path, raw).precision == "fp16"


def test_parameter_is_its_tensor(tmp_path: Path) -> None:
    inner = files.tensor(files.storage("p", 4, legacy=False), (2, 2))
    old = name("torch.nn.parameter", "Parameter") + inner + b"\x85\x81" + b"N\x88N\x87b"
    new = call("torch._utils", "_rebuild_parameter", inner, b"\x88", b"}")
    for parameter in (old, new):
        main = pickle(b"}" + text("p") + parameter + b"s")
        assert facts_of(tmp_path, files.zipped(main, shapes={"p": (2, 2)})).parameter_count == 4


def checkpoint(*names: str) -> bytes:
    """Return a checkpoint whose state_dicts hold a vector of 4, 5, 6 … elements."""
    items, shapes = text("epoch") + integer(3), {}
    for count, called in enumerate(names, 4):
        key = f"w{count}"
        shapes[key] = (count,)
        held = files.tensor(files.storage(key, count, legacy=False), (count,))
        items += text(called) + b"}" + text(key) + held + b"s"
    return files.zipped(pickle(b"}(" + items + b"u"), shapes=shapes)


@pytest.mark.parametrize("name", ["state_dict", "model_state", "model"])
def test_the_one_state_dict_of_a_checkpoint(name: str, tmp_path: Path) -> None:
    assert facts_of(tmp_path, checkpoint(name)).parameter_count == 4


def test_one_of_several_state_dicts_of_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(checkpoint("model", "ema"))
    assert read_facts(path, key="ema").parameter_count == 5
    for key in (None, "other"):
        with pytest.raises(NotAModel, match=r"several state_dicts \(model, ema\).*--key"):
            read_facts(path, key=key)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (files.zipped(pickle(b"}")), "no named weights"),
        (files.legacy(pickle(integer(3)), {}), "no named weights"),
        (pickle(b"}"), "is not one of PyTorch's containers"),
        (files.magic().replace(b"\x19.", b"\x18."), "is not one of PyTorch's containers"),
    ],
)
def test_files_without_weights_are_no_models(tmp_path: Path, raw: bytes, reason: str) -> None:
    with pytest.raises(NotAModel, match=reason):
        facts_of(tmp_path, raw)


def test_other_zip_archives_are_no_models(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.npy", bytes(100))
    with pytest.raises(NotAModel, match=r"has no data\.pkl"):
        read_facts(path)


def test_tensor_may_not_reach_beyond_its_storage(tmp_path: Path) -> None:
    for shape, offset in (((5,), 0), ((2,), 3), ((1 << 30, 1 << 30), 0)):
        one = files.tensor(files.storage("a", 4, legacy=False), (4,))
        reach = one.replace(
            integer(0) + b"(" + integer(4),
            integer(offset) + b"(" + b"".join(map(integer, shape)),
        ).replace(b"(" + integer(1) + b"t", b"(" + integer(1) * len(shape) + b"t")
        with pytest.raises(Damaged, match="exceeds its 4 elements"):
            facts_of(
                tmp_path, files.zipped(pickle(b"}" + text("a") + reach + b"s"), shapes={"a": (4,)})
            )


def test_big_endian_is_refused(tmp_path: Path) -> None:
    for raw in (
        files.legacy(little=b"\x89"),
        files.tar({**files.tar_files(), "sys_info": files.system(1000, b"\x89")}),
        files.zipped(extra={"archive/byteorder": b"big"}),
    ):
        with pytest.raises(NotReadHere, match="little-endian"):
            facts_of(tmp_path, raw)


@pytest.mark.parametrize("missing", ["sys_info", "pickle", "tensors", "storages"])
def test_tar_without_one_of_its_files(tmp_path: Path, missing: str) -> None:
    held = files.tar_files()
    del held[missing]
    with pytest.raises(Damaged, match=f"lacks the file '{missing}'"):
        facts_of(tmp_path, files.tar(held))


def test_storage_of_another_length_than_told(tmp_path: Path) -> None:
    shapes = {"a": (4,)}
    main = files.state_dict({"a": (3,)}, legacy=False)
    with pytest.raises(Damaged, match="16 bytes instead of 12"):
        facts_of(tmp_path, files.zipped(main, shapes=shapes))
    with pytest.raises(Damaged, match="4 elements instead of 3"):
        facts_of(tmp_path, files.legacy(files.state_dict({"a": (3,)}, legacy=True), shapes))


@pytest.mark.parametrize("kind", HONEST)
@settings(max_examples=150)
@given(data=st.data())
def test_cut_files_are_refused(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    raw = HONEST[kind]
    # tar ends in padding of zeros, of which its end mark needs one block.
    whole = (
        math.ceil(len(raw.rstrip(b"\0")) / 512) * 512 if kind.startswith("tar") else len(raw) - 1
    )
    length = data.draw(st.integers(0, whole))
    with pytest.raises(FormatError):
        facts_of(tmp_path, raw[:length])


@pytest.mark.parametrize("kind", [*HONEST, "torchscript"])
@settings(max_examples=300)
@given(data=st.data())
def test_altered_bytes_end_in_facts_or_a_refusal(
    tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    raw = bytearray(HONEST.get(kind) or torchscript("model"))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, min(len(raw), 6000) - 1))
        raw[at if data.draw(st.booleans()) else len(raw) - 1 - at] ^= 1 << data.draw(
            st.integers(0, 7)
        )
    try:
        facts = facts_of(tmp_path, bytes(raw))
    except FormatError as error:
        assert str(tmp_path) in str(error)
    else:
        assert facts.parameter_count
