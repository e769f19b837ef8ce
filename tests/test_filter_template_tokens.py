"""Left-over templates go; questions about them, HTML, programs and examples of a dialogue stay."""

from tests.annotated import alone, answers, failed, hostile, pair, records
from transforms.filters.template_tokens import FILTER

LEFT_OVER = [
    "The mill grinds.<|im_end|>",
    "<|im_start|>assistant\nThe mill grinds.",
    "encouraging stability, security, and simplicity.\n<|user|>\n\"Can you give me some examples?\"",
    "The mill grinds.<|endoftext|>Another text",
    "It does.</s>",
    "It does.</s> <s> [INST] And the wheel? [/INST] It turns.",
    "<s> It does.",
    "[INST] How? [/INST] So.",
    "<<SYS>>\nBe brief.\n<</SYS>>\nSo.",
    "So.<|eot_id|><|start_header_id|>user<|end_header_id|>",
    "So.<end_of_turn>\n<start_of_turn>user",
    "So.<｜end▁of▁sentence｜>",
    "The <unk> of the mill",
    "So. [PAD] [PAD] [PAD]",
    "So.\n\n### Instruction:\nAnd now?\n\n### Response:\nThus.",
    "### Human: How?\n### Assistant: So.",
    "{{ bos_token }}So.",
]  # fmt: skip
SPARED = [
    "The token `<|endoftext|>` ends a document; \"<|im_start|>\" begins a turn.",
    "Strike text through with <s>old</s> and go on.",
    "<ul><li><s>old price</s> new price</li></ul>",
    "In BERT, `[PAD]` fills the batch, and [UNK] stands for unknown words.",
    "a <| b |> c",
    "let f = xs |> List.map (fun x -> x <|> y)",
    "github.actor: ${{ secrets.GITHUB_TOKEN }}",
    "std::vector<std::vector<int>> matrix = {{1, 2, 3}, {4, 5, 6}};",
    "style={{ fontWeight: 'bold' }}",
    "### Input\nA list.\n### Output\nA number.",
    "Horse: Four Legs\nHuman: Two Legs\nDog: Four Legs",
    "User: Hi there! How is the air?\nAI: It is good.",
    "A: neutral\nRationale: The review does not express a clear sentiment.",
    "const pool = new Pool({\n  user: 'your_database_user',\n  host: 'localhost'\n});",
    "7", "",
]  # fmt: skip


def test_tokens():
    assert failed(FILTER, answers(*LEFT_OVER)) == [{"tokens"}] * len(LEFT_OVER)
    assert failed(FILTER, answers(*SPARED)) == [set()] * len(SPARED)


def test_any_turn_counts():
    block = records(pair("How?<|im_end|>", "So."), [("system", "[INST] Be brief."), *pair("How?", "So.")])
    assert failed(FILTER, block) == [{"tokens"}, {"tokens"}]
    assert failed(FILTER, block, tokens=1) == [set(), set()]


def test_both_sides_in_one_answer():
    went_on = "It grinds.\nHuman: And then?\nAssistant: It turns.\nHuman: And then?\nAssistant: It stops."
    assert failed(FILTER, answers(went_on)) == [{"turn_labels"}]
    assert failed(FILTER, answers(went_on), turn_labels=2) == [set()]
    assert failed(FILTER, answers(went_on), turn_labels=None) == [set()]
    assert failed(FILTER, records(pair(went_on, "So."))) == [set()]


def test_alone_and_hostile():
    assert alone(FILTER, answers(*LEFT_OVER, *SPARED))
    assert failed(FILTER, hostile()) == [set()] * len(hostile())
