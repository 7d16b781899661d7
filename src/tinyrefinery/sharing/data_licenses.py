"""Licenses of all data behind a network: each set of images once, whichever record states it."""

from dataclasses import dataclass

from tinyrefinery.sharing.card_facts import CardFacts
from tinyrefinery.sharing.licenses import License

DIGITS = 16
"""Of a dataset's digest, as runs keep it."""


@dataclass(frozen=True)
class DataLicense:
    """The license of one set of images."""

    digest: str
    """First digits of the manifest's digest; empty where the images are not known."""
    name: str
    """For people."""
    license: License


def data_licenses(facts: CardFacts) -> list[DataLicense]:
    """The network's own data first, then the data of the networks behind it."""
    own = facts.data.digest[:DIGITS] if facts.data else ""
    stated = {own: facts.data_license} if own and facts.data_license else {}
    for each in facts.ancestors:
        if each.data and each.data_license:
            stated.setdefault(each.data[:DIGITS], each.data_license)
    name = f"its data, {facts.data.name}" if facts.data else "its data"
    found = [DataLicense(own, name, stated.get(own, facts.data_license))]
    users: dict[str, list[str]] = {}
    for each in facts.ancestors:
        # Unknown images of two networks may differ, so each has a line of its own.
        users.setdefault(each.data[:DIGITS] or each.ref, []).append(each.name)
    refs = {each.ref: each for each in facts.ancestors if not each.data}
    for key, names in users.items():
        if not own or key != own:
            unknown = refs.get(key)
            license = stated.get(key, License()) if unknown is None else unknown.data_license
            listed = ", ".join(dict.fromkeys(names))
            digest = key if unknown is None else ""
            found.append(DataLicense(digest, f"data of {listed}", license))
    return found
