"""What a record of the shim and a rebuilt disk say about acknowledged instances and the ledger."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.power import Tree
from tests.support.scene import LEDGER
from tests.support.shim import Call, Event
from tests.support.written import data_set_of

C_STORE_RESPONSE = 0x8001  # PS3.7 E.1
COMMAND_FIELD, STATUS, AFFECTED_SOP_INSTANCE = 0x0100, 0x0900, 0x1000
COMPLETE = "SELECT id, stored, expected FROM request WHERE outcome = 'complete'"
LINKED = "SELECT count(*) FROM request_instance WHERE request = ?"


def acknowledged(event: Event) -> str:
    """Return the SOP Instance UID that an event answers with 0x0000; "" for any other event."""
    if event.call is not Call.SEND:
        return ""
    command = _command(event.data)
    number = int.from_bytes(command.get(COMMAND_FIELD, b""), "little")
    if number != C_STORE_RESPONSE or any(command[STATUS]):
        return ""
    return command[AFFECTED_SOP_INSTANCE].decode().strip(" \0")


def _command(message: bytes) -> dict[int, bytes]:
    """Read the elements of the first command in a P-DATA-TF (PS3.8 9.3.5, PS3.7 6.3.1)."""
    length = int.from_bytes(message[6:10], "big")
    return dict(_elements(message[12 : 10 + length]))


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(data):
        element = int.from_bytes(data[place + 2 : place + 4], "little")
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        yield element, data[place + 8 : place + 8 + length]
        place += 8 + length


def data_sets(tree: Tree) -> set[bytes]:
    """Return the digests of all whole instances on a disk, in the spool or stored."""
    return {
        sha256(data_set_of(content)).digest()
        for path, content in tree.items()
        if path.endswith(".dcm") and "/quarantine/" not in path and content[128:132] == b"DICM"
    }


def false_claims(tree: Tree) -> list[str]:
    """Return what the ledger of a disk claims and the disk does not hold."""
    with TemporaryDirectory() as folder:
        for suffix in ("", "-wal", "-journal"):
            if LEDGER + suffix in tree:
                Path(folder, "ledger" + suffix).write_bytes(tree[LEDGER + suffix])
        with closing(sqlite3.connect(Path(folder, "ledger"))) as db:
            try:
                return list(_claims(db, tree))
            except sqlite3.DatabaseError as exc:
                return [f"the ledger cannot be read: {exc}"]


def _claims(db: sqlite3.Connection, tree: Tree) -> Iterator[str]:
    if db.execute("PRAGMA integrity_check").fetchone() != ("ok",):
        yield "the ledger is damaged"
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'instance'").fetchone():
        yield from _unkept(db, tree)


def _unkept(db: sqlite3.Connection, tree: Tree) -> Iterable[str]:
    for uid, path, size, digest in db.execute(
        "SELECT sop_instance_uid, path, size, sha256 FROM instance"
    ):
        content = tree.get(f"out/{path}", b"")
        if len(content) != size or sha256(content).digest() != digest:
            yield f"{uid} is not stored"
    for (file,) in db.execute("SELECT file FROM quarantine"):
        if f"out/.pydicombatch/quarantine/{file}" not in tree:
            yield f"{file} is not in the quarantine"
    for request, stored, expected in db.execute(COMPLETE).fetchall():
        if not stored == expected == db.execute(LINKED, (request,)).fetchone()[0]:
            yield f"request {request} is not complete"
