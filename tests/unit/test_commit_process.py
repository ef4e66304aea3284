import hashlib
import struct
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from pydicombatch.core.errors import FatalError
from pydicombatch.core.file_meta import file_meta
from pydicombatch.core.header import of_file
from pydicombatch.core.model import Arrival, Known, Quarantined, Stored
from pydicombatch.process.decompress import decompress as decoded
from pydicombatch.process.local import LocalProcessor
from pydicombatch.receive.spool import Spool
from pydicombatch.store.commit import Store
from pydicombatch.store.layout import Layout
from pydicombatch.store.quarantine import Quarantine
from tests.support.fakes import carried_out
from tests.support.instances import Spec, dataset, file, to_bytes

DEFLATED = "1.2.840.10008.1.2.1.99"
DEFAULT = Layout(("PatientID", "StudyInstanceUID", "SeriesInstanceUID"), "SOPInstanceUID")


class House:
    """Spool, output and quarantine below one directory."""

    def __init__(self, root: Path, layout: Layout = DEFAULT, *, decompress: bool = False) -> None:
        self.root = root
        self.spool = Spool(root / "spool")
        self.spool.prepare()
        store = Store(root / "out", root / "out/.work")
        store.prepare()
        quarantine = Quarantine(root / "quarantine")
        quarantine.prepare()
        self.processor = LocalProcessor(
            self.spool, store, layout, quarantine, decoded if decompress else None
        )

    def arrive(self, content: bytes) -> Arrival:
        """Put a file into the spool as the receiver would."""
        name = self.spool.write("r1", (4,), [content])
        return next(one for one in self.spool.leftovers() if one.file == name)

    def store(self, content: bytes, known: Known | None = None) -> Stored:
        done = carried_out(self.processor, self.arrive(content), known)
        assert isinstance(done, Stored)
        return done

    def final(self, one: Stored) -> bytes:
        return (self.root / "out" / one.path).read_bytes()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def known(one: Stored) -> Known:
    return Known(one.path, one.sha256)


def test_an_instance_lands_by_its_template_with_size_and_digest(house: House) -> None:
    spec = Spec(patient=2)
    stored = house.store(file(spec))
    assert stored.path == f"P00002/{spec.study_uid}/{spec.series_uid}/{spec.sop_uid}.dcm"
    assert house.final(stored) == file(spec)
    assert stored.sha256 == hashlib.sha256(file(spec)).hexdigest()
    assert stored.size == len(file(spec))
    assert (stored.collided, stored.duplicate, stored.aside) == (False, False, "")


def test_the_spool_file_stays_until_it_is_discarded(house: House) -> None:
    stored = house.store(file(Spec()))
    assert house.spool.leftovers() == [stored.arrival]
    house.processor.discard(stored.arrival)
    house.processor.discard(stored.arrival)
    assert house.spool.leftovers() == []
    assert house.final(stored) == file(Spec())


def test_any_element_makes_a_path(tmp_path: Path) -> None:
    layout = Layout(
        ("PatientName", "ProcedureCodeSequence[0].CodeMeaning", "(0008,0060)", "Rows"),
        "InstanceNumber",
    )
    house = House(tmp_path, layout)
    stored = house.store(file(Spec(patient_name="Müller^Jörg", instance=7)))
    assert stored.path == "Müller^Jörg/Computed tomography/CT/16/7.dcm"


def test_the_same_instance_again_is_a_duplicate(house: House) -> None:
    first = house.store(file(Spec()))
    again = house.store(file(Spec()), known(first))
    assert again.duplicate
    assert again.aside == ""
    assert (again.path, again.size, again.sha256) == (first.path, first.size, first.sha256)


def test_other_content_under_a_known_uid_is_put_aside_and_replaces_nothing(house: House) -> None:
    """F09, S02."""
    first = house.store(file(Spec()))
    changed = dataset(Spec())
    changed.StudyDescription = "changed later"
    again = house.store(to_bytes(changed), known(first))
    assert again.duplicate
    assert (house.root / "quarantine" / again.aside).read_bytes() == to_bytes(changed)
    assert house.final(first) == file(Spec())
    assert (again.path, again.sha256) == (first.path, first.sha256)


def test_an_instance_whose_file_was_moved_away_is_stored_again(house: House) -> None:
    first = house.store(file(Spec()))
    (house.root / "out" / first.path).unlink()
    again = house.store(file(Spec()), known(first))
    assert not again.duplicate
    assert house.final(again) == file(Spec())


