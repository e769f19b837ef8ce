"""Opening a release: its manifest, checked for form before anything in it is believed."""

from pathlib import Path

import orjson

from schemas.errors import GristmillError
from schemas.manifest import FILE_NAME, FORMAT, Manifest
from schemas.strict import validate
from transforms.storage import read_bytes


def open_manifest(release: Path) -> Manifest:
    """The manifest of a release folder.

    Raises:
        GristmillError: no release is there, or its manifest is not one of ours.
    """
    path = release / FILE_NAME
    try:
        data = orjson.loads(read_bytes(path))
    except (FileNotFoundError, NotADirectoryError):
        raise GristmillError(
            f"{release} is no release: it has no {FILE_NAME}; give a folder <out>/<name>/<version>"
        ) from None
    except OSError as error:
        raise GristmillError(f"{path}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise GristmillError(f"{path} is damaged: {error}") from None
    if isinstance(data, dict) and data.get("format") != FORMAT:
        raise GristmillError(f"{path} has format {data.get('format')!r}, this Gristmill reads format {FORMAT}")
    return validate(Manifest, data, str(path))
