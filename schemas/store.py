"""Object stores, as far as curation and training share them: what may stand in a URL, the client, and patience.

Everything goes through fsspec (``s3://`` by s3fs, ``gs://`` by gcsfs, ``abfs://`` by adlfs). Credentials come from the
environment alone (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL`` …), so that no recipe, manifest or log can hold them.
"""

import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from schemas.errors import GristmillError

Result = TypeVar("Result")

EXTRAS = {"s3": "aws", "s3a": "aws", "gs": "gcp", "gcs": "gcp", "abfs": "azure", "abfss": "azure", "az": "azure"}

WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
"""Seconds between attempts: a store that is away for half a minute is survived. The client's own retries come on
top."""

# Parts of a query that are credentials: those of signed URLs of S3, Google and Azure, and plain tokens.
_SIGNED = re.compile(
    r"[?&](x-(amz|goog)-(signature|credential|security-token)|signature|sig|awsaccesskeyid|(access_)?token)=", re.I
)
_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|SAS|CONNECTION_STRING")
_STORES = ("AWS_", "AZURE_", "GOOGLE_", "GCS_", "FSSPEC_")
# What no second attempt would change, by the name of the client's error.
_LASTING = {
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ParamValidationError",
    "ProfileNotFound", "ConfigParseError", "NoRegionError", "InvalidRegionError", "DefaultCredentialsError",
    "ClientAuthenticationError", "RefreshError",
}  # fmt: skip
_FINAL = (PermissionError, NotADirectoryError, IsADirectoryError, ValueError, NotImplementedError, ImportError)
_BUGS = (TypeError, AttributeError, LookupError, AssertionError, MemoryError)
_NO_SECOND = {errno.ENOSPC, errno.EINVAL, errno.EROFS, errno.EDQUOT}

WARM = "GRISTMILL_STORE"
"""Environment variable: schemes of the stores that local workers will talk to. Their clients are imported once, before
workers are forked (s3fs takes 0.7 s)."""

_clients: dict[Any, Any] = {}
_hasty: ContextVar[bool] = ContextVar("hasty", default=False)
_lock = threading.Lock()
os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.Lock(), _clients={}))


def is_remote(path: object) -> bool:
    """Whether a path is a URL of a store; ``file://`` is this machine."""
    text = str(path)
    return "://" in text and not text.startswith("file://")


def check_address(url: str) -> str:
    """The URL, if it holds no credentials.

    Raises:
        GristmillError: it does; the sentence does not repeat them.
    """
    scheme, _, rest = url.partition("://")
    user, at, host = rest.partition("/")[0].rpartition("@")
    if (at and ":" in user) or _SIGNED.search(url):
        raise GristmillError(
            f"the URL {scheme}://{host}/… holds credentials, which would end up in logs and manifests; "
            "give them by the environment (AWS_ACCESS_KEY_ID …) and leave them out of the URL"
        )
    return url


def announce(*places: object) -> None:
    """Note in the environment which clients the places need; nothing where all are local."""
    schemes = sorted({str(one).partition("://")[0] for one in places if is_remote(one)})
    if schemes:
        os.environ[WARM] = " ".join(schemes)


def warm() -> None:
    """Import the clients that were announced; one that cannot be is told where it is used."""
    for scheme in os.environ.get(WARM, "").split():
        import fsspec

        try:
            fsspec.get_filesystem_class(scheme)
        except (ImportError, ValueError):
            pass


def client(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the URL's path in it. One per process and environment, for all threads.

    Raises:
        GristmillError: no such file system is known, or its package is not installed.
    """
    scheme = check_address(url).partition("://")[0]
    settings = tuple(sorted(item for item in os.environ.items() if item[0].startswith(_STORES)))
    key = os.getpid(), scheme, settings
    found = _clients.get(key)
    if found is None:
        import fsspec

        try:
            kind = fsspec.get_filesystem_class(scheme)
        except ImportError as error:
            extra = EXTRAS.get(scheme)
            advice = f"install it with pip install 'gristmill[{extra}]'" if extra else str(error)
            raise GristmillError(f"{url} needs a package that is not installed; {advice}") from None
        except ValueError:
            known = ", ".join(f"{name}://" for name in ("s3", "gs", "abfs"))
            raise GristmillError(
                f"{url}: no store is known by {scheme}://; known are {known} and others of fsspec"
            ) from None
        with _lock:
            # Listings are never cached: other machines write to the same place.
            found = _clients.get(key) or patiently(
                url, "reached", lambda: kind(skip_instance_cache=True, use_listings_cache=False)
            )
            _clients[key] = found
    return found, str(found._strip_protocol(url))


@contextmanager
def hastily() -> Iterator[None]:
    """Ask once, in this thread, and let go what fails: for tidying up after a run that has failed already."""
    token = _hasty.set(True)
    try:
        with suppress(GristmillError):
            yield
    finally:
        _hasty.reset(token)


def patiently(url: str, what: str, ask: Callable[[], Result]) -> Result:
    """What ``ask`` gives, asked again while the store does not answer.

    Raises:
        FileNotFoundError, FileExistsError: as the store says.
        GristmillError: it refused, or was away for longer than ``WAITS_S``; ``what`` says what could not be done.
    """
    for wait in (None,) if _hasty.get() else (*WAITS_S, None):
        try:
            return ask()
        except (FileNotFoundError, FileExistsError, GristmillError):
            raise
        except Exception as error:  # each store's client raises its own
            if isinstance(error, _BUGS) or type(error).__module__.startswith("pyarrow"):
                raise
            lasting = isinstance(error, _FINAL) or type(error).__name__ in _LASTING
            lasting = lasting or (isinstance(error, OSError) and error.errno in _NO_SECOND)
            if wait is None or lasting:
                hint = "check the address and the access to it" if lasting else "the store did not answer in time"
                raise GristmillError(f"{url} cannot be {what} ({reason(error)}); {hint}") from None
            time.sleep(wait)
    raise AssertionError


def reason(error: BaseException) -> str:
    """What a store's client says, short, in one line, without anything secret that stands in the environment."""
    text = " ".join(str(error).split()) or type(error).__name__
    for name, value in os.environ.items():
        if name.startswith(_STORES) and _SECRET.search(name) and len(value) > 3:
            text = text.replace(value, "***")
    return text[:200]
