"""Filters in the v2 grammar of OpenCost and Kubecost (reference: sources.md 1.3).

filter     = element (("+" element)* | ("|" element)*)      + is AND, | is OR; both need parentheses to mix
element    = comparison | "(" filter ")"
comparison = field ["[" key "]"] op value ("," value)*
value      = '"' anything but a double quote '"'            there is no escape
"""

import re
from dataclasses import dataclass
from typing import NoReturn

from kubetally.sources.question.filter import (
    MAP_FIELDS,
    AllOf,
    AnyOf,
    Condition,
    Field,
    Filter,
    FilterNotExpressible,
    FilterNotUnderstood,
    FilterValueNotSupported,
    Op,
)

# Deeper than anybody writes, and far from where Python would stop the recursion for us.
_DEEPEST = 50
_FIELDS = {field.value.lower(): field for field in Field}
_TOKEN = re.compile(
    r'\s*(?:(?P<op>!?(?:<~|~>|~)?:)|(?P<punctuation>[+|(),])|"(?P<value>[^"]*)"|\[(?P<key>[^\]]*)\]|(?P<name>[\w-]+))'
)


def to_v2(condition: Filter) -> str:
    """The value of the `filter` parameter, not yet URL-encoded (`+` must be); empty when every row passes.

    Raises: FilterValueNotSupported, for a value the grammar has no way to write; FilterNotExpressible, for a filter
            that no row passes.
    """
    text, _ = _written(condition)
    return text


def _written(condition: Filter) -> tuple[str, str | None]:
    """The text and its outermost operator, None when it binds tighter than any."""
    if isinstance(condition, Condition):
        return _comparison(condition), None
    operator = "+" if isinstance(condition, AllOf) else "|"
    parts = [_written(part) for part in condition.parts]
    if isinstance(condition, AllOf):
        parts = [part for part in parts if part[0]]
    elif not parts:
        raise FilterNotExpressible("v2", "a choice among nothing, which no row passes")
    elif any(not text for text, _ in parts):
        # One of the choices is "every row", so all of it is.
        return "", None
    if len(parts) <= 1:
        return parts[0] if parts else ("", None)
    return operator.join(text if outer in (None, operator) else f"({text})" for text, outer in parts), operator


def _comparison(condition: Condition) -> str:
    for value in condition.values:
        if '"' in value or not value.isascii() or not all(map(str.isprintable, value)):
            raise FilterValueNotSupported(value)
    key = "" if condition.key is None else f"[{condition.key}]"
    values = ",".join(f'"{value}"' for value in condition.values)
    return f"{condition.field.value}{key}{condition.op.value}{values}"


def parse_v2(text: str) -> Filter:
    """The filter that `text` says, URL-decoded; empty text is the filter that every row passes.

    Fields are read in any letter case. OpenCost stops at the first thing it can't place and ignores the rest; here that
    is an error, so that no part of a filter is lost.
    Raises: FilterNotUnderstood, with the position.
    """
    tokens = _tokens(text)
    if tokens[0].kind == "end":
        return AllOf(())
    reader = _Reader(text, tokens)
    condition = reader.filter(0)
    reader.expect("end", "+ or | or the end expected")
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
        found = _TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            start = len(text) - len(text[position:].lstrip())
            problem = {'"': "the value is not closed", "[": "the key is not closed"}.get(
                text[start], "values stand in double quotes, operators are " + " ".join(Op)
            )
            raise FilterNotUnderstood(problem, text, start)
        kind, word = found.lastgroup, found[found.lastgroup]
        start = found.start(found.lastgroup) - (kind in ("value", "key"))
        tokens.append(_Token(word if kind == "punctuation" else kind, word, start))
        position = found.end()
    return [*tokens, _Token("end", "", end)]


class _Reader:
    """Recursive descent: one method for each rule of the grammar above."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._text, self._tokens, self._at = text, tokens, 0

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
        if name.kind != "name" or name.text.lower() not in _FIELDS:
            self._fail(f"a field expected, one of {', '.join(Field)}")
        field = _FIELDS[self.expect("name", "a field expected").text.lower()]
        key = None
        if self._tokens[self._at].kind == "key":
            if field not in MAP_FIELDS:
                self._fail(f"{field.value} has no keys")
            if not self._tokens[self._at].text:
                self._fail("the key is empty")
            key = self.expect("key", "a key expected").text
        op = Op(self.expect("op", f"an operator expected, one of {' '.join(Op)}").text)
        values = [self._value()]
        while self._accept(","):
            values.append(self._value())
        return Condition(field, op, tuple(values), key)

    def _value(self) -> str:
        return self.expect("value", "a value in double quotes expected").text

    def expect(self, kind: str, problem: str) -> _Token:
        """The next token, which has to be of `kind`."""
        token = self._tokens[self._at]
        if token.kind != kind:
            self._fail(problem)
        self._at += 1
        return token

    def _accept(self, kind: str) -> bool:
        found = self._tokens[self._at].kind == kind
        self._at += found
        return found

    def _fail(self, problem: str) -> NoReturn:
        raise FilterNotUnderstood(problem, self._text, self._tokens[self._at].position)
