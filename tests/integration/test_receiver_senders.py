"""Other people's senders: the data set that we keep is the one that they sent, byte for byte.

What they sent is known from a relay between the two.
"""

import signal
import subprocess
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HEVCM10P51,
    HEVCMP51,
    JPEG2000,
    MPEG2MPHL,
    MPEG2MPML,
    MPEG4HP41,
    MPEG4HP41BD,
    MPEG4HP42STEREO,
    MPEG4HP422D,
    MPEG4HP423D,
    UID,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from pydicombatch.core.file_meta import file_meta
from pydicombatch.receive.process.parent import ProcessReceiver
from tests.support import dcmjs
from tests.support import hand_made as raw
from tests.support.instances import ENCODINGS, SECONDARY_CAPTURE, Spec, dataset, encoded, to_bytes
from tests.support.receiving import Heard, proportional_set_size, receiver
from tests.support.servers import program, run
from tests.support.wiretap import Wiretap

Send = Callable[[int, Sequence[Path]], object]

# What storescu proposes, and an instance for which it does
OPTIONS = [
    ("-x=", "explicit"), ("-x=", "implicit"), ("-xe", "big-endian"), ("-xb", "explicit"),
    ("-xb", "big-endian"), ("-xi", "explicit"), ("-xi", "implicit"), ("-xs", "jpeg-lossless"),
    ("-xy", "jpeg-baseline"), ("-xx", JPEGExtended12Bit), ("-xv", "jpeg-2000"), ("-xw", JPEG2000),
    ("-xt", "jpeg-ls"), ("-xu", JPEGLSNearLossless), ("-xm", MPEG2MPML), ("-xh", MPEG2MPHL),
    ("-xn", MPEG4HP41), ("-xl", MPEG4HP41BD), ("-x2", MPEG4HP422D), ("-x3", MPEG4HP423D),
    ("-xo", MPEG4HP42STEREO), ("-x4", HEVCMP51), ("-x5", HEVCM10P51), ("-xr", "rle"),
    ("-xd", "deflated"), ("-xd", "explicit"),
]  # fmt: skip


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an instance for every encoding, each of its own."""
    folder = tmp_path_factory.mktemp("samples")
    for number, name in enumerate(ENCODINGS, 1):
        (folder / f"{name}.dcm").write_bytes(encoded(dataset(spec(number)), name))
    for number, (_, syntax) in enumerate(OPTIONS, 20):
        if isinstance(syntax, UID):
            (folder / f"{syntax}.dcm").write_bytes(labelled(spec(number), syntax))
    return folder


@pytest.fixture
def several(tmp_path: Path) -> list[Path]:
    """Thirty plain instances."""
    paths = []
    for number in range(101, 131):
        paths.append(tmp_path / f"{number}.dcm")
        paths[-1].write_bytes(to_bytes(dataset(Spec(instance=number, rows=64, columns=64))))
    return paths


def spec(number: int) -> Spec:
    return Spec(instance=number, bits=8, sop_class=SECONDARY_CAPTURE, modality="OT", rows=33)


def labelled(one: Spec, syntax: UID) -> bytes:
    """Make an instance in a syntax that nobody here can encode; its fragments are nonsense."""
    read = dataset(one)
    read.PixelData = encapsulate([bytes(range(256)) * 40, b"\xff\xd8" + bytes(777)])
    read["PixelData"].VR = "OB"
    read["PixelData"].is_undefined_length = True
    read.file_meta.TransferSyntaxUID = syntax
    return to_bytes(read)


def check(heard: Heard, files: Sequence[Path], send: Send) -> None:
    """Have files sent, and compare what was sent with what was kept."""
    before = len(heard.arrivals)
    with Wiretap(heard.port) as tap:
        send(tap.port, files)
        sent = tap.data_sets()
    assert len(sent) == len(files)
    arrivals = heard.wait(before + len(files))[before:]
    assert [heard.content(arrival) for arrival in arrivals] == sent
    read = {one.SOPInstanceUID: one for one in map(dcmread, files)}
    for arrival in arrivals:
        theirs = read[arrival.identifiers.sop_instance_uid]
        ours = dcmread(heard.spool / arrival.file.name)
        assert ours.file_meta.TransferSyntaxUID == arrival.transfer_syntax_uid
        assert (ours.PatientID, ours.SOPClassUID) == (theirs.PatientID, theirs.SOPClassUID)
        if theirs.file_meta.TransferSyntaxUID.is_encapsulated:
            assert ours.file_meta.TransferSyntaxUID == theirs.file_meta.TransferSyntaxUID
            assert ours.PixelData == theirs.PixelData


def storescu(*options: str) -> Send:
    def send(port: int, files: Sequence[Path]) -> None:
        run("storescu", *options, "-aec", "OURS", "127.0.0.1", str(port), *files)

    return send


def test_storescu_with_every_proposal_it_knows(tmp_path: Path, samples: Path) -> None:
    with receiver(tmp_path / "s", unsolicited=True) as heard:
        for option, name in OPTIONS:
            check(heard, [samples / f"{name}.dcm"], storescu(option))
        assert len({arrival.transfer_syntax_uid for arrival in heard.arrivals}) == 21


def test_storescu_with_all_syntaxes_of_a_class_in_one_context(
    tmp_path: Path, samples: Path
) -> None:
    with receiver(tmp_path / "s", unsolicited=True) as heard:
        for name in ("explicit", "implicit", "big-endian"):
            check(heard, [samples / f"{name}.dcm"], storescu("+C", "-R"))


def gdcmscu(port: int, files: Sequence[Path]) -> None:
    """Store by GDCM, which may abort itself when it is told of its release, whoever tells it."""
    done = subprocess.run(
        [program("gdcmscu"), "--store", "--call", "OURS", "127.0.0.1", str(port), *map(str, files)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode in {0, -signal.SIGABRT}, done.stdout + done.stderr
    assert "rejected" not in done.stdout


def test_gdcmscu_one_by_one_and_several_on_one_association(
    tmp_path: Path, samples: Path, several: list[Path]
) -> None:
    with receiver(tmp_path / "s", unsolicited=True) as heard:
        for name in ENCODINGS:
            check(heard, [samples / f"{name}.dcm"], gdcmscu)
        check(heard, several, gdcmscu)


def send_by_dcmjs(port: int, files: Sequence[Path]) -> None:
    assert dcmjs.store(port, "OURS", files) == [0] * len(files)


def test_dcmjs_dimse_several_syntaxes_and_several_objects(
    tmp_path: Path, samples: Path, several: list[Path]
) -> None:
    with receiver(tmp_path / "s", unsolicited=True) as heard:
        check(heard, [samples / "implicit.dcm", *several], send_by_dcmjs)
        for name in ("big-endian", "rle", "jpeg-baseline", "jpeg-2000"):
            check(heard, [samples / f"{name}.dcm"], send_by_dcmjs)
        assert len({arrival.transfer_syntax_uid for arrival in heard.arrivals}) == 5


def test_what_is_called_deflated_and_is_not_is_refused(tmp_path: Path, samples: Path) -> None:
    """So does dcmjs-dimse 0.3.3 send it: kept under that name, nobody could read it."""
    with receiver(tmp_path / "s", unsolicited=True) as heard:
        assert dcmjs.store(heard.port, "OURS", [samples / "deflated.dcm"]) == [0xC000]
        assert heard.files() == []


def test_dcmjs_dimse_is_told_of_a_refusal(tmp_path: Path, samples: Path) -> None:
    files = [samples / "explicit.dcm", samples / "implicit.dcm"]
    with receiver(tmp_path / "s") as heard:
        assert dcmjs.store(heard.port, "OURS", files) == [0x0124, 0x0124]
        assert heard.files() == []


@pytest.mark.parametrize("length", [4096, 131072])
def test_storescu_stores_a_hundred_bytes_and_half_a_gigabyte_in_little_memory(
    tmp_path: Path, length: int, full: bool
) -> None:
    """Under 60 MB (PSS) all the time; without --full the larger has 24 MB instead of 500."""
    tiny = tmp_path / "tiny.dcm"
    tiny.write_bytes(file_meta(raw.CT, raw.UID, raw.EXPLICIT) + tiny_data_set())
    large = tmp_path / "large.dcm"
    body = raw.data_set(raw.UID + ".2", pixels=500_000_000 if full else 24_000_000)
    large.write_bytes(file_meta(raw.CT, raw.UID + ".2", raw.EXPLICIT) + body)
    units = ("--max-pdu", str(length), "--max-send-pdu", str(length))
    command = [program("storescu"), *units, "-aec", "OURS", "127.0.0.1"]
    with receiver(tmp_path / "s", process=True) as heard:
        sender = subprocess.Popen([*command, str(heard.port), str(tiny), str(large)])
        highest = 0
        while sender.poll() is None:
            highest = max(highest, proportional(heard))
        assert sender.returncode == 0
        arrivals = heard.wait(2)
        assert heard.content(arrivals[0]) == tiny_data_set()
        assert heard.content(arrivals[1]) == body
    assert 0 < highest < 60_000  # kB


def tiny_data_set() -> bytes:
    data = raw.explicit(0x00080016, "UI", raw.CT.encode())
    data += raw.explicit(0x00080018, "UI", raw.UID.encode())
    data += raw.explicit(0x00100020, "LO", b"SYN001")
    assert len(data) < 120
    return data


def proportional(heard: Heard) -> int:
    """Return the share of memory of the receiver's processes, kB."""
    assert isinstance(heard.receiver, ProcessReceiver)
    return sum(map(proportional_set_size, heard.receiver.pids))


