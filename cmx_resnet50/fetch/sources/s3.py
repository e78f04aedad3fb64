"""An object of an S3 store as a source: asked at a signed web address, like any other file.

So order, resume, pieces, retries and digests are those of HTTP. The address is made anew each
time it is needed, and seen by nobody: messages, journal and provenance have the ``s3://`` URL.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import requests

from cmx_resnet50.fetch.errors import Final, Passing
from cmx_resnet50.fetch.http.session import Session
from cmx_resnet50.fetch.model import FetchOptions, Source
from cmx_resnet50.remote.s3_client import S3, S3Error, read_error

BODY_LIMIT = 16 * 1024
"""Bytes that are read of the body of an error."""
BODY_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class SignedSource(Source):
    """An ``s3://`` source that `store` signs for."""

    store: S3 = field(compare=False, repr=False)

    @classmethod
    def of(cls, source: Source, options: FetchOptions) -> SignedSource:
        """Return `source` as it can be asked, or say why not.

        Raises
        ------
        Final
            If what is configured for boto3 cannot be used.
        """
        store = S3(connect_timeout=options.connect_timeout, read_timeout=options.read_timeout)
        signed = cls(source.url, source.named_by_user, store=store)
        signed.address()
        return signed

    def address(self) -> str:
        """Return a fresh signed address."""
        try:
            return self.store.signed(self.url)
        except S3Error as error:
            raise Final(str(error)) from None

    def session(self) -> Session:
        """Return a session that knows what the store's errors mean."""
        return _Session(self.store)


class _Session(Session):
    def __init__(self, store: S3) -> None:
        super().__init__(named_by_user=True, ca_bundle=store.ca_bundle)
        self._store = store
        # A password in .netrc would be a second signature, which stores refuse.
        self.auth = lambda request: request
        self.hooks["response"].append(self._explain)

    def _explain(self, response: requests.Response, **_: Any) -> None:
        """Put what the store says in the place of HTTP's own reason.

        Raises
        ------
        Passing
            If the bucket is in another region, for which the next request is signed.
        """
        if response.status_code in (200, 206):
            return
        region = response.headers.get("x-amz-bucket-region")
        trouble = read_error(_beginning(response), region)
        elsewhere = response.status_code in (301, 307, 400) and trouble.region
        if elsewhere and self._store.move(trouble.region):
            raise Passing(f"the bucket is in the region {trouble.region}")
        if trouble.code:
            response.reason = self._store.words(trouble.code, trouble.message)


def _beginning(response: requests.Response) -> bytes:
    """Return the first bytes of the body, or what of them comes in time."""
    deadline = time.monotonic() + BODY_SECONDS
    body = b""
    while len(body) < BODY_LIMIT and time.monotonic() < deadline:
        data = response.raw.read1(BODY_LIMIT - len(body), decode_content=False)
        if not data:
            break
        body += data
    return body
