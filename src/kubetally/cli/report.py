"""`kubetally report`: infrastructure cost beside the full cost, and how the full cost divides."""

import typer

from kubetally.cli.answer_file import answer_to
from kubetally.cli.asking import Said, ask, exit_of, named, print_json
from kubetally.cli.options import (
    AccountNames,
    ClusterId,
    Contexts,
    Currency,
    End,
    OutputFile,
    PrometheusUrl,
    Quiet,
    ScreenOrJson,
    ScreenOrJsonFormat,
    Start,
    Strict,
    Tenant,
    Urls,
    WindowText,
    window_of,
)
from kubetally.cli.start import start as start_up
from kubetally.domain.report import CostReport


def report(
    accounts: AccountNames = None,
    url: Urls = None,
    context: Contexts = None,
    cluster_id: ClusterId = None,
    currency: Currency = None,
    prometheus_url: PrometheusUrl = None,
    tenant: Tenant = None,
    window: WindowText = None,
    start: Start = None,
    end: End = None,
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
    output_file: OutputFile = None,
    strict: Strict = False,
    quiet: Quiet = False,
) -> None:
    """Compare infrastructure cost with full cost.

    Infrastructure is management, load balancers and network: what can be seen without asking who used the nodes. Each
    component's share of the full cost stands below; the shares add up to 100 %.

    \b
    Example:
      kubetally report --url http://localhost:9003 --window 7d
    """
    from kubetally.present.comparison import compare
    from kubetally.present.report import comparison_body, print_report
    from kubetally.present.screen import console
    from kubetally.present.tables import print_rounding

    settings = start_up(quiet=quiet)
    span = window_of(window, start, end)
    said = Said(cluster_id, currency, prometheus_url, tenant)
    meant = named(accounts, url, context, said, settings, quiet=quiet)
    with answer_to(output_file):
        answers = ask(meant.clusters, span, settings, quiet=quiet)
        if output is ScreenOrJson.JSON:
            print_json(answers, lambda costs: comparison_body(costs, compare(costs)), is_one=meant.is_one)
        else:
            out, read = console(), [costs for costs in answers if isinstance(costs, CostReport)]
            for costs in read:
                print_report(out, costs, compare(costs))
            if not quiet:
                print_rounding(out, read, "--format json has")
    raise typer.Exit(exit_of(answers, strict=strict))
