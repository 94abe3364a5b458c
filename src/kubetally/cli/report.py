"""`kubetally report`: infrastructure cost beside the full cost, and how the full cost divides."""

import typer

from kubetally.cli.answer_file import answer_to
from kubetally.cli.asking import ask, exit_of, print_json
from kubetally.cli.clusters import choose_clusters
from kubetally.cli.option_groups import with_option_groups
from kubetally.cli.options import (
    AnswerOptions,
    ClusterOptions,
    ScreenOrJson,
    ScreenOrJsonFormat,
    Strict,
    WindowOptions,
)
from kubetally.cli.start import start as start_up
from kubetally.domain.report import ClusterReport


@with_option_groups
def report(
    *,
    clusters: ClusterOptions,
    window: WindowOptions,
    output: ScreenOrJsonFormat = ScreenOrJson.TABLE,
    strict: Strict = False,
    answer: AnswerOptions,
) -> None:
    """Compare infrastructure cost with full cost.

    Infrastructure is the management fee, load balancers and network: costs that do not depend on who used the nodes.
    The shares of all components add up to 100 %.

    \b
    Example:
      kubetally report --url http://localhost:9003 --window 7d
    """
    from kubetally.present.comparison import compare
    from kubetally.present.report import InfrastructureReport, comparison_body, print_comparisons

    settings = start_up(quiet=answer.quiet)
    span = window.read()
    choice = choose_clusters(clusters, settings, quiet=answer.quiet)
    with answer_to(answer.output_file):
        answers = ask(choice.clusters, span, settings, quiet=answer.quiet)
        if output is ScreenOrJson.JSON:
            print_json(
                answers,
                InfrastructureReport,
                lambda costs: comparison_body(costs, compare(costs)),
                is_one=choice.is_one,
            )
        else:
            print_comparisons([costs for costs in answers if isinstance(costs, ClusterReport)], quiet=answer.quiet)
    raise typer.Exit(exit_of(answers, strict=strict))
