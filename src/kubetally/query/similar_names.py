"""Finds names like those that a question mentions, of the rows of its window."""

from collections import defaultdict
from collections.abc import Sequence

import ibis
from ibis import ir

from kubetally.domain.nearest import nearest
from kubetally.domain.question.filter import MAP_FIELDS, Field
from kubetally.domain.question.mention import Mention, Similar
from kubetally.query.engine import Run
from kubetally.query.predicate import keys_of_map, services_of, text_of
from kubetally.query.sums import columns

_MAX_NAMES = 20
"""Names that the engine finds for each mention; the best of them are suggested."""


def similar_names(run: Run, rows: ir.Table, mentions: Sequence[Mention]) -> Similar:
    """Names like each mention that no row has; of a label whose key does not exist, keys.

    rows: of the ledger, or their sums by namespace if nothing but namespaces is mentioned.
    """
    if not mentions:
        return {}
    parts = [
        _closest(names, text).select(number=ibis.literal(number), is_key=ibis.literal(is_key), name="name")
        for number, mention in enumerate(mentions)
        for is_key, text, names in _searches(rows, mention)
    ]
    found = columns(run(ibis.union(*parts) if len(parts) > 1 else parts[0]))
    names = defaultdict[tuple[int, bool], list[str]](list)
    for number, is_key, name in zip(found["number"], found["is_key"], found["name"], strict=True):
        names[number, is_key].append(name)
    similar = {}
    for number, mention in enumerate(mentions):
        keys, values = names[number, True], names[number, False]
        if mention.key is not None and mention.key not in keys:
            similar[mention] = nearest(mention.key, keys)
        elif mention.value is not None and mention.value not in values:
            similar[mention] = [mention._replace(value=value).name for value in nearest(mention.value, values)]
    return similar


def known_namespaces(run: Run, rows: ir.Table, names: Sequence[str]) -> frozenset[str]:
    """Which of these namespaces rows have. rows: of the ledger, or their sums by namespace."""
    found = rows.filter(rows.namespace.isin(names)).select("namespace").distinct()
    return frozenset(columns(run(found))["namespace"])


def _searches(rows: ir.Table, mention: Mention) -> list[tuple[bool, str, ir.Table]]:
    """What is looked for among which names: the key of a mention, and its value."""
    searches = []
    if mention.key is not None:
        searches.append((True, mention.key, rows.select(name=keys_of_map(mention.field, rows).unnest())))
    if mention.value is not None:
        searches.append((False, mention.value, rows.select(name=_values(rows, mention))))
    return searches


def _values(rows: ir.Table, mention: Mention) -> ir.StringValue:
    if mention.field is Field.SERVICES:
        return services_of(rows).unnest()
    return text_of(mention.field, mention.key if mention.field in MAP_FIELDS else None, rows)


def _closest(names: ir.Table, text: str) -> ir.Table:
    """The names closest to a text, which come first that begin with it: itself before all others."""
    names = names.filter(names.name.notnull()).distinct()
    lower, text = names.name.lower(), text.lower()
    begins = ibis.ifelse(lower.startswith(text), 0, 1)
    ranked = names.mutate(begins=begins, distance=lower.levenshtein(text))
    return ranked.order_by(["begins", "distance", "name"]).limit(_MAX_NAMES)
