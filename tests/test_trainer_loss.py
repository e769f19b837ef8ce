"""The chunked loss against cross-entropy of whole logits: values and, above all, gradients."""

import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from trainer.loss import supervised_loss  # noqa: E402

torch.set_num_threads(1)
T, D, V = 37, 16, 61


def case(dtype=torch.float32, share=0.5):
    draw = torch.Generator().manual_seed(3)
    hidden = torch.randn(T, D, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
    weight = (torch.randn(V, D, generator=draw, dtype=torch.float64) / 4).to(dtype).requires_grad_()
    bias = torch.randn(V, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
    targets = torch.randint(0, V, (T,), generator=draw)
    weights = torch.rand(T, generator=draw) * (torch.rand(T, generator=draw) < share)
    return hidden, weight, bias, targets, weights


def reference(hidden, weight, targets, weights, bias=None, scale=1.0, softcap=None):
    logits = torch.nn.functional.linear(hidden, weight, bias) * scale
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    return (torch.nn.functional.cross_entropy(logits, targets, reduction="none") * weights).sum()


@pytest.mark.parametrize("chunk", [1, 5, 64, None])
@pytest.mark.parametrize("settings", [{}, {"scale": 0.25}, {"softcap": 3.0}, {"scale": 2.0, "softcap": 2.5}])
@pytest.mark.parametrize("with_bias", [False, True])
def test_gradients_are_those_of_whole_logits(chunk, settings, with_bias):
    hidden, weight, bias, targets, weights = case()
    extra = {**settings, "bias": bias} if with_bias else settings
    inputs = [hidden, weight, *([bias] if with_bias else [])]
    ours = supervised_loss(hidden, weight, targets, weights, chunk, **extra)
    true = reference(hidden, weight, targets, weights, **extra)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, true, rtol=1e-6, atol=1e-6)
    for one, other in zip(torch.autograd.grad(3.0 * ours, inputs), torch.autograd.grad(3.0 * true, inputs)):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6 * float(other.abs().max().clamp_min(1)))


@pytest.mark.parametrize("settings", [{}, {"scale": 0.5, "softcap": 2.0}])
def test_gradcheck(settings):
    hidden, weight, bias, targets, weights = case(torch.float64)

    def loss(*inputs):
        return supervised_loss(inputs[0], inputs[1], targets, weights.double(), 7, bias=inputs[2], **settings)

    assert torch.autograd.gradcheck(loss, (hidden, weight, bias))


def test_bfloat16_is_summed_in_float32():
    hidden, weight, _, targets, weights = case(torch.bfloat16)
    ours = supervised_loss(hidden, weight, targets, weights, 5)
    wide = [one.detach().float().requires_grad_() for one in (hidden, weight)]
    true = reference(wide[0], wide[1], targets, weights)
    torch.testing.assert_close(ours, true, rtol=2e-2, atol=0)
    for one, other in zip(torch.autograd.grad(ours, (hidden, weight)), torch.autograd.grad(true, wide)):
        assert one.dtype == torch.bfloat16
        assert float((one.float() - other).norm() / other.norm()) < 2e-2


def test_a_frozen_head_gets_no_gradient_and_evaluation_none_at_all():
    hidden, weight, _, targets, weights = case()
    expected = torch.autograd.grad(reference(hidden, weight, targets, weights), hidden)[0]
    (found,) = torch.autograd.grad(supervised_loss(hidden, weight.detach(), targets, weights, 5), hidden)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    with torch.no_grad():
        assert not supervised_loss(hidden, weight, targets, weights, 5).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_supervised_is_a_connected_zero_even_of_nan(dtype):
    hidden, weight, bias, targets, weights = case(dtype, share=0.0)
    broken = hidden * float("nan")
    loss = supervised_loss(broken, weight, targets, weights, bias=bias)
    assert (loss.item(), loss.dtype) == (0.0, torch.float32)
    loss.backward()
    assert all(one.grad is not None and not one.grad.abs().nan_to_num(9).sum() for one in (weight, bias))
    assert hidden.grad is not None


def test_known_rows_are_not_searched_for():
    hidden, weight, _, targets, weights = case()
    found = supervised_loss(hidden, weight, targets, weights, supervised=weights.nonzero().flatten())
    assert found.item() == supervised_loss(hidden, weight, targets, weights).item()


def test_logits_of_more_than_a_chunk_never_exist():
    class Largest(TorchDispatchMode):
        rows = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for one in out if isinstance(out, (tuple, list)) else (out,):
                if isinstance(one, torch.Tensor) and one.dim() == 2 and one.shape[1] == V:
                    Largest.rows = max(Largest.rows, one.shape[0])
            return out

    hidden, weight, _, targets, weights = case(share=0.9)
    with Largest():
        supervised_loss(hidden, weight, targets, weights, 5, softcap=4.0).backward()
    assert 0 < Largest.rows <= max(5, D)  # [D, V] is the head turned