def test_a_crash_before_the_ledger_knew_changes_nothing(house: House) -> None:
    arrival = house.arrive(file(Spec()))
    first = carried_out(house.processor, arrival, None)
    assert carried_out(house.processor, arrival, None) == first


def test_two_series_numbered_alike_both_stay(tmp_path: Path) -> None:
    """F14."""
    house = House(tmp_path, Layout(("PatientID", "StudyInstanceUID"), "InstanceNumber"))
    one, other = Spec(series=1), Spec(series=2)
    first, second = house.store(file(one)), house.store(file(other))
    assert (first.collided, second.collided) == (False, True)
    assert house.final(first) == file(one)
    assert house.final(second) == file(other)


def test_what_cannot_be_read_is_quarantined(house: House) -> None:
    done = carried_out(house.processor, house.arrive(b"\0" * 400), None)
    assert isinstance(done, Quarantined)
    assert done.reason == "The instance cannot be read"
    assert (house.root / "quarantine" / done.file).read_bytes() == b"\0" * 400
    assert not any(path.is_file() for path in (house.root / "out").rglob("*"))


def test_decompressed_instances_are_stored_and_digested_as_they_lie_there(tmp_path: Path) -> None:
    house = House(tmp_path, decompress=True)
    stored = house.store(file(Spec(), "rle"))
    content = house.final(stored)
    assert stored.sha256 == hashlib.sha256(content).hexdigest()
    assert stored.size == len(content)
    read = dcmread(BytesIO(content))
    assert read.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert read.PixelData == dcmread(BytesIO(file(Spec()))).PixelData
    assert list((tmp_path / "out/.work").iterdir()) == []
    again = house.store(file(Spec(), "rle"), known(stored))
    assert (again.duplicate, again.aside) == (True, "")


def test_a_damaged_picture_is_stored_as_it_was_received(tmp_path: Path) -> None:
    house = House(tmp_path, decompress=True)
    raw = bytearray(file(Spec(), "jpeg-lossless"))
    raw[-60:-20] = bytes(40)
    stored = house.store(bytes(raw))
    assert dcmread(BytesIO(house.final(stored))).SOPInstanceUID == Spec().sop_uid
    assert list((tmp_path / "out/.work").iterdir()) == []


def test_a_spool_file_that_is_gone_stops_the_run_without_naming_it(house: House) -> None:
    arrival = house.arrive(file(Spec()))
    house.processor.discard(arrival)
    with pytest.raises(FatalError) as caught:
        carried_out(house.processor, replace(arrival), None)
    assert "P00001" not in str(caught.value)
    assert Spec().sop_uid not in str(caught.value)


def test_a_deflated_bomb_is_placed_by_its_beginning_and_stored_as_received(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, Layout(("Modality",), "InstanceNumber"))
    raw = file(Spec(instance=3))
    bomb = struct.pack("<HH2sHI", 0x7FE1, 0x10, b"OB", 0, 40 << 20) + bytes(40 << 20)
    engine = zlib.compressobj(wbits=-15)
    packed = engine.compress(raw[of_file(raw).start :] + bomb) + engine.flush()
    meta = file_meta("1.2.840.10008.5.1.4.1.1.2", Spec(instance=3).sop_uid, DEFLATED)
    stored = house.store(meta + packed)
    assert stored.path == "CT/3.dcm"
    assert house.final(stored) == meta + packed


def test_f15_two_patients_with_one_patient_id_are_never_merged(tmp_path: Path) -> None:
    """Their issuers differ, their folder and file names do not: both stay, and that is said."""
    house = House(tmp_path, Layout(("PatientID",), "InstanceNumber"))
    both = []
    for issuer, patient in (("NORTH", 1), ("SOUTH", 2)):
        ds = dataset(Spec(patient))
        ds.PatientID, ds.IssuerOfPatientID = "4711", issuer
        both.append(house.store(to_bytes(ds)))
    first, second = both
    assert first.path == "4711/1.dcm"
    assert (first.collided, second.collided) == (False, True)
    assert second.path.startswith("4711/1~")
    issuers = [dcmread(BytesIO(house.final(one))).IssuerOfPatientID for one in both]
    assert issuers == ["NORTH", "SOUTH"]


def test_f15_by_default_studies_have_folders_of_their_own(house: House) -> None:
    assert "StudyInstanceUID" in DEFAULT.paths
    same = [dataset(Spec(1)), dataset(Spec(2))]
    for ds in same:
        ds.PatientID = "4711"
    paths = [house.store(to_bytes(ds)).path.split("/") for ds in same]
    assert paths[0][0] == paths[1][0] == "4711"
    assert paths[0][1] != paths[1][1]