def test_an_identifier_that_is_not_ascii_is_stored_as_sent_and_read_as_meant(
    tmp_path: Path,
) -> None:
    files, texts = [], {}
    for number, (charset, text) in enumerate(
        [("ISO_IR 192", "患者Ж1"), ("ISO_IR 100", "Mühle"), ("ISO_IR 144", "Иван"),
         ("GB18030", "王1"), ("ISO 2022 IR 87", "山1")], 1
    ):  # fmt: skip
        read = dataset(Spec(instance=number, charset=charset))
        read.SpecificCharacterSet = ["", charset] if "2022" in charset else charset
        read.PatientID = text
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(to_bytes(read))
        texts[read.SOPInstanceUID] = text
    with receiver(tmp_path / "s", unsolicited=True) as heard:
        check(heard, files, storescu())
        for arrival in heard.arrivals:
            assert arrival.identifiers.patient_id == texts[arrival.identifiers.sop_instance_uid]


def test_what_dcmtk_reads_of_a_kept_file_is_what_it_read_of_the_sent_one(
    tmp_path: Path, samples: Path
) -> None:
    with receiver(tmp_path / "s", unsolicited=True) as heard:
        for number, name in enumerate(ENCODINGS, 1):
            sent = samples / f"{name}.dcm"
            option = {"deflated": "-xd", "rle": "-xr"}.get(name, "-x=")
            if dcmread(BytesIO(sent.read_bytes())).file_meta.TransferSyntaxUID.is_encapsulated:
                option = {"rle": "-xr", "jpeg-baseline": "-xy", "jpeg-ls": "-xt",
                          "jpeg-2000": "-xv", "jpeg-lossless": "-xs"}[name]  # fmt: skip
            storescu(option)(heard.port, [sent])
            kept = heard.spool / heard.wait(number)[-1].file.name
            assert dump(kept) == dump(sent)


def dump(path: Path) -> list[str]:
    """Print a data set, without File Meta Information and comments, which name the encoding."""
    lines = run("dcmdump", "+L", path).splitlines()
    return [line for line in lines if line.startswith("(") and not line.startswith("(0002")]
