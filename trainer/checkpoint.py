"""Checkpoints: Hugging Face files that a server opens, and beside them what training needs to go on.

    checkpoints/step-00000100/
      model.safetensors, config.json, generation_config.json   (LoRA: adapter_model.safetensors, adapter_config.json)
      tokenizer.json, tokenizer_config.json, chat_template.jinja, README.md, pin.json
      resume/weights.safetensors    the trained parameters by name, as they are trained (fp32)
      resume/optimizer.safetensors  exp_avg.<name>, exp_avg_sq.<name>
      resume/cursor.json            two integers

Written under a hidden name and renamed, so a folder called step-… is whole. No random state is kept: order comes from
the plan and dropout from (seed, step, slot). Tensors are whole, not shards, so any number of ranks can go on.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from schemas.errors import GristmillError
from trainer.distributed import World, like, whole
from trainer.pin import FILE_NAME, Pin

_NAME = re.compile(r"step-(\d{8})")
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Cursor:
    """``step`` steps of the present plan are done, and ``before`` updates were made under earlier plans."""

    step: int = 0
    before: int = 0

    @property
    def update(self) -> int:
        """What the checkpoint is named by."""
        return self.before + self.step


def checkpoints(root: Path) -> list[Path]:
    """Whole checkpoints under ``root``, oldest first."""
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if _NAME.fullmatch(path.name)]
    return sorted(
        path for path in found if (path / FILE_NAME).is_file() and (path / "resume" / "cursor.json").is_file()
    )


def resolve(root: Path, asked: str) -> Path | None:
    """``latest``: the newest whole checkpoint, or None where there is none yet; else a path or a name under ``root``.

    Raises:
        GristmillError: the named one is not there.
    """
    if asked == "latest":
        found = checkpoints(root)
        return found[-1] if found else None
    for path in (root / asked, Path(asked)):
        if (path / "resume" / "cursor.json").is_file():
            return path
    known = ", ".join(path.name for path in checkpoints(root)) or "none"
    raise GristmillError(f"there is no checkpoint {asked} under {root} (there: {known}); name one, or latest")


def save(
    root: Path,
    cursor: Cursor,
    pin: Pin,
    module: Any,
    optimizer: Any,
    write_served: Callable[[Path, dict[str, Any]], None],
    keep: int,
    world: World,
) -> Path:
    """Write one checkpoint (all ranks call it; rank 0 writes) and remove all but the newest ``keep``.

    Args:
        module: the bare module whose trainable parameters are kept.
        write_served: writes the Hugging Face files into a folder, given the module's whole state dict.
    """
    target = root / f"step-{cursor.update:08d}"
    if world.agreed((target / "resume" / "cursor.json").is_file()):
        return target  # the same run made it before: same plan, same weights
    trained, moments = _gathered(module, optimizer)
    state = _whole_state(module)
    if world.first:
        _remove_partial(root)
        partial = root / f".{target.name}.partial"
        (partial / "resume").mkdir(parents=True)
        from safetensors.torch import save_file

        write_served(partial, state)
        (partial / FILE_NAME).write_bytes(pin.encode())
        save_file(trained, partial / "resume" / "weights.safetensors")
        save_file(moments, partial / "resume" / "optimizer.safetensors")
        (partial / "resume" / "cursor.json").write_text(json.dumps(asdict(cursor)) + "\n", encoding="utf-8")
        _readable(partial)
        _synced(partial)
        partial.rename(target)
        _synced_folder(root)
        _point(root, target)
        for old in checkpoints(root)[:-keep]:
            doomed = old.with_name(f".{old.name}.partial")
            old.rename(doomed)
            shutil.rmtree(doomed)
    world.barrier()
    return target


def read_cursor(checkpoint: Path) -> Cursor:
    """Raises GristmillError when the file is damaged."""
    path = checkpoint / "resume" / "cursor.json"
    try:
        return Cursor(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise GristmillError(f"{path} cannot be read; resume from an earlier checkpoint") from None


def load(checkpoint: Path, module: Any, optimizer: Any, updates: int) -> None:
    """Put weights and moments back, on any number of ranks.

    Raises:
        GristmillError: the files hold other parameters than the model trains.
    """
    import torch
    from safetensors import safe_open

    named = dict(trainable(module))
    with safe_open(checkpoint / "resume" / "weights.safetensors", "pt") as weights:
        _same_names(set(weights.keys()), set(named), checkpoint)
        for name, parameter in named.items():
            value = weights.get_tensor(name)
            if value.shape != parameter.shape:
                raise GristmillError(
                    f"{checkpoint}: {name} has shape {list(value.shape)}, and {list(parameter.shape)} in the model; "
                    "resume with the model that was trained"
                )
            with torch.no_grad():
                parameter.copy_(like(value, parameter))
    with safe_open(checkpoint / "resume" / "optimizer.safetensors", "pt") as moments:
        if updates == 0 or not moments.keys():
            return
        for name, parameter in named.items():
            state = optimizer.state[parameter]
            fused = bool(optimizer.param_groups[0].get("fused"))
            state["step"] = torch.tensor(
                float(updates), dtype=torch.float32, device=parameter.device if fused else "cpu"
            )
            for moment in MOMENTS:
                state[moment] = like(moments.get_tensor(f"{moment}.{name}"), parameter)


def trainable(module: Any) -> Iterable[tuple[str, Any]]:
    """Names (free of torch.compile's marks) and parameters, each once, also where two names share one."""
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            yield name.replace("_orig_mod.", ""), parameter


def _gathered(module: Any, optimizer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    weights, moments = {}, {}
    for name, parameter in trainable(module):
        weights[name] = whole(parameter).contiguous()
        state = optimizer.state.get(parameter) or {}
        for moment in MOMENTS:
            if moment in state:
                moments[f"{moment}.{name}"] = whole(state[moment]).contiguous()
    return weights, moments


def _whole_state(module: Any) -> dict[str, Any]:
    """The state dict with whole tensors on CPU; names that share a tensor still do."""
    seen: dict[int, Any] = {}
    state = {}
    for name, value in module.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen[id(value)] = whole(value)
        state[name.replace("_orig_mod.", "")] = seen[id(value)]
    return state


def _same_names(saved: set[str], wanted: set[str], checkpoint: Path) -> None:
    if saved != wanted:
        odd = sorted(saved ^ wanted)
        raise GristmillError(
            f"{checkpoint} holds other trained parameters than this model has ({len(odd)} differ, first {odd[0]}); "
            "resume with the model and LoRA settings that were trained"
        )


def _point(root: Path, target: Path) -> None:
    """``latest`` as a link, for people and servers; resuming looks at the folders themselves."""
    link = root / ".latest.partial"
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(target.name)
        link.replace(root / "latest")
    except OSError:  # a file system without links
        pass


def _remove_partial(root: Path) -> None:
    """What killed runs left."""
    for path in root.glob(".step-*.partial"):
        shutil.rmtree(path)


def _readable(folder: Path) -> None:
    """safetensors writes files that only their owner may read; a server is often somebody else."""
    usual = (folder / FILE_NAME).stat().st_mode
    for path in folder.rglob("*.safetensors"):
        path.chmod(usual)


def _synced(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            _synced_folder(path)
    _synced_folder(folder)


def _synced_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
