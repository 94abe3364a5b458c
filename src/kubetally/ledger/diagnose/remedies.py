"""What to do about errors of a source or issues of its data, beyond what their messages say."""

from kubetally.domain.errors import KubetallyError
from kubetally.domain.issues import IssueKind

_REMEDIES = {
    IssueKind.ANSWER_INCOMPLETE: "check that all stores behind the Prometheus run, then retry",
    IssueKind.FIGURE_MISSING: "it answers null where its Prometheus gave NaN: look for gaps and double series there",
    IssueKind.SAMPLES_MISSING: "see whether Prometheus ran and scraped OpenCost, kube-state-metrics and kubelets then; "
    "lost samples do not come back, and a stored day that is whole is kept",
    IssueKind.NODE_INCOMPLETE: "see whether OpenCost was scraped then, and knows the price of this instance type",
    IssueKind.USAGE_MISSING: "see that Prometheus scrapes cAdvisor with the labels container, pod and node",
    IssueKind.REQUESTS_MISSING: "see that Prometheus scrapes kube-state-metrics",
    IssueKind.NO_REQUESTS: "set requests, or see that Prometheus scrapes kube-state-metrics "
    "(kube_pod_container_resource_requests)",
    IssueKind.HOURS_NOT_CHECKED: "give it a Prometheus with --prometheus-url, which shows gaps by itself",
    IssueKind.NO_WORKLOADS: "ask again; see the log of the source and whether its Prometheus is overloaded",
    IssueKind.ROW_WITHOUT_CLUSTER: "set CLUSTER_ID in the source that wrote them",
    IssueKind.RESOURCE_WITHOUT_ASSET: "no action needed if it is serverless; else see why /assets does not list it",
    IssueKind.ROWS_MERGED_BY_SOURCE: "update the source: it adds up what the finest question should keep apart",
    IssueKind.ROWS_TOO_COARSE: "see whether a proxy before it drops `aggregate`, and update the source",
    IssueKind.MACHINE_TWICE: "no action needed: it counts once; look for scrape jobs with unlike `node` or `instance`",
    IssueKind.DUPLICATE_ROWS: "no action needed: they count once; look for two sources that write into one Prometheus",
    IssueKind.UNKNOWN_COST: "report it with the version of the source: it has a cost that is not known here",
    IssueKind.UNKNOWN_ASSET: "report it with the version of the source: it lists a type that is not known here",
    IssueKind.NEGATIVE_FIGURE: "update the source: some of its rows end before they start",
    IssueKind.TOTAL_BELOW_PARTS: "update the source: its own total lacks a part that it charges",
    IssueKind.NOT_A_NUMBER: "look for gaps and double series in its Prometheus",
    IssueKind.NETWORK_UNPRICED: "deploy the network-costs DaemonSet of the source, or set its egress prices",
    IssueKind.BALANCER_CORRECTED: "no action needed: Prometheus has the right hours",
    IssueKind.BALANCER_DIFFERS: "give it a Prometheus with --prometheus-url, which has the hours of every address",
    IssueKind.USAGE_CORRECTED: "no action needed: Prometheus has the right usage",
    IssueKind.USAGE_UNDERSTATED: "give it a Prometheus with --prometheus-url, which has the usage of every life",
    IssueKind.SET_PRORATED: "no action needed: it was prorated by time",
}
# By the code of an error, because the sources that raise them are not known here.
_NEXT_STEPS = {
    "source_unavailable": "see its log, and whether a proxy before it or its Prometheus is overloaded",
    "source_unreachable": "see that it runs and can be reached from here, as with "
    "`kubectl -n opencost port-forward service/opencost 9003`",
    "source_timeout": "see its log, and whether its Prometheus is overloaded",
    "deadline_passed": "see its log, and whether its Prometheus is overloaded",
    "answer_too_large": "raise KUBETALLY_MAX_ANSWER_MIB",
    "source_failed": "see its log, and whether its Prometheus answers: `kubectl -n opencost logs deployment/opencost`",
    "source_refused": "check the path of the URL, and for 401 or 403 the credentials (KUBETALLY_SOURCE_TOKEN, others)",
    "answer_not_understood": "give the address of its API (port 9003 of OpenCost, 9090 of Kubecost), past any login "
    "page; see what it answers: curl -i '{url}/allocation?window=1d'",
    "source_is_prometheus": "the API of OpenCost is at port 9003, that of Kubecost at 9090",
    "several_clusters": "add --cluster-id with one of them",
    "cluster_not_there": "give one of these with --cluster-id, or none",
    "currency_differs": "leave --currency out, or state the source's",
    "address_refused": "set KUBETALLY_ALLOW_LINK_LOCAL=true, if that address is meant",
    "unusable_kubeconfig": "correct the kubeconfig, or give the source's address with --url",
    "unknown_context": "see `kubectl config get-contexts`",
    "credential_plugin_failed": "sign in, as with `kubectl get services`, and try again",
    "impersonation_refused": "see `kubectl auth can-i impersonate users`",
    "certificate_not_trusted": "set KUBETALLY_SOURCE_CA_FILE",
}
# Where the source is a Prometheus, and the steps above would lead to an OpenCost.
_METRICS_STEPS = {
    "source_unreachable": "see that it runs and can be reached from here, as with "
    "`kubectl -n monitoring port-forward service/prometheus-server 9090:80`",
    "source_failed": "see its log",
    "signature_needed": "give the address of a proxy that signs requests, such as aws-sigv4-proxy, as --prometheus-url",
    "metrics_not_allowed": "see which credentials it wants: of the account, or KUBETALLY_PROMETHEUS_TOKEN and _HEADERS",
    "source_refused": "check the path of the URL (it ends before /api/v1; that of a Mimir ends with /prometheus)",
    "answer_not_understood": "give the address of the query API of a Prometheus, past any login page; see what it "
    "answers: curl -i '{url}/api/v1/query?query=up'",
    "metrics_serve_one": "give the account a tenant, a cluster id or a Prometheus of its own",
    "several_clusters_measured": "add --cluster-id with one of them, or --tenant to the account",
    "chosen_not_measured": "see how the series are labelled: curl -g '{url}/api/v1/series?match[]="
    "kubecost_cluster_management_cost'",
    "several_tenants_measured": "add --tenant with one of them",
    "invalid_metric_or_label": "see KUBETALLY_TENANT_LABEL and KUBETALLY_CLUSTER_LABEL",
    "query_refused": "see its limits of samples, time and length of a query",
}


def of_issue(kind: IssueKind) -> str:
    """What to do about an issue."""
    return _REMEDIES.get(kind, "see the log of the source")


def of_error(error: KubetallyError, url: str) -> str:
    """What to try next if the source at `url`, without credentials, could not be read."""
    return _NEXT_STEPS.get(error.code, "see what it answers: curl -i '{url}/allocation?window=1d'").format(url=url)


def of_metrics_error(error: KubetallyError, url: str) -> str:
    """As `of_error`, for a Prometheus."""
    step = _METRICS_STEPS.get(error.code) or _NEXT_STEPS.get(error.code)
    return (step or "see what it answers: curl -i '{url}/api/v1/query?query=up'").format(url=url)
