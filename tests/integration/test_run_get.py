"""`pydicombatch run` with C-GET, against Orthanc and dcmqrscp."""

import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pydicombatch.core.model import Outcome
from tests.conftest import DcmqrscpFactory, OrthancFactory, Server
from tests.support.dcmqrscp import DcmqrscpServer
from tests.support.extraction import Job
from tests.support.instances import ENCODINGS, Spec, dataset, file, files, specs, to_bytes
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port
from tests.support.profile import write_profile
from tests.support.proxy import CLEAN, End, Fault, Proxy
from tests.support.wiretap import Wiretap

_ROOT = "1.2.840.10008.5.1.4.1.1"
CLASSES = {  # 20 of them, with the modality they come from
    f"{_ROOT}.2": "CT", f"{_ROOT}.4": "MR", f"{_ROOT}.1": "CR", f"{_ROOT}.1.1": "DX",
    f"{_ROOT}.1.1.1": "DX", f"{_ROOT}.1.2": "MG", f"{_ROOT}.1.2.1": "MG", f"{_ROOT}.6.1": "US",
    f"{_ROOT}.3.1": "US", f"{_ROOT}.12.1": "XA", f"{_ROOT}.12.2": "RF", f"{_ROOT}.20": "NM",
    f"{_ROOT}.128": "PT", f"{_ROOT}.7": "OT", f"{_ROOT}.7.2": "OT", f"{_ROOT}.77.1.4": "XC",
    f"{_ROOT}.77.1.1": "ES", f"{_ROOT}.481.1": "RTIMAGE", f"{_ROOT}.13.1.3": "MG",
    f"{_ROOT}.77.1.5.1": "OP",
}  # fmt: skip
# Classes that no modality stands for, in syntaxes that are proposed late
RARE = {f"{_ROOT}.4.3": "explicit", f"{_ROOT}.30": "rle", f"{_ROOT}.2": "jpeg-ls"}
WAYS = ("explicit", "jpeg-baseline", "rle", "jpeg-lossless", "jpeg-2000")
C_GET, C_CANCEL = 0x0010, 0x0FFF  # Command Field, PS3.7 E.1
STUDIES = [[Spec(study=n).study_uid] for n in (1, 2, 3)]


def mixed() -> Iterator[tuple[Spec, str]]:
    """One study with every class, each in another transfer syntax."""
    for number, (sop_class, modality) in enumerate(CLASSES.items()):
        way = WAYS[number % len(WAYS)]
        bits = 8 if way == "jpeg-baseline" else 16
        yield Spec(series=number + 1, sop_class=sop_class, modality=modality, bits=bits), way


def rare() -> Iterator[tuple[Spec, str]]:
    for number, (sop_class, way) in enumerate(RARE.items(), 1):
        yield Spec(study=4, series=number, sop_class=sop_class, modality="ZZ"), way


@pytest.fixture(scope="module")
def loaded() -> list[bytes]:
    several = [file(spec, way) for spec, way in (*mixed(), *rare())]
    for study in (2, 3):
        several += [
            file(replace(spec, study=study))
            for spec in specs(series=2, instances=10, rows=64, columns=64)
        ]
    return several


