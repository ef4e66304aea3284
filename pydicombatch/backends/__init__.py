"""The protocols an archive is asked by, one package each, behind `core.ports`."""
