"""Where two places of ``_cm.json`` state one fact, they must state it alike: what does not.

A JSON schema sees one place at a time; this module compares them. Each problem is a sentence.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import product
from typing import Any
from urllib.parse import urlsplit

Meta = Mapping[str, Any]
URL = re.compile(r"https?://[^\s\"]+")
P = "CM_ML_MODEL_"


def problems(meta: Meta) -> list[str]:
    """Return all disagreements in `meta`, as text."""
    checks = (
        *(_urls, _checksums, _files, _of_framework, _tensors, _serving, _groups, _identity),
        _cache_tags,
    )
    return [problem for check in checks for problem in check(meta)]


def _owner(meta: Meta, url: str) -> Mapping[str, Any] | None:
    for key, artifact in meta["artifacts"].items():
        if url == key or url in artifact["mirrors"]:
            return dict(artifact)
    return None


def _urls(meta: Meta) -> Iterator[str]:
    """Every URL: a key or mirror of one artifact; besides, a value in its variation, no more."""
    owned = Counter(list(meta["artifacts"]))
    for artifact in meta["artifacts"].values():
        owned.update(artifact["mirrors"])
    yield from (f"{url} stands {n} times in artifacts" for url, n in owned.items() if n > 1)
    for name, variation in meta["variations"].items():
        for url in _values(variation):
            if url not in owned:
                yield f"{url} of {name} is no artifact"
    packages = Counter(
        v["env"]["CM_PACKAGE_URL"]
        for v in meta["variations"].values()
        if "CM_PACKAGE_URL" in v.get("env", {})
    )
    yield from (f"{url} is CM_PACKAGE_URL {n} times" for url, n in packages.items() if n > 1)
    rest = {key: value for key, value in meta.items() if key not in ("variations", "artifacts")}
    yield from (f"{url} stands outside variations and artifacts" for url in _values(rest))
    for key, artifact in meta["artifacts"].items():
        for url in artifact.get("companions", ()):
            if not meta["artifacts"].get(url, {}).get("companion_key"):
                yield f"companion {url} of {key} is no artifact with a companion_key"
        if not artifact["matches"] and not artifact.get("companion_key"):
            yield f"{key} serves nothing"


def _values(part: object) -> list[str]:
    return [url.rstrip("\\") for url in URL.findall(json.dumps(part))]


def _packages(meta: Meta) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Each variation that names a file, with its env and the artifact it names."""
    for name, variation in meta["variations"].items():
        env = variation.get("env", {})
        artifact = _owner(meta, env.get("CM_PACKAGE_URL", ""))
        if artifact is not None:
            yield name, env, artifact


def _checksums(meta: Meta) -> Iterator[str]:
    digests = [
        digest
        for artifact in meta["artifacts"].values()
        for part in (artifact, artifact.get("archive", {}), artifact.get("dummy", {}))
        for digest in (part.get("md5"), part.get("sha256"))
        if digest
    ]
    yield from (f"{d} belongs to two artifacts" for d, n in Counter(digests).items() if n > 1)
    for name, env, artifact in _packages(meta):
        known = artifact.get("archive", artifact)["md5"]
        if env.get("CM_DOWNLOAD_CHECKSUM", known) != known:
            yield f"{name}: CM_DOWNLOAD_CHECKSUM is not {known}"
    for name, variation in meta["variations"].items():
        env = variation.get("env", {})
        if env.get("CM_DOWNLOAD_CHECKSUM") and "CM_PACKAGE_URL" not in env:
            start = _owner(meta, env.get(P + "STARTING_WEIGHTS_FILENAME", ""))
            if start is None or start["md5"] != env["CM_DOWNLOAD_CHECKSUM"]:
                yield f"{name}: CM_DOWNLOAD_CHECKSUM belongs to no file that it names"


def _files(meta: Meta) -> Iterator[str]:
    names = Counter(artifact["name"] for artifact in meta["artifacts"].values())
    yield from (f"two artifacts are named {name}" for name, n in names.items() if n > 1)
    for url, artifact in meta["artifacts"].items():
        file = artifact["file"]
        for address in (url, *artifact["mirrors"]):
            base = posixpath.basename(urlsplit(address).path)
            packed = f"{file}.gz" if "archive" in artifact else file
            if "." in base and base != packed:
                yield f"{address} is not named {packed}"
    for name, env, artifact in _packages(meta):
        for key in (P + "FILE", "CM_DOWNLOAD_FILENAME"):
            if env.get(key, artifact["file"]) != artifact["file"]:
                yield f"{name}: {key} is not {artifact['file']}"
        if (env.get("CM_DAE_EXTRACT_DOWNLOADED") == "yes") != ("archive" in artifact):
            yield f"{name}: CM_DAE_EXTRACT_DOWNLOADED and the archive disagree"


