"""What a service prints once it listens."""


def print_started(*, url: str, link: str, accounts: int, database: str, lake: str, secret_file: str | None) -> None:
    """Where it is, how to sign in, and where it stores what. accounts: their number. secret_file: None if it is set."""
    clusters = "1 cluster" if accounts == 1 else f"{accounts} clusters"
    lines = [
        f"Kubetally serves {clusters} at {url}/ (API: {url}/docs)",
        f"Open in a browser: {link}",
        "  The link works once, within 15 minutes; `kubetally link` prints another.",
        f"Accounts: {database}",
        f"History: {lake}",
        f"Secret: {secret_file or 'that of KUBETALLY_SECRET'}",
    ]
    if not accounts:
        lines.append("No cluster yet: kubetally accounts add NAME --url URL")
    print("\n".join(lines), flush=True)
