"""What a step is made of: learning rates, groups that decay, sums by source, the plan's denominator, clipping."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from schemas.errors import GristmillError  # noqa: E402
from trainer.distributed import World, strategy_of  # noqa: E402
from trainer.optimizer import decay_groups, learning_rate, make_optimizer, set_rate  # noqa: E402
from trainer.pack import collate  # noqa: E402
from trainer.step import Slot, by_source, check_denominator, clip, run_step  # noqa: E402

ALONE = World(0, 1, "cpu")


@dataclass(frozen=True)
class Document:
    ids: Any
    weights: Any


def document(*weights: float) -> Document:
    return Document(np.arange(1, len(weights) + 1, dtype=np.int32), np.array(weights, np.float32))


class Objective(torch.nn.Module):  # type: ignore[name-defined, misc, unused-ignore]
    """A loss of 2 a supervised token and weight, times one parameter; dropout that shows its random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(1.0))
        self.drawn: list[float] = []

    def forward(self, batch: Any) -> Any:
        self.drawn.append(float(torch.rand(())))
        parts = 2.0 * batch.weights[batch.supervised]
        return parts.sum() * self.scale, parts


def slot(number: int, *documents: Document) -> Slot:
    return Slot(number, collate(documents, 8, 0), tuple("ab"[at % 2] for at in range(len(documents))))


def test_sums_of_a_step_and_its_gradient():
    objective = Objective()
    slots = [slot(0, document(0, 1, 1), document(0, 0, 0.5)), slot(1, document(0, 0)), slot(2, document(0, 1))]
    tally = run_step(objective, slots, 3.5, ALONE, seed=1, step=0)
    assert (tally.loss, tally.weight, tally.slots, tally.tokens, tally.supervised) == (7.0, 3.5, 24, 10, 4)
    assert tally.squares == 9 + 9 + 4 + 4
    assert tally.sources == {"a": [6.0, 3.0], "b": [1.0, 0.5]}
    assert float(objective.scale.grad) == pytest.approx(2.0)  # 7 / 3.5, however many micro-batches there are


def test_dropout_depends_on_seed_step_and_slot_alone():
    def drawn(slots: list[int], seed: int = 1, step: int = 0) -> list[float]:
        objective = Objective()
        run_step(objective, [slot(one, document(0, 1)) for one in slots], 1.0, ALONE, seed, step)
        return objective.drawn

    whole = drawn([0, 1, 2, 3])
    assert len(set(whole)) == 4
    assert drawn([1, 3]) == [whole[1], whole[3]]
    assert drawn([0], seed=2) != drawn([0]) != drawn([0], step=1)


def test_two_ranks_take_half_of_a_mean():
    objective = Objective()
    run_step(objective, [slot(0, document(0, 1))], 4.0, World(0, 2, "cpu"), seed=1, step=0)
    assert float(objective.scale.grad) == pytest.approx(2 * 2 / 4)  # DDP divides by 2


def test_losses_are_split_by_the_documents_they_are_of():
    one = slot(0, document(0, 1, 1), document(0, 1), document(0, 1, 0))
    parts = np.array([1.0, 2.0, 4.0, 8.0], np.float32)
    assert by_source(one, parts) == {"a": (11.0, 3.0), "b": (4.0, 1.0)}
    assert by_source(slot(0), np.zeros(0, np.float32)) == {}


def test_a_denominator_that_is_not_the_plans_stops_the_run():
    check_denominator(1000.0, 1000.0 + 1e-4, 3)
    with pytest.raises(GristmillError, match=r"step 3: the plan counts a loss weight of 1,000\.000 .* 999\.000"):
        check_denominator(1000.0, 999.0, 3)


def test_gradients_are_clipped_and_nan_stops_the_run():
    module = torch.nn.Linear(2, 1, bias=False)
    module.weight.grad = torch.tensor([[3.0, 4.0]])
    assert clip(module, 1.0) == pytest.approx(5.0)
    assert float(module.weight.grad.norm()) == pytest.approx(1.0)
    assert clip(module, None) == pytest.approx(1.0)
    module.weight.grad = torch.tensor([[float("nan"), 4.0]])
    with pytest.raises(GristmillError, match="the gradient's norm is nan"):
        clip(module, 1.0)


def test_matrices_decay_and_the_rest_does_not():
    named = [
        (name, torch.nn.Parameter(torch.zeros(shape)))
        for name, shape in [
            ("model.embed_tokens.weight", (5, 2)),
            ("model.layers.0.self_attn.q_proj.weight", (2, 2)),
            ("model.layers.0.self_attn.q_proj.bias", (2,)),
            ("model.layers.0.input_layernorm.weight", (2,)),
            ("model.layers.0.q_proj.lora_A.default.weight", (1, 2)),
        ]
    ]
    named.append(("model.frozen", torch.nn.Parameter(torch.zeros(2, 2), requires_grad=False)))
    decayed, kept = decay_groups(named, 0.1)
    assert [decayed["weight_decay"], kept["weight_decay"]] == [0.1, 0.0]
    assert [id(one) for one in decayed["params"]] == [id(named[at][1]) for at in (1, 4)]
    assert [id(one) for one in kept["params"]] == [id(named[at][1]) for at in (0, 2, 3)]
    optimizer = make_optimizer(named, 0.1, (0.9, 0.95), 1e-8)
    set_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


@pytest.mark.parametrize(("schedule", "middle"), [("cosine", 0.5), ("linear", 0.5), ("constant", 1.0)])
def test_the_rate_warms_up_and_falls(schedule: Any, middle: float):
    rates = [learning_rate(update, 102, 1.0, 2, schedule, 0.0) for update in range(102)]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert rates[52] == pytest.approx(middle)
    assert all(0 < rate <= 1 for rate in rates)
    ended = {"cosine": 0.1, "linear": 0.1, "constant": 1.0}[schedule]
    assert learning_rate(102, 102, 1.0, 2, schedule, 0.1) == pytest.approx(ended)


def test_what_auto_means():
    one, two = World(0, 1, "cpu"), World(0, 2, "cpu")
    assert strategy_of("auto", one, 10**8, False, False) == "none"
    assert strategy_of("auto", two, 10**8, False, False) == "ddp"
    assert strategy_of("auto", two, 10**10, False, False) == "fsdp"
    assert strategy_of("auto", two, 10**10, True, True) == "ddp"
    assert strategy_of("auto", one, 10**8, False, True) == "fsdp"
    assert strategy_of("ddp", one, 10**8, False, False) == "none"
    with pytest.raises(GristmillError, match="ddp has no fp32 master weights"):
        strategy_of("ddp", two, 10**8, False, True)
