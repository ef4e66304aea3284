"""C-ECHO, C-FIND and C-MOVE over a DICOM association that stays open between requests."""

from pydicombatch.backends.dimse.archive import DimseArchive
from pydicombatch.backends.dimse.peer import Peer, Timeouts
from pydicombatch.backends.dimse.quiet import silence_libraries

__all__ = ["DimseArchive", "Peer", "Timeouts", "silence_libraries"]
