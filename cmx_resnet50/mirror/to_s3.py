"""An S3-compatible store as a mirror, through boto3.

An object counts as there if its size is right and its metadata has the right ``sha256``, which
is set when it is sent. Objects larger than 8 MB go in parts, which appear together.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cmx_resnet50.mirror.target import Advance, Named, PublishError
from cmx_resnet50.remote.s3_client import S3, S3Error, failure, failures, split

T = TypeVar("T")

_ABSENT = frozenset({"404", "NoSuchKey", "NotFound"})


class S3Target:
    """The objects below a prefix of a bucket."""

    local = False

    def __init__(self, url: str, store: S3) -> None:
        self._store = store
        try:
            self._bucket, prefix = split(url)
        except S3Error as error:
            raise PublishError(f"{url}: {error}") from None
        self._prefix = prefix.strip("/")
        self.printable = "/".join(filter(None, (f"s3://{self._bucket}", self._prefix)))

    def holds(self, named: Named) -> bool:
        """Whether the object is there, by its size and its metadata."""

        def look() -> bool:
            head = self._store.client.head_object(**self._at(named.name))
            told = {key.lower(): value for key, value in head.get("Metadata", {}).items()}
            return bool(
                head.get("ContentLength") == named.size and told.get("sha256") == named.sha256
            )

        return bool(self._asked(look, absent=False))

    def send(self, path: Path, named: Named, advance: Advance) -> None:
        """Upload the file."""

        def upload() -> None:
            self._store.client.upload_file(
                Filename=str(path),
                ExtraArgs={"Metadata": {"sha256": named.sha256}},
                Callback=advance,
                **self._at(named.name),
            )

        self._asked(upload)

    def duplicate(self, first: Named, second: Named, path: Path) -> None:
        """Let the store copy the object: nothing is sent."""

        def copy() -> None:
            self._store.client.copy(
                CopySource=self._at(first.name),
                ExtraArgs={
                    "Metadata": {"sha256": second.sha256},
                    "MetadataDirective": "REPLACE",
                },
                **self._at(second.name),
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
            raise PublishError(f"{self.printable}: {error}.") from None
        except failures() as error:
            code = _code(error)
            if absent and code in _ABSENT:
                value: T = absent["absent"]
                return value
            raise PublishError(f"{self.printable}: {failure(error, self._store)}.") from None


def _code(error: Any) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
