"""URLs that may hold a password, a database's or a proxy's: whatever prints or records one gets it without.

``str``, ``repr`` and formatting show ``***`` in the password's place; ``recorded`` leaves it out, because
what is recorded (a session, a database's rows) is copied to other people; only ``secret`` has it, for the
driver. Messages of others (a YAML error quotes the file) go through ``without_passwords``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

HIDDEN = "***"
_IN_A_TEXT = re.compile(  # to the last @ of the word; with spaces in it, to the first (and no port before it)
    r"(?P<user>\w:/{1,2}[^\s:/@?]*):(?:[^\s'\"]*|(?!\d+[/\s])[^\n'\"]*?)@"
)
_WHOLE = re.compile(r"^(?P<user>[^:/?#]+:/{1,2}[^:/@?]*):.*@", re.DOTALL)
_MEMBER = re.compile(r"(?P<name>\w*(?:password|passwd|pwd)=)[^\s&'\"]*(?P<rest>&?)", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """``text`` with the passwords of all URLs in it hidden."""
    return _MEMBER.sub(rf"\g<name>{HIDDEN}\g<rest>", _IN_A_TEXT.sub(rf"\g<user>:{HIDDEN}@", text))


class SecretUrl:
    """A URL as the user gave it."""

    __slots__ = ("_secret",)

    def __init__(self, text: str) -> None:
        self._secret = text

    @classmethod
    def of(cls, url: object) -> Self:
        """A URL as it is, or one of a text. Raises ValueError for anything else."""
        if isinstance(url, cls):
            return url
        if not isinstance(url, str):
            raise ValueError(cls._form())
        return cls(url)

    @classmethod
    def _form(cls) -> str:
        return "write a URL"

    @property
    def secret(self) -> str:
        """With its password: for the driver alone."""
        return self._secret

    @property
    def recorded(self) -> str:
        """Without any password: enough to name what it leads to."""
        return _MEMBER.sub("", _WHOLE.sub(r"\g<user>@", self._secret)).rstrip("?&")

    def __str__(self) -> str:
        return without_passwords(_WHOLE.sub(rf"\g<user>:{HIDDEN}@", self._secret))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._secret == self._secret

    def __hash__(self) -> int:
        return hash(self._secret)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema  # a configuration loads it; --help must answer at once

        recorded = core_schema.plain_serializer_function_ser_schema(
            lambda url: url.recorded, when_used="json"
        )
        return core_schema.no_info_plain_validator_function(cls.of, serialization=recorded)


class DatabaseUrl(SecretUrl):
    """A database's URL, or a file's path."""

    @classmethod
    def _form(cls) -> str:
        return "write a file's path or a database's URL, as in sqlite:///runs/agent.db"


class ProxyUrl(SecretUrl):
    """Where a proxy listens."""

    SCHEMES = ("http", "https", "socks4", "socks5", "socks5h")

    @classmethod
    def of(cls, url: object) -> Self:
        made = super().of(url)
        try:
            parts = urlsplit(made.secret)
            known = parts.scheme in cls.SCHEMES and parts.hostname and parts.port
        except ValueError:  # its message would quote a password with a slash in it
            known = None
        if not known:
            raise ValueError(cls._form())
        return made

    @classmethod
    def _form(cls) -> str:
        return "write a proxy's URL with its port, as in http://HOST:PORT or socks5://HOST:PORT"

    @property
    def is_socks(self) -> bool:
        return self.secret.startswith("socks")
