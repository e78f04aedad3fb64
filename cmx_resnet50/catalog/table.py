"""Which file a request stands for: the table of artifacts, and how a request selects one.

The table is the key ``artifacts`` of ``_cm.json``. ``matches`` of an artifact lists the requests
that select it; this module knows nothing about single frameworks.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cmx_resnet50.catalog.request import ASKED, Artifact, Request, RequestError, Resolution
from cmx_resnet50.catalog.variations import Variations, compose, plain_names
from cmx_resnet50.redaction import redact
from cmx_resnet50.user_urls import plain, without_fragment
from cmx_resnet50.wording import CHECKPOINT, CHECKSUM, DUMMY, STRICT, URL

__all__ = ["ASKED", "SCRIPT", "Artifact", "Catalog", "Request", "RequestError", "Resolution"]

SCRIPT = Path(__file__).parent.parent / "repo" / "script" / "get-ml-model-resnet50"
URL_KEY, WEIGHTS_KEY = "CM_PACKAGE_URL", "CM_ML_MODEL_STARTING_WEIGHTS_FILENAME"
"""Keys of CM, as ``_cm.json`` has them: a variation's URL, and where the weights come from."""
RANDOM = "The weights are random (_dummy-weights); predictions mean nothing."
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_WEIGHTS = {
    "framework": 16,
    "precision": 4,
    "output": 2,
    "huggingface": 2,
    "from_tf": 2,
    "opset": 1,
}
"""Weight of each field in the distance of two requests; the framework outweighs all others."""

_EXCLUSIVE = (
    (DUMMY, CHECKPOINT),
    (DUMMY, "a URL of your own"),
    ("_huggingface_default", "a URL of your own"),
)
"""Sources that contradict one another. A checkpoint may well be a file that a URL names."""


