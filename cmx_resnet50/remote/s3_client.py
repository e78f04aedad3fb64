"""S3-compatible stores: a client as boto3 and the AWS CLI configure it, signed addresses, errors.

Endpoint, credentials, region, profile and CA bundle come from where boto3 takes them:
``AWS_*`` variables, ``~/.aws/config`` and ``~/.aws/credentials``, the roles of a machine.
If there are no credentials, requests are not signed; public buckets allow that.

Error bodies: "Error responses", Amazon Simple Storage Service API Reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.remote.extras import load
from cmx_resnet50.remote.request_log import log_requests

SIGNED_SECONDS = 900
"""How long a signed address is good; a fetch that lasts longer signs again."""

_MEANINGS = {
    "NoSuchBucket": "the store has no bucket of this name",
    "NoSuchKey": "the bucket has no object of this name",
    "AccessDenied": "these credentials do not allow that, or there is no such object",
    "AllAccessDisabled": "the bucket is closed to everybody",
    "InvalidAccessKeyId": "the store has no such access key",
    "SignatureDoesNotMatch": "the secret key is wrong, or a proxy alters requests",
    "ExpiredToken": "the credentials have expired; renew them, say with `aws sso login`",
    "InvalidToken": "the session token is wrong",
    "RequestTimeTooSkewed": "the clocks of this machine and of the store differ too much",
    "InvalidObjectState": "the object is in an archive tier; have it restored first",
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_REGION",
    "SlowDown": "the store throttles requests",
    "ServiceUnavailable": "the store throttles requests",
    "NotImplemented": "the store does not support this request",
}

_NAMES = {"404": "NoSuchKey", "403": "AccessDenied", "NotFound": "NoSuchKey"}
"""What boto3 calls an answer without a body, and what it means."""

_MARKUP = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html)\b", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_HEAD = 16 * 1024
"""Bytes of a body in which a page is recognised."""

_CODE = re.compile(rb"<Code>\s*([A-Za-z0-9.]{1,64})\s*</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,300})</Message>")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_REGION_TAG = re.compile(rb"<Region>\s*([a-z0-9-]{1,40})\s*</Region>")
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


class S3Error(Resnet50Error):
    """What boto3 or the store refuses, in one line that holds no secret."""


@dataclass(frozen=True)
class ErrorBody:
    """What the body of an error holds: a code, a message, and the region of the bucket."""

    code: str = ""
    message: str = ""
    region: str = ""


def split(url: str) -> tuple[str, str]:
    """Return bucket and key of an ``s3://`` URL; the key is taken as it is written.

    Raises
    ------
    S3Error
        If it names no bucket.
    """
    bucket, _, key = url.partition("://")[2].partition("/")
    if not bucket:
        raise S3Error("the URL names no bucket: s3://BUCKET/PREFIX")
    return bucket, key


class S3:
    """The stores as one user reaches them; any number of threads may use it.

    Parameters
    ----------
    connect_timeout, read_timeout : float
        Seconds, for requests that boto3 makes itself.
    """

    def __init__(self, *, connect_timeout: float, read_timeout: float) -> None:
        self._times = {"connect_timeout": connect_timeout, "read_timeout": read_timeout}
        self._lock = Lock()
        self._client: Any = None
        self._region: str | None = None
        self.anonymous = False
        """Whether there are no credentials; valid once there is a client."""
        self.ca_bundle: str | None = None
        """The CA bundle that is named for AWS alone; likewise."""

    @property
    def client(self) -> Any:
        """The boto3 client, made when first needed.

        Raises
        ------
        S3Error
            If what is configured cannot be used.
        MissingPackage
            If boto3 is not installed.
        """
        with self._lock:
            if self._client is None:
                self._client = self._make()
            return self._client

    def _make(self) -> Any:
        boto3, botocore = load("boto3"), load("botocore")
        try:
            session = load("botocore.session").get_session()
            self.ca_bundle = session.get_config_variable("ca_bundle")
            self.anonymous = session.get_credentials() is None
            config = load("botocore.config").Config(
                signature_version=botocore.UNSIGNED if self.anonymous else "s3v4",
                # By default boto3 frames what it sends, for a checksum behind it. Stores that are
                # not AWS refuse that, or keep the frame. Whoever sends a file compares it himself.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                **self._times,
            )
            client = boto3.session.Session(botocore_session=session).client(
                "s3", region_name=self._region, config=config
            )
        except TypeError as error:
            raise S3Error(
                f"boto3 {boto3.__version__} is too old ({error}): pip install --upgrade boto3"
            ) from None
        except boto_errors() as error:
            raise to_error(error) from None
        client.meta.events.register("before-parse.s3", _refuse_page)
        log_requests(client)
        return client

    def signed(self, url: str) -> str:
        """Return the web address at which the object `url` can be read for a while.

        It is a secret: whoever has it, can read the object.

        Raises
        ------
        S3Error
            If what is configured cannot be used.
        """
        bucket, key = split(url)
        try:
            address: str = self.client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=SIGNED_SECONDS
            )
        except boto_errors() as error:
            raise to_error(error) from None
        return address

    def use_region(self, region: str) -> bool:
        """Sign for `region` from now on; return False where that is done already."""
        with self._lock:
            if self._region == region:
                return False
            self._region, self._client = region, None
        return True

    def explain(self, code: str, message: str = "") -> str:
        """Return the code of an error of the store, and what it means where that is known."""
        meaning = _MEANINGS.get(code, "")
        if code == "AccessDenied":
            if "expired" in message.lower():
                meaning = "the signature has expired; is the clock of this machine right?"
            elif self.anonymous:
                meaning = "no credentials are configured here, and the store requires some"
        return f"{code}: {meaning}" if meaning else code


def read_error(body: bytes, region: str | None) -> ErrorBody:
    """Return what the body of an error says; an empty one if it is not S3's.

    Parameters
    ----------
    body : bytes
        Its beginning.
    region : str, optional
        The header ``x-amz-bucket-region``.
    """
    code, message, there = (
        match[1].decode("ascii", "replace") if match else ""
        for match in (_CODE.search(body), _MESSAGE.search(body), _REGION_TAG.search(body))
    )
    if region is not None and _REGION.fullmatch(region):
        there = region
    return ErrorBody(code, message, there)


def to_error(error: Exception, store: S3 | None = None) -> S3Error:
    """Return what boto3 raised as an error that may be shown."""
    # What the store answered is in the error, or in the one that an upload failed with.
    answer = getattr(error, "response", None) or getattr(error.__context__, "response", None)
    if isinstance(answer, dict) and store is not None:
        body = answer.get("Error", {})
        code = str(body.get("Code", ""))
        if code.isdecimal() and code not in _NAMES:
            return not_s3(f"answered HTTP {code} without an S3 error")
        return S3Error(store.explain(_NAMES.get(code, code), str(body.get("Message", ""))))
    if isinstance(error, load("botocore.parsers").ResponseParserError):
        return not_s3("sent an answer that is not one of S3")
    text = " ".join(str(error).split())[:300].rstrip(".")
    return S3Error(_LOGIN.sub("***@", text) or type(error).__name__)


def boto_errors() -> Any:
    """Return what boto3 raises: a tuple for ``except``."""
    errors, own = load("botocore.exceptions"), load("boto3.exceptions")
    parser = load("botocore.parsers").ResponseParserError
    return errors.BotoCoreError, errors.ClientError, own.Boto3Error, parser, ValueError


def page_in(body: bytes) -> str | None:
    """Return what to call the web page that came in place of an object; None if none did.

    Content types do not decide: some stores send all their answers as HTML.
    """
    head = body[:_HEAD]
    if not _MARKUP.match(head):
        return None
    title = _TITLE.search(head)
    text = " ".join(title[1].decode("utf-8", "replace").split())[:80] if title else ""
    return f'a web page "{text}"' if text else "a web page"


def _refuse_page(response_dict: Mapping[str, Any], **_: Any) -> None:
    """Raise `S3Error` where no store answered, but something on the way, say with a login page."""
    status, body = response_dict["status_code"], response_dict["body"]
    page = page_in(body) if isinstance(body, bytes) else None
    if page is not None:
        raise not_s3(f"answered HTTP {status} with {page}")
    if status in (302, 303):
        target = urlsplit(str(response_dict["headers"].get("location", "")))
        raise not_s3(f"redirects to {target.scheme}://{target.hostname}")


def not_s3(what: str) -> S3Error:
    """Return the error for an endpoint that does `what`, as no S3 store does."""
    return S3Error(
        f"the endpoint {what}: is it an S3 store (AWS_ENDPOINT_URL), or does a proxy on the way "
        "require a login"
    )
