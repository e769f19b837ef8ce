"""Self-identification: the assistant speaking of itself goes; whoever speaks about models stays."""

from tests.annotated import alone, answers, failed, hostile, pair, records
from transforms.filters.self_identification import FILTER

SPEAKS_OF_ITSELF = [
    "As an AI model, I don't have a personal political stance.",
    "As a Large Language Model (LLM), I don't have feelings like humans do. Thanks for asking though!",
    "As I am an artificial intelligence language model, I suppose i stay in the software part of the internet.",
    "It depends on who you ask, but as an AI language model, I cannot determine which sport is the best.",
    "I may not be able to experience the depths of human emotion as an AI model trained on a large data set.",
    "Sure, I understand the problem. However, I'm a large language model, I cannot generate SVG images directly.",
    "Thank you for the question! I'm just an AI, it's my duty to provide accurate information.",
    "I am ChatGPT, how can I help?",
    "My name is Vicuna, and I'm a language model developed by Large Model Systems Organization (LMSYS).",
    "You can call me Vicuna, and I was trained by Large Model Systems Organization (LMSYS) researchers.",
    "Researchers from Large Model Systems Organization (LMSYS) created me.",
    "Hello! I am Gristmill, an AI assistant developed by the Gristmill team. How can I assist you today?",
    "I was trained by OpenAI.",
    "Based on my training data, the sentence can be translated so.",
    "I don’t know. I’m an AI assistant.",
    "作为一个AI助手，我无法知道您祖父的名字，因为这是个人信息。",
    "作为一名AI语言模型，我无法亲身体验冰雹的乐趣，但我可以告诉你。",
    "您好，我是 Gristmill，一个由 the Gristmill team 开发的人工智能助手。",
    "抱歉，我不是 ChatGPT，我是 Gristmill。",
    "Como modelo de lenguaje, no tengo opiniones.",
    "Soy un modelo de lenguaje y no puedo verlo.",
    "En tant que modèle de langage, je ne ressens rien.",
    "Als KI-Sprachmodell kann ich das nicht beurteilen.",
    "Ich bin nur ein Sprachmodell.",
    "Olen tekoälymalli enkä tunne mitään.",
    "Я — языковая модель, и у меня нет чувств.",
    "私は言語モデルです。",
    "저는 인공지능 언어 모델입니다.",
]
SPEAKS_OF_OTHERS = [
    "ChatGPT is a large language model (LLM) built by a company named OpenAI.",
    "Copilot is a cloud-based artificial intelligence tool developed by GitHub and OpenAI",
    "Elon Musk is the co-founder of Neuralink and OpenAI; president of the Musk Foundation.",
    "As an AI researcher, she published forty papers.",
    "I am an AI researcher at a university and I like it.",
    "The term large language model (LLM) does not have a formal definition.",
    "Household AI assistants like Echo allow people to merely speak a name.",
    "First of all, ChatGPT really greatly increased my efficiency in daily work.",
    "When I was writing down those words used to train an AI model, I felt funny.",
    "I am Claude, and this is my brother Gemini.",
    'The robot said: "I am an AI model!"',
    'int main() {\n    string text = "Hello, I am an AI language model!";\n    int result = count_vowels(text);',
    "I said that the chair, as an airy thing, might do.",
    "The length of the string 'AI Assistant' is python('len(\"AI Assistant\")').",
    "GPT-3是当前最大的GPT模型，具有1750亿个参数，可以生成非常流畅的自然语言文本。",
    "大型语言模型的扩展大大提高了自然语言的理解、生成和推理能力。",
    "LEGO Education WeDo Robotics Kit是一个简单的机器人工具，适合7-11岁的儿童使用。",
    "Suuri kielimalli (Large Language Model, LLM) on kielimalli, joka koostuu neuroverkosta.",
    "7", "", "Yes.",
]  # fmt: skip


def test_speaking_of_itself():
    assert failed(FILTER, answers(*SPEAKS_OF_ITSELF)) == [{"statements"}] * len(SPEAKS_OF_ITSELF)


def test_speaking_of_others():
    assert failed(FILTER, answers(*SPEAKS_OF_OTHERS)) == [set()] * len(SPEAKS_OF_OTHERS)


def test_only_answers_are_read():
    assert failed(FILTER, records(pair("As an AI language model, I wonder what you think.", "Little."))) == [set()]


def test_mentions_are_tulus_rule_and_off_by_default():
    block = answers("OpenAI made GPT-4 in 2023.", "ChatGPT是什么", "Reopenairs and chatgpts", "A GPT partition.")
    assert failed(FILTER, block) == [set()] * 4
    assert failed(FILTER, block, statements=None, mentions=0) == [{"mentions"}, {"mentions"}, set(), set()]
    assert failed(FILTER, block, mentions=1) == [{"mentions"}, set(), set(), set()]


def test_ones_own_name_is_kept():
    block = answers(
        "I am Gristmill, an AI assistant.", "I am Vicuna, an AI assistant.", "I am Gristmiller, an AI assistant."
    )
    assert failed(FILTER, block, own_names=["gristmill"]) == [set(), {"statements"}, {"statements"}]


def test_a_record_decides_alone():
    assert alone(FILTER, answers(*SPEAKS_OF_ITSELF, *SPEAKS_OF_OTHERS))


def test_matches_by_the_ten_thousand():
    """Each was quadratic while a gap inside a pattern had no bound: the test would not end."""
    units = ("I can as an AI, I ", "我是 作为AI，我 ", "as an AI trained openai created me ")
    assert failed(FILTER, answers(*(unit * 50_000 for unit in units))) == [{"statements"}] * len(units)


def test_hostile_text():
    assert failed(FILTER, hostile(), mentions=0) == [set()] * len(hostile())
