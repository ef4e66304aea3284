"""Certificates for TLS tests, made anew each time; nobody else's authority is involved."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificate:
    """PEM files of one party."""

    cert: str
    key: str


class Authority:
    """An authority that issues certificates into a directory."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._authority = trustme.CA(organization_name=f"pydicombatch test {name}")
        self.ca = str(directory / f"{name}.pem")
        self._authority.cert_pem.write_to_path(self.ca)

    def issue(self, *names: str, expired: bool = False) -> Certificate:
        """Issue a certificate for host names or addresses."""
        ends = datetime.now(UTC) - timedelta(days=1) if expired else None
        starts = datetime.now(UTC) - timedelta(days=2) if expired else None
        issued = self._authority.issue_cert(*names, not_before=starts, not_after=ends)
        stem = f"{len(list(self._directory.iterdir()))}-{names[0]}"
        cert, key = self._directory / f"{stem}.crt", self._directory / f"{stem}.key"
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(str(cert), append=number > 0)
        issued.private_key_pem.write_to_path(str(key))
        return Certificate(str(cert), str(key))
