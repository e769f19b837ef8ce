"""Cross-entropy of the supervised tokens, summed with their weights, without the logits of a pack ever existing.

The sum is over tokens and is not divided here: the plan knows what the whole step divides by (training.md 6.3).
Prompts, padding and last tokens have weight 0 and are left out before the head runs. The rest goes through the head in
chunks, and a chunk's gradients are taken as soon as its logits are there (dL/dlogits = weight · (softmax - one-hot)),
so nothing is kept and nothing computed twice (training.md 2.3; the mechanism of Liger and torchtitan#2937).
"""

from typing import Any

import torch

# Float32 logits of one chunk, bytes. On a GPU large enough for the matrix product to run at full speed (training.md
# 2.3: 1 to 2 GiB); on a CPU small enough not to matter.
CHUNK_BYTES = {"cpu": 2**26}
CHUNK_BYTES_GPU = 2**30


def chunk_rows(vocabulary: int, device: torch.device) -> int:
    """Rows of logits that are there at a time."""
    return max(1, CHUNK_BYTES.get(device.type, CHUNK_BYTES_GPU) // (4 * vocabulary))


def supervised_loss(
    hidden: torch.Tensor,
    head_weight: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    chunk: int | None = None,
    *,
    bias: torch.Tensor | None = None,
    scale: float = 1.0,
    softcap: float | None = None,
    supervised: torch.Tensor | None = None,
    parts: torch.Tensor | None = None,
) -> torch.Tensor:
    """Σ over t of weights[t] · CE(cap(scale · (hidden[t] @ head_weightᵀ + bias)), targets[t]), a float32 scalar.

    Args:
        hidden: [T, d].
        head_weight: [V, d], in the precision of ``hidden``; logits and sums are float32 (float64 for float64).
        targets: int64 [T], valid ids also where the weight is 0.
        weights: float32 [T]; rows of weight 0 cost nothing.
        chunk: rows of logits at a time; by default as many as CHUNK_BYTES hold.
        bias: [V].
        supervised: int64 [k], the rows with a weight other than 0; found here if not given, for which a GPU must wait.
        parts: float32 [k], filled with what each of those rows adds to the loss; no gradient goes through it.

    Without any supervised row the loss is a zero that is still connected to all three inputs, so that backward passes,
    and ranks that wait for each other's gradients, run as always.
    """
    rows = weights.nonzero().flatten() if supervised is None else supervised
    if rows.numel() == 0:
        connected = hidden[:0].sum() + head_weight[:0].sum()  # of nothing: 0 also where a hidden state is not finite
        connected = connected if bias is None else connected + bias[:0].sum()
        return connected if connected.dtype == torch.float64 else connected.float()
    if chunk is None:
        chunk = chunk_rows(head_weight.shape[0], hidden.device)
    loss: torch.Tensor = _ChunkedLoss.apply(
        hidden.index_select(0, rows),
        head_weight,
        bias,
        targets.index_select(0, rows),
        weights.index_select(0, rows),
        scale,
        softcap,
        chunk,
        torch.is_grad_enabled(),
        parts,
    )
    return loss


class _ChunkedLoss(torch.autograd.Function):
    """The loss, with its gradients computed on the way forward and scaled on the way back."""

    @staticmethod
    def forward(
        context: Any,
        hidden: torch.Tensor,
        head_weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        weights: torch.Tensor,
        scale: float,
        softcap: float | None,
        chunk: int,
        learning: bool,
        parts: torch.Tensor | None,
    ) -> torch.Tensor:
        wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        of_hidden, of_weight, of_bias = (learning and needed for needed in context.needs_input_grad[:3])
        wanted = of_hidden or of_weight or of_bias
        weights = weights.to(wide)
        total = torch.zeros((), dtype=wide, device=hidden.device)
        hidden_gradient = torch.empty_like(hidden) if of_hidden else None
        weight_gradient = torch.zeros_like(head_weight, dtype=wide) if of_weight else None
        bias_gradient = torch.zeros_like(bias, dtype=wide) if of_bias and bias is not None else None
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            loss, slope = _chunk(hidden[part], head_weight, bias, targets[part], weights[part], scale, softcap, wanted)
            total += loss.sum()
            if parts is not None:
                parts[part] = loss
            if slope is None:
                continue
            if bias_gradient is not None:
                bias_gradient += slope.sum(0)
            slope = slope.to(hidden.dtype)
            if hidden_gradient is not None:
                torch.mm(slope, head_weight, out=hidden_gradient[part])
            if weight_gradient is not None:
                if wide == hidden.dtype:
                    weight_gradient.addmm_(slope.T, hidden[part])
                else:  # summed over chunks in float32
                    weight_gradient += slope.T @ hidden[part]
        # Plain attributes: these are no outputs and no inputs, and they go when the graph goes.
        context.gradients = (hidden_gradient, weight_gradient, bias_gradient)
        context.dtypes = (hidden.dtype, head_weight.dtype, None if bias is None else bias.dtype)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scaled = (
            None if gradient is None else (gradient * outer[0]).to(dtype)
            for gradient, dtype in zip(context.gradients, context.dtypes)
        )
        return (*scaled, None, None, None, None, None, None, None)


def _chunk(
    hidden: torch.Tensor,
    head_weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    weights: torch.Tensor,
    scale: float,
    softcap: float | None,
    learning: bool,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The losses [c] of c rows, and the gradient [c, V] of what the head's product gives; in place in one buffer."""
    logits = hidden @ head_weight.T
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if bias is not None:
        logits += bias
    if scale != 1.0:
        logits *= scale
    bend = None  # how much the cap lets through of a change
    if softcap is not None:
        logits.div_(softcap).tanh_()
        bend = 1.0 - logits.square() if learning else None
        logits *= softcap
    wanted = targets[:, None]
    logits -= logits.amax(dim=1, keepdim=True)
    chosen = logits.gather(1, wanted)
    logits.exp_()
    sums = logits.sum(dim=1, keepdim=True)
    column = weights[:, None]
    loss = ((sums.log() - chosen) * column).flatten()
    if not learning:
        return loss, None
    logits *= column / sums
    logits.scatter_add_(1, wanted, -column)
    if bend is not None:
        logits *= bend
    if scale != 1.0:
        logits *= scale
    return loss, logits
