"""A request, the artifact that it stands for, and the error where there is none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cmx_resnet50.errors import Resnet50Error, see
from cmx_resnet50.wording import COMMAND, RUN

if TYPE_CHECKING:  # A cached run computes no digest, and does not pay for hashlib.
    from cmx_resnet50.digests import Expected

ASKED = "CM_RESNET50_ASKED_"
BATCH = re.compile(r"[1-9][0-9]{0,5}")
BATCH_FORM = "a batch size is a positive integer of at most 6 digits: write _batch_size.8."
SMALLEST_LIMIT = 1 << 20
"""Bytes that any file may have: what is only some KB was rounded generously."""


class RequestError(Resnet50Error):
    """A request that no file matches; `nearest` are variation lists that have a file."""

    def __init__(self, reason: str, nearest: Sequence[str] = ()) -> None:
        self.reason = reason
        self.nearest = tuple(nearest)
        text = reason
        if self.nearest:
            commands = "\n".join(f"  {RUN}{variations}" for variations in self.nearest)
            text += f"\nThe nearest requests that have a file:\n{commands}"
        super().__init__(f"{text}\n{see('choose')}")
        self.commands = tuple(f"{COMMAND.run}{variations}" for variations in self.nearest)


@dataclass(frozen=True)
class Request:
    """What is requested.

    `explicit` holds the variations that were requested by name, without defaults; None where
    that is no longer known, as on a cache hit. `url`, `checksum` and `local`, a file, are the
    user's own.
    """

    framework: str = "onnx"
    precision: str = "fp32"
    output: str = "argmax"
    opset: str = "none"
    from_tf: str = "no"
    huggingface: str = "no"
    batch: str = "dynamic"
    fix_shape: str = "no"
    weights: str = "pretrained"
    url: str | None = None
    checksum: str | None = None
    local: str | None = None
    explicit: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.batch != "dynamic" and not BATCH.fullmatch(self.batch):
            raise RequestError(f"_batch_size.{self.batch}: {BATCH_FORM}")

    @classmethod
    def from_env(
        cls,
        env: Mapping[str, Any],
        *,
        asked: str = ASKED,
        url: str | None = None,
        checksum: str | None = None,
        local: str | None = None,
        explicit: Sequence[str] | None = None,
    ) -> Request:
        """Read the request from the keys that the variations set, which begin with `asked`.

        Raises
        ------
        RequestError
            For a batch size that is not a positive integer, or for two of them.
        """
        batches = sorted({name for name in explicit or () if name.startswith("batch_size.")})
        if len(batches) > 1:
            raise RequestError(f"Choose one batch size: {' or '.join(batches)}.")
        fields = {
            name: str(env[asked + name.upper()])
            for name in cls.__dataclass_fields__
            if asked + name.upper() in env
        }
        names = None if explicit is None else frozenset(explicit)
        return cls(**fields, url=url, checksum=checksum, local=local, explicit=names)

    @property
    def variations(self) -> str:
        """The request as CM's tags, without defaults."""
        parts = [self.framework, self.precision]
        if self.output == "no-argmax" or self.asked("argmax"):
            parts.append(self.output)
        if self.opset == "8" or self.asked(f"opset-{self.opset}"):
            parts.append(f"opset-{self.opset}")
        if self.from_tf == "yes":
            parts.append("from-tf")
        if self.huggingface == "yes":
            parts.append("huggingface_default")
        if self.batch != "dynamic":
            parts.append(f"batch_size.{self.batch}")
        if self.fix_shape == "yes":
            parts.append("fix-input-shape")
        if self.weights == "dummy":
            parts.append("dummy-weights")
        left_out = sorted(name for name in self.explicit or () if name.startswith("-"))
        return ",".join(f"_{part}" for part in [*parts, *left_out] if part != "none")

    def asked(self, variation: str) -> bool:
        """Whether `variation` was requested by name."""
        return self.explicit is not None and variation in self.explicit


