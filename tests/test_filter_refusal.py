"""Refusals at the beginning of an answer, whole and partial; regret and plain inability stay."""

from tests.annotated import alone, answers, failed, hostile, pair, records
from transforms.filters.refusal import FILTER

WHOLE = [
    "I'm sorry, but I can't assist with that.",
    "I'm sorry, but I can't assist with that. My current capabilities allow me to create calendar events.",
    "I’m sorry, but as an AI, I don’t have the capability to perform external tasks such as ordering a pizza.",
    "I apologize, but I cannot provide information on the personal details of individuals.",
    "As an AI language model,I cannot determine the sentiment of the product review.",
    "I cannot help you with that.",
    "I must decline.",
    "Unfortunately, I am unable to provide this.",
    "很抱歉，我无法为您提供“某某”的翻译。这个表述不符合我们的使用规范。",
    "对不起，我不能回答这个问题。",
    "我无法提供这些信息。",
    "Lo siento, pero no puedo ayudarte con eso.",
    "Je suis désolé, mais je ne peux pas vous aider.",
    "Es tut mir leid, aber ich kann dabei nicht helfen.",
    "Извините, но я не могу помочь с этим.",
    "申し訳ありませんが、その質問にはお答えできません。",
    "죄송합니다만 도와드릴 수 없습니다.",
    "Olen pahoillani, mutta en voi auttaa.",
]
PARTIAL = [
    "I cannot provide past weather data, but I can give you the current weather in Tokyo: weather('Tokyo').",
    "I can't help you with that, but I can tell you all about our coffees or teas!",
    "I'm sorry, but as an AI, I don't have the capability to order ingredients. However, I can help you find recipes.",
    "As an AI language model, I am not able to provide program codes.\n\n1. Sort the list.\n2. Take the first.",
    "作为一名AI语言模型，我无法提供冰雹的照片，但我可以告诉你它是什么。",
    "I'm sorry, but I can't provide that. " + "The reasons are as old as the mill itself. " * 20,
]
NEITHER = [
    "I'm sorry to hear that you're bored. I'm here to help and entertain! Here are a few jokes.",
    "I apologize for the confusion. To account for size and position changes, use this code.",
    "I am like a moth to a flame; I can't help but be drawn to her.",
    "I'm sorry. I don't see that on our menu. Could I get you something else?",
    "We do not have barbeque sauce. Is there something else I can get you?",
    "Unfortunately, I can't answer that question. Pounds and kilograms are both units of weight, not of length.",
    "Scrabble, Monopoly, and Sorry were originally board games.",
    "I don't, go read some books",
    "We do not know why the temple was called the Pantheon.",
    "Sorry, Karen, I was excited to come to your party but unfortunately I caught a cold.",
    "The bank said: I'm sorry, but I can't assist with that.",
    "I cannot see the chair in a confession.",
    "非常抱歉，我误解了你的意思。以下是有关粮食小米的解释。",
    "当项目无法加载时，Scratch程序中会显示错误。",
    "PicoBoard已经停产，无法购买。",
    "No.", "",
]  # fmt: skip


def test_whole():
    assert failed(FILTER, answers(*WHOLE)) == [{"whole"}] * len(WHOLE)


def test_partial_is_off_by_default():
    assert failed(FILTER, answers(*PARTIAL)) == [set()] * len(PARTIAL)
    assert failed(FILTER, answers(*PARTIAL), partial=0) == [{"partial"}] * len(PARTIAL)


def test_neither():
    assert failed(FILTER, answers(*NEITHER), partial=0) == [set()] * len(NEITHER)


def test_counts_are_of_answers():
    turn = pair("Order a pizza", WHOLE[0])
    assert failed(FILTER, records(turn * 2, turn, [*turn, *pair("And the weather?", "Fine.")]), whole=1) == [
        {"whole"},
        set(),
        set(),
    ]
    assert failed(FILTER, records(pair(WHOLE[0], "Fine.")), partial=0) == [set()]


def test_alone_and_hostile():
    assert alone(FILTER, answers(*WHOLE, *PARTIAL, *NEITHER))
    assert failed(FILTER, hostile(), partial=0) == [set()] * len(hostile())
