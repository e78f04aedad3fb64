"""Which certificates are trusted: one rule for origins, proxies, mirrors and object stores."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Any

from cmx_resnet50.fetch.http.issuer import report_issuer
from cmx_resnet50.fetch.verdicts import SourceFailed

CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
AWS_BUNDLE = "AWS_CA_BUNDLE or ca_bundle in ~/.aws/config"

_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""What `c_rehash` calls a certificate."""
_UNKNOWN_CA = frozenset({2, 18, 19, 20, 21, 27})
"""OpenSSL's codes (x509_vfy.h) for a chain that does not end at a trusted authority."""


def named_bundle(ca_bundle: str | None = None) -> tuple[str, str] | None:
    """Return the bundle that is trusted in place of the system, and what names it, if any does.

    Parameters
    ----------
    ca_bundle : str, optional
        A bundle that is configured for this source; it takes precedence over all others.
    """
    if ca_bundle:
        return AWS_BUNDLE, ca_bundle
    for variable in CA_VARIABLES:
        path = os.environ.get(variable)
        if path:
            return variable, path
    return None


def context(ca_bundle: str | None = None) -> ssl.SSLContext:
    """Return a context that trusts the bundle that is named, else the system.

    Raises
    ------
    SourceFailed
        If a bundle is named that cannot be read.
    """
    made: Any
    named = named_bundle(ca_bundle)
    if named is None:
        import truststore

        made = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        variable, path = named
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if Path(path).is_dir():
                _require_hashed(Path(path))
                made.load_verify_locations(capath=path)
            else:
                made.load_verify_locations(cafile=path)
        except (OSError, ssl.SSLError) as error:
            raise SourceFailed(
                f"the CA bundle {path}, which {variable} names, cannot be read: {error}"
            ) from None
    # Python 3.13's default contexts refuse authorities that break RFC 5280 in ways which other
    # clients accept. Which authorities are trusted must not depend on the version of Python.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    made.verify_flags |= getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0)
    report_issuer(made)
    return made  # type: ignore[no-any-return]


def _require_hashed(folder: Path) -> None:
    """Check that OpenSSL finds certificates in `folder`; it reads those alone that are so named.

    Raises
    ------
    OSError
        If there are none: then every certificate would be rejected.
    """
    if not any(_HASHED.fullmatch(path.name) for path in folder.iterdir()):
        raise OSError(
            f"the folder has no certificate under its hash; run `openssl rehash {folder}` there, "
            "or name a PEM file"
        )


def explain(error: ssl.SSLCertVerificationError, peer: str, ca_bundle: str | None = None) -> str:
    """Return what is wrong with the certificate of `peer`, and what to do about it."""
    issuer = getattr(error, "issuer", None)
    issued = f"; it was issued by {issuer}" if issuer else ""
    text = f"the certificate of {peer} is not trusted: {error.verify_message.rstrip('.')}{issued}"
    if error.verify_code not in _UNKNOWN_CA:
        return text
    named = named_bundle(ca_bundle)
    if named is None:
        return (
            f"{text}. If this is your company's CA, install it in the system, or name it in "
            "REQUESTS_CA_BUNDLE or SSL_CERT_FILE"
        )
    return f"{text}. This CA is not in the bundle that {named[0]} names; add it there"