@dataclass(frozen=True)
class Artifact:
    """One file that is publicly known, or one that the user named by URL; facts of ``_cm.json``."""

    url: str
    name: str
    file: str
    format: str
    precision: str | None = None
    layout: str | None = None
    classes: int | None = None
    opset: int | None = None
    ir: int | None = None
    inputs: Sequence[Mapping[str, Any]] | None = None
    outputs: Sequence[Mapping[str, Any]] | None = None
    md5: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    approx_bytes: int | None = None
    mirrors: Sequence[str] = ()
    license: str | None = None
    top1: str | None = None
    preprocessing: Mapping[str, Any] | None = None
    archive: Mapping[str, Any] | None = None
    companions: Sequence[str] = ()
    companion_key: str | None = None
    cache_tags: Sequence[str] = ()
    """Tags of the cache entry in which the engine's downloader would keep this file."""
    downloader: str | None = None
    """The tool that the variation declares for it in the meta; we do without."""
    batch: str | None = None
    """``rewritable``: the requested batch is written into a copy of the file; ``any``: the file
    takes any batch; ``native``: the file keeps the one that it has."""
    dummy: Mapping[str, Any] | None = None
    matches: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    exports: Mapping[str, str] = field(default_factory=dict)
    known: bool = True

    def answers(self, asked: Mapping[str, str]) -> bool:
        """Whether this file is the one that a request with these fields stands for."""
        return any(_fits(pattern, asked) for pattern in self.matches)

    @property
    def verifiable(self) -> bool:
        """Whether a digest of the file, or of the archive that it comes in, is known."""
        archive = self.archive or {}
        known = (self.md5, self.sha256, archive.get("md5"), archive.get("sha256"))
        return any(known)

    def mentions(self, name: str) -> bool:
        """Whether the request's field `name` takes part in choosing this file."""
        return any(name in pattern for pattern in self.matches)

    @property
    def expected(self) -> Expected:
        """What is known of the delivered file."""
        from cmx_resnet50.digests import Expected

        limit = _limit(self.approx_bytes)
        return Expected(self.md5, self.sha256, self.bytes, limit=limit)

    @property
    def expected_archive(self) -> Expected:
        """What is known of the archive that is fetched in place of the file."""
        from cmx_resnet50.digests import Expected

        archive = self.archive or {}
        limit = archive.get("max_unpacked_bytes")
        return Expected(
            archive.get("md5"), archive.get("sha256"), archive.get("bytes"), limit=limit
        )

    @property
    def expected_download(self) -> Expected:
        """What is known of the bytes that are fetched: the archive's where there is one."""
        return self.expected if self.archive is None else self.expected_archive

    @property
    def expected_dummy(self) -> Expected:
        """What is known of the random weights that stand in for this file."""
        from cmx_resnet50.digests import Expected

        dummy = self.dummy or {}
        return Expected(dummy.get("md5"), dummy.get("sha256"), dummy.get("bytes"))

    @property
    def store_keys(self) -> list[str]:
        """The keys under which a store may hold the file, the surest first."""
        archive = self.archive or {}
        digests = (
            ("sha256", self.sha256),
            ("md5", self.md5),
            ("archive-sha256", archive.get("sha256")),
            # One is enough, and all that is known of the archive must have been compared.
            ("archive-md5", None if archive.get("sha256") else archive.get("md5")),
        )
        keys = [f"{kind}-{digest}" for kind, digest in digests if digest]
        if not keys:
            from hashlib import sha256

            keys.append(f"url-{sha256(self.url.encode()).hexdigest()}")
        return keys

    @property
    def archive_keys(self) -> list[str]:
        """The keys of the archive that the file comes in; none where no digest is known."""
        archive = self.archive or {}
        return [f"{kind}-{archive[kind]}" for kind in ("sha256", "md5") if archive.get(kind)]

    @property
    def dummy_keys(self) -> list[str]:
        """The key of the random weights that stand in for this file; none if there are none."""
        return [f"sha256-{self.dummy['sha256']}"] if self.dummy else []

    @property
    def mirror_name(self) -> str:
        """The name of the fetched file at a site's mirror: the archive's where there is one."""
        name = urlsplit(self.url).path.rpartition("/")[2]
        return name if self.archive is not None and name else self.file


@dataclass(frozen=True)
class Resolution:
    """The one artifact for a request, its sources in order, and what to tell the user."""

    request: Request
    artifact: Artifact
    companions: tuple[Artifact, ...]
    sources: tuple[str, ...]
    deviations: tuple[str, ...] = ()
    """How the file differs from the request; errors in strict mode."""
    notices: tuple[str, ...] = ()
    """What else the user should know."""

    @property
    def messages(self) -> tuple[str, ...]:
        """All that the user is told of it."""
        return self.deviations + self.notices

    @property
    def batch(self) -> int | None:
        """The batch size to write into a copy of the file; None where it stays as it is."""
        request = self.request
        if self.artifact.batch != "rewritable":
            return None
        if request.batch != "dynamic":
            return int(request.batch)
        return 1 if request.fix_shape == "yes" else None

    @property
    def file_precision(self) -> str:
        """The precision of the delivered file, as far as it is known, else the requested one."""
        return self.artifact.precision or self.request.precision


def names_in(request: str) -> list[str]:
    """Return the variations in a request as a user writes it."""
    return request.replace(",", " ").split()


def _limit(about: int | None) -> int | None:
    """Return how large a file may be whose size is known approximately."""
    return None if about is None else max(about * 5 // 4, SMALLEST_LIMIT)


def _fits(pattern: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
    for name, wanted in pattern.items():
        allowed = [wanted] if isinstance(wanted, str) else wanted
        if asked[name] != "*" and asked[name] not in allowed:
            return False
    return True
