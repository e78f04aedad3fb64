"""What a request came to: the objects in the store, and where their bytes came from."""

from __future__ import annotations

from dataclasses import dataclass

from cmx_resnet50.catalog.table import Resolution
from cmx_resnet50.store import StoredObject

RESHAPE_REVISION = 1
"""Raised when ``reshape`` writes other bytes, so that old results answer no longer."""


@dataclass(frozen=True)
class Delivery:
    """The objects that a resolution came to, and where the bytes came from.

    `url` holds no secrets. `origin` is ``fetched``, ``store``, ``local`` or ``dummy``.
    """

    resolution: Resolution
    model: StoredObject
    companions: tuple[StoredObject, ...]
    origin: str
    verified: bool
    url: str
    original: StoredObject | None = None
    """The file before its batch was fixed, where `model` is derived from it."""

    @property
    def private(self) -> bool:
        """Whether this must never answer another request: random weights, unknown local files."""
        request = self.resolution.request
        return request.weights == "dummy" or (request.local is not None and not self.verified)

    @property
    def identity(self) -> str:
        """The model's sha256; of a model with weights in files of any content, a sum over all."""
        if all(companion.known for companion in self.resolution.companions):
            return self.model.sha256
        from hashlib import sha256

        names = [one.sha256 for one in (self.model, *self.companions)]
        return sha256(" ".join(names).encode()).hexdigest()

    def files(self) -> list[tuple[StoredObject, str]]:
        """Every object with its file name, the model first."""
        names = [self.resolution.artifact, *self.resolution.companions]
        objects = [self.model, *self.companions]
        return [(stored, artifact.file) for stored, artifact in zip(objects, names, strict=True)]


def derived_key(original: StoredObject, batch: int) -> str:
    """Return the key under which the store holds `original` with a fixed batch."""
    return f"derived-{original.sha256}-batch-{batch}-r{RESHAPE_REVISION}"
