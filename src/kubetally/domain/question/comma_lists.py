"""Filters as comma lists of namespaces and labels (reference: sources.md 1.3)."""

from kubetally.domain.question.filter import AllOf, AnyOf, Condition, Field, Filter, Op, not_understood


def parse_list_filters(*, namespaces: str | None = None, labels: str | None = None) -> Filter:
    """The filter of `namespaces` ("production,staging") and `labels` ("app=backend,env=prod", or with `:`).

    As in the sources' v1 parameters, items of one list are joined by OR and the two lists by AND, a trailing `*` means
    "starts with", and empty items count for nothing. Without items every row passes.
    Raises: RequestError, for a label without `=` or `:`, or without a key.
    """
    exact = tuple(item for item in _items(namespaces) if not item.endswith("*"))
    prefixes = tuple(item[:-1] for item in _items(namespaces) if item.endswith("*"))
    wanted: list[Filter] = [Condition(Field.NAMESPACE, Op.EQUALS, exact)] if exact else []
    wanted += [Condition(Field.NAMESPACE, Op.PREFIX, prefixes)] if prefixes else []
    lists: list[list[Filter]] = [wanted, [_label(item) for item in _items(labels)]]
    parts = [choices[0] if len(choices) == 1 else AnyOf(tuple(choices)) for choices in lists if choices]
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _items(text: str | None) -> list[str]:
    return [item.strip() for item in (text or "").split(",") if item.strip()]


def _label(item: str) -> Condition:
    # Neither a label's key nor its value may hold = or : in Kubernetes, so the first of either ends the key.
    position = min((at for at in (item.find("="), item.find(":")) if at >= 0), default=-1)
    key, value = item[:position].strip(), item[position + 1 :].strip()
    if position < 0 or not key:
        raise not_understood(f"the label {item!r} can't be read: write key=value")
    op = Op.PREFIX if value.endswith("*") else Op.EQUALS
    return Condition(Field.LABEL, op, (value.removesuffix("*") if op is Op.PREFIX else value,), key)
