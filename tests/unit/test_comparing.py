from pathlib import Path

from pydicombatch.process.comparing import Change, changes, table
from tests.support.instances import Spec, dataset, encoded


def test_every_element_has_its_fate_in_sequences_and_private_groups_too(tmp_path: Path) -> None:
    before, after = dataset(Spec()), dataset(Spec())
    before.private_block(0x0011, "SYNTHETIC", create=True).add_new(1, "LO", "x")
    after.PatientName, after.AccessionNumber = "Other", ""
    after.ProcedureCodeSequence[0].CodeValue = "1"
    del after.StudyDescription
    after.PatientIdentityRemoved = "YES"
    for encoding in ("explicit", "implicit", "big-endian"):
        (tmp_path / "a").write_bytes(encoded(before, encoding))
        (tmp_path / "b").write_bytes(encoded(after, encoding))
        found = changes(tmp_path / "a", tmp_path / "b")
        assert found["(0010,0010) PatientName"] is Change.CHANGED
        assert found["(0008,0050) AccessionNumber"] is Change.EMPTIED
        assert found["(0008,1030) StudyDescription"] is Change.REMOVED
        assert found["(0012,0062) PatientIdentityRemoved"] is Change.ADDED
        assert found["(0010,0020) PatientID"] is Change.KEPT
        inside = "(0008,1032) ProcedureCodeSequence > (0008,0100) CodeValue"
        assert found[inside] is Change.CHANGED
        assert found["(0011,1001)"] is found["(0011,0010)"] is Change.REMOVED
        rest = {change for name, change in found.items() if "0028," in name}
        assert rest == {Change.KEPT}


def test_counts_are_summed_in_the_order_of_the_tags() -> None:
    found = [{"b": Change.KEPT, "a": Change.REMOVED}, {"b": Change.KEPT}]
    rows = list(table(found))
    assert [row.element for row in rows] == ["a", "b"]
    assert [dict(row.counts) for row in rows] == [{Change.REMOVED: 1}, {Change.KEPT: 2}]
