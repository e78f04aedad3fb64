"""The table "request, file, what is in it" of docs/reference.md, from the catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cmx_resnet50.catalog.table import Artifact, Catalog, Request
from cmx_resnet50.catalog.variations import compose
from tools.readme.markdown import UNKNOWN, bullets, code, folded, table


def asked(catalog: Catalog) -> dict[str, list[str]]:
    """Return every request to the letter by the URL of its artifact."""
    found: dict[str, list[str]] = {}
    for request in catalog.requests():
        found.setdefault(catalog.resolve(request).artifact.url, []).append(request.variations)
    return found


def requests_of(catalog: Catalog) -> dict[str, str]:
    """Return the shortest request for each artifact by its URL, as code; the default marked."""
    shortest = {url: code(min(names, key=len)) for url, names in asked(catalog).items()}
    plain = Request.from_env(compose(catalog.meta, ()), explicit=())
    shortest[catalog.resolve(plain).artifact.url] += " (default)"
    return shortest


def table_of_requests(catalog: Catalog) -> str:
    """Return the files by the shortest request for each, and all requests that have one."""
    requests = requests_of(catalog)
    for url, request in list(requests.items()):
        for companion in catalog.artifacts[url].companions:
            requests[companion] = f"with {request}"
    known = [(requests[url], artifact) for url, artifact in catalog.artifacts.items()]
    head = ("request", "file", "format", "precision", "layout", "opset", "bytes")
    every = (
        f"{catalog.artifacts[url].file}: {', '.join(map(code, names))}"
        for url, names in asked(catalog).items()
    )
    return f"""
## Which file a request means

For help with the choice (accuracy, classes, batch, preprocessing, licence, int8 and uint8), see
[Choose a file](choose.md).

{table(head, ((request, *_facts(artifact)) for request, artifact in known))}

{table(("request", "inputs", "outputs", "md5"), ((r, *_inside(a)) for r, a in known))}

*{UNKNOWN.capitalize()}*: no public source states it.

{folded("Every request that has a file", bullets(every))}

Any other request is refused, or gets the nearest file with a warning and true facts about it: see
[int8 and uint8](choose.md#int8-and-uint8).
"""


def _facts(artifact: Artifact) -> tuple[str, ...]:
    about = f"about {artifact.approx_bytes:,}" if artifact.approx_bytes else UNKNOWN
    size = f"{artifact.bytes:,}" if artifact.bytes else about
    facts = (artifact.precision, artifact.layout, artifact.opset)
    # Precision and the like belong to a model, opset to ONNX: elsewhere nothing is missing.
    meant = (artifact.matches, artifact.matches, artifact.format == "onnx")
    texts = (
        (UNKNOWN if fact is None else str(fact)) if means else ""
        for fact, means in zip(facts, meant, strict=True)
    )
    return f"[{artifact.file}]({artifact.url})", artifact.format, *texts, size


def _inside(artifact: Artifact) -> tuple[str, str, str]:
    md5 = code(artifact.md5) if artifact.md5 else UNKNOWN
    if artifact.md5 is None and artifact.archive is not None:
        md5 = f"{code(artifact.archive['md5'])} (of the {artifact.archive['format']} archive)"
    if not artifact.matches:
        return "", "", md5
    return _tensors(artifact.inputs), _tensors(artifact.outputs), md5


def _tensors(tensors: Sequence[Mapping[str, Any]] | None) -> str:
    texts = (
        f"{tensor['name'] or ''} {tensor['dtype']}[{','.join(map(str, tensor['shape']))}]".strip()
        for tensor in tensors or ()
    )
    return "<br>".join(map(code, texts)) or UNKNOWN
