"""The keys of the embedded exchange: made at each start, kept in memory, shown to whoever asks in Python.

One account has two: HMAC (a secret that both sides know) and Ed25519 (of which the exchange keeps the
public half). ccxt tells them apart by the form of the secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from connectors.embedded.api_errors import BadRequestError

_KEY_LENGTH = 64  # characters of an API key, and of an HMAC secret


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What a client is given: ccxt's ``apiKey`` and ``secret``. Never shown by ``repr``."""

    api_key: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(slots=True)
class _Issued:
    signs: Callable[[bytes, str], bool]  # whether a signature is one of the payload
    trades: bool = True


class KeyRing:
    """The keys that were issued, made of ``random_bytes``: a simulation's come from its seed."""

    def __init__(self, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._random, self._issued = random_bytes, dict[str, _Issued]()
        self.hmac, self.ed25519 = self.issue_hmac(), self.issue_ed25519()

    def issue_hmac(self) -> ApiKey:
        """A new pair whose secret is 64 letters and digits."""
        key = ApiKey(self._letters(), self._letters())
        shared = key.secret.encode()

        def signs(payload: bytes, signature: str) -> bool:
            expected = hmac.new(shared, payload, hashlib.sha256).hexdigest()
            return hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))

        self._issued[key.api_key] = _Issued(signs)
        return key

    def issue_ed25519(self) -> ApiKey:
        """A new pair whose secret is a private key in PEM."""
        private = Ed25519PrivateKey.from_private_bytes(self._random(32))
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        key, public = ApiKey(self._letters(), pem.decode()), private.public_key()
        self._issued[key.api_key] = _Issued(lambda payload, text: _signed_by(public, payload, text))
        return key

    def revoke(self, key: ApiKey) -> None:
        """From now on it is unknown, as one that was deleted or used from another address."""
        self._issued.pop(key.api_key, None)

    def restrict(self, key: ApiKey) -> None:
        """From now on it may read and place or cancel nothing."""
        self._issued[key.api_key].trades = False

    def check_key(self, api_key: str | None, *, trade: bool) -> None:
        """Raise BadRequestError -2014 for what is no key, -2015 for one unknown or without permission."""
        if not api_key or len(api_key) != _KEY_LENGTH or not (api_key.isascii() and api_key.isalnum()):
            raise BadRequestError(-2014, "API-key format invalid.", 401)
        issued = self._issued.get(api_key)
        if issued is None or (trade and not issued.trades):
            raise BadRequestError(-2015, "Invalid API-key, IP, or permissions for action.", 401)

    def check_signature(self, api_key: str, payload: bytes, signature: str) -> None:
        """Raise BadRequestError -1022 unless the key's owner signed ``payload``. The key is known."""
        if not self._issued[api_key].signs(payload, signature):
            raise BadRequestError(-1022, "Signature for this request is not valid.")

    def _letters(self) -> str:
        """64 letters and digits, of 32 random bytes."""
        return self._random(_KEY_LENGTH // 2).hex()


def _signed_by(public: Ed25519PublicKey, payload: bytes, text: str) -> bool:
    try:
        public.verify(base64.b64decode(text, validate=True), payload)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
