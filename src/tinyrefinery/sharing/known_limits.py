"""What was not measured, or is not known, of a network. A card lists it."""

from tinyrefinery.sharing.card_facts import CardFacts
from tinyrefinery.sharing.data_licenses import data_licenses


def limits(facts: CardFacts) -> list[str]:
    """One sentence per gap in the records."""
    return [*_accuracy_limits(facts), *_device_limits(facts), *_origin_limits(facts)]


def _accuracy_limits(facts: CardFacts) -> list[str]:
    found, accuracy = [], facts.accuracy
    if facts.stage is None:
        found.append(
            "No run lies around this file, so its accuracy, its data and its training are not "
            f"known here.{_elsewhere(facts)}"
        )
    elif accuracy is None and facts.own_record is None:
        found.append("The run has no held-out images, so the accuracy is not known.")
    if accuracy is not None:
        if accuracy.split != "test":
            found.append(
                "The run has no test images. Validation images may have been used to choose the "
                "network, so their accuracy may be too high."
            )
        if accuracy.over_seeds is None:
            found.append("One seed was trained, so the spread over seeds is not known.")
        found.append(
            "The interval covers other images of the same source. Images of other cameras or "
            "places were not measured"
            + (", except by the data tests above." if facts.tests else ".")
        )
    if not facts.tests:
        found.append("No data tests were run, so slices of the data were not measured.")
    return found


def _elsewhere(facts: CardFacts) -> str:
    return f" The {facts.beside.file.name} beside it lists them." if facts.beside else ""


def _device_limits(facts: CardFacts) -> list[str]:
    shown = [*facts.artifacts, *([facts.own_record] if facts.own_record else [])]
    found = []
    if not shown:
        found.append("No artifact was exported, so nothing was measured in another runtime.")
    if not any(artifact.ram is not None for artifact in shown):
        found.append("Memory and flash on a microcontroller were not computed.")
    found.append("Latency and energy on a device were not measured.")
    return found


def _origin_limits(facts: CardFacts) -> list[str]:
    found = []
    if facts.stage is None and not facts.ancestors:
        found.append("It is not recorded whether other networks made its labels.")
    found += [
        f"It is not recorded which images {name} was trained on. They may include images that "
        "count as held out here."
        for name in facts.unknown_origin
    ]
    if facts.stage is not None:
        found.append("The records do not tell who gave the labels of the data.")
    without = [] if facts.license else ["the network"]
    without += [each.name for each in facts.ancestors if not each.license]
    without += [each.name for each in data_licenses(facts) if not each.license]
    if without:
        found.append(f"No license was stated of {', '.join(dict.fromkeys(without))}.")
    return found
