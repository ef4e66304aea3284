"""The DICOM Upper Layer protocol of PS3.8 as a pure state machine; no socket, no clock."""
