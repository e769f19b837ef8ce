"""Processes and how a model is spread over them: one process, DDP (LoRA and small models), FSDP2 (everything else).

All three take the same gradients: sums over ranks divided by their number, which ``step.py`` multiplies back.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

from schemas.errors import GristmillError

Strategy = Literal["auto", "ddp", "fsdp"]
Value = TypeVar("Value")
# DDP keeps weights, gradients and moments (16 bytes a parameter) on every rank; above this they no longer fit beside
# activations on 80 GB, so "auto" shards.
DDP_PARAMETERS = 2_000_000_000


@dataclass(frozen=True)
class World:
    """This process among all; ``device`` is a torch.device."""

    rank: int
    size: int
    device: Any

    @property
    def first(self) -> bool:
        """Whether this rank writes files and speaks."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each value summed over ranks, in float64 (NCCL and gloo have it; the order of ranks is fixed)."""
        if self.size == 1:
            return [float(value) for value in values]
        import torch
        import torch.distributed as dist

        total = torch.tensor(list(values), dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def agreed(self, value: Any) -> Any:
        """Rank 0's value (JSON-like and small) on all ranks."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        held = [value]
        dist.broadcast_object_list(held, src=0, device=self.device)
        return held[0]

    def told(self, work: Callable[[], Value]) -> Value:
        """What ``work`` gives on rank 0, on all ranks (JSON-like and small), which wait for it.

        Raises:
            GristmillError: rank 0's, on all ranks: nobody waits for one that has stopped.
        """
        if self.size == 1:
            return work()
        made: Any = None
        if self.first:
            try:
                made = [work(), None]
            except GristmillError as error:
                made = [None, str(error)]
        value, mistake = self.agreed(made)
        if mistake is not None:
            raise GristmillError(mistake)
        found: Value = value
        return found

    def barrier(self) -> None:
        if self.size > 1:
            import torch.distributed as dist

            dist.barrier()


@contextlib.contextmanager
def started(seed: int, threads: int | None = None) -> Iterator[World]:
    """The world that torchrun describes in RANK, LOCAL_RANK and WORLD_SIZE, or one process; seeded and, on CPU,
    deterministic.

    Raises:
        GristmillError: more processes than GPUs on this machine.
    """
    import torch
    import torch.distributed as dist

    before = torch.are_deterministic_algorithms_enabled()
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", str(rank)))
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise GristmillError(
                f"process {local} of this machine has no GPU (there are {torch.cuda.device_count()}); start one "
                "process a GPU (torchrun --nproc-per-node)"
            )
        torch.cuda.set_device(local)
        device = torch.device("cuda", local)
        torch.set_float32_matmul_precision("high")  # TF32, for products of fp32
    else:
        device = torch.device("cpu")
        # An operation that has only a random order would raise, instead of making two runs differ.
        torch.use_deterministic_algorithms(True, warn_only=False)
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    if size > 1:
        # A preflight on rank 0 may take long; the others wait for it.
        dist.init_process_group(
            _library(device),
            rank=rank,
            world_size=size,
            timeout=timedelta(hours=2),
            device_id=device if device.type == "cuda" else None,
        )
    try:
        yield World(rank, size, device)
        if size > 1:
            dist.barrier()  # rank 0 keeps the address book that others may still need
    finally:
        torch.use_deterministic_algorithms(before)
        if dist.is_initialized():
            dist.destroy_process_group()


def _library(device: Any) -> str:
    return "nccl" if device.type == "cuda" else "gloo"


def strategy_of(
    asked: Strategy, world: World, parameters: int, adapter: bool, bf16: bool
) -> Literal["none", "ddp", "fsdp"]:
    """What "auto" means.

    LoRA, and fp32 up to DDP_PARAMETERS: nothing for one process, DDP for several. All else FSDP2, full tuning in bf16
    also in one process, because FSDP2 is what keeps the fp32 master weights (``optimizer.py``).

    Raises:
        GristmillError: DDP is asked for with full tuning in bf16.
    """
    if bf16 and not adapter:
        if asked == "ddp":
            raise GristmillError(
                "ddp has no fp32 master weights for full tuning in bf16; set distributed to fsdp or auto"
            )
        return "fsdp"
    if asked == "fsdp" or (asked == "auto" and world.size > 1 and not adapter and parameters > DDP_PARAMETERS):
        return "fsdp"
    return "ddp" if world.size > 1 else "none"


def spread(module: Any, layers: Sequence[Any], strategy: str, world: World, bf16: bool) -> Any:
    """The module as the strategy has it; call the result, and take parameters from it.

    Args:
        layers: the decoder layers inside ``module``, each one unit of FSDP2; the rest is the root's.
        bf16: FSDP2 gathers bf16 copies of the fp32 shards, computes with them and reduces gradients in fp32.
    """
    if strategy == "none":
        return module
    if strategy == "ddp":
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(module, gradient_as_bucket_view=True, broadcast_buffers=False)
    import torch
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    if not dist.is_initialized():  # one process without torchrun
        dist.init_process_group(_library(world.device), store=dist.HashStore(), rank=0, world_size=1)
    mesh = init_device_mesh(world.device.type, (world.size,))
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if bf16 else None, reduce_dtype=torch.float32 if bf16 else None
    )
    for layer in layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(module, mesh=mesh, mp_policy=policy)
    return module


@contextlib.contextmanager
def reducing(module: Any, last: bool) -> Iterator[None]:
    """Gradients travel between ranks only in the last micro-batch of a step."""
    from torch.nn.parallel import DistributedDataParallel

    if isinstance(module, DistributedDataParallel) and not last:
        with module.no_sync():
            yield
        return
    if hasattr(module, "set_requires_gradient_sync"):  # FSDP2
        module.set_requires_gradient_sync(last)
    yield


def bare(module: Any) -> Any:
    """The module without DDP's shell; FSDP2 has none."""
    from torch.nn.parallel import DistributedDataParallel

    return module.module if isinstance(module, DistributedDataParallel) else module


def reshard(module: Any) -> None:
    """Give gathered weights back: a forward pass without a backward one leaves them gathered."""
    for one in module.modules():
        if hasattr(one, "reshard"):
            one.reshard()


def whole(value: Any) -> Any:
    """A shard gathered to the full tensor (a collective: all ranks call it in the same order), on CPU."""
    full = value.full_tensor() if hasattr(value, "full_tensor") else value
    return full.detach().cpu()


def like(value: Any, wanted: Any) -> Any:
    """A full tensor cut, placed and typed as ``wanted`` is."""
    import torch

    value = value.to(wanted.dtype)
    if not hasattr(wanted, "device_mesh"):
        return value.to(wanted.device)
    from torch.distributed.tensor import distribute_tensor

    with torch.no_grad():
        return distribute_tensor(value.to(wanted.device), wanted.device_mesh, wanted.placements)
