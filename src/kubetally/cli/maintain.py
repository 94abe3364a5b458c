"""`kubetally maintain`: compacting, expiring and checking what is stored."""

from pathlib import Path
from typing import Annotated

import typer

from kubetally.cli import exits
from kubetally.cli.answer_file import warn
from kubetally.cli.start import start as start_up
from kubetally.domain.errors import RequestError

Shorten = Annotated[
    bool,
    typer.Option("--shorten", help="Shorten the retention of replaced data to KUBETALLY_HISTORY_DAYS."),
]
TrustClock = Annotated[
    bool,
    typer.Option("--trust-clock", help="Remove expired data even if nothing was collected for more than 30 hours."),
]
Check = Annotated[bool, typer.Option("--check", help="Read all stored data and list damage; exit 1 if there is any.")]
Repair = Annotated[
    bool,
    typer.Option("--repair", help="Rewrite damaged days from the source or --from-backup; set others aside."),
]
FromBackup = Annotated[
    Path | None,
    typer.Option("--from-backup", metavar="FILE", help="With --repair: a file of `kubetally backup`."),
]


def maintain(
    shorten: Shorten = False,
    trust_clock: TrustClock = False,
    check: Check = False,
    repair: Repair = False,
    from_backup: FromBackup = None,
) -> None:
    """Compact the lake, remove expired data and check stored days.

    Replaced data expires after KUBETALLY_HISTORY_DAYS. Each run reads a share of
    the stored days, and marks days that are damaged, or that the lake lacks; see
    `kubetally coverage`.

    `kubetally serve` and `kubetally collect --forever` do the same once a day.

    \b
    Examples:
      kubetally maintain
      kubetally maintain --check
      kubetally maintain --repair --from-backup /backups/kubetally.tar
    """
    from kubetally.ledger.collect.maintenance import days_of_earlier_versions, maintain_and_check
    from kubetally.present.maintenance import print_maintenance
    from kubetally.wiring.diagnosis import check_storage
    from kubetally.wiring.ledger import open_ledger

    if from_backup is not None and not repair:
        raise RequestError("--from-backup requires --repair", code="repair_only")
    if check or repair:
        _check(repair=repair, from_backup=from_backup)
        return
    settings = start_up()
    with open_ledger(settings) as ledger:
        done, checked = maintain_and_check(ledger, shorten=shorten, trust_clock=trust_clock)
        earlier, retention = days_of_earlier_versions(ledger), ledger.retention
    print_maintenance(done, checked, earlier, retention)
    for problem in check_storage(settings).problems:
        warn(str(problem))


def _check(*, repair: bool, from_backup: Path | None) -> None:
    """List the damage, or what is left of it after a repair. Raises typer.Exit."""
    from kubetally.ledger.diagnose.damage import check_damage
    from kubetally.present.damage import print_damage, print_repairs
    from kubetally.wiring.ledger import open_ledger

    settings = start_up()
    if repair:
        from kubetally.wiring import backups

        logs, days, report = backups.repair(settings, from_backup)
        print_repairs(logs, days, report)
    else:
        with open_ledger(settings) as ledger:
            report = check_damage(ledger)
    print_damage(report)
    if report.is_well:
        return
    if not report.is_damaged:
        exits.complain("the database lacks days of the lake; see above for what to do")
    elif repair:
        exits.complain(
            "some damage could not be repaired; use another backup with --from-backup, or restore one elsewhere"
        )
    else:
        exits.complain(
            "the lake is damaged; `kubetally maintain --repair` rewrites damaged days, and with --from-backup files of "
            "a log as well"
        )
    raise typer.Exit(exits.LAKE_DAMAGED)
