"""An object of an S3 store, asked at a signed web address like any other file.

So order, resume, ranges, retries and digests are those of HTTP. The address is signed anew each
time it is needed and never shown: messages, journal and provenance have the ``s3://`` URL.
"""

from __future__ import annotations

from typing import Any

import requests

from cmx_resnet50.fetch.http.endpoint import Endpoint
from cmx_resnet50.fetch.http.response import read_beginning
from cmx_resnet50.fetch.http.session import Session
from cmx_resnet50.fetch.model import FetchOptions, Source
from cmx_resnet50.fetch.verdicts import SourceFailed, TransientError
from cmx_resnet50.remote.s3_client import S3, S3Error, read_error

BODY_LIMIT = 16 * 1024
"""Bytes that are read of the body of an error."""


class S3Endpoint(Endpoint):
    """An ``s3://`` source, as boto3's configuration of this user reaches it.

    Raises
    ------
    SourceFailed
        If that configuration cannot be used.
    """

    def __init__(self, source: Source, options: FetchOptions) -> None:
        super().__init__(source)
        self._store = S3(connect_timeout=options.connect_timeout, read_timeout=options.read_timeout)
        # Also makes the client, which the sessions need.
        self.address()

    def address(self) -> str:
        """Return a newly signed address."""
        try:
            return self._store.signed(self.source.url)
        except S3Error as error:
            raise SourceFailed(str(error)) from None

    def session(self) -> Session:
        """Return a session that explains the errors of the store."""
        return _S3Session(self._store)


class _S3Session(Session):
    def __init__(self, store: S3) -> None:
        # A password in .netrc would be a second signature, which stores refuse.
        super().__init__(named_by_user=True, ca_bundle=store.ca_bundle)
        self._store = store
        self.hooks["response"].append(self._explain)

    def _explain(self, response: requests.Response, **_: Any) -> None:
        """Replace HTTP's reason phrase with what the store reports.

        Raises
        ------
        TransientError
            If the bucket is in another region, for which the next request is signed.
        """
        if response.status_code in (200, 206):
            return
        region = response.headers.get("x-amz-bucket-region")
        trouble = read_error(read_beginning(response, BODY_LIMIT), region)
        elsewhere = response.status_code in (301, 307, 400) and trouble.region
        if elsewhere and self._store.use_region(trouble.region):
            raise TransientError(f"the bucket is in the region {trouble.region}")
        if trouble.code:
            response.reason = self._store.explain(trouble.code, trouble.message)
