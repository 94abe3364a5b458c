"""What may be missing in a day, as values and in words."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

from kubetally.domain.window import Window
from kubetally.domain.words import name_some

TOLERANCE = timedelta(minutes=15)
"""So much may be missing in a day without an issue: a source begins a day up to two samples late."""


KEEP_THEIR_NAMES = frozenset({None, "statefulset"})
"""A new pod of these controllers takes the name of the old one: one row may stand for lives on several nodes."""


_MAX_NAMED = 5


class Samples(StrEnum):
    """What samples are missing of; `ANY` is of nodes and pods alike."""

    ANY = "samples"
    NODES = "nodes"
    PODS = "pods"
    USAGE = "usage"
    REQUESTS = "requests"


MISSING_IN_WORDS: Mapping[Samples, str] = {
    Samples.ANY: (
        "no node and no pod was seen: Prometheus was down or lost its samples, or the cluster had no nodes. Costs of "
        "this time are missing"
    ),
    Samples.NODES: (
        "pods ran, but no node has a price: OpenCost's own metrics were not scraped. Costs of nodes, volumes, load "
        "balancers and network are missing or too low"
    ),
    Samples.PODS: (
        "nodes were there, but no pod was seen: kube-state-metrics was not scraped, or samples were lost. Workloads of "
        "this time are missing, and what they cost stands as idle"
    ),
    Samples.USAGE: (
        "no container has any usage: cAdvisor (the kubelets) was not scraped. Efficiency is unknown, and containers "
        "without requests cost nothing"
    ),
    Samples.REQUESTS: (
        "containers have no requests, unlike before and after: kube-state-metrics was not scraped. Efficiency is "
        "unknown"
    ),
}
"""What is missing, the likely cause, and what it means for the figures."""


class Missing(NamedTuple):
    """A span without samples, and of what."""

    span: Window
    samples: Samples


def some_nodes(names: Sequence[str]) -> str:
    """The first of several names, and how many more there are."""
    return name_some(names, _MAX_NAMED, "nodes")
