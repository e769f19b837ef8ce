"""Every rung of the ladder against the dense oracle, on models with grouped heads, windows and capped scores."""

import inspect
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from schemas.errors import GristmillError  # noqa: E402
from tests.test_trainer_pack import row  # noqa: E402
from trainer.attention import flash, varlen  # noqa: E402
from trainer.attention.dense import DENSE  # noqa: E402
from trainer.attention.flex import FLEX  # noqa: E402
from trainer.attention.ladder import LADDER, candidates, choose, plain, use  # noqa: E402
from trainer.attention.segments import SEGMENTS  # noqa: E402
from trainer.head import hidden_states  # noqa: E402
from trainer.model import tiny  # noqa: E402
from trainer.pack import collate, to_torch  # noqa: E402

torch.set_num_threads(1)
CPU = torch.device("cpu")


def pack(lengths=(19, 1, 40, 23), capacity=96):
    draw = np.random.default_rng(5)
    return to_torch(collate([row(draw.integers(0, 128, length)) for length in lengths], capacity, 0))


def outcome(model, backend):
    use(model.eval(), backend)
    with torch.no_grad():
        return hidden_states(model, pack(), backend)


def kernel(q, k, v, cu, scale, window, softcap=0.0):
    """What a variable-length kernel computes, spelled out; [T, heads, d]."""
    k, v = (one.repeat_interleave(q.shape[1] // one.shape[1], dim=1) for one in (k, v))
    document = torch.repeat_interleave(torch.arange(len(cu) - 1), cu.long().diff())
    distance = torch.arange(len(q))[:, None] - torch.arange(len(q))[None]
    seen = (document[:, None] == document[None]) & (distance >= 0)
    seen &= (distance <= window[0]) | (window[0] < 0)
    scores = torch.einsum("qhd,khd->hqk", q, k) * scale
    scores = softcap * torch.tanh(scores / softcap) if softcap else scores
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), v)


MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "grouped heads": ("llama", {}),
    "windows in every layer": ("mistral", {"sliding_window": 8}),
    "windows in some layers": ("gemma3_text", {"sliding_window": 8, "num_hidden_layers": 6}),
    "learned positions": ("gpt2", {}),
}
CAPPED: dict[str, tuple[str, dict[str, Any]]] = {"capped scores": ("gemma2", {"sliding_window": 8})}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("backend", [SEGMENTS, FLEX], ids=lambda one: one.name)
def test_a_rung_computes_what_the_dense_mask_does(kind, backend):
    model = tiny(MODELS[kind][0], **MODELS[kind][1])
    torch.testing.assert_close(outcome(model, backend), outcome(model, DENSE), rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", [*MODELS, *CAPPED])
@pytest.mark.parametrize("name", ["flash2", "flash3"])
def test_flash_attention_is_called_as_its_packages_define_it(kind, name, monkeypatch):
    def flash_attn_varlen_func(
        q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, softmax_scale, causal, window_size, softcap
    ):
        assert causal
        assert cu_seqlens_q.dtype == torch.int32
        assert type(max_seqlen_q) is type(max_seqlen_k) is int
        return kernel(q, k, v, cu_seqlens_q, softmax_scale, window_size, softcap)

    packages = {"flash_attn": flash_attn_varlen_func, "flash_attn_interface": flash_attn_varlen_func}
    monkeypatch.setattr(flash, "_KERNELS", packages)
    architecture, settings = {**MODELS, **CAPPED}[kind]
    model = tiny(architecture, **settings)
    rung = next(one for one in LADDER if one.name == name)
    torch.testing.assert_close(outcome(model, rung), outcome(model, DENSE), rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_torch_varlen_is_called_as_torch_defines_it(kind, monkeypatch):
    def varlen_attn(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale, window_size, enable_gqa):
        assert enable_gqa == (query.shape[1] != key.shape[1])
        assert max_q >= max(cu_seq_q.diff())
        return kernel(query, key, value, cu_seq_q, scale, window_size)

    monkeypatch.setattr(varlen, "varlen_attn", varlen_attn)
    model = tiny(MODELS[kind][0], **MODELS[kind][1])
    torch.testing.assert_close(outcome(model, varlen.VARLEN), outcome(model, DENSE), rtol=0, atol=2e-5)


def test_the_real_varlen_attn_takes_those_arguments():
    module = pytest.importorskip("torch.nn.attention.varlen")
    assert set(inspect.signature(module.varlen_attn).parameters) >= varlen._NEEDED
    assert varlen.varlen_attn is module.varlen_attn


def test_flex_computes_capped_scores():
    model = tiny("gemma2", sliding_window=8)
    torch.testing.assert_close(outcome(model, FLEX), outcome(model, DENSE), rtol=0, atol=2e-5)


@pytest.mark.parametrize("backend", [SEGMENTS, varlen.VARLEN], ids=lambda one: one.name)
def test_a_wish_that_a_rung_does_not_know_is_refused(backend):
    with pytest.raises(GristmillError, match=f"softcap, which attention backend {backend.name}"):
        outcome(tiny("gemma2"), backend)


@pytest.mark.parametrize("backend", LADDER, ids=lambda one: one.name)
def test_without_a_pack_it_refuses_to_attend(backend):
    model = tiny()
    use(model, backend)
    with pytest.raises(GristmillError, match="where documents end"):
        model(input_ids=torch.arange(8)[None])


def test_plain_attention_generates_and_the_rung_comes_back():
    model = tiny().eval()
    use(model, SEGMENTS)
    with plain(model):
        ids = model.generate(torch.arange(3, 9)[None], max_new_tokens=3, do_sample=False, use_cache=True)
    assert ids.shape[1] <= 9
    assert model.config._attn_implementation == SEGMENTS.implementation


def test_on_a_cpu_the_rungs_for_gpus_are_passed_over_with_a_reason():
    found, passed = candidates("auto", CPU, torch.float32)
    assert [one.name for one in found] == ["segments", "dense"]
    assert [one.split(":")[0] for one in passed] == ["flash3", "flash2", "varlen", "flex"]
    assert [one.name for one in candidates("auto", CPU, torch.float32, compiled=True)[0]] == ["dense"]


def test_an_unknown_rung_is_an_error():
    with pytest.raises(GristmillError, match="choose one of auto, flash3"):
        candidates("sdpa", CPU, torch.float32)


def test_the_next_rung_is_taken_where_one_fails_its_proof():
    def prove(model, backend):
        if backend is SEGMENTS:
            raise RuntimeError("no kernel for this shape\nand a long trace")

    backend, passed = choose("auto", tiny(), prove, device="cpu", dtype=torch.float32)
    assert backend is DENSE
    assert passed[-1] == "segments: no kernel for this shape"
    with pytest.raises(GristmillError, match=r"no attention backend .* LlamaForCausalLM .* segments: no kernel"):
        choose("segments", tiny(), prove, device="cpu", dtype=torch.float32)


def test_a_model_outside_the_interface_is_refused():
    with pytest.raises(GristmillError, match="BloomForCausalLM does not take attention functions"):
        use(tiny("bloom"), DENSE)
