"""Text of the few values that name an instance, decoded without pydicom, which costs 50 MB.

Says what `core.values.decode` says for LO, SH and UI, or nothing.
"""

from collections.abc import Sequence

from pydicombatch.core.escapes import told_apart, without_nul

_DEFAULT = "iso8859"
CODECS = {  # Defined Terms of PS3.3 C.12.1.1.2 with Python's codec for them
    "": _DEFAULT,
    "ISO_IR 6": _DEFAULT,
    "ISO_IR 13": "shift_jis",
    "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso_ir_126",
    "ISO_IR 127": "iso_ir_127",
    "ISO_IR 138": "iso_ir_138",
    "ISO_IR 144": "iso_ir_144",
    "ISO_IR 148": "iso_ir_148",
    "ISO_IR 166": "iso_ir_166",
    "ISO_IR 192": "UTF8",
    "ISO 2022 IR 6": _DEFAULT,
    "ISO 2022 IR 13": "shift_jis",
    "ISO 2022 IR 87": "iso2022_jp",
    "ISO 2022 IR 100": "latin_1",
    "ISO 2022 IR 101": "iso8859_2",
    "ISO 2022 IR 109": "iso8859_3",
    "ISO 2022 IR 110": "iso8859_4",
    "ISO 2022 IR 126": "iso_ir_126",
    "ISO 2022 IR 127": "iso_ir_127",
    "ISO 2022 IR 138": "iso_ir_138",
    "ISO 2022 IR 144": "iso_ir_144",
    "ISO 2022 IR 148": "iso_ir_148",
    "ISO 2022 IR 149": "euc_kr",
    "ISO 2022 IR 159": "iso2022_jp_2",
    "ISO 2022 IR 166": "iso_ir_166",
    "ISO 2022 IR 58": "iso_ir_58",
    "ISO 2022 58": "GB2312",  # two that the standard does not have, and scanners do
    "ISO 2022 GBK": "GBK",
    "GB18030": "GB18030",
    "GBK": "GBK",
}
_ESCAPE = b"\x1b"


def decode(raw: bytes, character_set: bytes, *, local: bool) -> str | None:
    """Turn the bytes of a value into text, padding removed; None where codes are switched in it.

    Parameters
    ----------
    raw
        The value field.
    character_set
        The value of Specific Character Set (0008,0005).
    local
        Whether that applies: to LO and SH it does, to UI it does not.
    """
    if raw.isascii() and _ESCAPE not in raw:
        return _stripped(told_apart(raw.decode("ascii")))
    names = _names(character_set) if local else []
    if len(names) > 1 and _ESCAPE in raw:
        return None
    return _stripped(_first([*(CODECS[name] for name in names[:1]), "utf-8"], raw))


def _names(character_set: bytes) -> list[str]:
    """Keep terms that mean something; the default repertoire alone says nothing above 0x7F."""
    terms = character_set.decode("latin-1").split("\\")
    spelled = [term.strip(" \0").upper().replace("ISO-IR", "ISO_IR") for term in terms]
    kept = [term for term in spelled if term in CODECS]
    return kept if len(kept) > 1 or (kept and kept[0] not in {"", "ISO_IR 6"}) else []


def _first(codecs: Sequence[str], raw: bytes) -> str:
    for codec in codecs:
        try:
            return told_apart(raw.decode(codec))
        except UnicodeError:
            continue
    return told_apart(raw.decode("latin-1")).encode("latin-1").decode("ascii", "backslashreplace")


def _stripped(text: str) -> str:
    parts = "\\".join(part.strip(" \0") for part in text.split("\\"))
    return without_nul(parts.strip(" \0"))
