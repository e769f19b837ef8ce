"""Checkpoints: Hugging Face files that a server opens, and beside them what training needs to go on.

    checkpoints/step-00000100/
      model.safetensors, config.json, generation_config.json   (LoRA: adapter_model.safetensors, adapter_config.json)
      tokenizer.json, tokenizer_config.json, chat_template.jinja, README.md, pin.json
      resume/weights.safetensors    the trained parameters by name, as they are trained (fp32)
      resume/optimizer.safetensors  exp_avg.<name>, exp_avg_sq.<name>
      resume/cursor.json            two integers
      resume/files.json             size and sha256 of these three

Written under a hidden name and renamed; ``whole.py`` says whether a folder called step-… is still what was written. No
random state is kept: order comes from the plan and dropout from (seed, step, slot). Tensors are whole, not shards, so
any number of ranks can go on.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from schemas.errors import GristmillError
from trainer.distributed import World, like, whole
from trainer.pin import FILE_NAME, Pin
from trainer.whole import MOMENTS as MOMENTS_FILE
from trainer.whole import NAME, RESUME, WEIGHTS, Cursor, damaged, flaw, require_whole, seal, write_cursor

MOMENTS = ("exp_avg", "exp_avg_sq")


def checkpoints(root: Path) -> list[Path]:
    """Whole checkpoints under ``root``, oldest first."""
    return [path for path in _folders(root) if flaw(path) is None]


def _folders(root: Path) -> list[Path]:
    """Whole or not, oldest first; a folder that holds nothing to go on with is somebody else's."""
    if not root.is_dir():
        return []
    found = [path for path in root.iterdir() if NAME.fullmatch(path.name) and (path / RESUME).is_dir()]
    return sorted(found, key=lambda path: int(path.name[5:]))


def resolve(root: Path, asked: str) -> Path | None:
    """``latest``: the newest checkpoint, or None where there is none yet; else a path or a name under ``root``.

    Raises:
        GristmillError: the named one is not there, or it is damaged: an older one is not taken without a word.
    """
    if asked == "latest":
        found = _folders(root)
        if not found:
            return None
        require_whole(found[-1])
        return found[-1]
    for path in (root / asked, Path(asked)):
        if (path / RESUME).is_dir():
            require_whole(path)
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

    Raises:
        GristmillError: it cannot be written, for want of room for example; nothing of it is left then.
    """
    target = root / f"step-{cursor.update:08d}"
    if world.agreed(flaw(target) is None):
        return target  # the same run made it before: same plan, same weights
    trained, moments = _gathered(module, optimizer)
    state = _whole_state(module)

    def write() -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        partial = root / f".{target.name}.partial"
        try:
            _remove_partial(root)
            (partial / RESUME).mkdir(parents=True)
            write_served(partial, state)
            (partial / FILE_NAME).write_bytes(pin.encode())
            save_file(trained, partial / RESUME / WEIGHTS)
            save_file(moments, partial / RESUME / MOMENTS_FILE)
            write_cursor(partial, cursor)
            seal(partial)
            _readable(partial)
            _synced(partial)
            _move_aside(target)
            partial.rename(target)
            _synced_folder(root)
            _point(root, target)
            for old in checkpoints(root)[:-keep]:
                doomed = old.with_name(f".{old.name}.partial")
                old.rename(doomed)
                shutil.rmtree(doomed)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            why = (getattr(error, "strerror", None) or str(error)).strip().splitlines()[0]
            found = checkpoints(root)
            raise GristmillError(
                f"checkpoint {target} cannot be written: {why}; make room there (it needs about "
                f"{_size(trained, moments, state) / 1e9:,.1f} GB), and the same command goes on from "
                f"{found[-1].name if found else 'the start'}"
            ) from None

    world.told(write)
    return target


def load(checkpoint: Path, module: Any, optimizer: Any, updates: int) -> None:
    """Put weights and moments back, on any number of ranks.

    Raises:
        GristmillError: the files cannot be read, or hold other parameters than the model trains.
    """
    from safetensors import SafetensorError

    try:
        _load(checkpoint, module, optimizer, updates)
    except (OSError, SafetensorError) as error:
        raise damaged(checkpoint, (str(error).strip() or type(error).__name__).splitlines()[0]) from None


def _load(checkpoint: Path, module: Any, optimizer: Any, updates: int) -> None:
    import torch
    from safetensors import safe_open

    named = dict(trainable(module))
    with safe_open(checkpoint / RESUME / WEIGHTS, "pt") as weights:
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
    if updates == 0:
        return
    with safe_open(checkpoint / RESUME / MOMENTS_FILE, "pt") as moments:
        _same_names(set(moments.keys()), {f"{moment}.{name}" for moment in MOMENTS for name in named}, checkpoint)
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


def _size(*tensors: dict[str, Any]) -> int:
    """Bytes, tensors that two names share once."""
    found = {id(one): one.numel() * one.element_size() for group in tensors for one in group.values()}
    return sum(found.values())


def _move_aside(target: Path) -> None:
    """What stands under a checkpoint's name and is no whole one; it is kept, for somebody may want to look at it."""
    if not target.exists():
        return
    number = 1
    while (aside := target.with_name(f"damaged-{target.name}-{number}")).exists():
        number += 1
    target.rename(aside)


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
