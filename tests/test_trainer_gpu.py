"""What only a GPU can show: every rung of the attention ladder there, training in bf16, and its rates.

Skipped without CUDA. On a machine that has it: ``python -m pytest -s tests/test_trainer_gpu.py``. ``-s`` shows rates
and memory; ``python -m benchmarks.train_gpu`` measures a model of a billion parameters.
"""

import time
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
if not torch.cuda.is_available():
    pytest.skip("needs a CUDA device", allow_module_level=True)

from tests.test_trainer_pack import row  # noqa: E402
from trainer.attention.backend import Backend  # noqa: E402
from trainer.attention.dense import DENSE  # noqa: E402
from trainer.attention.ladder import LADDER, use  # noqa: E402
from trainer.checkpoint import trainable  # noqa: E402
from trainer.distributed import World, spread  # noqa: E402
from trainer.isolation import check_isolation, without_isolation  # noqa: E402
from trainer.model import Trainee, prepare, tiny  # noqa: E402
from trainer.objective import Objective  # noqa: E402
from trainer.optimizer import make_optimizer, set_rate  # noqa: E402
from trainer.pack import Batch, collate, to_torch  # noqa: E402
from trainer.step import Slot, clip, run_step  # noqa: E402

pytestmark = pytest.mark.slow
DEVICE = torch.device("cuda", 0)
# Heads of 64, which all kernels have, grouped four to one; a window that is no multiple of a block.
SHAPE: dict[str, Any] = {
    "vocab_size": 512, "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 3,
    "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 8192,
    "initializer_range": 0.05,
}  # fmt: skip
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "window": ("mistral", {"sliding_window": 37}),
}
LENGTHS = (190, 1, 333, 128, 64, 200)


def there(backend: Backend, dtype: Any) -> None:
    reason = backend.unavailable(DEVICE, dtype)
    if reason is not None:
        pytest.skip(f"{backend.name}: {reason}")


def batch(slots: int = 1024, vocabulary: int = 512) -> Batch:
    draw = np.random.default_rng(5)
    made = [row(draw.integers(0, vocabulary, n), np.r_[0, np.ones(n - 1)]) for n in LENGTHS]
    return to_torch(collate(made, slots, 0), DEVICE)


def outcome(model: Any, backend: Backend, given: Batch) -> tuple[float, dict[str, Any]]:
    use(model, backend)
    loss = Trainee(model, backend)(given)
    loss.backward()
    found = {name: one.grad.float() for name, one in model.named_parameters()}
    model.zero_grad()
    return float(loss), found


def built(kind: str, dtype: Any) -> Any:
    architecture, more = KINDS[kind]
    return tiny(architecture, dtype=dtype, **SHAPE | more).to(DEVICE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "fp32"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", LADDER, ids=lambda one: one.name)
def test_a_rung_keeps_documents_apart(backend: Backend, kind: str, dtype: Any):
    there(backend, dtype)
    model = built(kind, dtype)
    use(model, backend)
    print(f"\n{backend.name}, {kind}, {dtype}: {check_isolation(model, backend)}")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "fp32"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", LADDER, ids=lambda one: one.name)
def test_a_rung_gives_the_loss_and_gradients_of_the_dense_mask(backend: Backend, kind: str, dtype: Any):
    there(backend, dtype)
    model, given = built(kind, dtype), batch()
    oracle, slopes = outcome(model, DENSE, given)
    loss, found = outcome(model, backend, given)
    close = 2e-2 if dtype == torch.bfloat16 else 1e-3  # of a gradient's norm; fp32 may use TF32
    assert loss == pytest.approx(oracle, rel=close / 4)
    for name, slope in slopes.items():
        assert float((slope - found[name]).norm()) <= close * float(slope.norm()) + 1e-6, name
    # The tolerance sees a neighbour: without borders the gradients are others.
    _, mixed = outcome(model, DENSE, without_isolation(given))
    assert any(float((slopes[name] - mixed[name]).norm()) > 2 * close * float(slopes[name].norm()) for name in slopes)


@pytest.mark.parametrize("backend", LADDER, ids=lambda one: one.name)
def test_compiled_layers_compute_the_same_and_are_compiled_few_times(backend: Backend):
    there(backend, torch.bfloat16)
    if not backend.compiles:
        pytest.skip(f"{backend.name} is not compiled")
    loaded = prepare(built("llama", torch.bfloat16), attention=backend.name)
    trainee = loaded.trainee()
    packs = [batch()]
    draw = np.random.default_rng(6)
    for count in (1, 2, 9, 17, 30):
        made = [row(draw.integers(0, 512, 1024 // count), np.ones(1024 // count)) for _ in range(count)]
        packs.append(to_torch(collate(made, 1024, 0), DEVICE))
    plain = [float(trainee(one)) for one in packs]
    trainee.compile_layers()
    torch._dynamo.utils.counters.clear()
    for wanted, one in zip(plain, packs):
        loss = trainee(one)
        loss.backward()
        assert float(loss) == pytest.approx(wanted, rel=1e-2)
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    breaks = dict(torch._dynamo.utils.counters["graph_break"])
    print(f"\n{backend.name}: {compiled} graphs for {len(packs)} packs, graph breaks {breaks}")
    torch._dynamo.reset()
    assert compiled <= 12


@pytest.mark.parametrize("recompute", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("backend", LADDER, ids=lambda one: one.name)
def test_steps_in_bf16_learn(backend: Backend, recompute: bool):
    """Full tuning as ``precision: bf16`` does it: fp32 master weights, bf16 copies gathered by FSDP2."""
    import torch.distributed as dist

    there(backend, torch.bfloat16)
    loaded = prepare(built("llama", torch.bfloat16), attention=backend.name)
    objective = Objective(loaded.model.float(), loaded.backend)
    if recompute:
        objective.recompute_activations()
    world = World(0, 1, DEVICE)
    module = spread(objective, objective.layers, "fsdp", world, bf16=True)
    try:
        optimizer = make_optimizer(list(trainable(objective)), 0.0, (0.9, 0.95), 1e-8)
        assert optimizer.param_groups[0].get("fused")
        draw = np.random.default_rng(5)
        made = [row(draw.integers(0, 512, n), np.r_[0, np.ones(n - 1)]) for n in LENGTHS]
        slot = Slot(0, collate(made, 1024, 0), ("all",) * len(made))
        losses = []
        torch.cuda.reset_peak_memory_stats()
        for step in range(12):
            if step == 4:
                torch.cuda.synchronize()
                begin = time.perf_counter()
            tally = run_step(module, [slot, slot], 2 * slot.pack.weight, world, seed=1, step=step)
            clip(objective, 1.0)
            set_rate(optimizer, 1e-3)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(tally.loss / tally.weight)
        torch.cuda.synchronize()
        rate = 8 * 2 * slot.pack.tokens / (time.perf_counter() - begin)
        assert {parameter.dtype for _, parameter in trainable(objective)} == {torch.float32}
        assert losses[-1] < losses[0] - 0.5
        peak = torch.cuda.max_memory_allocated() / 2**20
        print(
            f"\n{backend.name}, {'recomputed' if recompute else 'kept'}: loss {losses[0]:.3f} to {losses[-1]:.3f}, "
            f"{rate:,.0f} tokens/s, {peak:,.0f} MiB at most, on {torch.cuda.get_device_name()}"
        )
    finally:
        dist.destroy_process_group()
