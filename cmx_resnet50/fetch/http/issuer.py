"""Finds out who issued a certificate that was not trusted, so that the error can name it."""

from __future__ import annotations

import ssl

_NAMES = {b"\x55\x04\x03": "CN", b"\x55\x04\x0a": "O", b"\x55\x04\x0b": "OU"}
"""Object identifiers 2.5.4.x of a name's parts (X.520), as DER writes them."""

_SEQUENCE, _SET, _OID = 0x30, 0x31, 0x06


class Seen(Exception):
    """The certificate was seen; nothing was sent over the connection."""

    def __init__(self, der: bytes) -> None:
        super().__init__("certificate seen")
        self.der = der


class _Looking(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        # Leave before a single byte of a request goes to somebody who is not trusted.
        raise Seen(self.getpeercert(binary_form=True) or b"")


def looking_context() -> ssl.SSLContext:
    """Return a context that trusts anybody and talks to nobody: it raises `Seen`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = _Looking
    return context


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
    told = ", ".join(f"{key}={named[key]}" for key in ("CN", "O", "OU") if key in named)
    return "".join(c for c in told[:200] if c.isprintable()) or None


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
