"""How images are anonymized, and how long what is identified stays."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from pydicombatch.config.section import Section
from pydicombatch.config.types import FilePath, Kind, listed, lowered, wrong

# PS3.15 E.3, by the names of the columns of its table
OptionName = Literal[
    "retain_safe_private",
    "retain_uids",
    "retain_device",
    "retain_institution",
    "retain_patient_chars",
    "retain_long_full_dates",
    "retain_long_modified_dates",
    "clean_desc",
    "clean_struct",
    "clean_graph",
]
QUARANTINE_DAYS = 30.0
Share = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), Kind("percent")]
Days = Annotated[float, Field(ge=0, allow_inf_nan=False), Kind("days")]


class Anonymization(Section):
    """How images are anonymized before they are stored."""

    enabled: bool = Field(default=False, description="true: store anonymized images only")
    script: FilePath | None = Field(
        default=None, description="anonymizer script of RSNA CTP; applied after the profile"
    )
    lookup_table: FilePath | None = Field(default=None, description="lookup table of the script")
    mode: Annotated[Literal["strict", "compatible"], BeforeValidator(lowered)] = Field(
        default="strict",
        description="`strict` sets aside what could leak; `compatible` does as the Java tool does",
    )
    profile: Annotated[Literal["basic"] | None, BeforeValidator(lowered)] = Field(
        default=None, description="the basic profile of PS3.15 Annex E; then no script is needed"
    )
    options: Annotated[tuple[OptionName, ...], BeforeValidator(listed(","))] = Field(
        default=(), description="options of the profile"
    )
    pixel_script: FilePath | None = Field(
        default=None, description="regions of images to blank, in the language of RSNA CTP"
    )
    pixel_risk: Annotated[Literal["quarantine", "allow"] | None, BeforeValidator(lowered)] = Field(
        default=None,
        description="images that usually have text burned in and that no pixel rule covers; "
        "`quarantine` in strict mode, `allow` in compatible mode if not given",
    )
    key_file: FilePath | None = Field(
        default=None,
        description="key of the profile's pseudonyms, a file of mode 0600 or `${NAME}`; one is "
        "made in the state directory if not given",
    )
    key: Annotated[str, Kind("text")] = Field(
        default="", repr=False, description="the key itself, which must come from `${NAME}`"
    )
    mapping_file: FilePath | None = Field(
        default=None, description="CSV of old and new patient and study identifiers"
    )
    quarantine_limit: Share = Field(
        default=5.0,
        description="a run stops when more than this share of its first 100 instances is "
        "quarantined",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> "Anonymization":
        if self.enabled and self.script is None and self.profile is None:
            raise wrong(
                "is enabled but has no script and no profile",
                "Name the anonymizer script under script, or set profile to basic",
            )
        if self.options and self.profile is None:
            raise wrong("has options but no profile", "Set profile to basic")
        if self.key and self.key_file is not None:
            raise wrong("has a key and a key_file", "Keep one of them")
        return self


class Retention(Section):
    """How long what is identified stays in the state directory."""

    quarantine_days: Days | None = Field(
        default=None,
        description="quarantined instances older than this are removed at the start of a run; 30 "
        "if not given and images are anonymized, else they stay",
    )
