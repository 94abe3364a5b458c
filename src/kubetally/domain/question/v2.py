"""The filter that a text means in the v2 grammar of OpenCost and Kubecost (reference: sources.md 1.3).

filter     = element (("+" element)* | ("|" element)*)      + is AND, | is OR; both need parentheses to mix
element    = comparison | "(" filter ")"
comparison = field ["[" key "]"] op value ("," value)*
value      = '"' anything but a double quote '"'            there is no escape
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from kubetally.domain.allocation import Kind
from kubetally.domain.component import Component
from kubetally.domain.errors import RequestError
from kubetally.domain.nearest import suggestion
from kubetally.domain.question.filter import (
    MAP_FIELDS,
    UNALLOCATED,
    AllOf,
    AnyOf,
    Condition,
    Field,
    Filter,
    Op,
    not_understood,
)

# Deeper than anybody writes, and far from where Python would stop the recursion for us.
_DEEPEST = 50
MAX_VALUES = 500
"""That one filter compares with, in all its comparisons together: each is work for every row."""

_FIELDS = {field.value.lower(): field for field in Field} | {
    "controller": Field.CONTROLLER_NAME,
    "controllername": Field.CONTROLLER_NAME,
    "service": Field.SERVICES,
}
"""By name in lower case without `_`: OpenCost's spelling, and that of a group."""
_OTHER_WORDS = {"memory": "ram", "mem": "ram", "storage": "pv", "volumes": "pv", "disks": "pv", "lb": "load_balancer"}
"""What components are called elsewhere."""
_TOKEN = re.compile(
    r'\s*(?:(?P<op>!?(?:<~|~>|~)?:)|(?P<punctuation>[+|(),])|"(?P<value>[^"]*)"|\[(?P<key>[^\]]*)\]|(?P<name>[\w-]+))'
)


def parse_v2(text: str, kinds: Iterable[str] = Kind) -> Filter:
    """The filter that `text` means, URL-decoded; empty text is the filter that every row passes.

    kinds: of the rows that it is for. A filter by another kind, or by a component that there is not, is an error.
    Fields are read in any letter case, spelled as OpenCost does or as a group. OpenCost stops at the first token that
    it can't place and ignores the rest; here that is an error, so that no part of a filter is lost.
    Raises: RequestError, with the position.
    """
    tokens = _tokens(text)
    if tokens[0].kind == "end":
        return AllOf(())
    reader = _Reader(text, tokens, kinds)
    condition = reader.filter(0)
    reader.expect("end", "+ or | or the end expected (in a URL, + is written %2B)")
    return condition


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            start = len(text) - len(text[position:].lstrip())
            problem = {'"': "the value is not closed", "[": "the key is not closed"}.get(
                text[start], "values stand in double quotes, operators are " + " ".join(Op)
            )
            raise _broken(problem, text, start)
        kind, word = match.lastgroup, match[match.lastgroup]
        start = match.start(match.lastgroup) - (kind in ("value", "key"))
        tokens.append(_Token(word if kind == "punctuation" else kind, word, start))
        position = match.end()
    return [*tokens, _Token("end", "", end)]


class _Reader:
    """Recursive descent: one method for each rule of the grammar above."""

    def __init__(self, text: str, tokens: list[_Token], kinds: Iterable[str]) -> None:
        self._known = {Field.KIND: (*kinds, UNALLOCATED), Field.COMPONENT: (*Component, UNALLOCATED)}
        self._text, self._tokens, self._at, self._values = text, tokens, 0, 0

    def filter(self, depth: int) -> Filter:
        parts = [self._element(depth)]
        operator = self._tokens[self._at].kind
        if operator not in ("+", "|"):
            return parts[0]
        while self._accept(operator):
            parts.append(self._element(depth))
        if self._tokens[self._at].kind in ("+", "|"):
            self._fail("+ and | mix only with parentheses")
        return AllOf(tuple(parts)) if operator == "+" else AnyOf(tuple(parts))

    def _element(self, depth: int) -> Filter:
        if depth > _DEEPEST:
            self._fail(f"more than {_DEEPEST} parentheses inside each other")
        if self._accept("("):
            inner = self.filter(depth + 1)
            self.expect(")", "a closing parenthesis expected")
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        name = self._tokens[self._at]
        if name.kind != "name" or _plain(name.text) not in _FIELDS:
            self._fail(f"a field expected, one of {', '.join(Field)}")
        field = _FIELDS[_plain(self.expect("name", "a field expected").text)]
        key = None
        if self._tokens[self._at].kind == "key":
            if field not in MAP_FIELDS:
                self._fail(f"{field.value} has no keys")
            if not self._tokens[self._at].text:
                self._fail("the key is empty")
            key = self.expect("key", "a key expected").text
        op = Op(self.expect("op", f"an operator expected, one of {' '.join(Op)}").text)
        values = [self._value_of(field, op)]
        while self._accept(","):
            values.append(self._value_of(field, op))
        return Condition(field, op, tuple(values), key, name.position)

    def _value_of(self, field: Field, op: Op) -> str:
        """The next value, a currency in capitals; of a field with few, whole values have to be one of these."""
        known, token = self._known.get(field), self._tokens[self._at]
        if known and token.kind == "value" and op in (Op.EQUALS, Op.NOT_EQUALS) and token.text not in known:
            near = suggestion(_OTHER_WORDS.get(token.text.lower(), token.text), known)
            self._fail(f"{field.value} has no value {token.text!r}{near}: it is one of {', '.join(known)}")
        value = self._value()
        return value.upper() if field is Field.CURRENCY and value != UNALLOCATED else value

    def _value(self) -> str:
        self._values += 1
        if self._values > MAX_VALUES:
            self._fail(f"more than {MAX_VALUES} values")
        return self.expect("value", "a value in double quotes expected").text

    def expect(self, kind: str, problem: str) -> _Token:
        """The next token, which has to be of `kind`."""
        token = self._tokens[self._at]
        if token.kind != kind:
            self._fail(problem)
        self._at += 1
        return token

    def _accept(self, kind: str) -> bool:
        is_next = self._tokens[self._at].kind == kind
        self._at += is_next
        return is_next

    def _fail(self, problem: str) -> NoReturn:
        raise _broken(problem, self._text, self._tokens[self._at].position)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _broken(problem: str, text: str, position: int) -> RequestError:
    return not_understood(
        f"the filter can't be read at position {position} ({text[position : position + 20]!r}): {problem}"
    )
