"""Real senders: DCMTK's and pynetdicom's, every transfer syntax they propose, every unit length."""

import os
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE

from pydicombatch.core.file_meta import file_meta
from tests.support import hand_made as raw
from tests.support.receiving import Heard, receiver

SLICES = [
    ("CT_small.dcm", "-xe"),
    ("MR_small_implicit.dcm", "-xi"),
    ("MR_small_bigendian.dcm", "-xb"),
    ("image_dfl.dcm", "-xd"),
    ("JPEG2000.dcm", "-xw"),
    ("JPEG-lossy.dcm", "-xx"),
    ("MR_small_RLE.dcm", "-xr"),
    ("reportsi.dcm", "-xe"),
    ("rtplan.dcm", "-xi"),
]


def dcmtk(tool: str, *arguments: str) -> None:
    done = subprocess.run([f"/usr/bin/{tool}", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def data_set_of(path: Path) -> bytes:
    content = path.read_bytes()
    assert content[128:132] == b"DICM"
    return content[144 + int.from_bytes(content[140:144], "little") :]


def sample(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


def last(heard: Heard, count: int) -> bytes:
    return heard.content(heard.wait(count)[-1])


@pytest.mark.parametrize(("name", "option"), SLICES)
def test_storescu_in_every_transfer_syntax_stores_what_dcmtk_would_store(
    tmp_path: Path, name: str, option: str
) -> None:
    with receiver(tmp_path / "s", unsolicited=True) as heard:
        port = str(heard.port)
        dcmtk("storescu", "-R", option, "-aec", "OURS", "127.0.0.1", port, str(sample(name)))
        stored = heard.spool / heard.wait(1)[0].file.name
        sent, kept = dcmread(sample(name)), dcmread(stored)
        assert kept.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        assert kept.SOPInstanceUID == sent.SOPInstanceUID
        assert kept.get("PixelData") == sent.get("PixelData")


@pytest.mark.parametrize("length", [4096, 8192, 16384, 65536, 131072])
def test_storescu_with_any_maximum_unit_length(tmp_path: Path, length: int) -> None:
    source = tmp_path / "in.dcm"
    content = raw.data_set(pixels=600_000)
    source.write_bytes(part_10(content))
    with receiver(tmp_path / "s", max_pdu=length) as heard:
        arguments = ("--max-pdu", str(length), "--max-send-pdu", str(length), "-aec", "OURS")
        dcmtk("storescu", *arguments, "127.0.0.1", str(heard.port), str(source))
        assert last(heard, 1) == content


def part_10(content: bytes) -> bytes:
    return file_meta(raw.CT, raw.UID, raw.EXPLICIT) + content


def test_storescu_without_nagle_and_with_it_stores_the_same(tmp_path: Path) -> None:
    sources = []
    for number in range(20):
        uid = f"{raw.UID}.{number}"
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(file_meta(raw.CT, uid, raw.EXPLICIT) + raw.data_set(uid))
        sources.append(str(path))
    with receiver(tmp_path / "s") as heard:
        for value in ("0", "1"):
            command = ["/usr/bin/storescu", "-aec", "OURS", "127.0.0.1", str(heard.port), *sources]
            done = subprocess.run(command, env={**os.environ, "TCP_NODELAY": value})
            assert done.returncode == 0
        heard.wait(40)
        assert len({heard.content(arrival) for arrival in heard.arrivals}) == 20


def test_dcmsend_stores_with_its_own_negotiation(tmp_path: Path) -> None:
    with receiver(tmp_path / "s", unsolicited=True) as heard:
        sources = [str(sample(name)) for name in ("CT_small.dcm", "JPEG2000.dcm", "MR_small.dcm")]
        dcmtk("dcmsend", "-aec", "OURS", "127.0.0.1", str(heard.port), *sources)
        assert len(heard.wait(3)) == 3


def test_pynetdicom_stores_on_one_association_in_all_syntaxes(tmp_path: Path) -> None:
    paths = [sample(name) for name, _ in SLICES]
    read = [dcmread(path) for path in paths]
    sender = AE("PYNETDICOM")
    sender.acse_timeout = sender.dimse_timeout = 20
    for uid in {data.SOPClassUID for data in read}:
        for syntax in {data.file_meta.TransferSyntaxUID for data in read}:
            if len(sender.requested_contexts) < 128:
                sender.add_requested_context(uid, syntax)
    with receiver(tmp_path / "s", unsolicited=True) as heard:
        association = sender.associate("127.0.0.1", heard.port, ae_title="OURS")
        assert association.is_established
        for data in read:
            assert association.send_c_store(data).Status == 0
        association.release()
        assert len(heard.wait(len(read))) == len(read)


def test_a_peer_may_offer_every_syntax_there_is_in_one_context(tmp_path: Path) -> None:
    with receiver(tmp_path / "s") as heard, raw.Peer(heard.port) as peer:
        offered = tuple(str(uid) for uid in AllTransferSyntaxes)
        peer.associate(raw.associate_rq(contexts=((3, raw.CT, (raw.EXPLICIT, *offered)),)))
        assert peer.store(raw.data_set()) == 0


def test_200_storescu_at_once_are_all_served(tmp_path: Path) -> None:
    """F56."""
    with receiver(tmp_path / "s", process=True) as heard:
        senders = []
        for number in range(200):
            uid = f"{raw.UID}.{number}"
            path = tmp_path / f"{number}.dcm"
            path.write_bytes(file_meta(raw.CT, uid, raw.EXPLICIT) + raw.data_set(uid))
            command = ["/usr/bin/storescu", "-aec", "OURS", "127.0.0.1", str(heard.port), str(path)]
            senders.append(subprocess.Popen(command))
        assert [sender.wait() for sender in senders] == [0] * 200
        assert len({a.identifiers.sop_instance_uid for a in heard.wait(200, 40)}) == 200
