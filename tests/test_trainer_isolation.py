"""The proof itself: it passes where documents are apart and fails wherever they are not."""

import dataclasses

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from schemas.errors import GristmillError  # noqa: E402
from trainer.attention import backend as shared  # noqa: E402
from trainer.attention.backend import Backend, register  # noqa: E402
from trainer.attention.dense import DENSE  # noqa: E402
from trainer.attention.ladder import LADDER, use  # noqa: E402
from trainer.attention.segments import SEGMENTS  # noqa: E402
from trainer.isolation import check_isolation, refuse_mixers, without_isolation  # noqa: E402
from trainer.model import tiny  # noqa: E402

torch.set_num_threads(1)


def checked(model, backend):
    use(model, backend)
    return check_isolation(model, backend)


@pytest.mark.parametrize("backend", [SEGMENTS, DENSE], ids=lambda one: one.name)
@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2", "qwen3_moe", "granite"])
def test_documents_are_apart(kind, backend):
    found = checked(tiny(kind), backend)
    assert found.moved < 1e-6
    assert found.gradient == 0
    assert found.moved_control > 1e-2
    assert found.gradient_control > 1e-3


def test_nothing_is_left_changed():
    model = tiny().train()
    model.model.layers[0].eval()
    before = [one.clone() for one in model.parameters()]
    checked(model, DENSE)
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters()))
    assert all(one.grad is None for one in model.parameters())
    assert model.training
    assert not model.model.layers[0].training


def leak(arguments):
    return dataclasses.replace(SEGMENTS, name="leaky", arguments=arguments)


def test_isolation_removed_is_seen():
    open_backend = leak(lambda batch, windows: SEGMENTS.arguments(without_isolation(batch), windows))
    with pytest.raises(GristmillError, match=r"see each other in LlamaForCausalLM .* attention backend leaky"):
        checked(tiny(), open_backend)


@pytest.mark.parametrize("shift", [1, -1])
def test_a_boundary_that_is_off_by_one_is_seen(shift):
    def arguments(batch, windows):
        lengths = list(batch.lengths)
        if len(lengths) == 1:  # the control
            return SEGMENTS.arguments(batch, windows)
        lengths[0], lengths[1] = lengths[0] + shift, lengths[1] - shift
        return SEGMENTS.arguments(dataclasses.replace(batch, lengths=tuple(lengths)), windows)

    with pytest.raises(GristmillError, match=r"see each other|another loss"):
        checked(tiny(), leak(arguments))


def test_an_all_ones_mask_is_seen_to_switch_the_isolation_of_transformers_off():
    """transformers#46634, the trap of stock SDPA: positions alone keep documents apart, a mask of ones undoes it."""

    model = tiny()
    model.set_attn_implementation("sdpa")
    ones = Backend(
        "stock",
        DENSE.attend,
        lambda batch, windows: {"attention_mask": torch.ones_like(batch.input_ids)},
        lambda device, dtype: None,
    )
    with pytest.raises(GristmillError, match="see each other"):
        check_isolation(model, ones)


def test_a_control_that_shows_nothing_is_an_error():
    model = tiny()
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()  # attention that moves nothing can prove nothing
    with pytest.raises(GristmillError, match="sees no neighbour even without isolation"):
        checked(model, DENSE)


def test_wrong_positions_are_seen_in_the_loss():
    def arguments(batch, windows):
        batch.position_ids.copy_(torch.arange(batch.position_ids.shape[1])[None] * 3)
        return DENSE.arguments(batch, windows)

    with pytest.raises(GristmillError, match="another loss than alone"):
        checked(tiny(seed=1, initializer_range=0.5), dataclasses.replace(DENSE, name="lost", arguments=arguments))


@pytest.mark.parametrize(
    ("kind", "settings"), [("mamba", {}), ("qwen3_next", {}), ("lfm2", {"layer_types": ["conv", "full_attention"]})]
)
def test_layers_that_carry_a_state_are_refused(kind, settings):
    with pytest.raises(GristmillError, match="layers that mix packed documents"):
        refuse_mixers(tiny(kind, **settings))


def test_a_model_that_declares_support_is_put_to_the_proof():
    model = tiny("lfm2", layer_types=["conv", "full_attention"])
    type(model).supports_packed_documents = True
    try:
        with pytest.raises(GristmillError, match="see each other in Lfm2ForCausalLM"):
            checked(model, DENSE)
    finally:
        del type(model).supports_packed_documents


def test_a_plain_model_is_not_refused():
    for kind in ("llama", "gpt_oss", "gemma2"):
        refuse_mixers(tiny(kind))


def test_names_are_not_special_to_transformers():
    register(SEGMENTS)
    assert not any(word in one.implementation for one in LADDER for word in ("flash", "sdpa", "flex_attention"))
    assert shared.windows_of(tiny("mistral", sliding_window=8).config) == (None, 8)
