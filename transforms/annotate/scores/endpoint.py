"""A chat completions endpoint in OpenAI's convention, asked with patience.

The standard library's client is enough for one JSON request, and adds no dependency. Three of its habits are changed:
a redirect is not followed, because it would carry the key to another host; a reply is read up to a bound; and no
error's own text is passed on where it could hold the key.
"""

import http.client
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from schemas.errors import GristmillError

REPLY_BYTES = 8 << 20
BUSY = {408, 425, 429, 500, 502, 503, 504, 529}
"""Statuses worth another try: busy, restarting, or behind a gateway that is. 529 is what some call overloaded."""
REFUSED = {429, 503, 529}
"""Of these, the statuses that were answered without work; the attempt is given back to the budget."""
LONGEST_PAUSE_S = 60.0


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **more: Any) -> None:
        return None


@dataclass(frozen=True)
class Endpoint:
    """``<base_url>/chat/completions`` with a key that stands in an environment variable of this name."""

    base_url: str  # up to /v1
    api_key_env: str | None = None
    timeout_s: float = 120.0
    retries: int = 5  # further attempts after the first
    pause_s: float = 1.0  # before the first retry; doubles each time, 60 s at most

    def check(self, ping: bool) -> None:
        """Raises: GristmillError: no usable URL, no key, or with ``ping`` nobody answers."""
        parts = urllib.parse.urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise GristmillError(f"judge.base_url {self.base_url!r} is no http address; give one that ends in /v1")
        if parts.username or parts.password or parts.query:
            raise GristmillError(
                "judge.base_url holds a user, a password or a query, which would be written into the release; "
                "put the key into an environment variable and name that in judge.api_key_env"
            )
        self._key()
        if not ping:
            return
        try:
            self._open(urllib.request.Request(f"{self.base_url.rstrip('/')}/models", headers=self._headers()))
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise GristmillError(self._denied(error.code)) from None
        except (OSError, http.client.HTTPException) as error:
            raise GristmillError(
                f"judge endpoint {self.base_url} does not answer ({_kind(error)}); start it or correct judge.base_url"
            ) from None

    def ask(self, body: bytes, reserve: Callable[[], None], refund: Callable[[], None]) -> dict[str, Any]:
        """The parsed reply to one request.

        How long it waits decides nothing but when the reply comes. ``reserve`` is called before each attempt, and may
        raise to end the asking; ``refund`` after one that the server turned away.

        Raises:
            GristmillError: all attempts failed, or the server says that no attempt can succeed.
        """
        address = f"{self.base_url.rstrip('/')}/chat/completions"
        problem = ""
        for attempt in range(self.retries + 1):
            reserve()
            pause = min(self.pause_s * 2**attempt, LONGEST_PAUSE_S)
            try:
                return self._reply(self._open(urllib.request.Request(address, body, self._headers())))
            except urllib.error.HTTPError as error:
                if error.code in (401, 403):
                    refund()
                    raise GristmillError(self._denied(error.code)) from None
                if error.code not in BUSY:
                    refund()
                    raise GristmillError(
                        f"judge endpoint {self.base_url} refuses the request with status {error.code}"
                        f"{self._said(error)}; correct the judge's model or settings"
                    ) from None
                if error.code in REFUSED:
                    refund()
                problem, pause = f"status {error.code}", max(pause, _asked_pause(error))
            except _NotACompletion as error:
                problem = str(error)
            except (OSError, http.client.HTTPException) as error:
                problem = _kind(error)
                if isinstance(getattr(error, "reason", error), ConnectionRefusedError):
                    refund()
            if attempt < self.retries:
                time.sleep(min(pause, LONGEST_PAUSE_S))
        raise GristmillError(
            f"judge endpoint {self.base_url} failed {self.retries + 1} times, at last with {problem}; what it answered "
            "before is kept, so run again when it works"
        )

    def _key(self) -> str | None:
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise GristmillError(
                f"judge.api_key_env names {self.api_key_env!r}, which is not set in the environment; export it"
            )
        if not all("!" <= character <= "~" for character in key):
            raise GristmillError(
                f"the key in {self.api_key_env} holds white space or characters beyond ASCII; set it anew"
            )
        return key

    def _headers(self) -> dict[str, str]:
        key = self._key()
        more = {"Authorization": f"Bearer {key}"} if key else {}
        return {"Content-Type": "application/json", "Accept": "application/json", **more}

    def _open(self, request: urllib.request.Request) -> bytes:
        with urllib.request.build_opener(_Stay).open(request, timeout=self.timeout_s) as reply:
            return bytes(reply.read(REPLY_BYTES + 1))

    def _reply(self, data: bytes) -> dict[str, Any]:
        try:
            reply: Any = orjson.loads(data) if len(data) <= REPLY_BYTES else None
            message = reply["choices"][0]["message"]
            tokens = (reply.get("usage") or {}).get("total_tokens")
            return {
                "content": message.get("content") if isinstance(message.get("content"), str) else "",
                "tokens": tokens if isinstance(tokens, int) and tokens >= 0 else None,
            }
        except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError):
            raise _NotACompletion("a reply that is no chat completion") from None

    def _denied(self, status: int) -> str:
        where = f"the key in {self.api_key_env}" if self.api_key_env else "a request without a key"
        return f"judge endpoint {self.base_url} does not accept {where} (status {status}); set judge.api_key_env right"

    def _said(self, error: urllib.error.HTTPError) -> str:
        """The start of the server's own words, without the key."""
        try:
            text = " ".join(error.read(2000).decode("utf-8", "replace").split())
        except (OSError, http.client.HTTPException):
            return ""
        key = self._key()
        if key:
            text = text.replace(key, "***")
        return f" ({text[:200]})" if text else ""


class _NotACompletion(Exception):
    pass


def _kind(error: BaseException) -> str:
    """What went wrong on the line, without the library's text."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "a time-out"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    return type(reason).__name__


def _asked_pause(error: urllib.error.HTTPError) -> float:
    """Seconds of a Retry-After header, 0 without one that can be read."""
    try:
        return max(0.0, float(error.headers.get("Retry-After", "0")))
    except ValueError:
        return 0.0
