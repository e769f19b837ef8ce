"""Small tokenizers trained here, one for each way in which real ones differ: bytes, SentencePiece, WordPiece."""

from functools import cache

import orjson
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from schemas.chat.tokenizer import ChatTokenizer

SPECIALS = (
    "<|endoftext|>",
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|user|>",
    "<|assistant|>",
)
TEXTS = [
    "What is the capital of France? The capital of France is Paris.",
    "system\nuser\nassistant\ntool\n You are a helpful assistant named Mill.",
    "### Instruction:\n### Input:\n### Response:\n USER: ASSISTANT: [INST] [/INST] <<SYS>>\n<</SYS>>\n\n",
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call> <think>\n</think>\n\n',
    "Grüße aus Köln, naïve café, 世界 🙂 🙂 e\u0301 \u200b Привет",
    '{"role": "user", "content": "hello"}\n\n\n   def f(x):\n\treturn x + 1\n',
] * 5
SPECIAL_NAMES = (("bos_token", "<s>"), ("eos_token", "</s>"))


# Llama 3's; Qwen's differs in digits only.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


@cache
def byte_level(words: str = WORDS) -> ChatTokenizer:
    """As Llama 3, Qwen, SmolLM2: characters of several bytes may be cut, nothing is lost."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    made.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False)])
    return ChatTokenizer(str(made.to_str()), SPECIAL_NAMES)


@cache
def gpt2() -> ChatTokenizer:
    """White space is cut by what follows it: a prompt that ends with two line breaks ends in other tokens."""
    return byte_level(r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


@cache
def sentence_piece(scheme: str = "first") -> ChatTokenizer:
    """As Llama 2 and Mistral: a space belongs to the word after it, unknown characters fall back to bytes."""
    made = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1 if scheme == "first" else 0, 0),
        ]
    )
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    made.train_from_iterator(
        [piece for text in TEXTS for piece in text.split(" ")],
        trainers.BpeTrainer(vocab_size=900, special_tokens=[*SPECIALS, *pieces], show_progress=False),
    )
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    plain = orjson.loads(made.to_str())
    plain["added_tokens"] = [entry for entry in plain["added_tokens"] if entry["content"] in SPECIALS]  # bytes are not
    return ChatTokenizer(orjson.dumps(plain).decode(), SPECIAL_NAMES)


@cache
def word_piece() -> ChatTokenizer:
    """As BERT: lower-cases, drops white space, gives no text back."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(
        TEXTS,
        trainers.WordPieceTrainer(vocab_size=500, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False),
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return ChatTokenizer(str(made.to_str()), (("sep_token", "[SEP]"),))


@cache
def swallowing() -> ChatTokenizer:
    """As Phi-3: an end token that swallows the white space behind it."""
    made = Tokenizer.from_str(byte_level().definition)
    made.add_special_tokens([AddedToken("<|end|>", rstrip=True), AddedToken("<|begin|>", lstrip=True)])
    return ChatTokenizer(str(made.to_str()), SPECIAL_NAMES)
