"""Sections of a card about the networks behind a network: labels and licenses."""

from tinyrefinery.sharing.ancestor import REFINER
from tinyrefinery.sharing.card_facts import CardFacts
from tinyrefinery.sharing.data_licenses import data_licenses
from tinyrefinery.sharing.markdown import code, table, text_of

UNKNOWN = "not recorded"


def label_lines(facts: CardFacts) -> list[str]:
    """Who made the labels, through the whole chain."""
    if not facts.labels:
        return ["How its labels were made is not recorded here."]
    direct = [each for each in facts.ancestors if not each.of and each.role == REFINER]
    if not direct:
        first = f"It was trained on the labels of the data ({text_of(facts.labels)}). No other"
        lines = [f"{first} network predicted them."]
    else:
        names = ", ".join(text_of(each.name) for each in direct)
        lines = [f"Its labels were refined: {names} predicted them ({text_of(facts.labels)})."]
    if not facts.ancestors:
        return lines
    names_by_ref = {each.ref: each.name for each in facts.ancestors} | {"": "this network"}
    rows = [
        (
            text_of(each.name),
            f"{'made the labels of' if each.role == REFINER else 'was the start of'} "
            f"{text_of(names_by_ref.get(each.of, each.of))}",
            code(each.model) if each.model else UNKNOWN,
            text_of(each.labels) if each.labels else UNKNOWN,
            text_of(each.origin) if each.origin else UNKNOWN,
            "recorded" if each.images_known else "**not recorded**",
        )
        for each in facts.ancestors
    ]
    head = ("network", "role", "architecture", "learned from", "comes from", "its training images")
    return [*lines, "", "All networks behind it:", "", *table(head, rows)]


def license_lines(facts: CardFacts) -> list[str]:
    """Licenses of the network, the data, and every network behind it."""
    rows = [("this network", facts.license)]
    rows += [(each.name, each.license) for each in facts.ancestors]
    rows += [(each.name, each.license) for each in data_licenses(facts)]
    cells = [(text_of(what), str(license), license.by or "nobody") for what, license in rows]
    return [
        *table(("what", "license", "stated by"), list(dict.fromkeys(cells))),
        "",
        "Labels that a network predicted may be bound by its license and by that of its data. "
        "Unknown means that no record states a license, not that there is none.",
    ]
