"""A few answers at a checkpoint, from prompts rendered as in training; each says whether the stop token ended it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypedDict

from schemas.chat.render import Renderer
from schemas.chat.template import Conversation, Refusal, text_of, weight_of
from schemas.errors import GristmillError
from trainer.distributed import World, bare, reshard


class Generation(TypedDict):
    """``stopped``: the answer ends with the template's stop token; false: the longest allowed answer was reached."""

    prompt: str
    answer: str
    stopped: bool


def stops(renderer: Renderer, conversations: Sequence[Conversation]) -> tuple[int, ...]:
    """Ids of the tokens that end an answer under the template, as it wrote them in these conversations."""
    found: set[int] = set()
    for conversation in conversations:
        try:
            segments = renderer.render(conversation)
        except Refusal:
            continue
        found |= {renderer.encoder.specials[one.text] for one in segments if one.kind == "stop" and one.supervised}
    return tuple(sorted(found))


def questions(renderer: Renderer, conversations: Sequence[Conversation], most: int) -> list[Conversation]:
    """The first ``most`` conversations that can be asked, each up to its last learned answer."""
    found: list[Conversation] = []
    for conversation in conversations:
        answers = [
            at for at, one in enumerate(conversation.messages) if one["role"] == "assistant" and weight_of(one) > 0
        ]
        if len(found) < most and answers:
            before = conversation.before(answers[-1])
            try:
                renderer.prompt(before)
            except Refusal:
                continue
            found.append(before)
    return found


def asked_for(renderer: Renderer, prompts: Sequence[str]) -> list[Conversation]:
    """The configuration's prompts as conversations.

    Raises:
        GristmillError: the template does not take one.
    """
    found = []
    for text in prompts:
        found.append(Conversation([{"role": "user", "content": text}]))
        try:
            renderer.encoder.mark(renderer.prompt(found[-1]))
        except Refusal as refusal:
            raise GristmillError(f"generate.prompts: {text!r} cannot be asked: {refusal}; name another") from None
    return found


def generate(
    objective: Any,
    model: Any,
    renderer: Renderer,
    asked: Sequence[Conversation],
    stop_ids: Sequence[int],
    longest: int,
    world: World,
) -> list[Generation]:
    """Greedy answers of at most ``longest`` tokens. All ranks call it: FSDP2 gathers weights layer by layer."""
    import torch

    from trainer.attention.ladder import plain

    made: list[Generation] = []
    backend = _decoder(renderer)
    was = model.training
    model.eval()
    try:
        with torch.no_grad(), plain(_transformer(model)), _gathered(objective):
            for conversation in asked:
                segments = renderer.prompt(conversation)
                ids = renderer.encoder.encode([renderer.encoder.mark(segments)])[0].ids.tolist()
                sent = torch.tensor([ids], device=world.device)
                answered = model.generate(
                    input_ids=sent,
                    attention_mask=torch.ones_like(sent),
                    max_new_tokens=longest,
                    do_sample=False,
                    num_beams=1,
                    use_cache=True,
                    eos_token_id=list(stop_ids),
                    pad_token_id=int(stop_ids[0]),
                )[0, len(ids) :].tolist()
                stopped = bool(answered) and answered[-1] in stop_ids
                text = backend.decode(answered[:-1] if stopped else answered, skip_special_tokens=False)
                made.append({"prompt": text_of(segments), "answer": str(text), "stopped": stopped})
    finally:
        model.train(was)
    return made


def _decoder(renderer: Renderer) -> Any:
    from schemas.chat.tokenizer import plain_backend

    return plain_backend(renderer.tokenizer.definition)


def _transformer(model: Any) -> Any:
    """The transformers model under an adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def _gathered(objective: Any) -> Iterator[None]:
    """FSDP2 gathers a layer where it is called; the root (embeddings, head) is not called here, so by hand."""
    root = bare(objective)
    if not hasattr(root, "unshard"):
        yield
        return
    root.unshard()
    try:
        yield
    finally:
        reshard(root)
