"""All an anonymizer is compiled from; unlike the compiled one it travels between processes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydicombatch.core.errors import ConfigError, Finding
from pydicombatch.process.anonymize.pseudonyms import Pseudonyms

if TYPE_CHECKING:
    from pydicombatch.process.anonymize.anonymizer import Anonymizer


@dataclass(frozen=True)
class Recipe:
    """Paths and settings of one anonymizer.

    `options` are those of the basic profile of PS3.15, None where no profile is used; `key` is
    what its pseudonyms are made with.
    """

    script: Path | None = None
    lookup_table: Path | None = None
    mode: str = "strict"
    parameters: Mapping[str, str] = field(default_factory=dict)
    elements: Mapping[str, str] = field(default_factory=dict)
    pixel_script: Path | None = None
    decompress: bool = False
    pixel_test: bool = False
    pixel_risk: str | None = None
    options: tuple[str, ...] | None = None
    key: Pseudonyms | None = field(default=None, repr=False)
    mapping_file: Path | None = None

    def warnings(self) -> tuple[Finding, ...]:
        """Compile without any effect, and return what deserves a look in the script.

        Raises
        ------
        ConfigError
            With everything that is wrong in script, tables, options or key.
        """
        plan = replace(self, mapping_file=None).compile().plan
        return plan.warnings if self.script else ()

    def compile(self) -> "Anonymizer":
        """Make the anonymizer.

        Raises
        ------
        ConfigError
            With everything that is wrong in script, tables, options or key.
        """
        # They take long to import, and most runs anonymize nothing
        from pydicombatch.process.anonymize.anonymizer import Anonymizer  # noqa: PLC0415
        from pydicombatch.process.anonymize.mapping import MappingFile  # noqa: PLC0415
        from pydicombatch.process.anonymize.profile import Profile  # noqa: PLC0415

        profile = None
        if self.options is not None:
            if self.key is None:
                raise ConfigError.of("The profile has no key for its pseudonyms", "Name a key file")
            profile = Profile.basic(self.options, self.key)
        return Anonymizer.from_script(
            self.script,
            lookup_table=self.lookup_table,
            mode=self.mode,
            parameters=self.parameters,
            elements=self.elements,
            pixel_script=self.pixel_script,
            decompress=self.decompress,
            pixel_test=self.pixel_test,
            pixel_risk=self.pixel_risk,
            profile=profile,
            mapping=MappingFile(self.mapping_file) if self.mapping_file else None,
        )
