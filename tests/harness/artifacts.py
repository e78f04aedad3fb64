"""The files that the script can deliver, as publicly known, apart from what the project says.

The table is the tests' own: a wrong URL or digest in ``_cm.json`` must not agree with it.
`patch` makes an installation expect the files that the tests serve in place of the real ones.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmx_resnet50.digests import Digests, Hasher, digest_file
from tests.harness.build import Installation

_ZENODO = "https://zenodo.org/record"
_HUGGING_FACE = "https://huggingface.co/ctuning"


@dataclass(frozen=True)
class Artifact:
    """A file: where it is published, under which md5 (of an archive: the archive's)."""

    name: str
    url: str
    file: str
    md5: str
    mirrors: tuple[str, ...] = ()

    @property
    def urls(self) -> tuple[str, ...]:
        """All public addresses of the same bytes, the first one first."""
        return (self.url, *self.mirrors)


ARTIFACTS = {
    artifact.name: artifact
    for artifact in (
        Artifact(
            "onnx-opset-11",
            f"{_ZENODO}/4735647/files/resnet50_v1.onnx",
            "resnet50_v1.onnx",
            "f6a4da60cd5f084d97efc2c1ddb10beb",
            (
                "https://armi.in/files/resnet50_v1_op11/resnet50_v1.onnx",
                "https://storage.googleapis.com/resnet50_assets/resnet50_v1.onnx",
                f"{_HUGGING_FACE}/mlperf-inference-resnet50-onnx-fp32-imagenet2012-v1.0"
                "/resolve/main/resnet50_v1.onnx",
            ),
        ),
        Artifact(
            "onnx-opset-8",
            f"{_ZENODO}/2592612/files/resnet50_v1.onnx",
            "resnet50_v1.onnx",
            "a638cf028b5870da29e09ccc2f7182e7",
            ("https://armi.in/files/resnet50_v1.onnx",),
        ),
        Artifact(
            "onnx-from-tf",
            "https://drive.google.com/uc?id=15wZ_8Vt12cb10IEBsln8wksD1zGwlbOM",
            "resnet50_v1_modified.onnx",
            "04a510152d9eded924883bdfcf85dd4a",
        ),
        Artifact(
            "tensorflow",
            f"{_ZENODO}/2535873/files/resnet50_v1.pb",
            "resnet50_v1.pb",
            "7b94a2da05dd30f6c0af23a46bc08886",
            ("https://armi.in/files/resnet50_v1.pb",),
        ),
        Artifact(
            "pytorch-fp32",
            f"{_ZENODO}/4588417/files/resnet50-19c8e357.pth",
            "resnet50-19c8e357.pth",
            "9e9c86b324d80e65229fab49b8d9a8e8",
            ("https://download.pytorch.org/models/resnet50-19c8e357.pth",),
        ),
        Artifact(
            "pytorch-int8",
            f"{_ZENODO}/4589637/files/resnet50_INT8bit_quantized.pt",
            "resnet50_INT8bit_quantized.pt",
            "6893ea9769b0afce65bb0ddf002f4438",
        ),
        Artifact(
            "ncnn",
            f"{_ZENODO}/8073420/files/resnet50_v1.bin?download=1",
            "resnet50_v1.bin",
            "0360777ab2178a65a8f78c35a7d619e0",
        ),
        Artifact(
            "ncnn-param",
            f"{_ZENODO}/8073420/files/resnet50_v1.param?download=",
            "resnet50_v1.param",
            "f9ba6c4d7f66348e6d24c06bfe3f4ae8",
        ),
        Artifact(
            "tflite-argmax",
            "https://www.dropbox.com/s/cvv2zlfo80h54uz/resnet50_v1.tflite.gz?dl=1",
            "resnet50_v1.tflite.gz",
            "92b5ae497e0de5c2d487507953b6e5cc",
        ),
        Artifact(
            "tflite-no-argmax",
            "https://www.dropbox.com/s/vhuqo0wc39lky0a/resnet50_v1.no-argmax.tflite?dl=1",
            "resnet50_v1.no-argmax.tflite",
            "53e81f9f9b459ecfb6d64add3da91564",
        ),
        Artifact(
            "tflite-edgetpu",
            f"{_ZENODO}/8234946/files/resnet50_quant_full_mlperf_edgetpu.tflite?download=1",
            "resnet50_quant_full_mlperf_edgetpu.tflite",
            "a657cf1f97545aefd058c1c718cc0e17",
        ),
    )
}
"""By name; `file` is the name of what is served."""


def delivered(path: Path) -> bytes:
    """Return the bytes that a user gets of a served file: an archive is unpacked."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def patch(installation: Installation, served: Mapping[str, Path]) -> None:
    """Make `installation` expect the files of `served` (by name) in place of the real ones.

    In upstream's ``_cm.yaml`` that is every md5; in our ``_cm.json`` also the sha256 and the
    size, each only where the real file's is known: what is unknown stays unknown, so that the
    tests run the paths that users run.

    Raises
    ------
    LookupError
        If the script does not mention the md5 that a file is published under.
    """
    ours = installation.script / "_cm.json"
    meta = ours if ours.exists() else installation.script / "_cm.yaml"
    text = patched(meta.read_text(encoding="utf-8"), served)
    meta.write_text(_patch_facts(text, served) if meta == ours else text, encoding="utf-8")


def patched_table(text: str, served: Mapping[str, Path]) -> str:
    """Return the text of our ``_cm.json`` as `patch` changes it."""
    return _patch_facts(patched(text, served), served)


def patched(text: str, served: Mapping[str, Path]) -> str:
    """Return `text` with the md5 of each file in place of the one that it is published under."""
    for name, path in served.items():
        known = ARTIFACTS[name].md5
        if known not in text:
            raise LookupError(f"the script does not know {name} by its md5 {known}")
        text = text.replace(known, digest_file(path).md5)
    return text


def _patch_facts(text: str, served: Mapping[str, Path]) -> str:
    meta: dict[str, Any] = json.loads(text)
    for name, path in served.items():
        facts = meta["artifacts"][ARTIFACTS[name].url]
        unpacked = Hasher()
        unpacked.update(delivered(path))
        _replace(facts, unpacked.digests)
        if "archive" in facts:
            _replace(facts["archive"], digest_file(path))
    return json.dumps(meta, indent=2, ensure_ascii=False) + "\n"


def _replace(facts: dict[str, Any], digests: Digests) -> None:
    values = {"md5": digests.md5, "sha256": digests.sha256, "bytes": digests.size}
    for key, value in values.items():
        if facts.get(key) is not None:
            facts[key] = value
