"""The model scores that a recipe asks for, as annotations."""

from pathlib import Path

from schemas.scores import Scores
from transforms.annotate.annotation import Annotation
from transforms.annotate.scores.deita import Deita
from transforms.annotate.scores.difficulty import InstructionDifficulty
from transforms.annotate.scores.endpoint import Endpoint
from transforms.annotate.scores.judge import Judge
from transforms.annotate.scores.model import Model
from transforms.annotate.scores.reward import Reward


def model_scores(scores: Scores, base: Path, cache: Path) -> list[Annotation]:
    """Models and rubrics are looked up from ``base``; what is no path there is a hub id. Replies go to ``cache``."""

    def found(name: str) -> str:
        return str((base / name).resolve()) if (base / name).exists() else name

    made: list[Annotation] = []
    if scores.reward is not None:
        made.append(Reward(Model(found(scores.reward.model)), scores.reward.max_tokens, scores.reward.truncate))
    if scores.ifd is not None:
        made.append(InstructionDifficulty(Model(found(scores.ifd.model)), scores.ifd.max_tokens))
    if scores.deita is not None:
        deita = scores.deita
        made.append(Deita(Model(found(deita.complexity)), Model(found(deita.quality)), deita.max_tokens))
    if scores.judge is not None:
        judge = scores.judge
        endpoint = Endpoint(judge.base_url, judge.api_key_env, judge.timeout_s, judge.retries)
        made.append(
            Judge(
                endpoint,
                judge.model,
                str(cache / "judge"),
                rubric=None if judge.rubric is None else str((base / judge.rubric).resolve()),
                scale=judge.scale,
                share=judge.share,
                max_requests=judge.max_requests,
                max_tokens=judge.max_tokens,
                on_exhausted=judge.on_exhausted,
                concurrency=judge.concurrency,
            )
        )
    return made
