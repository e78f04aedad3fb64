"""The sections of docs/reference.md on what runs, in which order, and on the keys that come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cmx_resnet50.cached_run import receipt
from cmx_resnet50.catalog.table import Catalog
from cmx_resnet50.engines import downloader, outputs
from cmx_resnet50.engines.dialect import META, MODEL
from tools.readme.markdown import code, dependency, table, tag

MEANINGS = {
    "ACCURACY": "known top-1 accuracy in percent; empty where unknown and for random weights",
    "BATCH_SIZE": "the requested batch size",
    "CACHE_FILE_WITH_PATH": "the cache entry's own copy, whatever output folder is named",
    "DATASET": "the data that the accuracy was measured on",
    "DATA_LAYOUT": "`NCHW` or `NHWC`",
    "FILE": "name of the file",
    "FILE_WITH_PATH": "the file",
    "FRAMEWORK": "the framework that the file is for",
    "GIVEN_CHANNEL_MEANS": "what preprocessing subtracts from each channel; empty if not stated",
    "IMAGE_HEIGHT": "height of the input in pixels",
    "IMAGE_WIDTH": "width of the input in pixels",
    "INPUT_DATA_TYPES": "data type of the inputs, as documented for the precision",
    "INPUT_LAYERS": "names of the inputs",
    "INPUT_LAYER_NAME": "name of the first input",
    "INPUT_SHAPES": "inputs with their shapes; a caller replaces `BATCH_SIZE` by a number",
    "MD5": "md5 of the file",
    "NORMALIZE_DATA": "whether preprocessing scales the pixels",
    "ONNX_OPSET": "opset of an ONNX file; empty while unknown",
    "OUTPUT_LAYERS": "names of the outputs",
    "OUTPUT_LAYER_ARGMAX": "whether the output to use is the argmax",
    "OUTPUT_LAYER_NAME": "name of the first output",
    "PARAM_FILE_WITH_PATH": "ncnn only: the graph (`.param`), next to the weights (`.bin`)",
    "PATH": "the folder of the file",
    "PRECISION": "precision of the file",
    "REQUESTED_PRECISION": "the requested precision, where the file has another",
    "RETRAINING": "whether the weights were retrained, for measurement records",
    "SHA256": "sha256 of the file",
    "SIZE": "size of the file in bytes",
    "STARTING_FILE_PATH": "the published file, where a batch was fixed in a copy of it",
    "STARTING_WEIGHTS_FILENAME": "the URL that the weights come from, for measurement records",
    "SUBTRACT_MEANS": "whether preprocessing subtracts means",
    "TF_FIX_INPUT_SHAPE": "whether a fixed input shape is requested",
    "VER": "version of the network",
    "VERIFIED": "`yes` if the file was compared with a digest known beforehand",
    "WEIGHTS": "`pretrained` or `dummy`",
    "WEIGHT_DATA_TYPES": "data type of the weights",
    "WEIGHT_TRANSFORMATIONS": "whether the weights were changed, for measurement records",
}
"""What each exported key means, without its prefix ``CM_ML_MODEL_``."""


def dependencies(meta: Mapping[str, Any]) -> str:
    """Return the dependencies in order of work, with the names that change them."""
    steps = [
        *_phase(meta, "deps"),
        "hook `preprocess`: acquires the file and places it in the cache entry",
        *_phase(meta, "prehook_deps"),
        *_phase(meta, "posthook_deps"),
        "hook `postprocess`: exports the facts of the file",
        *_phase(meta, "post_deps"),
    ]
    numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    return f"""
## Dependencies

In the order in which they run, with the flag that adds tags to one. A *dynamic* one runs on cache
hits too.

{numbered}
"""


def _phase(meta: Mapping[str, Any], phase: str) -> Iterator[str]:
    for dep in meta.get(phase, ()):
        yield f"{phase}: {dependency(dep)}{_only_for_a_tool(dep)}"
    for name, variation in meta["variations"].items():
        for dep in variation.get(phase, ()):
            text = f"{phase}: {dependency(dep)}, with {tag(name)}"
            yield text + (_only_for_a_tool(dep) or _conditions(dep))


def _only_for_a_tool(dep: Mapping[str, Any]) -> str:
    """Return when a dependency runs that is skipped if the library has delivered the files."""
    delivered = META + downloader.DELIVERED in dep.get("skip_if_env", {})
    return ", only for a download tool that you name" if delivered else ""


def _conditions(dep: Mapping[str, Any]) -> str:
    """Return under which keys a dependency runs, or does not."""
    return "".join(
        f" {word} {code(f'{key}={value}')}"
        for word, condition in (("and", "enable_if_env"), ("unless", "skip_if_env"))
        for key, (value,) in dep.get(condition, {}).items()
    )


def new_env(catalog: Catalog) -> str:
    """Return the exported keys, those set by the hooks marked."""
    meta = catalog.meta
    hooked = _set_by_hooks(catalog)
    known = {*meta["env"], *hooked}
    known.update(key for v in meta["variations"].values() for key in v.get("env", {}))
    rows = (
        (code(key), "hooks" if key in hooked else "", _meaning(key))
        for key in sorted(known)
        if any(fnmatchcase(key, pattern) for pattern in meta["new_env_keys"])
    )
    printed = ", ".join(f"{code(key)} ({t})" for key, t in meta["print_env_at_the_end"].items())
    return f"""
## Script output

New env keys: {", ".join(map(code, meta["new_env_keys"]))}. Printed at the end: {printed}.

Keys marked *hooks* are set, or for some files corrected, from the facts of the delivered file. The
others are as the variations set them.

{table(("key", "set by", "meaning"), rows)}
"""


def _meaning(key: str) -> str:
    # A test asks for the meaning of each key: a new one must not stop the command.
    return MEANINGS.get(key.removeprefix(META + MODEL), "")


def _set_by_hooks(catalog: Catalog) -> set[str]:
    keys = {receipt.CACHED, *outputs.SOMETIMES}
    for request in catalog.requests():
        found = catalog.resolve(request)
        keys.update(outputs.facts(found, md5="", sha256="", size=0, verified=True, url=""))
        keys.update(outputs.locations(found.artifact, Path(), found.companions))
    return {META + name for name in keys}
