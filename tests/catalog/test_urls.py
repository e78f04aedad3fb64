"""The user's own URL, ``--const.CM_PACKAGE_URL``: known files, mirrors, unknown files."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmx_resnet50.catalog.table import SCRIPT, Catalog, Request, RequestError, Resolution
from cmx_resnet50.user_urls import plain, without_fragment
from tests.catalog import documented as known
from tests.catalog.engine import compose

META = json.loads((SCRIPT / "_cm.json").read_text(encoding="utf-8"))
CATALOG = Catalog(META)
OTHER = "https://example.org/models/resnet50_mine.onnx"
MD5 = "0123456789abcdef0123456789abcdef"
SHA256 = MD5 + MD5


def resolve(
    tags: str, url: str, checksum: str | None = None, *, strict: bool = False
) -> Resolution:
    asked = [tag for tag in tags.split(",") if tag]
    run = compose(META, asked, const={"CM_PACKAGE_URL": url})
    request = Request.from_env(run.env, url=url, checksum=checksum, explicit=run.explicit)
    return CATALOG.resolve(request, strict=strict)


TAGS = {
    known.OPSET_11: "_onnx",
    known.OPSET_8: "_onnx,_opset-8",
    known.FROM_TF: "_onnx,_from-tf",
    known.TENSORFLOW: "_tf",
    known.PYTORCH: "_pytorch",
    known.PYTORCH_INT8: "_pytorch,_int8",
    known.NCNN: "_ncnn",
    known.ARGMAX: "_tflite",
    known.NO_ARGMAX: "_tflite,_no-argmax",
    known.EDGETPU: "_tflite,_int8",
}
ADDRESSES = [(file, url) for file in TAGS for url in (file.url, *file.mirrors)]


@pytest.mark.parametrize(("file", "url"), ADDRESSES, ids=[url[8:60] for _, url in ADDRESSES])
def test_a_known_address_is_asked_first_and_the_others_after_it(file: known.File, url: str) -> None:
    found = resolve(TAGS[file], url, strict=True)
    assert found.artifact.url == file.url
    assert found.sources[0] == url
    assert sorted(found.sources) == sorted([file.url, *file.mirrors])
    assert found.deviations == ()


@pytest.mark.parametrize(("file", "url"), ADDRESSES, ids=[url[8:60] for _, url in ADDRESSES])
@pytest.mark.parametrize("framework", ["onnx", "pytorch", "tensorflow", "tflite", "ncnn"])
def test_a_known_address_of_another_framework_is_refused(
    file: known.File, url: str, framework: str
) -> None:
    if framework == file.format:
        return
    with pytest.raises(RequestError) as caught:
        resolve(f"_{framework}", url)
    for word in (url, file.file, framework, f"_{file.format}"):
        assert word in str(caught.value)


def test_the_graph_of_ncnn_is_no_model() -> None:
    with pytest.raises(RequestError, match=r"resnet50_v1\.param"):
        resolve("_ncnn", known.PARAM_URL)


def test_the_users_choice_of_source_keeps_the_companion() -> None:
    found = resolve("_ncnn", known.NCNN_URL)
    assert [companion.url for companion in found.companions] == [known.PARAM_URL]


@pytest.mark.parametrize(
    ("tags", "url", "words"),
    [
        ("_pytorch,_int8", known.PYTORCH_URL, ["fp32", "int8"]),
        ("_pytorch", known.PYTORCH_INT8_URL, ["int8", "fp32"]),
        ("_tflite,_int8,_no-argmax", known.NO_ARGMAX_URL, ["fp32", "int8"]),
        ("_onnx,_opset-8", known.OPSET_11_URL, ["opset", "11", "8"]),
        ("_onnx,_opset-11", known.OPSET_8_URL, ["opset", "8", "11"]),
    ],
)
def test_a_known_file_that_is_not_what_the_tags_say_is_told_truthfully(
    tags: str, url: str, words: list[str]
) -> None:
    found = resolve(tags, url)
    assert found.artifact.url == url
    text = " ".join(found.deviations)
    assert all(word in text for word in words), text
    assert "exists" not in text, "such a file may well exist: the user named another"
    with pytest.raises(RequestError, match="STRICT"):
        resolve(tags, url, strict=True)


@pytest.mark.parametrize(
    ("tags", "url"),
    [
        ("_onnx", known.OPSET_8_URL),
        ("_tflite", known.NO_ARGMAX_URL),
        ("_tflite,_no-argmax", known.ARGMAX_URL),
    ],
)
def test_a_known_file_of_another_request_is_delivered_as_what_it_is(tags: str, url: str) -> None:
    found = resolve(tags, url)
    assert found.artifact.url == url
    assert found.artifact.known


@pytest.mark.parametrize(
    "file", [file for file in TAGS if file.md5], ids=lambda file: str(file.file)
)
def test_a_right_checksum_of_a_known_file_is_no_fault(file: known.File) -> None:
    assert resolve(TAGS[file], file.url, str(file.md5).upper()).artifact.md5 == file.md5


@pytest.mark.parametrize("file", [file for file in TAGS if file.md5], ids=lambda f: str(f.file))
def test_a_checksum_of_another_kind_is_expected_too(file: known.File) -> None:
    """Whatever its value: nothing is known to compare it with but the bytes."""
    try:
        artifact = resolve(TAGS[file], file.url, SHA256.upper()).artifact
    except RequestError as error:
        assert "does not match" in str(error)
        return
    expected = artifact.expected_download
    assert (expected.md5, expected.sha256) == (file.md5, SHA256)


def test_a_checksum_that_contradicts_a_known_file_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        resolve("_onnx", known.OPSET_11_URL, MD5)
    assert MD5 in str(caught.value)
    assert str(known.OPSET_11.md5) in str(caught.value)


@pytest.mark.parametrize("tags", ["_huggingface_default", "_huggingface_default,_onnx"])
@pytest.mark.parametrize("url", [OTHER, known.OPSET_11_URL, known.HUGGINGFACE_URL])
def test_two_sources_are_refused(tags: str, url: str) -> None:
    with pytest.raises(RequestError, match="_huggingface_default") as caught:
        resolve(tags, url)
    assert "URL" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://[example.org/a.onnx", "https://example.org]/a.onnx", "//["]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(RequestError, match="URL"):
        resolve("_onnx", url)


# -- files that nobody knows -----------------------------------------------------------------------


def test_an_unknown_file_has_no_digest_and_no_facts() -> None:
    found = resolve("_onnx", OTHER)
    assert not found.artifact.known
    assert (found.artifact.md5, found.artifact.sha256) == (None, None)
    assert (found.artifact.top1, found.artifact.opset, found.artifact.archive) == (None,) * 3
    assert found.artifact.file == "resnet50_mine.onnx"
    assert found.artifact.format == "onnx"
    assert found.sources == (OTHER,)
    assert found.companions == ()


@pytest.mark.parametrize(
    ("given_", "md5", "sha256"),
    [
        (MD5, MD5, None),
        (MD5.upper(), MD5, None),
        (SHA256, None, SHA256),
        (SHA256.upper(), None, SHA256),
        (None, None, None),
        ("", None, None),
    ],
)
def test_the_users_checksum_is_the_unknown_files_digest(
    given_: str | None, md5: str | None, sha256: str | None
) -> None:
    artifact = resolve("_onnx", OTHER, given_).artifact
    assert (artifact.md5, artifact.sha256) == (md5, sha256)


def test_the_checksum_of_an_unknown_archive_is_the_archives() -> None:
    artifact = resolve("_tflite", "https://example.org/mine.tflite.gz?dl=1", SHA256).artifact
    assert artifact.file == "mine.tflite"
    assert (artifact.md5, artifact.sha256) == (None, None)
    assert artifact.archive is not None
    assert artifact.archive["sha256"] == SHA256
    assert artifact.archive["format"] == "gzip"


@pytest.mark.parametrize(
    "bad", ["0", MD5[:-1], MD5 + "0", "g" * 32, f"md5:{MD5}", f"{MD5} ", SHA256 + "\n", "٣" * 32]
)
def test_a_bad_checksum_is_refused(bad: str) -> None:
    """Also one for a file whose own digest is known: it would be ignored, silently."""
    for url in (OTHER, ADDRESSES[0][1]):
        with pytest.raises(RequestError, match="checksum ") as caught:
            resolve("_onnx", url, bad)
        assert "32" in str(caught.value)
        assert "64" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("https://example.org/a.onnx", "a.onnx"),
        ("https://example.org/a.onnx?token=1/b.onnx", "a.onnx"),
        ("https://example.org/a.onnx#part", "a.onnx"),
        ("https://example.org/a-1.2_3+b.onnx", "a-1.2_3+b.onnx"),
        ("https://example.org/", "resnet50_v1.onnx"),
        ("https://example.org", "resnet50_v1.onnx"),
        ("https://example.org/..", "resnet50_v1.onnx"),
        ("https://example.org/.hidden", "resnet50_v1.onnx"),
        ("https://example.org/-rf", "resnet50_v1.onnx"),
        ("https://example.org/my%20model.onnx", "resnet50_v1.onnx"),
        ("https://example.org/%2e%2e%2fpasswd", "resnet50_v1.onnx"),
        ("https://example.org/modèle.onnx", "resnet50_v1.onnx"),
        ("https://example.org/a;b.onnx", "resnet50_v1.onnx"),
        ("https://example.org/" + "a" * 129, "resnet50_v1.onnx"),
        ("https://example.org/.gz", "resnet50_v1.onnx"),
        ("https://example.org/a.onnx.gz", "a.onnx"),
        ("https://example.org/uc?id=5", "uc"),
        ("file:///home/user/a.onnx", "a.onnx"),
    ],
)
def test_an_unknown_file_has_a_plain_name(url: str, file: str) -> None:
    assert resolve("_onnx", url).artifact.file == file


@pytest.mark.parametrize(
    ("tags", "file"),
    [
        ("_onnx,_opset-8", "resnet50_v1.onnx"),
        ("_onnx,_from-tf", "resnet50_v1_modified.onnx"),
        ("_pytorch", "resnet50-19c8e357.pth"),
        ("_pytorch,_uint8", "resnet50-19c8e357.pth"),
        ("_tf", "resnet50_v1.pb"),
        ("_tflite,_no-argmax", "resnet50_v1.no-argmax.tflite"),
        ("_ncnn,_int8", "resnet50_v1.bin"),
    ],
)
def test_a_file_without_a_name_gets_the_usual_one(tags: str, file: str) -> None:
    assert resolve(tags, "https://example.org/?id=5").artifact.file == file


@pytest.mark.parametrize("tags", ["_pytorch,_uint8", "_ncnn,_int8", "_onnx,_int8", "_tflite,_int8"])
def test_an_unknown_file_may_be_of_any_precision(tags: str) -> None:
    found = resolve(tags, "https://example.org/mine.bin", SHA256, strict=True)
    assert found.file_precision == tags.rpartition("_")[2]
    assert found.deviations == ()


@pytest.mark.parametrize("url", [OTHER, known.OPSET_11_URL])
def test_without_a_framework_a_url_is_refused(url: str) -> None:
    with pytest.raises(RequestError) as caught:
        resolve("_-onnx", url)
    assert "none" not in str(caught.value)


def test_without_a_precision_an_unknown_file_claims_none() -> None:
    found = resolve("_onnx,_-fp32", OTHER)
    assert found.artifact.precision is None


@given(
    url=st.text(max_size=60)
    | st.from_regex(r"https?://[a-z.]{1,12}(/[^\n]{0,20})?", fullmatch=True),
    checksum=st.none() | st.text(max_size=70) | st.sampled_from([MD5, SHA256]),
    tags=st.sampled_from(["", "_tf", "_pytorch,_int8", "_ncnn", "_tflite,_int8", "_-onnx"]),
)
def test_any_url_comes_to_a_file_with_a_plain_name_or_to_words(
    url: str, checksum: str | None, tags: str
) -> None:
    try:
        found = resolve(tags, url, checksum)
    except RequestError as refusal:
        assert len(refusal.reason) > 10
        return
    assert "/" not in found.artifact.file
    assert not found.artifact.file.startswith((".", "-"))
    assert found.artifact.file.isascii()
    assert found.sources == (without_fragment(plain(url)),)
