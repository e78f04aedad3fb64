"""S3-compatible stores: a client as boto3 and the AWS CLI configure it, signed addresses, errors.

Endpoint, credentials, region, profile and CA bundle come from where boto3 takes them:
``AWS_*`` variables, ``~/.aws/config`` and ``~/.aws/credentials``, the roles of a machine.
Where there are no credentials, requests are not signed, which public buckets allow.

Error bodies: "Error responses", Amazon Simple Storage Service API Reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from threading import Lock
from typing import Any

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.remote.extras import load

SIGNED_SECONDS = 900
"""How long a signed address is good; a fetch that lasts longer signs again."""

_WORDS = {
    "NoSuchBucket": "the store has no bucket of this name",
    "NoSuchKey": "the bucket has no object of this name",
    "AccessDenied": "these credentials may not do that, or there is no such object",
    "AllAccessDisabled": "the bucket is closed to everybody",
    "InvalidAccessKeyId": "the store does not know this access key",
    "SignatureDoesNotMatch": "the secret key is wrong, or something on the way alters requests",
    "ExpiredToken": "the credentials are over; renew them, say with `aws sso login`",
    "InvalidToken": "the session token is wrong",
    "RequestTimeTooSkewed": "the clock of this machine and that of the store differ too much",
    "InvalidObjectState": "the object is in an archive tier; have it restored first",
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_REGION",
    "SlowDown": "the store asks for fewer requests",
    "ServiceUnavailable": "the store asks for fewer requests",
}

_NAMES = {"404": "NoSuchKey", "403": "AccessDenied", "NotFound": "NoSuchKey"}
"""What boto3 calls an answer without a body, and what it means."""

_CODE = re.compile(rb"<Code>\s*([A-Za-z0-9.]{1,64})\s*</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,300})</Message>")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_REGION_TAG = re.compile(rb"<Region>\s*([a-z0-9-]{1,40})\s*</Region>")
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


class S3Error(Resnet50Error):
    """What boto3 or the store refuses, in one line that holds no secret."""


@dataclass(frozen=True)
class Trouble:
    """What the body of an error says: a code, and the region that the bucket is in."""

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
        """Whether there are no credentials; known once there is a client."""
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
        config = load("botocore.config").Config
        try:
            session = load("botocore.session").get_session()
            self.ca_bundle = session.get_config_variable("ca_bundle")
            self.anonymous = session.get_credentials() is None
            signing = botocore.UNSIGNED if self.anonymous else "s3v4"
            return boto3.session.Session(botocore_session=session).client(
                "s3",
                region_name=self._region,
                config=config(signature_version=signing, **self._times),
            )
        except failures() as error:
            raise failure(error) from None

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
        except failures() as error:
            raise failure(error) from None
        return address

    def move(self, region: str) -> bool:
        """Sign for `region` from now on; False where that is done already."""
        with self._lock:
            if self._region == region:
                return False
            self._region, self._client = region, None
        return True

    def words(self, code: str, message: str = "") -> str:
        """Say in plain words what an error of the store means."""
        told = _WORDS.get(code, "")
        if code == "AccessDenied":
            if "expired" in message.lower():
                told = "the signature is over; is the clock of this machine right?"
            elif self.anonymous:
                told = "no credentials are configured here, and not everybody may do that"
        return f"{code}: {told}" if told else code


def read_error(body: bytes, region: str | None) -> Trouble:
    """Return what the body of an error says; nothing for one that is none of S3's.

    Parameters
    ----------
    body : bytes
        Its beginning.
    region : str, optional
        What the header ``x-amz-bucket-region`` said.
    """
    code, message, there = (
        match[1].decode("ascii", "replace") if match else ""
        for match in (_CODE.search(body), _MESSAGE.search(body), _REGION_TAG.search(body))
    )
    if region is not None and _REGION.fullmatch(region):
        there = region
    return Trouble(code, message, there)


def failure(error: Exception, store: S3 | None = None) -> S3Error:
    """Return what boto3 raised as an error that may be shown."""
    # An upload that failed has what the store said behind it.
    answer = getattr(error, "response", None) or getattr(error.__context__, "response", None)
    if isinstance(answer, dict) and store is not None:
        told = answer.get("Error", {})
        code = str(told.get("Code", ""))
        return S3Error(store.words(_NAMES.get(code, code), str(told.get("Message", ""))))
    text = " ".join(str(error).split())[:300]
    return S3Error(_LOGIN.sub("***@", text) or type(error).__name__)


def failures() -> Any:
    """Return what boto3 raises: a tuple for ``except``."""
    errors, own = load("botocore.exceptions"), load("boto3.exceptions")
    return errors.BotoCoreError, errors.ClientError, own.Boto3Error, ValueError
