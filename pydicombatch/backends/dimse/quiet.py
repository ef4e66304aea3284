"""Keeps pydicom and pynetdicom from writing anything: they print values of data sets."""

import logging
import warnings

from pynetdicom import _config

LIBRARIES = ("pydicom", "pynetdicom")
CALLERS = r"(py(net)?dicom(batch)?|threading|concurrent)(\.|$)"  # at the bottom of a worker


def silence_libraries() -> None:
    """Turn off logs and warnings of the DICOM libraries, in the whole process; idempotent.

    Their warnings quote the value they complain about, and are raised so deep that the module
    they are attributed to is now theirs, now ours.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.CODECS = ("ascii", "utf-8", "latin-1")  # AE titles and version names of peers
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False
    warnings.filterwarnings("ignore", module=CALLERS)
