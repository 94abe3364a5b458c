"""Who answered what clusters cost."""

from dataclasses import dataclass

KUBECOST, OPENCOST = "Kubecost", "OpenCost"
"""Products, as a `SourceIdentity` has them."""


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """Which product answered, where, and for which cluster, as far as it says; `url` is masked.

    account_id, account_name: of the account that the source belongs to; None without an account. account_label: what
    that is called beside others on screen, if not by its name.
    """

    url: str
    product: str | None = None
    version: str | None = None
    cluster_id: str | None = None
    cluster_name: str | None = None
    account_id: str | None = None
    account_name: str | None = None
    account_label: str | None = None

    @property
    def name(self) -> str:
        """What people call it: the account, else the masked URL."""
        return self.account_label or self.account_name or self.url
