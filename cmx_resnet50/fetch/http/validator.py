"""What identifies one version of a remote file (RFC 9110, section 8.8)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Validator:
    """The headers ETag and Last-Modified; empty where the server sent none."""

    etag: str = ""
    modified: str = ""

    @property
    def if_range(self) -> str | None:
        """The value for If-Range: a strong ETag or the date; weak ETags are not allowed there."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.modified or None

    def differs(self, other: Validator) -> bool:
        """Whether `other` must be another version; an absent header proves nothing."""
        if self.etag and other.etag:
            return self.etag != other.etag
        return bool(self.modified and other.modified) and self.modified != other.modified
