"""One answer to a query as it came, for those who want more of it than the keys they asked for."""

from dataclasses import dataclass

from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Found:
    """A match with all that the archive put into it."""

    encoded: bytes  # the data set as it was sent
    transfer_syntax_uid: str
    dataset: Dataset  # the same, its values not decoded yet
    ignores_keys: bool = False  # 0xFF01: optional keys were not supported (PS3.4 C.4.1.1.4)
