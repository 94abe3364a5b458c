"""Findings about clusters, as lines of text and as a body."""

from collections.abc import Iterable

import msgspec

from kubetally.domain.finding import Diagnosis
from kubetally.present.answer import Json
from kubetally.present.screen import console, say


def print_findings(diagnoses: Iterable[Diagnosis]) -> None:
    """Print the findings about each cluster, and what to do about them."""
    out = console()
    for diagnosis in diagnoses:
        say(
            out,
            " ".join(filter(None, (diagnosis.account_label or diagnosis.account_name, diagnosis.place))),
            style="bold",
        )
        for finding in diagnosis.findings:
            say(out, f"  {finding.level.value:9}{finding.subject}: {finding.seen}", indent=11)
            if finding.remedy:
                say(out, f"           do: {finding.remedy}", indent=15)


def findings_body(diagnosis: Diagnosis) -> Json:
    """The body of a cluster's findings."""
    return {
        "url": diagnosis.place,
        "cloud_account_id": diagnosis.account_id,
        "account": diagnosis.account_name,
        "findings": msgspec.to_builtins(diagnosis.findings),
    }
