"""A database's URL, which may hold a password: whatever prints or records it gets it without.

``str``, ``repr`` and formatting show ``***`` in the password's place; ``recorded`` leaves it out, because
what is recorded (a session, a database's rows) is copied to other people; only ``secret`` has it, for the
driver. Messages of others (a YAML error quotes the file) go through ``without_passwords``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

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


class DatabaseUrl:
    """A URL or a file's path, as the user gave it."""

    __slots__ = ("_secret",)

    def __init__(self, text: str) -> None:
        self._secret = text

    @classmethod
    def of(cls, url: object) -> DatabaseUrl:
        """A URL as it is, or one of a text. Raises ValueError for anything else."""
        if isinstance(url, cls):
            return url
        if not isinstance(url, str):
            raise ValueError("write a file's path or a database's URL, as in sqlite:///runs/agent.db")
        return cls(url)

    @property
    def secret(self) -> str:
        """With its password: for the driver alone."""
        return self._secret

    @property
    def recorded(self) -> str:
        """Without any password: it names the database, and opens it where a password comes from elsewhere."""
        return _MEMBER.sub("", _WHOLE.sub(r"\g<user>@", self._secret)).rstrip("?&")

    def __str__(self) -> str:
        return without_passwords(_WHOLE.sub(rf"\g<user>:{HIDDEN}@", self._secret))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DatabaseUrl) and other._secret == self._secret

    def __hash__(self) -> int:
        return hash(self._secret)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema  # a configuration loads it; --help must answer at once

        recorded = core_schema.plain_serializer_function_ser_schema(
            lambda url: url.recorded, when_used="json"
        )
        return core_schema.no_info_plain_validator_function(cls.of, serialization=recorded)
