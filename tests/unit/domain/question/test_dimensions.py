"""What rows can be grouped by."""

import pytest

from kubetally.domain.errors import RequestError
from kubetally.domain.question.dimensions import parse_aggregates


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("namespace", "namespace"),
        ("pod", "pod"),
        ("controller", "controller"),
        ("service", "service"),
        ("label:app", "label:app"),
        ("Cluster, NAMESPACE,controllerkind", "cluster,namespace,controllerKind"),
        ("Label:app.kubernetes.io/name", "label:app_kubernetes_io_name"),
        ("annotation:example.com/Cost-Center", "annotation:example_com_Cost_Center"),
        ("deployment,statefulset,daemonset,job", "deployment,statefulset,daemonset,job"),
        ("department,environment,owner,product,team", "department,environment,owner,product,team"),
        ("node,container,node", "node,container"),
        ("ALL", "all"),
    ],
)
def test_a_known_aggregate_is_sent_in_the_sources_spelling(asked: str, sent: str) -> None:
    assert ",".join(map(str, parse_aggregates(asked))) == sent


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("namespace,nodepool", "nodepool"),
        ("", ""),
        ("namespace,", ""),
        ("label", "label"),
        ("label:", "label:"),
        ("annotation", "annotation"),
        ("providerID", "providerID"),
        ("namespace:app", "namespace:app"),
        ("all,namespace", "all"),
    ],
)
def test_aggregate_that_sources_drop_is_refused_by_name(asked: str, named: str) -> None:
    with pytest.raises(RequestError, match=f"aggregate {named!r}") as refused:
        parse_aggregates(asked)
    assert refused.value.code == "unknown_aggregate"
    assert "controllerKind" in str(refused.value)
    assert "label:KEY" in str(refused.value)
