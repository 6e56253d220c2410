"""Conversations as tokens: what stands between messages, what is learned, and what goes where a conversation is too long.

A chat template is a program; serving runs none. What a template puts between two messages is read off its output once, as six
texts (`JOINTS`), and the folder's template is honoured where these say all that it does. catalog/causal-lm-sft/chat.ts makes the same tokens of them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

#: The text between a message of one role and the next; `start` and `end` are those of the conversation.
JOINTS = ("start>system", "start>user", "system>user", "user>assistant", "assistant>user", "assistant>end")

Message = dict[str, str]


@dataclass(frozen=True)
class ChatForm:
    joints: dict[str, str]
    #: White space around a message is no part of it.
    trim: bool
    #: `folder`: the folder's own template; else the form that stands in for it.
    source: str


@dataclass(frozen=True)
class Conversation:
    ids: list[int]
    #: Whether the token is the assistant's, and learned: one a token.
    learned: list[bool]


@dataclass(frozen=True)
class Chat:
    form: ChatForm
    #: Tokens that end a reply; the first one is learned behind each.
    stop: list[int]
    #: One reads special tokens, such as <|im_end|>, the other takes them for plain text: nobody's message ends a turn.
    joints_tokenizer: Tokenizer
    text_tokenizer: Tokenizer

    def answering(self) -> dict[str, Any]:
        """What serving needs of it."""
        return {"joints": self.form.joints, "trim": self.form.trim, "stop": self.stop}

    def tokens(self, texts: list[str]) -> list[list[int]]:
        cut = [text.strip() for text in texts] if self.form.trim else texts
        return [one.ids for one in self.text_tokenizer.encode_batch(cut, add_special_tokens=False)]

    def joint(self, name: str) -> list[int]:
        return self.joints_tokenizer.encode(self.form.joints[name], add_special_tokens=False).ids

    def conversation(self, messages: list[Message], max_tokens: int) -> Conversation:
        """A whole conversation, cut to its last `max_tokens` as the module's second half says."""
        contents = self.tokens([message["content"] for message in messages])
        system = contents[0] if messages[0]["role"] == "system" else None
        turns = contents[1:] if system is not None else contents
        exchanges = list(zip(turns[0::2], turns[1::2], strict=True))
        parts = self._parts(system, exchanges)
        while len(exchanges) > 1 and sum(len(ids) for ids, _ in parts) > max_tokens:
            # The oldest exchange goes, the system's message stays.
            exchanges = exchanges[1:]
            parts = self._parts(system, exchanges)
        if sum(len(ids) for ids, _ in parts) > max_tokens:
            (prompt, _), (reply, _) = parts
            # One exchange that is too long: half the room, or what the prompt leaves, is the reply's; the prompt loses its beginning.
            reply = reply[: max(max_tokens - len(prompt), max_tokens // 2)]
            parts = [(prompt[len(prompt) - (max_tokens - len(reply)) :], False), (reply, True)]
        return Conversation([one for ids, _ in parts for one in ids], [learned for ids, learned in parts for _ in ids])

    def _parts(self, system: list[int] | None, exchanges: list[tuple[list[int], list[int]]]) -> list[tuple[list[int], bool]]:
        """Prompts and replies in turn."""
        parts: list[tuple[list[int], bool]] = []
        opening = self.joint("start>user") if system is None else [*self.joint("start>system"), *system, *self.joint("system>user")]
        for user, reply in exchanges:
            parts += [([*opening, *user, *self.joint("user>assistant")], False), ([*reply, self.stop[0]], True)]
            # The token that ends a reply is learned with it, the rest of the joint belongs to the next prompt.
            opening = self.joint("assistant>user")[1:]
        return parts


def read_chat(tokenizer_json: Path, files: dict[str, dict[str, Any]], template: str | None) -> Chat:
    """`files`: config.json, tokenizer_config.json and generation_config.json, where the folder has them. Raises ValueError with a sentence."""
    joints_tokenizer, text_tokenizer = (Tokenizer.from_file(str(tokenizer_json)) for _ in range(2))
    text_tokenizer.encode_special_tokens = True
    for one in (joints_tokenizer, text_tokenizer):
        one.no_padding()
        one.no_truncation()
    told = files.get("tokenizer_config.json", {})
    special = {token["content"] for token in json.loads(tokenizer_json.read_text(encoding="utf-8")).get("added_tokens", []) if token.get("special")}
    stops = [one for one in map(joints_tokenizer.token_to_id, [_text(told.get("eos_token"))]) if one is not None]
    for name in ("generation_config.json", "config.json"):
        given = files.get(name, {}).get("eos_token_id")
        stops += [one for one in (given if isinstance(given, list) else [given]) if isinstance(one, int) and not isinstance(one, bool)]
    named = template or told.get("chat_template")
    if isinstance(named, list):
        named = next((one.get("template") for one in named if isinstance(one, dict) and one.get("name") == "default"), None)
    tokens = {name: _text(told.get(name)) for name in ("bos_token", "eos_token")}
    end = joints_tokenizer.id_to_token(stops[0]) if stops else None
    for form in (_honoured(named, tokens) if isinstance(named, str) else None, _chatml(special), _plain(end)):
        if form is None:
            continue
        first = [joints_tokenizer.encode(form.joints[name], add_special_tokens=False).ids[:1] for name in ("assistant>end", "assistant>user")]
        # A reply ends with one token that no text has, or it would end in the middle of texts.
        if first[0] and first[0] == first[1] and joints_tokenizer.id_to_token(first[0][0]) in special:
            return Chat(form, list(dict.fromkeys(first[0] + stops)), joints_tokenizer, text_tokenizer)
    raise ValueError("tokenizer_config.json names no eos_token that is a special token of tokenizer.json: nothing could end a reply")


def _text(token: object) -> str:
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""


def _chatml(special: set[str]) -> ChatForm | None:
    if not {"<|im_start|>", "<|im_end|>"} <= special:
        return None
    system, user, assistant = (f"<|im_start|>{role}\n" for role in ("system", "user", "assistant"))
    end = "<|im_end|>\n"
    return ChatForm(dict(zip(JOINTS, (system, user, end + user, end + assistant, end + user, end), strict=True)), False, "chatml")


def _plain(end: str | None) -> ChatForm | None:
    if not end:
        return None
    system, user, assistant = (f"### {role}:\n" for role in ("System", "User", "Assistant"))
    return ChatForm(dict(zip(JOINTS, (system, user, f"\n\n{user}", f"\n\n{assistant}", f"{end}\n\n{user}", end), strict=True)), False, "plain")


#: Conversations that a template is tried with: (roles, texts). The marks come back out of its output, white space tells whether it trims.
_TRIALS = (
    ("su", ("markzero", "markone")),
    ("u", ("markzero",)),
    ("sua", ("markzero", "markone", "marktwo")),
    ("ua", ("mark zero", "mark\n\none")),
    ("uaua", ("markzero", "markone?", "markzero", "mark three!")),
    ("suauaua", ("标记零", "🙂", "markone", "{{ mark }}", "marktwo", "1", "2")),
    ("uaua", (" markzero ", "\nmarkone\n", "markzero\n", "  markone")),
)
_ROLES = {"s": "system", "u": "user", "a": "assistant"}


def _honoured(template: str, tokens: dict[str, str]) -> ChatForm | None:
    """The template as joints; None where they do not say all that it does."""
    from jinja2.exceptions import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    try:
        program = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]).from_string(template)

        def said(roles: str, texts: tuple[str, ...]) -> str:
            messages = [{"role": _ROLES[role], "content": text} for role, text in zip(roles, texts, strict=True)]
            return program.render(messages=messages, add_generation_prompt=roles.endswith("u"), tools=None, raise_exception=refuse, **tokens)

        joints = _read_joints(said)
        for form in (ChatForm(joints, False, "folder"), ChatForm(joints, True, "folder")):
            if all(said(roles, texts) == written(form, roles, texts) for roles, texts in _TRIALS):
                return form
    except Exception:
        # It is a program of somebody else, and may fail as it likes.
        return None
    return None


def _read_joints(said) -> dict[str, str]:  # type: ignore[no-untyped-def]
    marks = ("markzero", "markone", "marktwo", "markthree", "markfour")

    def between(roles: str) -> list[str]:
        rest, found = said(roles, marks[: len(roles)]), []
        for mark in marks[: len(roles)]:
            before, _, rest = rest.partition(mark)
            found.append(before)
        return [*found, rest]

    whole, plain = between("suaua"), between("ua")
    joints = (whole[0], plain[0], whole[1], whole[2], whole[3], whole[5])
    return dict(zip(JOINTS, joints, strict=True))


def written(form: ChatForm, roles: str, texts: tuple[str, ...]) -> str:
    """A conversation as text; behind a user's last message, up to where the assistant's begins."""
    parts, before = [], "start"
    for role, text in zip(roles, texts, strict=True):
        parts += [form.joints[f"{before}>{_ROLES[role]}"], text.strip() if form.trim else text]
        before = _ROLES[role]
    return "".join([*parts, form.joints["user>assistant" if before == "user" else "assistant>end"]])