@pytest.fixture(scope="module")
def dcmqrscp(
    start_dcmqrscp: DcmqrscpFactory, loaded: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> DcmqrscpServer:
    profile = tmp_path_factory.mktemp("profile") / "profile.cfg"
    server = start_dcmqrscp(options=write_profile(profile, {**CLASSES, **RARE}))
    server.load(loaded)
    assert len(server.instances()) == len(loaded)
    return server


def get(folder: Path, archive: Any, rows: list[list[str]], **more: Any) -> Job:
    return Job(
        folder, archive, free_port(), "c-get", ["QueryRetrieveLevel=STUDY"],
        [["StudyInstanceUID"], *rows], **more,
    )  # fmt: skip


def test_twenty_classes_in_five_transfer_syntaxes_come_as_they_are(
    server: Server, tmp_path: Path
) -> None:
    job = get(tmp_path, server, STUDIES[:1])
    ended = job.run()
    assert ended.code == 0, ended.text
    found = job.stored()
    expected = {spec.sop_uid: str(ENCODINGS[way]) for spec, way in mixed()}
    assert {uid: one.syntax for uid, one in found.items()} == expected
    (row,) = job.results()
    assert (row["Status"], row["Outcome"], row["Expected"]) == ("0x0", Outcome.COMPLETE, "20")
    assert (row["Stored"], row["Failed"], row["Quarantined"]) == ("20", "0", "0")
    assert list((job.state / "spool").iterdir()) == []


def test_what_had_no_context_is_asked_for_again_with_others(server: Server, tmp_path: Path) -> None:
    """Orthanc tells the classes; dcmqrscp neither these nor a modality that says anything."""
    with Wiretap(server.port) as tap:
        through = SimpleNamespace(port=tap.port, aet=server.aet)
        job = get(tmp_path, through, [[Spec(study=4).study_uid]])
        ended = job.run()
        fields = [int.from_bytes(_field(one), "little") for one in tap.commands()]
    assert ended.code == 0, ended.text
    expected = {spec.sop_uid: str(ENCODINGS[way]) for spec, way in rare()}
    assert {uid: one.syntax for uid, one in job.stored().items()} == expected
    (row,) = job.results()
    assert (row["Outcome"], row["Expected"], row["Stored"]) == ("complete", "3", "3")
    if isinstance(server, DcmqrscpServer):
        assert fields.count(C_GET) > 1


def test_pixels_are_those_that_the_archive_holds(orthanc: OrthancServer, tmp_path: Path) -> None:
    job = get(tmp_path, orthanc, STUDIES[:1], output={"directory": str(tmp_path / "out"),
                                                      "decompress": False})  # fmt: skip
    assert job.run().code == 0
    for uid, one in job.stored().items():
        assert one.data == _data(orthanc.file(uid)), uid


def _data(raw: bytes) -> bytes:
    return raw[144 + int.from_bytes(raw[140:144], "little") :]


def test_threads_levels_and_decompression_work_as_for_a_move(
    server: Server, tmp_path: Path
) -> None:
    rows = [[Spec(study=s).study_uid, Spec(study=s, series=n).series_uid]
            for s in (2, 3) for n in (1, 2)]  # fmt: skip
    job = Job(
        tmp_path, server, free_port(), "c-get", ["QueryRetrieveLevel=SERIES"],
        [["StudyInstanceUID", "SeriesInstanceUID"], *rows],
        request={"threads": 3}, output={"directory": str(tmp_path / "out"), "decompress": True},
    )  # fmt: skip
    ended = job.run()
    assert ended.code == 0, ended.text
    assert len(job.stored()) == 40
    assert {one["Outcome"] for one in job.results()} == {"complete"}
    again = job.run("--restart")
    assert again.code == 0
    assert len(job.stored()) == 40


def test_a_study_that_the_archive_does_not_hold_is_empty_or_refused(
    server: Server, tmp_path: Path
) -> None:
    job = get(tmp_path, server, [["1.2.3.4.5"], *STUDIES[1:2]], retry={"attempts": 1})
    job.run()
    outcomes = [row["Outcome"] for row in job.results()]
    assert outcomes[1] == "complete"
    assert outcomes[0] in {"empty", "failed", "refused"}
    assert len(job.stored()) == 20


def test_no_port_is_opened(orthanc: OrthancServer, tmp_path: Path) -> None:
    job = get(tmp_path, orthanc, STUDIES[1:2])
    with socket.create_server(("127.0.0.1", job.sections["local"]["port"])):
        assert job.run().code == 0
        assert job.command("check").code == 0
    assert len(job.stored()) == 20


def test_a_run_that_is_killed_in_the_middle_goes_on_without_loss_or_double(
    server: Server, tmp_path: Path
) -> None:
    limits = {"threads": 2, "limits": {"megabytes_per_second": 0.3}}
    job = get(tmp_path, server, STUDIES[1:], request=limits)
    for number in range(3):
        with job.start(name=f"kill-{number}") as running:
            assert running.says("To stop extraction", 60)
            time.sleep(0.2 + 0.25 * number)
            running.kill()
    job.change("request", limits={})
    ended = job.run()
    assert ended.code == 0, ended.text
    assert_all_of_two_studies_lie_there(job)


def test_an_interrupt_ends_what_runs_within_its_time(server: Server, tmp_path: Path) -> None:
    job = get(
        tmp_path, server, STUDIES[1:],
        request={"limits": {"megabytes_per_second": 0.03}},
        pacs={"timeouts": {"grace": 1, "quiet": 1, "response": 60}},
    )  # fmt: skip
    with job.start() as running:
        assert running.says("To stop extraction", 60)
        time.sleep(1)
        running.signal(signal.SIGINT)
        begun = time.monotonic()
        ended = running.wait(60)
    assert ended.code == 130
    assert time.monotonic() - begun < 30
    job.change("request", limits={})
    assert job.run().code == 0
    assert len(job.stored()) == 40


def test_an_archive_that_does_not_allow_it_is_named(
    start_orthanc: OrthancFactory, tmp_path: Path
) -> None:
    server = start_orthanc(settings={"DicomAlwaysAllowGet": False})
    server.load(files(specs()))
    job = get(tmp_path, server, STUDIES[:1], retry={"attempts": 1})
    ended = job.run()
    assert ended.code in {1, 3}
    assert job.stored() == {}
    assert "Traceback" not in ended.text


def test_memory_does_not_grow_with_the_size_of_an_object(
    start_orthanc: OrthancFactory, tmp_path: Path, *, full: bool
) -> None:
    server = start_orthanc()
    peaks = []
    for number, megabytes in enumerate((1, 500 if full else 100), 1):
        ds = dataset(Spec(study=number))
        ds.Rows, ds.Columns = 1000, 500 * megabytes
        ds.PixelData = bytes(megabytes * 1_000_000)
        server.load([to_bytes(ds)])
        del ds
        job = get(tmp_path / str(number), server, [[Spec(study=number).study_uid]])
        peak = 0
        with job.start() as running:
            while running.is_running:
                peak = max(peak, resident(running.pid))
                time.sleep(0.02)
            assert running.wait().code == 0
        peaks.append(peak)
        (one,) = job.stored().values()
        assert one.path.stat().st_size > megabytes * 1_000_000
    assert peaks[1] - peaks[0] < 24_000, peaks


def resident(pid: int) -> int:
    """Return the largest resident size of a process so far, in kB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (OSError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def test_what_lies_in_the_spool_is_for_its_owner_alone(
    orthanc: OrthancServer, tmp_path: Path
) -> None:
    os.umask(0o022)
    job = get(tmp_path, orthanc, STUDIES[1:2])
    assert job.run().code == 0
    assert (job.state / "spool").stat().st_mode & 0o077 == 0
    assert all(one.path.stat().st_mode & 0o077 == 0 for one in job.stored().values())


def test_ctrl_c_cancels_a_c_get_whose_rest_alone_is_asked_for_later(
    server: Server, tmp_path: Path
) -> None:
    """F31: when the time to finish is over."""
    cancelled(server, tmp_path, "interrupt")


def test_the_end_of_the_window_cancels_a_c_get_whose_rest_alone_is_asked_for_later(
    dcmqrscp: DcmqrscpServer, tmp_path: Path
) -> None:
    """F37."""
    cancelled(dcmqrscp, tmp_path, "window")


def cancelled(server: Server, tmp_path: Path, by: str) -> None:
    """Have a C-GET cancelled; what came must be kept, and not be asked for again."""
    with Wiretap(server.port) as tap:
        through = SimpleNamespace(port=tap.port, aet=server.aet)
        job = get(
            tmp_path, through, STUDIES[1:2],
            request={"limits": {"megabytes_per_second": 0.02}},  # 20 instances of 9 kB take 9 s
            pacs={"timeouts": {"grace": 1, "quiet": 1, "response": 60}},
        )  # fmt: skip
        if by == "window":
            _window_that_ends_soon(job)
        with job.start("--stop-at-window-end") as running:
            assert running.says("To stop extraction", 60)
            if by == "interrupt":
                _wait_until(lambda: bool(job.stored()))
                running.signal(signal.SIGINT)
            ended = running.wait(90)
        assert ended.code == (4 if by == "window" else 130), ended.text
        assert C_CANCEL in {int.from_bytes(_field(one), "little") for one in tap.commands()}
    came = set(job.stored())
    everything = {replace(s, study=2).sop_uid for s in specs(series=2, instances=10)}
    assert came < everything
    assert came, "what was acknowledged is kept"
    assert job.command("status").out.splitlines()[1].split() == ["1", "pending"]
    job.change("schedule", enabled=False)
    job.change("request", limits={})
    with Wiretap(server.port) as tap:
        job.change("pacs", port=tap.port)
        ended = job.run("--accept-changes")
        asked = b"".join(tap.data_sets())
    assert ended.code == 0, ended.text
    assert set(job.stored()) == everything
    assert [row["Outcome"] for row in job.results()] == ["complete"]
    assert all(uid.encode() in asked for uid in everything - came)
    assert not any(_names(asked, uid) for uid in came), "what is here is not asked for again"
    assert list((job.state / "spool").iterdir()) == []


def test_one_association_serves_one_request_after_the_other(server: Server, tmp_path: Path) -> None:
    rows = [[Spec(study=s).study_uid, Spec(study=s, series=n).series_uid]
            for s in (2, 3) for n in (1, 2)]  # fmt: skip
    with Proxy(server.port, aet=server.aet) as proxy:
        job = Job(
            tmp_path, proxy, free_port(), "c-get", ["QueryRetrieveLevel=SERIES"],
            [["StudyInstanceUID", "SeriesInstanceUID"], *rows], request={"threads": 1},
        )  # fmt: skip
        ended = job.run()
        assert ended.code == 0, ended.text
        assert proxy.connections == 2, "one to look at what will come, one with contexts for it"
    assert len(job.stored()) == 40


@pytest.mark.parametrize("end", [End.RST, End.FIN])
def test_a_connection_that_is_cut_in_the_middle_of_an_instance_is_made_up_for(
    server: Server, tmp_path: Path, end: End
) -> None:
    cut = Fault(after=100_000, end=end)

    def plan(number: int) -> Fault:
        return cut if number < 4 else CLEAN

    with Proxy(server.port, plan, aet=server.aet) as proxy:
        job = get(tmp_path, proxy, STUDIES[1:2], retry={"attempts": 5, "wait": 0.1})
        ended = job.run()
        assert proxy.faults, "nothing was cut"
    assert ended.code == 0, ended.text
    assert len(job.stored()) == 20
    assert [row["Outcome"] for row in job.results()] == ["complete"]
    assert list((job.state / "spool").iterdir()) == []
    assert job.command("verify").code == 0


def test_an_archive_that_falls_silent_in_the_middle_is_left_in_time(
    dcmqrscp: DcmqrscpServer, tmp_path: Path
) -> None:
    def plan(number: int) -> Fault:
        return Fault(after=100_000, end=End.HOLE) if number < 3 else CLEAN

    with Proxy(dcmqrscp.port, plan, aet=dcmqrscp.aet, forgets=1) as proxy:
        job = get(
            tmp_path, proxy, STUDIES[1:2],
            pacs={"timeouts": {"grace": 1, "quiet": 1, "response": 2}},
            retry={"attempts": 5, "wait": 0.1},
        )  # fmt: skip
        begun = time.monotonic()
        ended = job.run()
        assert proxy.faults, "it was never silent"
    assert ended.code == 0, ended.text
    assert 2 < time.monotonic() - begun < 40
    assert len(job.stored()) == 20
    assert [row["Outcome"] for row in job.results()] == ["complete"]


def test_a_receiver_that_is_killed_in_the_middle_of_a_c_get_is_made_up_for(
    server: Server, tmp_path: Path
) -> None:
    job = get(
        tmp_path, server, STUDIES[1:],
        request={"threads": 2, "limits": {"megabytes_per_second": 0.05}},
        retry={"attempts": 20, "wait": 0.1},
    )  # fmt: skip
    kills = 0
    with job.start() as running:
        assert running.says("To stop extraction", 60)
        while running.is_running and kills < 4:
            _wait_until(lambda: len(job.stored()) > 3 * kills or not running.is_running)  # noqa: B023
            for pid in _receivers(running.pid)[:1]:
                os.kill(pid, signal.SIGKILL)
                kills += 1
                time.sleep(0.5)
        ended = running.wait(110)
    assert ended.code == 0, ended.text
    assert kills == 4
    assert_all_of_two_studies_lie_there(job)


def assert_all_of_two_studies_lie_there(job: Job) -> None:
    expected = {replace(spec, study=study).sop_uid
                for study in (2, 3) for spec in specs(series=2, instances=10)}  # fmt: skip
    assert set(job.stored()) == expected
    assert Counter(row["Outcome"] for row in job.results()) == {"complete": 2}
    assert list((job.state / "spool").iterdir()) == []
    assert job.command("verify").code == 0


def _receivers(pid: int) -> list[int]:
    """Return the receiver's processes of a run."""
    children = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it has ended meanwhile
            children += thread.read_text().split()
    return [int(child) for child in children if b"receive.process" in _command(child)]


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _window_that_ends_soon(job: Job) -> None:
    now = datetime.now(UTC)
    end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    if end - now < timedelta(seconds=6):  # time enough to start
        end += timedelta(minutes=1)
    seconds = (end - now).total_seconds()
    # slow enough that it is not through when the window ends
    job.change("request", limits={"megabytes_per_second": 0.13 / seconds})
    start = now - timedelta(hours=1)
    job.change("schedule", enabled=True, timezone="UTC", at_end="cancel",
               start_time=f"{start:%H:%M}", end_time=f"{end:%H:%M}")  # fmt: skip


def _wait_until(is_so: Callable[[], bool], limit: float = 60) -> None:
    deadline = time.monotonic() + limit
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_so()


def _field(command: bytes) -> bytes:
    """Return the Command Field of a command set (PS3.7 E.1: Implicit VR Little Endian)."""
    place = command.index(b"\x00\x00\x00\x01\x02\x00\x00\x00")
    return command[place + 8 : place + 10]


def _names(identifiers: bytes, uid: str) -> bool:
    """Tell whether a UID is there as a whole, and not as the beginning of another one."""
    return re.search(re.escape(uid.encode()) + rb"(?![0-9.])", identifiers) is not None
