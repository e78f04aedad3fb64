"""Finds out who issued a certificate that was not trusted, so that the error can name it."""

from __future__ import annotations

import contextlib
import ssl
from typing import Any

_NAMES = {b"\x55\x04\x03": "CN", b"\x55\x04\x0a": "O", b"\x55\x04\x0b": "OU"}
"""Object identifiers 2.5.4.x of a name's parts (X.520), as DER writes them."""

_SEQUENCE, _SET, _OID = 0x30, 0x31, 0x06


class _Reporting:
    """Adds the issuer to the error of a handshake that refused the peer's certificate.

    It is read from that handshake: the connection is over then, and nothing was sent but the
    handshake itself.
    """

    _sslobj: Any

    def do_handshake(self, *arguments: Any) -> Any:
        try:
            return super().do_handshake(*arguments)  # type: ignore[misc]
        except ssl.SSLCertVerificationError as error:
            # Public from Python 3.13 on, where the name without underscore exists as well.
            with contextlib.suppress(AttributeError, IndexError, TypeError, ValueError):
                leaf = self._sslobj.get_unverified_chain()[0]
                der = ssl.PEM_cert_to_DER_cert(leaf.public_bytes())
                error.issuer = issuer_of(der)  # type: ignore[attr-defined]
            raise


def report_issuer(context: Any) -> None:
    """Let errors of `context` have an attribute `issuer`, None where it cannot be read."""
    # truststore wraps the context that makes the connections.
    maker = getattr(context, "_ctx", context)
    for name in ("sslsocket_class", "sslobject_class"):
        kind = getattr(maker, name)
        setattr(maker, name, type(kind.__name__, (_Reporting, kind), {}))


def issuer_of(der: bytes) -> str | None:
    """Return the issuer in a certificate, say ``CN=Some CA, O=Some Company``, or None.

    The fields come in the order of RFC 5280, section 4.1: version, serial number, signature
    algorithm, issuer.
    """
    try:
        certificate = _items(_items(der)[0][1])
        fields = _items(certificate[0][1])
        # The version is left out by certificates of version 1.
        issuer = fields[3 if fields[0][0] == 0xA0 else 2][1]
        parts = [_items(pair) for tag, group in _items(issuer) for _, pair in _items(group)]
        named = {
            _NAMES[oid]: text.decode("utf-8", "replace")
            for (tag, oid), (_, text) in parts
            if tag == _OID and oid in _NAMES
        }
    except (IndexError, ValueError):
        return None
    text = ", ".join(f"{key}={named[key]}" for key in ("CN", "O", "OU") if key in named)
    return "".join(c for c in text[:200] if c.isprintable()) or None


def _items(data: bytes) -> list[tuple[int, bytes]]:
    """Split DER data into tags and contents, one level deep."""
    items = []
    while data:
        tag, length, start = data[0], data[1], 2
        if length & 0x80:
            start = 2 + (length & 0x7F)
            length = int.from_bytes(data[2:start], "big")
        if start + length > len(data):
            raise ValueError("cut")
        items.append((tag, data[start : start + length]))
        data = data[start + length :]
    return items
