"""Words, tags and spans of a text. Offsets are Unicode code points; serving follows the same rules (catalog/entity-extraction)."""

import unicodedata

#: Scripts that write no spaces between words, or syllables as characters: each character is a word of its own.
_ALONE = (
    (0x1100, 0x11FF), (0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x3035), (0x3038, 0x303B), (0x3041, 0x30FF),
    (0x3105, 0x318F), (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA960, 0xA97F), (0xAC00, 0xD7FF),
    (0xF900, 0xFAFF), (0xFF66, 0xFFDC), (0x16FE0, 0x18DFF), (0x1AFF0, 0x1B16F), (0x20000, 0x3FFFD),
)  # fmt: skip

Span = tuple[int, int]


def is_space(char: str) -> bool:
    return char in "\t\n\v\f\r" or unicodedata.category(char)[0] == "Z"


def stands_alone(char: str) -> bool:
    """Ideographs, kana, hangul; punctuation, signs and emoji (categories P and S)."""
    point = ord(char)
    return unicodedata.category(char)[0] in "PS" or any(first <= point <= last for first, last in _ALONE)


def words_of(text: str) -> list[Span]:
    """[start, end) of each word: a run without spaces, or a character that stands alone."""
    words: list[Span] = []
    start = -1
    for at, char in enumerate(text):
        alone = stands_alone(char)
        if start >= 0 and (alone or is_space(char)):
            words.append((start, at))
            start = -1
        if alone:
            words.append((at, at + 1))
        elif start < 0 and not is_space(char):
            start = at
    if start >= 0:
        words.append((start, len(text)))
    return words


#: A word of which nothing was read: it lies behind the last token.
UNREAD = -1
#: A word that is part of a token which begins in a word before, as in vocabularies with whole Chinese words.
CARRIED = -2


def speakers_of(words: list[Span], offsets: list[Span]) -> list[int]:
    """For each word the number of the first token that begins in it, or else UNREAD or CARRIED.

    A token begins at its first character that is no space.
    """
    word_at = {at: i for i, (start, end) in enumerate(words) for at in range(start, end)}
    found = [UNREAD] * len(words)
    for token, (start, end) in enumerate(offsets):
        covered = [word_at[at] for at in range(start, end) if at in word_at]
        if covered and found[covered[0]] < 0:
            found[covered[0]] = token
        for word in covered[1:]:
            if found[word] == UNREAD:
                found[word] = CARRIED
    return found


def tags_of(words: list[Span], entities: list[dict]) -> list[str]:
    """BIO tags: a word is in the entity that holds its first character, or that begins inside of it."""
    tags = ["O"] * len(words)
    for entity in entities:
        first = True
        for i, (start, end) in enumerate(words):
            if entity["start"] < end and start < entity["end"] and tags[i] == "O":
                tags[i] = f"{'B' if first else 'I'}-{entity['label']}"
                first = False
    return tags


def spans_of(words: list[Span], tags: list[str], scores: list[float]) -> list[dict]:
    """Entities with code point offsets; an I- without a matching predecessor opens one. The score is the mean over its words."""
    spans: list[dict] = []
    inside: list[float] = []
    before = "O"
    for (start, end), tag, score in zip(words, tags, scores, strict=True):
        if tag == "O":
            before = tag
            continue
        if tag[0] == "I" and before != "O" and before[2:] == tag[2:]:
            spans[-1]["end"] = end
            inside.append(score)
        else:
            spans.append({"start": start, "end": end, "label": tag[2:]})
            inside = [score]
        spans[-1]["score"] = round(sum(inside) / len(inside), 6)
        before = tag
    return spans
