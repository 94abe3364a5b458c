"""What is asked, in plain values under the names of the API's parameters."""

from typing import Any

from kubetally.domain.question.cost_question import CostQuestion, Sharing
from kubetally.domain.question.filter import AllOf, AnyOf, Condition, Filter
from kubetally.domain.question.partial import EVERY_ROW
from kubetally.domain.window import Window, rfc3339


def question_facts(question: CostQuestion) -> dict[str, Any]:
    """The question with its defaults: texts, lists of texts, and the filter as a tree. None is what was not asked."""
    return {
        **window_facts(question.window),
        "group": [dimension.asked for dimension in question.group],
        "step": question.step,
        "filter": filter_tree(question.asked_filter),
        "idle": question.idle,
        **_sharing_facts(question.sharing),
        "as_of": None if question.as_of is None else rfc3339(question.as_of),
    }


def window_facts(window: Window) -> dict[str, str]:
    """Its start and end."""
    return {"start": rfc3339(window.start), "end": rfc3339(window.end)}


def _sharing_facts(sharing: Sharing) -> dict[str, Any]:
    """Namespaces, labels as `key:value`, and the split; None where nothing is shared."""
    return {
        "share_namespaces": list(sharing.namespaces),
        "share_labels": [f"{key}:{value}" for key, value in sharing.labels],
        "share_split": None if sharing.is_nothing else sharing.split,
    }


def filter_tree(condition: Filter) -> dict[str, Any] | None:
    """A filter as a tree: `and`, `or`, and comparisons with their position in the text. None for every row."""
    return None if condition == EVERY_ROW else _tree(condition)


def _tree(condition: Filter) -> dict[str, Any]:
    match condition:
        case AllOf(parts):
            return {"and": [_tree(part) for part in parts]}
        case AnyOf(parts):
            return {"or": [_tree(part) for part in parts]}
        case Condition(field, op, values, key, position):
            about = {} if key is None else {"key": key}
            return {"field": field.value, **about, "op": op.value, "values": list(values), "position": position}
