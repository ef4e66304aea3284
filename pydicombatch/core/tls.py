"""The BCP 195 profile of DICOM TLS (PS3.15 B.12, RFC 9325): 1.2 with ECDHE and AEAD, and 1.3."""

import ssl

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def restrict(context: ssl.SSLContext) -> None:
    """Allow a context nothing weaker than the profile."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
