"""A folder of kept answers, as files of costs with what was kept beside each."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from kubetally.domain.booking_comparison import Beside
from kubetally.domain.errors import KubetallyError, NotFound
from kubetally.domain.window import Window
from kubetally.sources.kept import SUFFIX, KeptFile, KeptKind, open_kept
from kubetally.sources.kept_source import KeptFiles, KeptMetrics, KeptSource, Missing, metrics_beside


def open_folder(folder: Path) -> tuple[list["KeptCosts"], dict[str, KubetallyError]]:
    """The files of costs in a folder; and why others can't be read, by name. Raises NotFound, where there is none."""
    files, unreadable = list[KeptFile](), dict[str, KubetallyError]()
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            files.append(open_kept(path))
        except KubetallyError as error:
            unreadable[path.name] = error
    kept = KeptFiles(files)
    costs = [KeptCosts(kept, file) for file in kept.of_kind(KeptKind.COSTS)]
    if not costs and not unreadable:
        raise NotFound(
            f"{folder} {_why_empty(folder)}; KUBETALLY_KEEP_ANSWERS names the folder that they are written to",
            code="nothing_kept",
        )
    return costs, unreadable


def _why_empty(folder: Path) -> str:
    if not folder.exists():
        return "does not exist"
    return "has no kept answers about costs" if folder.is_dir() else "is not a folder"


@dataclass(frozen=True, slots=True)
class KeptCosts:
    """The port `KeptAnswer`: a file of costs, with those that were kept beside it."""

    files: KeptFiles
    kept: KeptFile
    missing: Missing = field(default_factory=Missing)

    @property
    def file(self) -> str:
        """Its name."""
        return self.kept.path.name

    @property
    def account(self) -> str | None:
        """The id of its account, or None."""
        return self.kept.account

    @property
    def url(self) -> str:
        """That of its source, masked."""
        return self.kept.url

    @property
    def window(self) -> Window:
        """Of its costs."""
        return self.kept.window

    @property
    def received_at(self) -> datetime:
        """When it was received."""
        return self.kept.received_at

    @property
    def lacks(self) -> set[Beside]:
        """What was asked for, and is not kept."""
        return self.missing.lacks

    @property
    def damaged(self) -> list[KubetallyError]:
        """What was asked for, and could not be read or interpreted."""
        return self.missing.damaged

    def source(self) -> KeptSource:
        """The cost source as it answered then."""
        return KeptSource(self.files, self.kept, self.missing)

    def metrics(self) -> KeptMetrics | None:
        """The Prometheus as it answered then; None if nothing of one is kept."""
        return metrics_beside(self.files, self.kept, self.missing)
