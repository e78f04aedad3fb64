"""The preview: which files a run of our own script delivers, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cmx_resnet50.catalog.table import Artifact, Catalog, Resolution
from cmx_resnet50.catalog.variations import compose
from cmx_resnet50.engines.cm import CM
from cmx_resnet50.engines.env_request import check_values, options_of, request_of
from cmx_resnet50.options import own_stores
from cmx_resnet50.store import Store, open_store


@dataclass(frozen=True)
class File:
    """One file that a run delivers. `facts` are pairs of a label and a value."""

    name: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Preview:
    """What a run delivers, the model first, and what the user should know of it."""

    files: tuple[File, ...]
    notices: tuple[str, ...]


def is_ours(uid: str) -> bool:
    """Whether `uid` is that of the script whose catalog this package carries."""
    return uid == str(Catalog.load().meta["uid"])


def describe(variations: Sequence[str], inputs: Mapping[str, str]) -> Preview:
    """Return what a run with `variations` and `inputs` delivers.

    Raises
    ------
    RequestError
        If that is no file; it names the nearest requests that have one.
    Resnet50Error
        If an option or a value means nothing.
    """
    catalog = Catalog.load()
    env = CM.view(dict(compose(catalog.meta, variations)))
    mapping: Mapping[str, str] = catalog.meta["input_mapping"]
    env.raw.update({mapping[key]: value for key, value in inputs.items() if key in mapping})
    check_values(env, catalog.meta["checked_env_keys"])
    none = CM.view({})
    options = options_of(env, none)
    resolution = catalog.resolve(request_of(env, none, variations), strict=options.strict)
    store = open_store(options.store, own_stores())
    dummy = resolution.request.weights == "dummy"
    missing = "no; a run generates it" if dummy else "no; a run downloads it"
    if options.offline and not dummy and resolution.request.local is None:
        missing = "no; offline mode prevents the download"
    files = [
        File(artifact.file, _facts(artifact, dummy, _stored(artifact, store, dummy) or missing))
        for artifact in (resolution.artifact, *resolution.companions)
    ]
    messages = map(CM.wording.apply, resolution.messages)
    return Preview(tuple(files), (*messages, *_further(resolution)))


def in_container(inputs: Mapping[str, str]) -> str:
    """Return what to know of a run in a container with `inputs`."""
    text = (
        "Copy a wheel of this package into the image, with --docker_copy_files: see "
        "docs/containers.md."
    )
    if {"to", "download_path"} & set(inputs):
        return text
    return f"The file stays in the container unless the input `to` names a folder. {text}"


def _further(resolution: Resolution) -> list[str]:
    request, notices = resolution.request, []
    if resolution.batch is not None:
        notices.append(
            f"The batch size is fixed to {resolution.batch} in a copy; size and digest are those "
            "of the original file."
        )
    if request.local is not None:
        notices.append(f"The file is read from {request.local} and compared with the digest.")
    return notices


def _facts(artifact: Artifact, dummy: bool, stored: str) -> tuple[tuple[str, str], ...]:
    facts = [("Artifact", artifact.name), ("Bytes", _bytes(artifact, dummy))]
    facts.append(("Digest", _digest(artifact, dummy)))
    if artifact.companion_key is None:
        facts += [
            ("Precision", artifact.precision or "unknown"),
            ("Layout", artifact.layout or "unknown"),
            ("Top-1", "none: random weights" if dummy else _percent(artifact.top1)),
        ]
        if artifact.format == "onnx":
            facts.append(("Opset", str(artifact.opset or "unknown")))
    licence = "none: generated on this machine" if dummy else artifact.license
    facts.append(("Licence", licence or "not stated by the publisher"))
    facts.append(("In the store", stored))
    return tuple(facts)


def _bytes(artifact: Artifact, dummy: bool) -> str:
    size = (artifact.dummy or {}).get("bytes") if dummy else artifact.bytes
    if size:
        return f"{size:,}"
    return f"about {artifact.approx_bytes:,}" if artifact.approx_bytes else "unknown"


def _digest(artifact: Artifact, dummy: bool) -> str:
    archive = artifact.archive or {}
    known = artifact.dummy or {} if dummy else {"sha256": artifact.sha256, "md5": artifact.md5}
    for digests, of in ((known, ""), ({} if dummy else archive, " of the archive")):
        for name in ("sha256", "md5"):
            if digests.get(name):
                return f"{name} {digests[name]}{of}"
    return "unknown"


def _percent(top1: str | None) -> str:
    return f"{top1} %" if top1 else "unknown"


def _stored(artifact: Artifact, store: Store, dummy: bool) -> str:
    """Return the state of the file in the store; nothing where it is not there."""
    names = artifact.dummy_keys if dummy else artifact.store_keys
    found = store.find(*names) if names else None
    if found is None:
        return ""
    return "yes" if store.check(found) else "damaged; a run repairs it"
