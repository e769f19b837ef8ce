"""What a run shows: a line of progress, metrics.jsonl and TensorBoard always, Weights & Biases where it is asked for.

Three rates are easily mixed up, so all have names: supervised tokens are what the loss sees, tokens are documents'
tokens, and slots are tokens with padding. MFU counts operations as ``flops.py`` does, not padding.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.display import Display
from trainer.metrics import Metrics
from trainer.step import Tally

Flops = Callable[[int, int, int], float]


@dataclass(frozen=True)
class Measured:
    """One step, summed over ranks. Seconds are wall clock of rank 0; ``wait`` is its wait for the loader."""

    step: int
    loss: float
    grad_norm: float
    rate: float
    slots: int
    tokens: int
    supervised: int
    squares: float
    seconds: float
    wait: float
    sources: Mapping[str, tuple[float, float]]  # Σ weight·loss, Σ weight

    @classmethod
    def of(
        cls, tally: Tally, step: int, denominator: float, norm: float, rate: float, seconds: float, wait: float
    ) -> "Measured":
        """From sums over all ranks."""
        return cls(
            step=step,
            loss=tally.loss / denominator,
            grad_norm=norm,
            rate=rate,
            slots=tally.slots,
            tokens=tally.tokens,
            supervised=tally.supervised,
            squares=tally.squares,
            seconds=seconds,
            wait=wait,
            sources={name: (pair[0], pair[1]) for name, pair in tally.sources.items()},
        )

    def line(self) -> dict[str, Any]:
        """One line of metrics.jsonl."""
        return {
            "step": self.step,
            "loss": self.loss,
            "grad_norm": self.grad_norm,
            "lr": self.rate,
            "slots": self.slots,
            "tokens": self.tokens,
            "supervised": self.supervised,
            "seconds": round(self.seconds, 6),
            "wait": round(self.wait, 6),
            "sources": {name: [total, weight] for name, (total, weight) in sorted(self.sources.items())},
        }


class Watch:
    """Rank 0's eyes; on other ranks it does nothing."""

    def __init__(
        self,
        folder: Path,
        steps: int,
        active: bool,
        start: int = 0,
        flops: Flops | None = None,
        peak: float | None = None,
        tensorboard: bool = True,
        wandb: str | None = None,
        every: int = 1,
        quiet: bool = False,
        settings: Mapping[str, Any] | None = None,
    ):
        """``start``: updates already done; lines of later ones, which a killed run left, are taken out.

        Args:
            flops: of (tokens, supervised, Σ length²): ``flops.Size.step``.
            peak: FLOP/s of all devices together.
            wandb: a project's name, or None.
            every: steps between two records in TensorBoard and W&B; metrics.jsonl has each.
        """
        self._active, self._steps, self._flops, self._peak = active, steps, flops, peak
        self._recent: list[Measured] = []
        self._every = every
        if not active:
            return
        self._metrics = Metrics(folder, start)
        self._board = _tensorboard(folder / "tensorboard", start) if tensorboard else None
        self._wandb = _wandb(wandb, folder, settings or {}, start) if wandb else None
        self._display = Display(steps, start, quiet)
        if tensorboard and self._board is None:
            self.say("tensorboard is not installed, so there are no event files; pip install 'gristmill[train]'")

    def step(self, measured: Measured) -> None:
        """Record one step."""
        if not self._active:
            return
        self._recent = [*self._recent[-19:], measured]
        self._metrics.write(measured.line())
        if measured.step % self._every == 0:
            self._record(measured)
        seconds = sum(one.seconds for one in self._recent) / len(self._recent)
        self._display.update(measured.step, self._pieces(), seconds)

    def _record(self, measured: Measured) -> None:
        named = {"loss": measured.loss, "grad_norm": measured.grad_norm, "lr": measured.rate}
        for source, (total, weight) in measured.sources.items():
            if weight:
                named[f"loss/{source}"] = total / weight
        self._scalars("train", measured.step, named | self.rates())

    def rates(self) -> dict[str, float]:
        """Over the last 20 steps: tokens a second of each kind, share of time that waits for the loader, MFU."""
        seconds = sum(one.seconds for one in self._recent) or 1e-9
        totals = [
            sum(getattr(one, name) for one in self._recent) for name in ("supervised", "tokens", "slots", "squares")
        ]
        found = {
            "supervised_per_second": totals[0] / seconds,
            "tokens_per_second": totals[1] / seconds,
            "slots_per_second": totals[2] / seconds,
            "wait_share": sum(one.wait for one in self._recent) / seconds,
        }
        if self._flops is not None and self._peak is not None:
            found["mfu"] = self._flops(int(totals[1]), int(totals[0]), int(totals[3])) / seconds / self._peak
        return found

    def told(self) -> str:
        """The line of progress."""
        return " · ".join(self._pieces())

    def _pieces(self) -> list[str]:
        """The most important first: a narrow terminal shows no more than fits."""
        last, rates = self._recent[-1], self.rates()
        return [
            f"loss {last.loss:.4f}",
            f"{rates['supervised_per_second']:,.0f} supervised tok/s",
            f"{rates['tokens_per_second']:,.0f} tok/s",
            *([f"MFU {rates['mfu']:.1%}"] if "mfu" in rates else []),
            f"loader wait {rates['wait_share']:.1%}",
        ]

    def held_out(self, step: int, losses: Mapping[str, tuple[float, float]]) -> None:
        """Held-out loss: Σ loss and Σ tokens by source."""
        if not self._active:
            return
        self._metrics.write({"step": step, "held_out": {name: list(pair) for name, pair in sorted(losses.items())}})
        total, count = (sum(pair[at] for pair in losses.values()) for at in (0, 1))
        named = {name: pair[0] / pair[1] for name, pair in losses.items() if pair[1]}
        self._scalars("held_out", step, {"loss": total / max(count, 1), **{f"loss/{k}": v for k, v in named.items()}})
        told = ", ".join(f"{name} {value:.4f}" for name, value in sorted(named.items()))
        self.say(f"step {step}: held-out loss {total / max(count, 1):.4f} ({told})")

    def generations(self, step: int, made: Sequence[Mapping[str, Any]]) -> None:
        """Prompts and what the model answered."""
        if not self._active or not made:
            return
        self._metrics.write({"step": step, "generations": [dict(one) for one in made]})
        stopped = sum(bool(one["stopped"]) for one in made)
        self.say(f"step {step}: {stopped} of {len(made)} generations end with the stop token")
        for number, one in enumerate(made):
            if self._board is not None:
                self._board.add_text(f"generation/{number}", f"{one['prompt']}\n\n---\n\n{one['answer']}", step)
            end = "" if one["stopped"] else " … (no stop token)"
            self.say(f"  > {_short(one['prompt'])}\n  < {_short(one['answer'])}{end}")

    def say(self, text: str) -> None:
        """A line for people, above the progress line."""
        if not self._active:
            return
        self._display.say(text)

    def close(self) -> None:
        """Once is enough, and again does no harm; the terminal is as it was."""
        if not self._active:
            return
        self._active = False
        self._display.close()
        self._metrics.close()
        if self._board is not None:
            self._board.close()
        if self._wandb is not None:
            self._wandb.finish()

    def _scalars(self, group: str, step: int, values: Mapping[str, float]) -> None:
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{group}/{name}", value, step)
        if self._wandb is not None:
            self._wandb.log({f"{group}/{name}": value for name, value in values.items()}, step=step)


class Clock:
    """Seconds of a step, and of its wait for the loader at the start."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def wait(self) -> float:
        """Since the last lap."""
        return time.perf_counter() - self._start

    def lap(self) -> float:
        """Since the last lap; a new one begins."""
        now = time.perf_counter()
        passed, self._start = now - self._start, now
        return passed


def _tensorboard(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:  # the train extra brings it
        return None
    return SummaryWriter(str(folder), purge_step=start + 1 if start else None)


def _wandb(project: str, folder: Path, settings: Mapping[str, Any], start: int) -> Any:
    from schemas.errors import GristmillError

    try:
        import wandb  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise GristmillError(f"wandb: {project} is asked for and wandb is not installed; install it") from None
    wandb.init(project=project, dir=str(folder), config=dict(settings), resume="allow" if start else None)
    return wandb


def _short(text: str, most: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
