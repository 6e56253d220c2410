"""Words, tags and spans, in scripts with and without spaces. Offsets are code points, as Python counts them."""

import json

import pytest
from conftest import CATALOG

from modelwright_trainer.words import CARRIED, UNREAD, spans_of, speakers_of, tags_of, words_of


@pytest.mark.parametrize("case", json.loads((CATALOG / "entity-extraction" / "words.json").read_text()), ids=lambda case: case["text"])
def test_words_are_those_of_the_shared_list(case: dict) -> None:
    assert [case["text"][start:end] for start, end in words_of(case["text"])] == case["words"]


def test_a_token_speaks_for_the_word_that_it_begins_in() -> None:
    words = words_of("去餐馆 hello吧")
    assert [tuple(word) for word in words] == [(0, 1), (1, 2), (2, 3), (4, 9), (9, 10)]
    # A special token, 去, 餐馆 as one token, then a token that begins with the space, and one within its word.
    assert speakers_of(words, [(0, 0), (0, 1), (1, 3), (3, 6), (6, 9)]) == [1, 2, CARRIED, 3, UNREAD]


def test_spans_become_tags_and_tags_spans() -> None:
    text = "fly from New York, to 北京"
    words = words_of(text)
    entities = [{"start": 9, "end": 17, "label": "city"}, {"start": 22, "end": 24, "label": "city"}]
    tags = tags_of(words, entities)
    assert tags == ["O", "O", "B-city", "I-city", "O", "O", "B-city", "I-city"]
    assert [{key: span[key] for key in ("start", "end", "label")} for span in spans_of(words, tags, [1.0] * 8)] == entities


def test_an_inside_tag_without_its_like_before_it_opens_a_span() -> None:
    words = [(0, 1), (2, 3), (4, 5), (6, 7)]
    spans = spans_of(words, ["I-a", "I-b", "I-b", "B-b"], [0.5, 0.5, 1.0, 1.0])
    assert [(span["start"], span["end"], span["label"], span["score"]) for span in spans] == [(0, 1, "a", 0.5), (2, 5, "b", 0.75), (6, 7, "b", 1.0)]
