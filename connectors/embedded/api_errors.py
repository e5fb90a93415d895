"""Errors as the exchange reports them: its own code, its own words, an HTTP status."""

from __future__ import annotations


class BadRequestError(Exception):
    """An error as the exchange reports it: ``code`` and ``msg``; ``data`` and ``headers`` go along."""

    def __init__(
        self,
        code: int,
        msg: str,
        status: int = 400,
        *,
        data: object = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(msg)
        self.code, self.msg, self.status = code, msg, status
        self.data, self.headers = data, headers or {}

    def to_json(self) -> dict[str, object]:
        error: dict[str, object] = {"code": self.code, "msg": self.msg}
        return error if self.data is None else error | {"data": self.data}


def mandatory(name: str) -> BadRequestError:
    """Say that parameter ``name`` is missing."""
    return BadRequestError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
