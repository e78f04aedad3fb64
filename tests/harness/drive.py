"""The pages of Google Drive, as its servers send them."""

from __future__ import annotations

import html

from tests.harness.reply import Reply, plain

DOWNLOAD = "https://drive.usercontent.google.com/download"


def direct(file_id: str) -> str:
    """Return the address to which the form of `confirmation` leads."""
    return f"{DOWNLOAD}?id={file_id}&export=download&confirm=t&uuid=c0ffee"


def confirmation(file_id: str, action: str = DOWNLOAD) -> Reply:
    """Build the page that comes in place of a large file."""
    fields = {"id": file_id, "export": "download", "confirm": "t", "uuid": "c0ffee"}
    inputs = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(value)}">'
        for name, value in fields.items()
    )
    text = (
        "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title>"
        '<style>.form{display:none}</style></head><body><div class="uc-main">'
        '<p class="uc-warning-caption">Google Drive can&#39;t scan this file for viruses.</p>'
        f'<form id="download-form" action="{action}" method="get">'
        '<input type="submit" id="uc-download-link" value="Download anyway"/>'
        f"{inputs}</form></div></body></html>"
    )
    return _page(200, text, set_cookie="download_warning=abc; Secure; Domain=.google.com; Path=/")


def quota(status: int = 200) -> Reply:
    """Build the page of a file that too many people have downloaded."""
    text = (
        "<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>"
        '<p class="uc-error-caption">Sorry, you can&#39;t view or download this file at this time.'
        '</p><p class="uc-error-subcaption">Too many users have viewed or downloaded this file '
        "recently. Please try accessing the file again later.</p></body></html>"
    )
    return _page(status, text)


def _page(status: int, text: str, **headers: str) -> Reply:
    return plain(status, text.encode(), content_type="text/html; charset=utf-8", **headers)
