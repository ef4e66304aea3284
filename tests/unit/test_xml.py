"""XML has no DTD here, wherever it comes from (fault S09)."""

import ast
import zipfile
from pathlib import Path

import openpyxl
import pytest

import pydicombatch
from pydicombatch.core.errors import ConfigError
from pydicombatch.plan.batch_file import open_batch

PARSERS = {"fromstring", "parse", "iterparse", "XML", "XMLParser"}
BOMB = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;">]>'


def test_no_module_parses_xml_without_defusedxml() -> None:
    """S09."""
    offenders = []
    for path in Path(pydicombatch.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        imported = {
            alias.name
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xml")
            for alias in node.names
        }
        if imported & PARSERS and "DefusedXMLParser" not in text:
            offenders.append(path.name)
        if "import xml" in text or "lxml" in text:
            offenders.append(path.name)
    assert not offenders


def test_a_workbook_with_a_dtd_is_refused(tmp_path: Path) -> None:
    """S09: openpyxl parses with defusedxml, too."""
    book = openpyxl.Workbook()
    sheet = book.create_sheet(index=0)
    sheet.append(["PatientID"])
    sheet.append(["P1"])
    book.save(tmp_path / "good.xlsx")
    with (
        zipfile.ZipFile(tmp_path / "good.xlsx") as good,
        zipfile.ZipFile(tmp_path / "bad.xlsx", "w") as bad,
    ):
        for name in good.namelist():
            data = good.read(name)
            if name.startswith("xl/worksheets/sheet"):
                data = BOMB + data[data.index(b"?>") + 2 if data.startswith(b"<?xml") else 0 :]
            bad.writestr(name, data)
    assert list(open_batch(tmp_path / "good.xlsx").rows())
    with pytest.raises(ConfigError, match="no workbook"):
        list(open_batch(tmp_path / "bad.xlsx").rows())
