"""A configuration file to a `Config`; all its errors at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from pydicombatch.config.doubts import doubts
from pydicombatch.config.excerpt import Spot
from pydicombatch.config.findings import findings
from pydicombatch.config.keys import take_key
from pydicombatch.config.models import Config
from pydicombatch.config.retired import retire
from pydicombatch.config.source import Source, dotted
from pydicombatch.config.text import LARGEST, Node, Tree, read_text
from pydicombatch.core.errors import ConfigError, Finding
from pydicombatch.core.secrets import remember


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and what is worth saying about it."""

    config: Config
    warnings: tuple[Finding, ...] = ()
    source: Source = field(default_factory=Source)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)  # of the environment

    @property
    def file(self) -> str:
        """The file it was read from, "" for none."""
        return self.source.file

    @property
    def lines(self) -> Mapping[str, int]:
        """The line of each dotted key, from 1."""
        return {dotted(path): spot.line for path, spot in self.source.keys.items()}


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Read a configuration file and make sure that the files it names for anonymizing exist.

    Parameters
    ----------
    path
        The YAML file, in UTF-8.
    environ
        Where `${NAME}` takes its values from.

    Raises
    ------
    ConfigError
        If anything is wrong; every finding has its line and a remedy.
    """
    loaded = read(path, environ)
    missing = tuple(_missing_files(loaded))
    if missing:
        raise ConfigError(*missing)
    return loaded


def read(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Read a configuration file; none of the files that it names needs to be there.

    Raises
    ------
    ConfigError
        If anything is wrong; every finding has its line and a remedy.
    """
    loaded = parse(content(path), str(path), environ)
    for name, value in loaded.variables.items():
        remember(name, value)
    return loaded


def parse(text: str, file: str, environ: Mapping[str, str]) -> Loaded:
    """Make a configuration of YAML text. Pure: no file is looked at.

    Raises
    ------
    ConfigError
        If anything is wrong; every finding has its line and a remedy.
    """
    tree = read_text(text.removeprefix("\ufeff"), file, environ)
    document, warnings = retire(tree)
    tree.findings += _without_condition(tree, document)
    document = take_key(document, tree)
    try:
        config = Config.model_validate(document)
    except ValidationError as exc:
        raise ConfigError(*_in_order([*tree.findings, *findings(exc, tree)])) from None
    tree.findings.extend(_plain_secrets(config, tree))
    if tree.findings:
        raise ConfigError(*_in_order(tree.findings))
    return Loaded(config, (*warnings, *doubts(config, tree)), tree.source, tree.variables)


def _without_condition(tree: Tree, document: Mapping[str, Node]) -> list[Finding]:
    """Find elements of `select.where` without a condition: left out, they would widen it.

    So would a `select` that is empty.
    """
    found = []
    for path in tree.source.keys:
        widens = path == ("select",) or path[:2] == ("select", "where")
        if not widens or _at(document, path) is not None:
            continue
        problem = f"{dotted(path)} has no condition"
        remedy = "Write what its value must be, or remove the line"
        found.append(tree.source.finding(path, problem, remedy, at_key=True))
    return found


def _at(document: Node | Mapping[str, Node], path: tuple[str | int, ...]) -> object:
    here: object = document
    for step in path:
        if isinstance(here, Mapping):
            here = here.get(step)
        elif isinstance(here, list) and isinstance(step, int):
            here = here[step]
        else:
            return None
    return here


def content(path: Path) -> str:
    """Return the text of a configuration file.

    Raises
    ------
    ConfigError
        If it cannot be read or is not UTF-8.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(4 * LARGEST)
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        spot = Spot(exc.object.count(b"\n", 0, exc.start) + 1)
        source = Source(file, tuple(raw.decode("utf-8", "replace").split("\n")))
        finding = source.at(spot, "The configuration is not UTF-8 text", "Save it as UTF-8")
        raise ConfigError(finding) from None
    except FileNotFoundError as exc:
        raise ConfigError.of(
            "The configuration file does not exist", "Check its name and folder", file
        ) from exc
    except (OSError, ValueError) as exc:
        raise ConfigError.of(
            f"The configuration file cannot be read ({type(exc).__name__})",
            "Name a readable file",
            file,
        ) from exc


def _in_order(found: list[Finding]) -> list[Finding]:
    return sorted(dict.fromkeys(found), key=lambda one: one.line)


def _plain_secrets(config: Config, tree: Tree) -> list[Finding]:
    """Refuse a password that stands in the file itself."""
    key = ("notify", "email", "password")
    email = config.notify.email
    if email is None or email.password is None or key in tree.filled:
        return []
    problem = "notify.email.password is written in the file"
    remedy = "Write ${SMTP_PASSWORD} in its place, and set that variable of the environment"
    return [tree.source.finding(key, problem, remedy, at_key=True)]


def _missing_files(loaded: Loaded) -> list[Finding]:
    section = loaded.config.anonymization
    named: dict[str, Path | None] = {}
    if section.enabled:
        keys = ("script", "lookup_table", "pixel_script", "key_file")
        named |= {f"anonymization.{key}": getattr(section, key) for key in keys}
    for side, tls in (("pacs", loaded.config.pacs.tls), ("local", loaded.config.local.tls)):
        if tls is not None:
            named |= {f"{side}.tls.{key}": getattr(tls, key) for key in ("ca", "cert", "key")}
    return [
        loaded.source.finding(
            tuple(key.split(".")),
            f"{key} names a file that does not exist: {path}",
            "Correct the path; it is relative to the folder in which you start the program",
        )
        for key, path in named.items()
        if path is not None and not path.is_file()
    ]