class Catalog:
    """The table of artifacts of a ``_cm.json``."""

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self.meta = meta
        self.artifacts = {
            url: Artifact(url=url, **facts) for url, facts in meta["artifacts"].items()
        }

    @classmethod
    def load(cls, path: Path | None = None) -> Catalog:
        """Read the table from `path`, by default from the script that this package carries."""
        return cls(json.loads((path or SCRIPT / "_cm.json").read_text(encoding="utf-8")))

    def find_url(self, url: str) -> Artifact | None:
        """Find the artifact that has `url` as its primary URL or as a mirror."""
        for artifact in self.artifacts.values():
            if url == artifact.url or url in artifact.mirrors:
                return artifact
        return None

    def find_digest(self, *digests: str) -> Artifact | None:
        """Find the artifact that one of `digests` (md5 or sha256) belongs to."""
        for artifact in self.artifacts.values():
            if {artifact.md5, artifact.sha256} & (set(digests) - {None}):
                return artifact
        return None

    def resolve(self, request: Request, *, strict: bool = False) -> Resolution:
        """Return the one artifact that `request` stands for.

        Raises
        ------
        RequestError
            If no file matches it, or, with `strict`, if the file deviates from it.
        """
        _check_sources(request)
        _check_digest(request)
        if request.url is not None:
            resolution = self._resolve_url(request, without_fragment(plain(request.url)))
        else:
            artifact = self._serving(request)
            if artifact is None:
                raise RequestError(
                    f"No ResNet-50 file exists for {request.variations}.",
                    self.nearest(request),
                )
            resolution = Resolution(
                request, artifact, self._companions(artifact), self._sources(request, artifact)
            )
        _check_checksum(resolution)
        resolution = _with_checksum(resolution)
        _check_dummy(resolution)
        resolution = replace(resolution, deviations=tuple(_deviations(resolution)))
        if strict and resolution.deviations:
            raise RequestError(
                f"{' '.join(resolution.deviations)} That is an error in strict mode ({STRICT}).",
                self.nearest(request),
            )
        return replace(resolution, notices=tuple(_notices(resolution)))

    def nearest(self, request: Request, count: int = 3) -> list[str]:
        """Return the valid requests that differ least from `request`, as variation lists."""
        found: dict[str, int] = {}
        shape: dict[str, Any] = {"batch": request.batch, "fix_shape": request.fix_shape}
        for candidate, artifact in self._valid:
            distance = sum(
                weight
                for name, weight in _WEIGHTS.items()
                if getattr(request, name) != getattr(candidate, name)
                and (name != "opset" or "onnx" in (request.framework, candidate.framework))
            )
            if distance or request.url is not None:
                if request.weights == "dummy" and (artifact is None or artifact.dummy is None):
                    continue
                keep = shape if artifact and artifact.batch != "native" else {}
                name = replace(candidate, weights=request.weights, **keep).variations
                found.setdefault(name, distance)
        return sorted(found, key=lambda name: (found[name], name))[:count]

    def request(self, names: Sequence[str], *, local: str | None = None) -> Request:
        """Return the request that the variations `names` make, as the engine composes them.

        Parameters
        ----------
        names : sequence of str
            In any case, with or without underscores, the script's tags before them or not; ``-``
            before one excludes it.
        local : str, optional
            The user's own file or folder.

        Raises
        ------
        RequestError
            For an unknown variation, and for variations that contradict one another.
        """
        explicit = plain_names(self.meta, names)
        return Request.from_env(compose(self.meta, names), local=local, explicit=explicit)

    def published(self) -> Iterator[tuple[Artifact, list[str]]]:
        """Every file that a request means, with the requests that mean it, the shortest first."""
        found: dict[str, tuple[Artifact, list[str]]] = {}
        for request in self.requests():
            artifact = self.resolve(request).artifact
            found.setdefault(artifact.name, (artifact, []))[1].append(request.variations)
        for artifact, requests in found.values():
            yield artifact, sorted(requests, key=len)

    def requests(self) -> Iterator[Request]:
        """All requests that one known file matches exactly."""
        groups = {
            group.name: [choice.name for choice in group.choices]
            for group in self.variations.groups
        }
        opsets = [name.removeprefix("opset-") for name in groups["opset-version"]]
        for framework, precision, output, from_tf, huggingface in product(
            groups["framework"],
            groups["precision"],
            groups["model-output"],
            ("no", "yes"),
            ("no", "yes"),
        ):
            choices = opsets if (framework, from_tf) == ("onnx", "no") else ["none"]
            for opset in choices:
                request = Request(
                    framework, precision, output, opset, from_tf, huggingface, explicit=frozenset()
                )
                artifact = self._serving(replace(request, explicit=frozenset({output})))
                if (
                    artifact
                    and artifact.precision == precision
                    and (from_tf == "no" or artifact.mentions("from_tf"))
                ):
                    yield request

    @cached_property
    def variations(self) -> Variations:
        """The variations of the script."""
        return Variations(self.meta)

    @cached_property
    def _valid(self) -> tuple[tuple[Request, Artifact | None], ...]:
        """All requests that have a file, with that file."""
        return tuple((request, self._serving(request)) for request in self.requests())

    def _serving(self, request: Request) -> Artifact | None:
        asked = {name: getattr(request, name) for name in _WEIGHTS}
        relaxed = {name: value for name, value in asked.items() if name != "output"}
        attempts = [asked]
        if not request.asked(request.output) and request.output != "none":
            # An explicit choice beats a default: `_tflite,_int8` means the int8 file, although
            # that file does not have the default output, argmax.
            attempts.append({**relaxed, "output": "*"})
        for attempt in attempts:
            for artifact in self.artifacts.values():
                if artifact.answers(attempt):
                    return artifact
        return None

    def _companions(self, artifact: Artifact) -> tuple[Artifact, ...]:
        return tuple(self.artifacts[url] for url in artifact.companions)

    def _sources(self, request: Request, artifact: Artifact) -> tuple[str, ...]:
        urls = [artifact.url, *artifact.mirrors]
        if request.huggingface == "yes":
            first = self.variations.by_name["huggingface_default"].env[URL_KEY]
            urls.sort(key=lambda url: url != first)
        return tuple(urls)

    def _resolve_url(self, request: Request, url: str) -> Resolution:
        if request.framework == "none":
            raise RequestError(f"No framework is chosen for {URL}{redact(url)}.")
        artifact = self.find_url(url)
        if artifact is None:
            return Resolution(request, self._unknown(request, url), (), (url,))
        if artifact.companion_key is not None:
            raise RequestError(
                f"{URL}{redact(url)} is {artifact.file}, which belongs to a "
                f"model and is not one. Request _{artifact.format} without the URL."
            )
        if artifact.format != request.framework:
            raise RequestError(
                f"{URL}{redact(url)} is {artifact.file} for {artifact.format}, "
                f"but {request.framework} was requested. Request _{artifact.format} with it, "
                "or omit the URL."
            )
        others = (known for known in (artifact.url, *artifact.mirrors) if known != url)
        return Resolution(request, artifact, self._companions(artifact), (url, *others))

    def _unknown(self, request: Request, url: str) -> Artifact:
        checksum = (request.checksum or "").lower()
        try:
            name = posixpath.basename(urlsplit(url).path)
        except ValueError as error:
            raise RequestError(f"{URL}{redact(url)} is not a URL: {error}.") from error
        archive: dict[str, str | None] | None = None
        if name.endswith(".gz"):
            name = name.removesuffix(".gz")
            archive = {"format": "gzip", "bytes": None}
        if not _SAFE_NAME.fullmatch(name):
            usual = self._serving(replace(request, precision="fp32"))
            name = usual.file if usual else "resnet50"
        md5 = checksum if len(checksum) == 32 else None
        sha256 = checksum if len(checksum) == 64 else None
        if archive is not None:
            archive.update(md5=md5, sha256=sha256)
            md5 = sha256 = None
        return Artifact(
            url=url,
            name="custom",
            file=name,
            format=request.framework,
            precision=None if request.precision == "none" else request.precision,
            archive=archive,
            known=False,
            batch=next(
                (a.batch for a in self.artifacts.values() if a.format == request.framework), None
            ),
            exports={WEIGHTS_KEY: "<<<url>>>"},
            md5=md5,
            sha256=sha256,
        )


