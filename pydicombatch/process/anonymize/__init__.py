"""De-identification: the Java tool's script language, pixel scripts, and the PS3.15 profile."""
