"""The weight of a supervised token in the loss: its message's, perhaps divided by how much its conversation teaches."""

from typing import Literal

import numpy as np
import numpy.typing as npt

Weighting = Literal["token", "sequence", "sqrt"]

Float32s = npt.NDArray[np.float32]


def targets(weights: Float32s, weighting: Weighting) -> Float32s:
    """Weights of a document's tokens as targets [t]: the first is 0, since nothing comes before it.

    ``token``: as they are. ``sequence``, ``sqrt``: divided by n or √n, n being the document's supervised tokens, so
    that all conversations count the same, or long ones somewhat more.
    """
    made = weights.copy()
    made[:1] = 0
    learned = int(np.count_nonzero(made))
    if weighting == "token" or learned == 0:
        return made
    return made * np.float32(1 / learned if weighting == "sequence" else learned**-0.5)
