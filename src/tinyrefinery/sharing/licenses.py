"""Licenses as they are stated: by a person, by timm, or by a bill of materials. None is guessed."""

from dataclasses import dataclass

UNKNOWN = "unknown"
"""What cards and bills of materials write where nobody stated a license."""
SPDX = (
    *("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Unlicense", "Zlib", "BSL-1.0"),
    *("GPL-2.0-only", "GPL-3.0-only", "GPL-3.0-or-later", "LGPL-3.0-only", "AGPL-3.0-only"),
    *("MPL-2.0", "EPL-2.0", "EUPL-1.2", "CC0-1.0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0"),
    *("CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0"),
    *("CC-BY-ND-4.0", "CC-BY-NC-SA-2.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0"),
    *("CC-BY-NC-ND-3.0", "CC-BY-NC-ND-4.0", "ODbL-1.0", "PDDL-1.0", "CDLA-Permissive-2.0"),
)
"""Names of the SPDX list that networks and image sets use most. Others are kept as text."""
_HUB = {
    "GPL-2.0-only": "gpl-2.0",
    "GPL-3.0-only": "gpl-3.0",
    "GPL-3.0-or-later": "gpl-3.0",
    "LGPL-3.0-only": "lgpl-3.0",
    "AGPL-3.0-only": "agpl-3.0",
    "ODbL-1.0": "odbl",
    "PDDL-1.0": "pddl",
}
"""The Hugging Face Hub's names where they are not SPDX's in lower case."""
_NOT_ON_HUB = {"CC-BY-NC-ND-3.0"}
_BY_NAME = {name.lower(): name for name in SPDX} | {"odbl": "ODbL-1.0", "pddl": "PDDL-1.0"}


@dataclass(frozen=True)
class License:
    """A license, and who stated it."""

    name: str = ""
    """Empty where nobody stated one."""
    by: str = ""
    """Who stated it, e.g. `--license` or `timm`."""

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self.name)

    def __str__(self) -> str:
        return self.spdx or self.name or UNKNOWN

    @property
    def spdx(self) -> str:
        """Its name in SPDX's list; empty where that is not known."""
        return _BY_NAME.get(self.name.strip().lower(), "")

    @property
    def hub(self) -> str:
        """Its name on the Hugging Face Hub; empty where the Hub has none."""
        spdx, name = self.spdx, self.name.strip().lower()
        if name in _HUB.values():  # "gpl-3.0" was removed from the list of SPDX
            return name
        return "" if spdx in _NOT_ON_HUB else _HUB.get(spdx, spdx.lower())


NOBODYS = License()
"""Where nobody stated a license."""


def timm_license(name: str) -> License:
    """The license that timm states of pretrained weights, `timm:NAME`; empty where it states none.

    timm writes "other" and the like where the license has a text of its own. That is kept.
    """
    import timm

    config = timm.get_pretrained_cfg(name.removeprefix("timm:"))
    stated = getattr(config, "license", None)
    return License(str(stated), "timm") if stated else License()
