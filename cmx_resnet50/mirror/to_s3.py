"""An S3-compatible store as a mirror, through boto3.

An object counts as there if its size is right and its metadata has the right ``sha256``, which
is set when it is sent. Objects larger than 8 MB go in parts, which appear together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from cmx_resnet50.mirror.errors import MirrorError
from cmx_resnet50.remote.extras import require
from cmx_resnet50.remote.s3_client import S3, S3Error, failure, failures, split

if TYPE_CHECKING:
    from cmx_resnet50.store import StoredObject

T = TypeVar("T")

_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})


class S3Target:
    """The objects below a prefix of a bucket.

    Raises
    ------
    MissingPackage
        If boto3 is not installed.
    MirrorError
        If the URL names no bucket.
    """

    def __init__(self, url: str, store: S3) -> None:
        require(url)
        self._store = store
        try:
            self._bucket, prefix = split(url)
        except S3Error as error:
            raise MirrorError(f"{url}: {error}") from None
        self._prefix = prefix.strip("/")
        self.printable = "/".join(filter(None, (f"s3://{self._bucket}", self._prefix)))

    def holds(self, name: str, stored: StoredObject) -> bool:
        """Whether the object is there, by its size and its metadata."""

        def look() -> bool:
            head = self._store.client.head_object(**self._at(name))
            told = {key.lower(): value for key, value in head.get("Metadata", {}).items()}
            return bool(
                head.get("ContentLength") == stored.size and told.get("sha256") == stored.sha256
            )

        return bool(self._asked(look, absent=False))

    def send(self, stored: StoredObject, name: str, advance: Callable[[int], None]) -> None:
        """Upload the file."""

        def upload() -> None:
            self._store.client.upload_file(
                Filename=str(stored.path),
                ExtraArgs={"Metadata": {"sha256": stored.sha256}},
                Callback=advance,
                **self._at(name),
            )

        self._asked(upload)

    def duplicate(self, first: str, second: str, stored: StoredObject) -> None:
        """Let the store copy the object: nothing is sent."""

        def copy() -> None:
            self._store.client.copy(
                CopySource=self._at(first),
                ExtraArgs={
                    "Metadata": {"sha256": stored.sha256},
                    "MetadataDirective": "REPLACE",
                },
                **self._at(second),
            )

        self._asked(copy)

    def names(self, folder: str) -> list[str]:
        """Return the names below `folder`."""
        prefix = self._at(f"{folder}/")["Key"]

        def listed() -> list[str]:
            pages = self._store.client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            keys = (str(found["Key"]) for page in pages for found in page.get("Contents", []))
            return sorted(key.removeprefix(prefix) for key in keys)

        return self._asked(listed)

    def read(self, name: str, limit: int) -> bytes | None:
        """Return the beginning of an object."""

        def get() -> bytes:
            body = self._store.client.get_object(**self._at(name))["Body"]
            with body:
                return bytes(body.read(limit))

        return self._asked(get, absent=None)

    def write(self, name: str, content: bytes) -> None:
        """Put an object."""
        self._asked(
            lambda: self._store.client.put_object(
                Body=content, ContentType="application/json", **self._at(name)
            )
        )

    def _at(self, name: str) -> dict[str, str]:
        key = "/".join(filter(None, (self._prefix, name)))
        return {"Bucket": self._bucket, "Key": key}

    def _asked(self, call: Callable[[], T], **absent: Any) -> T:
        """Return what `call` returns, or `absent` where that is given and nothing is there."""
        try:
            return call()
        except S3Error as error:
            raise MirrorError(f"{self.printable}: {error}.") from None
        except failures() as error:
            code = _code(error)
            if absent and code in _ABSENT:
                value: T = absent["absent"]
                return value
            raise MirrorError(f"{self.printable}: {failure(error, self._store)}.") from None


def _code(error: Any) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
