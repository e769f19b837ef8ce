"""Progress of stages: workers append what they have done to small files, the command reads them.

Beam's local runner reports nothing until it returns. A tick is one short append per block to a file of the
process's own; it is shown to people and decides nothing.
"""

import os
from collections import Counter
from pathlib import Path

FOLDER_VARIABLE = "GRISTMILL_PROGRESS"


def tick(stage: str) -> None:
    """Say that one more block has passed ``stage``."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return
    try:
        handle = os.open(os.path.join(folder, str(os.getpid())), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, f"{stage}\n".encode())
        finally:
            os.close(handle)
    except OSError:
        pass  # progress is a courtesy; a full or absent folder must not stop the work


def read(folder: Path) -> Counter[str]:
    """Blocks done so far, by stage."""
    done: Counter[str] = Counter()
    for file in folder.iterdir() if folder.is_dir() else ():
        done.update(file.read_text(errors="replace").splitlines())
    return done