def _check_dummy(resolution: Resolution) -> None:
    """Refuse random weights in place of a file whose graph cannot be written."""
    request, artifact = resolution.request, resolution.artifact
    if request.weights == "dummy" and artifact.dummy is None:
        fp32 = replace(request, precision="fp32", output="none")
        precision = f", which is {artifact.precision}" if artifact.precision else ""
        raise RequestError(
            f"{DUMMY}: random weights are not available for {artifact.file}{precision}.",
            [fp32.variations],
        )


def _check_sources(request: Request) -> None:
    """Reject a request that names the source of its bytes twice."""
    named = {
        DUMMY: request.weights == "dummy",
        CHECKPOINT: request.local is not None,
        "a URL of your own": request.url is not None,
        "_huggingface_default": request.huggingface == "yes",
    }
    for one, other in _EXCLUSIVE:
        if named[one] and named[other]:
            raise RequestError(f"Choose one source: {one} or {other}.")


def _check_digest(request: Request) -> None:
    """Reject a checksum that is not a digest, also where the file's own is known."""
    digest = request.checksum
    if digest and not re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{64}", digest.lower()):
        raise RequestError(
            f"{CHECKSUM}{digest} is neither an md5 (32 hexadecimal digits) nor a sha256 (64)."
        )


def _check_checksum(resolution: Resolution) -> None:
    """Reject a checksum of the user's own that is not the file's."""
    checksum, artifact = resolution.request.checksum, resolution.artifact
    if checksum is None or not artifact.known:
        return
    archive = artifact.archive or {}
    known = {artifact.md5, artifact.sha256, archive.get("md5"), archive.get("sha256")} - {None}
    kin = {digest for digest in known if digest and len(digest) == len(checksum)}
    if kin and checksum.lower() not in kin:
        raise RequestError(
            f"{CHECKSUM}{checksum} does not match {artifact.file} "
            f"({artifact.name}), whose digest is {' or '.join(sorted(kin))}. Omit it."
        )


def _with_checksum(resolution: Resolution) -> Resolution:
    """Expect of a known file the digest that the user gives, too, where that kind is not known."""
    checksum, artifact = resolution.request.checksum, resolution.artifact
    if checksum is None or not artifact.known:
        return resolution
    kind = "md5" if len(checksum) == 32 else "sha256"
    # Of what is downloaded, as in the key of the engine that it comes in.
    changes: dict[str, Any] = {kind: checksum.lower()}
    known = getattr(artifact, kind) if artifact.archive is None else artifact.archive.get(kind)
    if known is not None:
        return resolution
    if artifact.archive is not None:
        changes = {"archive": {**artifact.archive, **changes}}
    return replace(resolution, artifact=replace(artifact, **changes))


def _notices(resolution: Resolution) -> Iterator[str]:
    """What the user should know, and what is not an error in strict mode."""
    request, artifact = resolution.request, resolution.artifact
    if not artifact.known and not artifact.verifiable:
        yield (
            f"No digest of {redact(artifact.url)} is known: the file is not verified. "
            f"Give its {CHECKSUM}MD5-OR-SHA256"
        )
    if request.url is not None and without_fragment(plain(request.url)) != plain(request.url):
        yield (
            f"{URL}{redact(request.url)}: the part from # on is not sent to a server. Where it "
            "belongs to the path, write %23."
        )
    if artifact.batch == "any" and (request.batch != "dynamic" or request.fix_shape == "yes"):
        yield f"{artifact.file} accepts any batch size; it has no shape to fix."
    if request.weights == "dummy":
        yield RANDOM


def _deviations(resolution: Resolution) -> Iterator[str]:
    request, artifact = resolution.request, resolution.artifact
    if not artifact.known:
        return
    if request.precision not in (artifact.precision, "none"):
        reason = (
            f"{artifact.file} is {artifact.precision}, not {request.precision} as requested"
            if request.url is not None
            else f"No {request.precision} file of ResNet-50 for {request.framework} exists: "
            f"{artifact.file} is {artifact.precision}"
        )
        yield f"{reason}, and is called that."
    if request.from_tf == "yes" and not artifact.mentions("from_tf"):
        yield f"_from-tf has no effect on {artifact.file} ({artifact.name})."
    # Only ONNX has a default opset, and that is not 8: any other was requested by name.
    chosen = request.opset == "8" or (request.opset != "none" and request.framework != "onnx")
    if chosen or request.asked(f"opset-{request.opset}"):
        if not artifact.mentions("opset"):
            yield f"_opset-{request.opset} has no effect on {artifact.file} ({artifact.name})."
        elif str(artifact.opset) != request.opset:
            yield f"{artifact.file} has opset {artifact.opset}, not {request.opset} as requested."
    if artifact.batch == "native" and (request.batch != "dynamic" or request.fix_shape == "yes"):
        yield f"{artifact.file} has its own batch size, which cannot be changed."