def _of_framework(meta: Meta) -> Iterator[str]:
    variations = meta["variations"]
    for name, variation in variations.items():
        for group, key in (("framework", P + "FRAMEWORK"), ("precision", P + "PRECISION")):
            if variation.get("group") == group and variation["env"][key] != name:
                yield f"{name}: {key} is {variation['env'][key]}"
    for name, _env, artifact in _packages(meta):
        parts = name.split(",")
        framework = parts[0] if parts[0] != "huggingface_default" else "onnx"
        if artifact["format"] != framework:
            yield f"{name}: format is {artifact['format']}"
        for part in parts:
            group = variations.get(part, {}).get("group")
            if group == "precision" and artifact["precision"] != part:
                yield f"{name}: precision is {artifact['precision']}"
            if group == "opset-version":
                opset = variations[part]["env"][P + "ONNX_OPSET"]
                if str(artifact["opset"]) != opset or part != f"opset-{opset}":
                    yield f"{name}: opset is {artifact['opset']}, {P}ONNX_OPSET {opset}"
        stated = _composed(meta, parts if parts[0] == framework else [framework])
        layout = stated.get(P + "DATA_LAYOUT", artifact["layout"])
        if artifact["layout"] != layout:
            yield f"{name}: layout is {artifact['layout']}, {P}DATA_LAYOUT {layout}"
        accuracy = stated.get(P + "ACCURACY")
        if accuracy and artifact["top1"] not in (accuracy, None):
            yield f"{name}: top1 is {artifact['top1']}, {P}ACCURACY {accuracy}"
        # A file whose documented shape is wrong corrects it in its exports.
        shapes = artifact["exports"].get(P + "INPUT_SHAPES", stated.get(P + "INPUT_SHAPES"))
        if (
            shapes
            and _layout_of(re.findall(r"\d+|BATCH_SIZE", shapes.partition(": ")[2])) != layout
        ):
            yield f"{name}: {P}INPUT_SHAPES is not {layout}"
        inputs = artifact["inputs"]
        given = artifact["exports"].get(P + "INPUT_SHAPES")
        if given and inputs and f'\\"{inputs[0]["name"]}\\":' not in given:
            yield f"{name}: {P}INPUT_SHAPES does not name {inputs[0]['name']}"


def _composed(meta: Meta, parts: list[str]) -> dict[str, str]:
    env: dict[str, str] = {}
    for name in sorted(meta["variations"], key=lambda key: key.count(",")):
        if set(name.split(",")) <= set(parts):
            env.update(meta["variations"][name].get("env", {}))
    return env


def _layout_of(dimensions: list[Any]) -> str:
    return "NCHW" if str(dimensions[-1]) == "224" else "NHWC"


def _tensors(meta: Meta) -> Iterator[str]:
    for url, artifact in meta["artifacts"].items():
        inputs, outputs = artifact["inputs"], artifact["outputs"]
        if inputs and _layout_of(inputs[0]["shape"]) != artifact["layout"]:
            yield f"{url}: layout is {artifact['layout']}, the input's shape says otherwise"
        if outputs and outputs[-1]["shape"][-1] != artifact["classes"]:
            yield f"{url}: classes is {artifact['classes']}, the last output's shape says otherwise"
        if artifact["format"] != "onnx" and artifact["opset"] is not None:
            yield f"{url}: an opset, but no ONNX file"
        argmax = bool(outputs) and any("argmax" in str(o["name"]).lower() for o in outputs)
        for pattern in artifact["matches"]:
            if outputs and "output" in pattern and (pattern["output"] == "argmax") != argmax:
                yield f"{url}: serves {pattern['output']}, its outputs say otherwise"
            if pattern["framework"] != artifact["format"]:
                yield f"{url}: serves {pattern['framework']}, format is {artifact['format']}"
            if pattern.get("opset", str(artifact["opset"])) != str(artifact["opset"]):
                yield f"{url}: serves opset {pattern['opset']}, opset is {artifact['opset']}"


