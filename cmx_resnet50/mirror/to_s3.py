"""An S3-compatible store as a mirror, through boto3.

An object counts as there if its size is right and its metadata has the right ``sha256``, which
is set when it is sent. So what was sent is read back and compared, and removed again if it is not
the same: some stores and gateways alter uploads. Where a store keeps no metadata, the bytes are
read each time. Objects larger than 8 MB go in parts, which appear together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cmx_resnet50.mirror.errors import MirrorError, MirrorUnreachable
from cmx_resnet50.remote.extras import require
from cmx_resnet50.remote.s3_client import S3, S3Error, boto_errors, not_s3, page_in, split, to_error

if TYPE_CHECKING:
    from cmx_resnet50.store import StoredObject

T = TypeVar("T")

_ABSENT = ("404", "NoSuchKey", "NotFound")
_UNSUPPORTED = ("501", "405", "NotImplemented", "MethodNotAllowed")
_BLOCK = 1 << 20


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
        """Whether the object is there: by its metadata, or by its bytes where it has none."""

        def look() -> bool:
            head = self._store.client.head_object(**self._at(name))
            if head.get("ContentLength") != stored.size:
                return False
            metadata = {key.lower(): value for key, value in head.get("Metadata", {}).items()}
            if "sha256" in metadata:
                return bool(metadata["sha256"] == stored.sha256)
            return not self._difference(stored, name)

        return bool(self._call(look, _ABSENT, False))

    def send(self, stored: StoredObject, name: str, advance: Callable[[int], None]) -> None:
        """Upload the file and compare what is there then."""

        def upload() -> None:
            self._store.client.upload_file(
                Filename=str(stored.path),
                ExtraArgs={"Metadata": {"sha256": stored.sha256}},
                Callback=advance,
                **self._at(name),
            )

        self._call(upload)
        self._compare(stored, name)

    def duplicate(self, first: str, second: str, stored: StoredObject) -> None:
        """Let the store copy the object, or upload it again, and compare what is there then."""

        def copy() -> bool:
            self._store.client.copy(
                CopySource=self._at(first),
                ExtraArgs={
                    "Metadata": {"sha256": stored.sha256},
                    "MetadataDirective": "REPLACE",
                },
                **self._at(second),
            )
            return True

        if self._call(copy, _UNSUPPORTED, False):
            self._compare(stored, second)
        else:
            self.send(stored, second, lambda count: None)

    def _compare(self, stored: StoredObject, name: str) -> None:
        """Read the object back; remove it if it is not the one that was sent.

        Raises
        ------
        MirrorError
            If it is another, or cannot be read.
        """
        try:
            problem = self._call(
                lambda: self._difference(stored, name), _ABSENT, "nothing is there"
            )
        except BaseException:
            # Its metadata claims that it is right, which nobody has checked.
            self._remove(name)
            raise
        if problem:
            outcome = "was removed again" if self._remove(name) else "cannot be removed"
            raise MirrorError(
                f"{self.printable}/{name}: {problem} after it was sent. It {outcome}. The store, "
                "or a gateway or proxy on the way, alters what is sent."
            )

    def _remove(self, name: str) -> bool:
        try:
            self._store.client.delete_object(**self._at(name))
        except Exception:
            return False
        return True

    def _difference(self, stored: StoredObject, name: str) -> str:
        """Read the object; return how it differs from what was sent, or an empty text."""
        import hashlib

        hasher, size, head = hashlib.sha256(), 0, b""
        body = self._store.client.get_object(**self._at(name))["Body"]
        with body:
            while block := body.read(_BLOCK):
                head = head or block
                hasher.update(block)
                size += len(block)
                if size > stored.size:
                    break
        if hasher.hexdigest() == stored.sha256:
            return ""
        page = page_in(head)
        if page is not None:
            return f"{page} came back"
        if size != stored.size:
            more = "more than " if size > stored.size else ""
            return f"{more}{min(size, stored.size):,} bytes came back, not {stored.size:,},"
        return "other bytes came back"

    def names(self, folder: str) -> list[str]:
        """Return the names below `folder`."""
        prefix = self._at(f"{folder}/")["Key"]

        def listed() -> list[str]:
            pages = self._store.client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            keys = (str(found["Key"]) for page in pages for found in page.get("Contents", []))
            return sorted(key.removeprefix(prefix) for key in keys)

        return self._call(listed)

    def read(self, name: str, limit: int) -> bytes | None:
        """Return the beginning of an object."""

        def get() -> bytes:
            body = self._store.client.get_object(**self._at(name))["Body"]
            with body:
                content = bytes(body.read(limit))
            page = page_in(content)
            if page is not None:
                raise not_s3(f"sent {page} for {name}")
            return content

        return self._call(get, _ABSENT)

    def write(self, name: str, content: bytes) -> None:
        """Put an object."""
        self._call(
            lambda: self._store.client.put_object(
                Body=content, ContentType="application/json", **self._at(name)
            )
        )

    def _at(self, name: str) -> dict[str, str]:
        key = "/".join(filter(None, (self._prefix, name)))
        return {"Bucket": self._bucket, "Key": key}

    def _call(
        self, call: Callable[[], T], codes: Collection[str] = (), otherwise: T | None = None
    ) -> T:
        """Return what `call` returns; `otherwise` where the store answers one of `codes`."""
        try:
            return call()
        except S3Error as error:
            raise MirrorUnreachable(f"{self.printable}: {error}.") from None
        except boto_errors() as error:
            if _code(error) in codes:
                return cast(T, otherwise)
            raise MirrorUnreachable(f"{self.printable}: {to_error(error, self._store)}.") from None


def _code(error: Any) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
