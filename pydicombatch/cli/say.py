"""What a command tells its operator: no value of the environment, no control characters."""

import click

from pydicombatch.core.log import printable
from pydicombatch.core.secrets import conceal


def say(text: object, *, err: bool = False) -> None:
    """Print lines of a message; what they quote cannot steer a terminal."""
    for line in conceal(str(text)).split("\n"):
        click.echo(printable(line), err=err)