def _serving(meta: Meta) -> Iterator[str]:
    """No request may mean two files, and no pattern may name what no variation sets."""
    choices = {
        "framework": _set_by(meta, "FRAMEWORK"),
        "precision": _set_by(meta, "PRECISION"),
        "output": _set_by(meta, "OUTPUT"),
        "opset": _set_by(meta, "OPSET"),
        "from_tf": _set_by(meta, "FROM_TF"),
        "huggingface": _set_by(meta, "HUGGINGFACE"),
    }
    patterns = [
        (url, {name: {wanted} if isinstance(wanted, str) else set(wanted)
               for name, wanted in pattern.items()})
        for url, artifact in meta["artifacts"].items()
        for pattern in artifact["matches"]
    ]  # fmt: skip
    for url, pattern in patterns:
        for name, wanted in pattern.items():
            if not wanted <= choices.get(name, set()):
                yield f"{url} serves {name} {sorted(wanted)}, which nobody can ask"
    for number, (url, one) in enumerate(patterns):
        for other_url, other in patterns[number + 1 :]:
            shared = {name: one.get(name, choices[name]) & other.get(name, choices[name])
                      for name in choices}  # fmt: skip
            if all(shared.values()):
                example = next(product(*shared.values()))
                yield f"{url} and {other_url} both serve {example}"


def _set_by(meta: Meta, name: str) -> set[str]:
    key = f"CM_RESNET50_ASKED_{name}"
    values = {v["const"][key] for v in meta["variations"].values() if key in v.get("const", {})}
    return values | {meta["env"][key]}


def _groups(meta: Meta) -> Iterator[str]:
    variations = meta["variations"]
    singles = {name for name in variations if "," not in name}
    defaults = Counter(v.get("group") for v in variations.values() if v.get("default"))
    yield from (f"group {group} has {n} defaults" for group, n in defaults.items() if n > 1)
    for name, variation in variations.items():
        for part in name.split(","):
            if "," in name and (part not in singles or "alias" in variations[part]):
                yield f"{name}: {part} is no variation, or an alias"
        if variation.get("alias", name) not in variations:
            yield f"{name}: alias of nothing"
        if not set(variation.get("base", ())) <= set(variations):
            yield f"{name}: base is no variation"
        if "base" in variation and set(variation["base"]) - set(name.split(",")):
            yield f"{name}: base brings in another variation than the name says"
        for group, default in variation.get("default_variations", {}).items():
            if variations.get(default, {}).get("group") != group:
                yield f"{name}: default {default} is not of group {group}"


def _identity(meta: Meta) -> Iterator[str]:
    """What tells one cache entry from another always has a value, and never hangs on order."""
    tagged = [entry["env"] for entry in meta["extra_cache_tags_from_env"]]
    prefixes = [entry["prefix"] for entry in meta["extra_cache_tags_from_env"]]
    for name, n in Counter([*tagged, *prefixes]).items():
        if n > 1:
            yield f"{name} is a cache tag {n} times"
    for one, other in product(prefixes, prefixes):
        if one != other and one.startswith(other):
            yield f"cache tag {one} begins with {other}"
    for key in tagged:
        if not meta["env"].get(key):
            yield f"{key} is a cache tag, but has no value of its own"
    setters: dict[str, list[str]] = {}
    for name, variation in meta["variations"].items():
        for key in variation.get("const", {}):
            setters.setdefault(key, []).append(name)
            if key not in tagged:
                yield f"{name} sets {key}, which is no cache tag"
            if "," in name:
                yield f"{name}: a combined variation sets {key}"
    for key, names in setters.items():
        groups = {meta["variations"][name].get("group") for name in names}
        alone = {name.partition(".")[0] for name in names}
        if len(groups) > 1 or (groups == {None} and len(alone) > 1):
            yield f"{key} is set by {names}, which may stand together"
    for key in tagged:
        if key.startswith("CM_RESNET50_ASKED_") and key not in setters:
            yield f"{key} is set by no variation"
    every = {*meta["env"], *meta["default_env"], *meta["input_mapping"].values()}
    every |= {key for v in meta["variations"].values() for key in v.get("env", {})}
    for key in sorted(every):
        checked = any(fnmatchcase(key, pattern) for pattern in meta["checked_env_keys"])
        if not checked:
            yield f"{key} is not in checked_env_keys"
    for name in set(meta["input_description"]) - {"outdirname", *meta["input_mapping"]}:
        if not name.startswith(("env.", "const.", "adr.")):
            yield f"input {name} is described, but mapped to nothing"


def _cache_tags(meta: Meta) -> Iterator[str]:
    """A file is found in the cache by the same tags, whether the engine's downloader fetched it."""
    for name, variation in meta["variations"].items():
        for dep in variation.get("post_deps", ()):
            url = dep["tags"].partition("_url.")[2]
            tags = {*meta["artifacts"].get(url, {}).get("cache_tags", ()), *meta["tags"]}
            if tags != {*dep.get("extra_cache_tags", "").split(","), *meta["tags"]}:
                yield f"{name}: {url} has other cache tags as an artifact"
