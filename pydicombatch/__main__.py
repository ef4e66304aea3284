"""`python -m pydicombatch` and the `pydicombatch` command."""

from pydicombatch.cli import commands


def main() -> None:
    """Run the command line; exits with the code of what happened."""
    commands(prog_name="pydicombatch")


if __name__ == "__main__":
    main()
