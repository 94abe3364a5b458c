"""Parameters that say which rows count, how they are grouped, and what is shared among them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from kubetally.domain.allocation import Kind
from kubetally.domain.asset import AssetType
from kubetally.domain.asset_report import GROUPABLE, parse_asset_group
from kubetally.domain.errors import RequestError
from kubetally.domain.question.cost_question import Idle, Sharing, Split
from kubetally.domain.question.filter import Field, Filter
from kubetally.domain.question.group import Dimension, parse_group
from kubetally.domain.question.partial import EVERY_ROW, conditions_of
from kubetally.domain.question.shared import parse_shared_labels, parse_shared_namespaces, sharing_of
from kubetally.domain.question.steps import Step
from kubetally.domain.question.v2 import parse_v2
from kubetally.web.v1.query_string import InvalidParameter, Parameter, Parameters, choice, text, words


def filter_on(*fields: Field, kinds: Iterable[str] = Kind) -> Callable[[str], Filter]:
    """Reads a filter that has these fields only. kinds: of the rows that it is for."""

    def read(condition: str) -> Filter:
        parsed = parse_v2(condition, kinds)
        for part in conditions_of(parsed):
            if part.field not in fields:
                raise RequestError(
                    f"the filter has {part.field.value} at position {part.position}: here it may have "
                    f"{' and '.join(field.value for field in fields)} only",
                    code="unknown_field",
                )
        return parsed

    return read


FILTER: Final[Parameter[Filter]] = Parameter(
    "filter",
    'Which rows count, in OpenCost\'s v2 grammar: `namespace:"shop"+label[team]!:"web"`. Default: every row.',
    parse_v2,
    parse_v2(""),
    text(),
)
_ACCOUNT_FIELDS: Final = (Field.CLUSTER, Field.ORGANIZATION)
ACCOUNT_FILTER: Final[Parameter[Filter]] = Parameter(
    "filter",
    'Which accounts count, in OpenCost\'s v2 grammar, on cluster and organization: `cluster:"prod"`. Default: all.',
    filter_on(*_ACCOUNT_FIELDS),
    EVERY_ROW,
    text(),
)
BALANCE_FILTER: Final[Parameter[Filter]] = replace(
    ACCOUNT_FILTER,
    meaning="Which accounts count, in OpenCost's v2 grammar, on cluster, organization and currency. Default: all.",
    parse=filter_on(*_ACCOUNT_FIELDS, Field.CURRENCY),
)
ASSET_FILTER: Final[Parameter[Filter]] = replace(
    ACCOUNT_FILTER,
    meaning="Which assets count, in OpenCost's v2 grammar, on cluster, organization, currency, kind (type of the "
    "asset), node (name of a node), provider (its id), namespace (of the claim on a disk) and label. Default: all.",
    parse=filter_on(
        *(*_ACCOUNT_FIELDS, Field.CURRENCY, Field.KIND),
        *(Field.NODE, Field.PROVIDER, Field.NAMESPACE, Field.LABEL),
        kinds=AssetType,
    ),
)
ASSET_GROUP: Final[Parameter[tuple[str, ...]]] = Parameter(
    "group",
    f"Comma list of {', '.join(GROUPABLE)}. Default: each asset by itself.",
    parse_asset_group,
    (),
    text(),
)
GROUP: Final[Parameter[tuple[Dimension, ...]]] = Parameter(
    "group",
    "Comma list of cluster, organization, namespace, controller_kind, controller, pod, container, node, service, kind, "
    "component, label:KEY, annotation:KEY and namespace_label:KEY. Default: one row.",
    parse_group,
    (),
    text(),
)
STEP: Final[Parameter[Step | None]] = Parameter(
    "step",
    "Length of the steps of the window; weeks begin on Monday. Default: the whole window.",
    choice("step", Step),
    None,
    words(Step),
)
IDLE: Final[Parameter[Idle]] = Parameter(
    "idle",
    "Idle cost: a row of its own, shared among workloads by cost or evenly, or left out, of the total too.",
    choice("idle", Idle),
    Idle.SEPARATE,
    words(Idle, Idle.SEPARATE),
)
SHARE_NAMESPACES: Final[Parameter[tuple[str, ...]]] = Parameter(
    "share_namespaces",
    "Comma list of plain names of namespaces: their workloads leave, and their cost returns as shared_cost of the "
    "other workloads of the same account and day.",
    parse_shared_namespaces,
    (),
    text(),
)
SHARE_LABELS: Final[Parameter[tuple[tuple[str, str], ...]]] = Parameter(
    "share_labels",
    "Comma list of labels as key:value: workloads that have one of them are shared like those of share_namespaces.",
    parse_shared_labels,
    (),
    text(),
)
SHARE_SPLIT: Final[Parameter[Split | None]] = Parameter(
    "share_split",
    "Shared cost is divided by cost, or evenly among namespaces. Only where something is shared. Default: weighted.",
    choice("share_split", Split),
    None,
    words(Split),
)
SHARE: Final[Parameters] = (SHARE_NAMESPACES, SHARE_LABELS, SHARE_SPLIT)


def parse_sharing(values: Mapping[str, str]) -> Sharing:
    """What the three parameters of sharing say together. Raises InvalidParameter."""
    namespaces, labels = SHARE_NAMESPACES.of(values), SHARE_LABELS.of(values)
    try:
        return sharing_of(namespaces, labels, SHARE_SPLIT.of(values))
    except InvalidParameter:
        raise
    except RequestError as error:
        raise InvalidParameter(SHARE_SPLIT.name, str(error), code=error.code) from error
