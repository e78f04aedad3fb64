"""``_cm.json``: no unknown key, every file with a digest, each fact stated once or twice alike."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cmx_resnet50.catalog.table import SCRIPT
from tests.catalog import documented as known
from tests.catalog.agreement import problems

META: dict[str, Any] = json.loads((SCRIPT / "_cm.json").read_text(encoding="utf-8"))
SCHEMA = json.loads((Path(__file__).parent / "schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
Change = Callable[[dict[str, Any]], object]


def schema_errors(meta: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(meta)]


def refused(change: Change) -> list[str]:
    meta = copy.deepcopy(META)
    change(meta)
    assert meta != META, "the change changes nothing"
    before = {*schema_errors(META), *problems(META)}
    return [text for text in schema_errors(meta) + problems(meta) if text not in before]


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_meta_keeps_to_the_schema() -> None:
    assert schema_errors(META) == []


def test_no_two_places_disagree() -> None:
    assert problems(META) == []


def test_no_object_key_stands_twice() -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), names
        return dict(pairs)

    json.loads((SCRIPT / "_cm.json").read_text(encoding="utf-8"), object_pairs_hook=once)


# -- the contract's tables -------------------------------------------------------------------------


def test_the_identity_is_that_of_the_script_it_replaces() -> None:
    assert META["tags"] == known.TAGS
    assert META["uid"] == "56203e4e998b4bc0"
    assert META["new_env_keys"] == ["CM_ML_MODEL_*"]
    assert META["print_env_at_the_end"] == {"CM_ML_MODEL_FILE_WITH_PATH": "Path to the ML model"}


def test_the_env_of_all_requests_is_as_documented() -> None:
    own = {key: value for key, value in META["env"].items() if not key.startswith("CM_RESNET50_")}
    # Over a URL and a checksum in a caller's env: they are not used, and identify no entry.
    unset = {"CM_DOWNLOAD_CHECKSUM": "", "CM_PACKAGE_URL": "<<<CM_PACKAGE_URL>>>"}
    assert own == {**known.ALWAYS, **unset}


def test_the_variations_are_those_documented() -> None:
    assert set(META["variations"]) == set(known.VARIATION_ENV) | set(known.ALIASES)


@pytest.mark.parametrize("name", known.VARIATION_ENV)
def test_the_env_of_a_variation_is_as_documented(name: str) -> None:
    env = dict(META["variations"][name].get("env", {}))
    env.pop("CM_DOWNLOAD_CHECKSUM", None)
    assert env == known.VARIATION_ENV[name]


def test_groups_defaults_and_aliases_are_as_documented() -> None:
    variations = META["variations"]
    groups: dict[str, set[str]] = {}
    for name, variation in variations.items():
        if "group" in variation:
            groups.setdefault(variation["group"], set()).add(name)
    assert groups == known.GROUPS
    defaults = {v["group"]: name for name, v in variations.items() if v.get("default")}
    assert defaults == known.DEFAULTS
    assert variations["onnx"]["default_variations"] == {"opset-version": "opset-11"}
    aliases = {name: v["alias"] for name, v in variations.items() if "alias" in v}
    assert aliases == known.ALIASES
    assert variations["pytorch,int8"]["base"] == ["int8", "pytorch"]


def test_the_dependencies_are_as_documented() -> None:
    variations = META["variations"]
    (prehook,) = META["prehook_deps"]
    # Beyond the documentation: where our library has delivered the file, nothing is left to do.
    delivered = {"CM_RESNET50_RUN_DELIVERED": ["yes"]}
    assert prehook == {
        "skip_if_env": delivered,
        "names": ["model-downloader"],
        "tags": "download-and-extract",
        "env": {
            "CM_DOWNLOAD_FINAL_ENV_NAME": "CM_ML_MODEL_FILE_WITH_PATH",
            "CM_EXTRACT_EXTRACTED_FILENAME": "<<<CM_ML_MODEL_FILE>>>",
            "CM_EXTRACT_FINAL_ENV_NAME": "CM_ML_MODEL_FILE_WITH_PATH",
        },
        "extra_cache_tags": "ml-model,resnet50,raw,ml-model-resnet50,_<<<CM_ML_MODEL_FRAMEWORK>>>",
        "force_cache": True,
        "force_env_keys": ["CM_OUTDIRNAME"],
        "update_tags_from_env_with_prefix": {"_url.": ["CM_PACKAGE_URL"]},
    }
    assert variations["fix-input-shape"]["deps"] == [
        {
            "names": ["python", "python3"],
            "tags": "get,python3",
            # What TensorFlow is installed into; our library takes the Python that it runs in.
            "enable_if_env": {"CM_ML_MODEL_TF_FIX_INPUT_SHAPE": ["yes"]},
            "skip_if_env": {"CM_RESNET50_SKIP_TENSORFLOW": ["yes"]},
        }
    ]
    assert variations["tensorflow,fix-input-shape"]["deps"] == [
        {
            "names": ["tensorflow"],
            "skip_if_env": {"CM_RESNET50_SKIP_TENSORFLOW": ["yes"]},
            "tags": "get,generic-python-lib,_package.tensorflow",
        }
    ]
    assert variations["onnx,from-tf,fp32"]["adr"] == {"model-downloader": {"tags": "_gdown"}}
    (graph,) = variations["ncnn,fp32"]["post_deps"]
    assert graph["tags"] == f"download-and-extract,_url.{known.PARAM_URL}"
    assert graph["skip_if_env"] == delivered
    assert graph["extra_cache_tags"] == "ml-model-params,params,resnet50,ncnn,model-params"
    assert graph["env"]["CM_EXTRACT_EXTRACTED_FILENAME"] == "<<<CM_ML_MODEL_PARAM_FILE>>>"
    assert any(dep.get("dynamic") for dep in META["post_deps"])


def test_no_inner_dependency_takes_a_name_that_callers_use() -> None:
    """The names in adr, and the name of the downloader, which must stay alone."""
    deps = [*META["prehook_deps"], *META["post_deps"]]
    for variation in META["variations"].values():
        deps += variation.get("deps", []) + variation.get("post_deps", [])
    names = [name for dep in deps for name in dep.get("names", [])]
    taken = {"ml-model", "resnet50-model", "tflite-model", "original-model", "model-src"}
    assert taken.isdisjoint(names)
    assert names.count("model-downloader") == 1


def test_the_files_are_those_publicly_known() -> None:
    assert set(META["artifacts"]) == {file.url for file in known.FILES}


@pytest.mark.parametrize("file", known.FILES, ids=lambda file: file.file)
def test_the_facts_of_a_file_are_those_published(file: known.File) -> None:
    found = META["artifacts"][file.url]
    archive = found.get("archive", {})
    assert (found["file"], found["format"], found["precision"]) == (
        file.file,
        file.format,
        file.precision,
    )
    assert tuple(found["mirrors"]) == file.mirrors
    assert (found["md5"], archive.get("md5")) == (file.md5, file.archive_md5)
    # `make pin` fills what nobody published.
    assert file.sha256 in (None, found["sha256"])
    assert file.bytes in (None, found["bytes"])
    assert found["approx_bytes"] == file.approx_bytes
    assert found["top1"] == file.top1


def test_what_is_inside_the_files_is_as_published() -> None:
    inside = {url: (a["layout"], a["classes"], a["opset"]) for url, a in META["artifacts"].items()}
    published = {
        known.OPSET_11_URL: ("NCHW", 1001, 11),
        known.OPSET_8_URL: ("NCHW", 1001, 8),
        known.FROM_TF_URL: ("NHWC", None, None),
        known.TENSORFLOW_URL: ("NHWC", 1001, None),
        known.PYTORCH_URL: ("NCHW", 1000, None),
        known.PYTORCH_INT8_URL: ("NCHW", 1000, None),
        known.NCNN_URL: ("NCHW", 1000, None),
        known.PARAM_URL: (None, None, None),
        known.ARGMAX_URL: ("NHWC", 1001, None),
        known.NO_ARGMAX_URL: ("NHWC", 1001, None),
        known.EDGETPU_URL: ("NHWC", None, None),
    }
    assert set(inside) == set(published)
    for url, facts in published.items():
        # `make pin` fills what nobody published.
        pairs = zip(facts, inside[url], strict=True)
        assert all(fact in (None, found) for fact, found in pairs), url
    names = {
        url: [tensor["name"] for tensor in a["inputs"] + a["outputs"]]
        for url, a in META["artifacts"].items()
        if a["inputs"] and url not in (known.FROM_TF_URL, known.EDGETPU_URL)
    }
    onnx = ["input_tensor:0", "ArgMax:0", "softmax_tensor:0"]
    assert names == {
        known.OPSET_11_URL: onnx,
        known.OPSET_8_URL: onnx,
        known.TENSORFLOW_URL: ["input_tensor", "ArgMax", "softmax_tensor"],
        known.PYTORCH_URL: [None, None],
        known.PYTORCH_INT8_URL: [None, None],
        known.NCNN_URL: ["in0", "out0"],
        known.ARGMAX_URL: ["input_tensor", "ArgMax", "softmax_tensor"],
        known.NO_ARGMAX_URL: ["input_tensor", "softmax_tensor"],
    }


def test_the_corrections_of_the_verdicts_are_there_and_no_others() -> None:
    own = "CM_ML_MODEL_STARTING_WEIGHTS_FILENAME"
    for url, artifact in META["artifacts"].items():
        exports = dict(artifact["exports"])
        if url in (known.FROM_TF_URL, known.NCNN_URL, known.PARAM_URL):
            assert own not in exports
        else:
            assert exports.pop(own) == "<<<url>>>"
        assert exports == {
            known.TENSORFLOW_URL: {
                "CM_ML_MODEL_INPUT_SHAPES": r"\"input_tensor\": (BATCH_SIZE, 224, 224, 3)"
            },
            known.PYTORCH_URL: {"CM_ML_MODEL_GIVEN_CHANNEL_MEANS": ""},
            known.PYTORCH_INT8_URL: {"CM_ML_MODEL_GIVEN_CHANNEL_MEANS": ""},
            known.EDGETPU_URL: {"CM_ML_MODEL_OUTPUT_LAYER_ARGMAX": "no"},
        }.get(url, {})


# -- the schema refuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        [],
        ["variations", "onnx"],
        ["variations", "ncnn,fp32", "post_deps", 0],
        ["variations", "fix-input-shape", "deps", 0],
        ["variations", "onnx,from-tf,fp32", "adr", "model-downloader"],
        ["prehook_deps", 0],
        ["variations", "ncnn,fp32", "post_deps", 0, "add_deps", "download-script"],
        ["post_deps", 0],
        ["input_description", "outdirname"],
        ["extra_cache_tags_from_env", 0],
        ["tests"],
        ["tests", "run_inputs", 0],
        ["artifacts", known.OPSET_11_URL],
        ["artifacts", known.OPSET_11_URL, "inputs", 0],
        ["artifacts", known.OPSET_11_URL, "preprocessing"],
        ["artifacts", known.OPSET_11_URL, "matches", 0],
        ["artifacts", known.ARGMAX_URL, "archive"],
        ["artifacts", known.OPSET_11_URL, "dummy"],
    ],
    ids=lambda place: "/".join(str(part)[-30:] for part in place) or "top",
)
def test_an_unknown_key_is_refused_at_every_level(place: list[Any]) -> None:
    def change(meta: dict[str, Any]) -> None:
        target: Any = meta
        for part in place:
            target = target[part]
        target["surprise"] = "yes"

    assert any("surprise" in text for text in refused(change))


def _artifact(url: str, **facts: Any) -> Change:
    return lambda meta: meta["artifacts"][url].update(facts)


def _env(name: str, key: str, value: str) -> Change:
    return lambda meta: meta["variations"][name]["env"].update({key: value})


def _serve(url: str, **pattern: Any) -> Change:
    return lambda meta: meta["artifacts"][url]["matches"][0].update(pattern)


MUTATIONS: dict[str, Change] = {
    "url without artifact": _env("pytorch,fp32", "CM_PACKAGE_URL", "https://example.org/a.pth"),
    "url of another artifact": _env("pytorch,fp32", "CM_PACKAGE_URL", known.NCNN_URL),
    "param url without artifact": lambda m: m["variations"]["ncnn,fp32"]["post_deps"][0].update(
        tags="download-and-extract,_url.https://example.org/resnet50_v1.param"
    ),
    "cache tags of the param file differ": _artifact(known.PARAM_URL, cache_tags=["params"]),
    "artifact gone": lambda m: m["artifacts"].pop(known.OPSET_8_URL),
    "companion gone": lambda m: m["artifacts"].pop(known.PARAM_URL),
    "mirror gone that a variation names": _artifact(
        known.OPSET_11_URL, mirrors=list(known.OPSET_11.mirrors[:2])
    ),
    "mirror of two": _artifact(known.OPSET_8_URL, mirrors=[known.HUGGINGFACE_URL]),
    "mirror is a key": _artifact(known.OPSET_8_URL, mirrors=[known.OPSET_11_URL]),
    "url elsewhere": lambda m: m["env"].update(CM_ML_MODEL_DATASET=known.OPSET_11_URL),
    "url in input description": lambda m: m["input_description"]["outdirname"].update(
        desc=f"See {known.OPSET_11_URL}"
    ),
    "no digest": _artifact(known.PYTORCH_URL, md5=None, sha256=None),
    "no digest of the archive": lambda m: m["artifacts"][known.ARGMAX_URL]["archive"].update(
        md5=None
    ),
    "md5 too short": _artifact(known.OPSET_11_URL, md5="f6a4da60"),
    "md5 in capitals": _artifact(known.OPSET_11_URL, md5="F6A4DA60CD5F084D97EFC2C1DDB10BEB"),
    "md5 of another file": _artifact(known.OPSET_11_URL, md5=known.OPSET_8.md5),
    "random weights under the true digest": lambda m: m["artifacts"][known.OPSET_8_URL][
        "dummy"
    ].update(md5=known.OPSET_8.md5),
    "random weights without a digest": lambda m: m["artifacts"][known.OPSET_8_URL]["dummy"].pop(
        "sha256"
    ),
    "checksum differs": _env("onnx,opset-11", "CM_DOWNLOAD_CHECKSUM", "0" * 32),
    "checksum of the archive differs": _env("tflite,argmax", "CM_DOWNLOAD_CHECKSUM", "0" * 32),
    "checksum of huggingface differs": _env(
        "huggingface_default", "CM_DOWNLOAD_CHECKSUM", str(known.OPSET_8.md5)
    ),
    "checksum of no file": _env("onnx,from-tf", "CM_DOWNLOAD_CHECKSUM", "0" * 32),
    "opset differs in the artifact": _artifact(known.OPSET_8_URL, opset=9),
    "opset differs in the variation": _env("opset-8", "CM_ML_MODEL_ONNX_OPSET", "9"),
    "opset of a frozen graph": _artifact(known.TENSORFLOW_URL, opset=11),
    "format differs": _artifact(known.PYTORCH_URL, format="onnx"),
    "framework differs": _env("tflite", "CM_ML_MODEL_FRAMEWORK", "tensorflow"),
    "precision differs": _artifact(known.PYTORCH_INT8_URL, precision="fp32"),
    "precision of a variation differs": _env("int8", "CM_ML_MODEL_PRECISION", "fp32"),
    "layout differs in the artifact": _artifact(known.TENSORFLOW_URL, layout="NCHW"),
    "layout differs in the variation": _env("onnx", "CM_ML_MODEL_DATA_LAYOUT", "NHWC"),
    "layout of the shape differs": _env(
        "onnx", "CM_ML_MODEL_INPUT_SHAPES", r"\"input_tensor:0\": (BATCH_SIZE, 224, 224, 3)"
    ),
    "correction of the shape is lost": _artifact(known.TENSORFLOW_URL, exports={}),
    "correction names another input": _artifact(
        known.TENSORFLOW_URL,
        exports={"CM_ML_MODEL_INPUT_SHAPES": r"\"input\": (BATCH_SIZE, 224, 224, 3)"},
    ),
    "classes differ": _artifact(known.NCNN_URL, classes=1001),
    "file differs from the url": _artifact(known.OPSET_11_URL, file="resnet50.onnx"),
    "file differs in the variation": _env("tflite,argmax", "CM_ML_MODEL_FILE", "resnet50.tflite"),
    "download name differs": _env("onnx,from-tf,fp32", "CM_DOWNLOAD_FILENAME", "resnet50.onnx"),
    "file with a separator": _artifact(known.FROM_TF_URL, file="../resnet50_v1_modified.onnx"),
    "archive nobody unpacks": lambda m: m["variations"]["tflite,argmax"]["env"].pop(
        "CM_DAE_EXTRACT_DOWNLOADED"
    ),
    "accuracy differs in the artifact": _artifact(known.TENSORFLOW_URL, top1="76.014"),
    "accuracy differs in the variation": _env("tflite", "CM_ML_MODEL_ACCURACY", "76.014"),
    "top1 as a number": _artifact(known.TENSORFLOW_URL, top1=76.456),
    "two of one name": _artifact(known.OPSET_8_URL, name="onnx-opset-11"),
    "two serve one request": _serve(known.NO_ARGMAX_URL, output="argmax"),
    "one serves everything": lambda m: m["artifacts"][known.PYTORCH_INT8_URL].update(
        matches=[{"framework": "pytorch"}]
    ),
    "serves what nobody can ask": _serve(known.OPSET_11_URL, opset="12"),
    "serves another framework": _serve(known.TENSORFLOW_URL, framework="ncnn"),
    "serves nothing": _artifact(known.TENSORFLOW_URL, matches=[]),
    "env that is no text": lambda m: m["env"].update(CM_ML_MODEL_RETRAINING=False),
    "env key in small letters": lambda m: m["env"].update(cm_ml_model="x"),
    "plain http": _artifact(known.OPSET_8_URL, mirrors=["http://armi.in/files/resnet50_v1.onnx"]),
    "comma in a url": _artifact(
        known.OPSET_8_URL, mirrors=["https://armi.in/a,b/resnet50_v1.onnx"]
    ),
    "const outside our own keys": lambda m: m["variations"]["onnx"]["const"].update(
        CM_ML_MODEL_VER="1.5"
    ),
    "const without a cache tag": lambda m: m["variations"]["onnx"]["const"].update(
        CM_RESNET50_OTHER="1"
    ),
    "identity without a value": lambda m: m["env"].pop("CM_RESNET50_ASKED_BATCH"),
    "identity with an empty value": lambda m: m["env"].update(CM_RESNET50_ASKED_BATCH=""),
    "two variations set one const": lambda m: m["variations"]["from-tf"]["const"].update(
        CM_RESNET50_ASKED_HUGGINGFACE="no"
    ),
    "exported filter widened": lambda m: m.update(new_env_keys=["CM_ML_MODEL*"]),
    "alias of nothing": lambda m: m["variations"]["tf"].update(alias="tensorflow2"),
    "alias with env": lambda m: m["variations"]["tf"].update(env={"CM_ML_MODEL_VER": "2"}),
    "combined with an alias": lambda m: m["variations"].update({"tf,int8": {"env": {}}}),
    "two defaults": lambda m: m["variations"]["int8"].update(default=True),
    "default without a group": lambda m: m["variations"]["from-tf"].update(default=True),
    "a name that callers use": lambda m: m["prehook_deps"][0]["names"].append("ml-model"),
    "a key nobody checks": lambda m: m["checked_env_keys"].remove("CM_PACKAGE_URL"),
    "an input without a mapping": lambda m: m["input_description"].update(cache={"desc": "x"}),
    "an input without words": lambda m: m["input_description"]["to"].pop("desc"),
    "required fact left out": lambda m: m["artifacts"][known.OPSET_8_URL].pop("license"),
}


@pytest.mark.parametrize("change", MUTATIONS.values(), ids=MUTATIONS)
def test_a_wrong_meta_is_refused(change: Change) -> None:
    assert refused(change)
