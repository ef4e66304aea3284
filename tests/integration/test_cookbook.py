"""Every recipe of the cookbook, cooked."""

import csv
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.conftest import DcmqrscpFactory, OrthancFactory
from tests.integration.test_readme import INSTANCES, Reader, follow
from tests.support.instances import to_bytes
from tests.support.markdown import COOKBOOK, blocks
from tests.support.ports import free_port
from tests.support.storage import StorageServer

OLD = "port: 11112"  # of the archive of the eighth recipe


@pytest.fixture(scope="module")
def cook(
    start_orthanc: OrthancFactory,
    start_dcmqrscp: DcmqrscpFactory,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Reader, StorageServer]:
    """Somebody who has followed all of it."""
    port, folder = free_port(), tmp_path_factory.mktemp("cook")
    with StorageServer("WORKSTATION") as workstation:
        orthanc = start_orthanc([("SAMPLE_AE", port), ("WORKSTATION", workstation.port)])
        orthanc.load(to_bytes(one) for one in INSTANCES)
        old = start_dcmqrscp([("SAMPLE_AE", port)])
        old.load(to_bytes(one) for one in INSTANCES if one.PatientID == "DEMO-0002")
        someone = Reader(folder, orthanc.port, port)
        for block in blocks(COOKBOOK):
            if block.kind == "file":
                someone.write(block)
        elsewhere = folder / "old.yml"
        text = elsewhere.read_text().replace(OLD, f"port: {old.port}")
        elsewhere.write_text(text.replace("aet: DCMQRSCP", f"aet: {old.aet}"))
        for block in blocks(COOKBOOK):
            if block.kind == "run":
                _follow(someone, block)
    return someone, workstation


def _follow(someone: Reader, block: object) -> None:
    """Run a recipe; the one for the night twice, for at daytime it has to end with work left."""
    night = someone.folder / "night.yml"
    if "night.yml" in block.text:  # type: ignore[attr-defined]
        assert someone.run("python choose.py")[0] == 0
        code, printed = someone.run("pydicombatch night.yml --stop-at-window-end")
        assert code in {0, 4}, printed
        night.write_text(night.read_text().replace("enabled: true", "enabled: false"))
    follow(someone, block)  # type: ignore[arg-type]


def stored(someone: Reader, name: str) -> list[Path]:
    return sorted((someone.folder / "cookbook" / name).rglob("*.dcm"))


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_lists_say_what_the_archive_holds(cook: tuple[Reader, StorageServer]) -> None:
    book = cook[0].folder / "cookbook"
    assert len(rows(book / "studies" / "studies.csv")) == 3
    dates = {row["StudyDate"] for row in rows(book / "period" / "library.csv")}
    assert dates
    assert all("20240101" <= one <= "20240331" for one in dates)
    assert {row["Modality"] for row in rows(book / "series" / "library.csv")} == {"CT"}


def test_the_images_are_where_the_recipes_put_them(cook: tuple[Reader, StorageServer]) -> None:
    someone, _ = cook
    assert len(stored(someone, "patients")) == 40
    flat = stored(someone, "flat")
    assert len(flat) == 24
    assert {file.parent.name for file in flat} == {"CT"}
    assert not any(dcmread(file).file_meta.TransferSyntaxUID.is_compressed for file in flat)
    assert len(stored(someone, "old")) == 16
    carried = rows(someone.folder / "cookbook" / "night" / "database.csv")
    assert [row["Subject"] for row in carried] == [f"S-{n:03}" for n in range(1, len(carried) + 1)]
    assert sum(int(row["Stored"]) for row in carried) == len(stored(someone, "night")) > 0


def test_what_is_anonymized_names_nobody(cook: tuple[Reader, StorageServer]) -> None:
    files = stored(cook[0], "anonymous")
    assert len(files) == 40
    assert not any(b"DEMO-000" in file.read_bytes() or "DEMO" in str(file) for file in files)


def test_the_workstation_got_what_was_meant_for_it(cook: tuple[Reader, StorageServer]) -> None:
    someone, workstation = cook
    assert len(set(workstation.uids())) == 24
    assert stored(someone, "elsewhere") == []
