"""What an artifact is called in the store and at a site's own mirror, and what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cmx_resnet50.catalog.table import Artifact
from cmx_resnet50.store import StoredObject

if TYPE_CHECKING:  # A cached run computes no digest, and does not pay for hashlib.
    from cmx_resnet50.digests import Expected

RESHAPE_REVISION = 1
"""Raised when ``reshape`` writes other bytes, so that old results answer no longer."""


def expected(artifact: Artifact) -> Expected:
    """Return what is known of the delivered file."""
    from cmx_resnet50.digests import Expected

    return Expected(artifact.md5, artifact.sha256, artifact.bytes)


def expected_archive(artifact: Artifact) -> Expected:
    """Return what is known of the archive that is fetched in place of the file."""
    from cmx_resnet50.digests import Expected

    archive = artifact.archive or {}
    return Expected(archive.get("md5"), archive.get("sha256"), archive.get("bytes"))


def keys(artifact: Artifact) -> list[str]:
    """Return the names under which the store may hold the file, the surest first."""
    archive = artifact.archive or {}
    names = [
        f"{prefix}-{digest}"
        for prefix, digest in (
            ("sha256", artifact.sha256),
            ("md5", artifact.md5),
            ("archive-sha256", archive.get("sha256")),
            ("archive-md5", archive.get("md5")),
        )
        if digest
    ]
    if not names:
        from hashlib import sha256

        names.append(f"url-{sha256(artifact.url.encode()).hexdigest()}")
    return names


def archive_keys(artifact: Artifact) -> list[str]:
    """Return the names of the archive that the file comes in; none where no digest is known."""
    archive = artifact.archive or {}
    return [f"{kind}-{archive[kind]}" for kind in ("sha256", "md5") if archive.get(kind)]


def dummy_keys(artifact: Artifact) -> list[str]:
    """Return the name under which the store holds the random weights of `artifact`."""
    return [f"sha256-{artifact.dummy['sha256']}"] if artifact.dummy else []


def derived_key(original: StoredObject, batch: int) -> str:
    """Return the name under which the store holds `original` with a fixed batch."""
    return f"derived-{original.sha256}-batch-{batch}-r{RESHAPE_REVISION}"


def site_name(artifact: Artifact) -> str:
    """Return the name of the fetched file at a site mirror: the archive's where there is one."""
    name = urlsplit(artifact.url).path.rpartition("/")[2]
    return name if artifact.archive is not None and name else artifact.file
