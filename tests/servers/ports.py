"""Which port of this machine each server listens on: the usual one if it is free when first asked for."""

import json
from pathlib import Path

from tests.servers.processes import free_port

USUAL = {
    "rest": 8081,
    "rpc": 6123,
    "job": 8099,
    "artifact": 8098,
    "expansion": 8097,
    "minio": 9000,
    "minio-console": 9001,
}


def choose(run: Path, names: list[str], asked: dict[str, int] | None = None) -> None:
    """Settle the ports of servers that do not run yet; ``asked`` for ports are taken as they are."""
    ports = _read(run)
    for name in names:
        others = {number for other, number in ports.items() if other != name}
        ports[name] = (asked or {}).get(name) or free_port(USUAL[name], others)
    run.mkdir(parents=True, exist_ok=True)
    (run / "ports.json").write_text(json.dumps(ports, indent=2))


def port(run: Path, name: str) -> int:
    """The port of ``name`` in this run, or its usual one."""
    return _read(run).get(name, USUAL[name])


def _read(run: Path) -> dict[str, int]:
    try:
        read: dict[str, int] = json.loads((run / "ports.json").read_text())
        return read
    except (OSError, ValueError):
        return {}
