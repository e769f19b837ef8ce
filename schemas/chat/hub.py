"""Whether the model hub can be asked: its library tries a host that does not answer for most of a minute."""

import os
import re
import socket
import threading
from urllib.parse import urlsplit

PATIENCE = 3.0  # seconds for the hub, or the proxy before it, to take a connection
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?")
_YES = {"1", "on", "true", "yes"}


def is_hub_id(name: str) -> bool:
    """Whether the hub could know the name: one word, or two with a slash between."""
    return _NAME.fullmatch(name) is not None and "--" not in name and ".." not in name


def only_cached() -> bool:
    """Whether to look in the hub's cache alone: it was told to be offline, or nobody answers at its address."""
    if (
        os.environ.get("HF_HUB_OFFLINE", "").lower() in _YES
        or os.environ.get("TRANSFORMERS_OFFLINE", "").lower() in _YES
    ):
        return True
    address = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    proxies = [os.environ.get(name) for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")]
    proxy = next((one for one in proxies if one), None)
    if proxy:
        address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = address.port or (443 if address.scheme == "https" else 80)
    return not _answers(address.hostname or "", port)


def _answers(host: str, port: int) -> bool:
    """In a thread, because looking up a name has no time limit of its own."""
    found: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=PATIENCE).close()
            found.append(True)
        except OSError:
            pass

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return bool(found)
