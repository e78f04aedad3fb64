"""Who may use the page: whoever has its token, under a name of this machine.

Any local user can connect to a port of this machine, and any web site can send a browser there.
As in Jupyter, the URL that is printed and opened holds a random token, which every session must
show; and a Host header that names another machine is rejected, against DNS rebinding.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
import socket
from urllib.parse import urlsplit

VARIABLE = "CM_GUI_TOKEN"
"""Hands the token to the process that serves the page. Arguments can be read by other users."""
TOKEN = os.environ.pop(VARIABLE, "")
"""The token of the page that this process serves. What it starts does not inherit it."""


def new_token() -> str:
    """Return a random token for a URL."""
    return secrets.token_urlsafe(32)


def problem(token: str, host: str, address: str, *, expected: str = TOKEN) -> str:
    """Return why a session may not use the page; nothing if it may.

    Parameters
    ----------
    token : str
        The token in the URL of the session.
    host : str
        Its Host header.
    address : str
        The address that the page listens on.
    expected : str
        The token of the page.
    """
    name = _name_in(host)
    if name is None or not (_is_ip(name) or name in _own_names(address)):
        return (
            f"This page does not answer as {name or 'a host without a name'}. Open it by an IP "
            "address, or start it with that name as --address."
        )
    if not expected or not hmac.compare_digest(token.encode("utf-8", "replace"), expected.encode()):
        return "The token is missing or wrong. Open the URL that `cm gui` printed in the terminal."
    return ""


def _name_in(host: str) -> str | None:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return None
    return name.rstrip(".") if name else None


def _is_ip(name: str) -> bool:
    # An address in a Host header cannot come from DNS.
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _own_names(address: str) -> set[str]:
    names = {"localhost", address, socket.gethostname()}
    return {name.lower().rstrip(".") for name in names}
