"""A bill of materials of a network: CycloneDX 1.6, JSON.

The network is the component that the bill is of, with its model card. Its data, the networks behind
it with theirs, and its artifacts are components too. What is not recorded is left out, except for
licenses, which are then "unknown". `bom_beside` reads it back.

Source: https://cyclonedx.org/docs/1.6/json/
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from tinyrefinery.networks.network_data import tool_version
from tinyrefinery.sharing.ancestor import Ancestor
from tinyrefinery.sharing.bom_beside import DATA, EDGES, NETWORK, PREFIX
from tinyrefinery.sharing.card_facts import CardFacts
from tinyrefinery.sharing.data_licenses import DIGITS, data_licenses
from tinyrefinery.sharing.known_limits import limits
from tinyrefinery.sharing.licenses import UNKNOWN, License

SPEC = "1.6"
_UNRECORDED = "unrecorded"
"""In place of the digest of data of which only the license is known."""
Json = dict[str, Any]


def bom_text(facts: CardFacts, when: str | None = None) -> str:
    """The bill of materials as JSON text.

    Args:
        facts: of the network.
        when: time of writing, ISO 8601; None: now.
    """
    return json.dumps(bom(facts, when), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def bom(facts: CardFacts, when: str | None = None) -> Json:
    """The bill of materials as plain values; see `bom_text`."""
    main = facts.sha256 or facts.network.source
    content = {
        "metadata": {
            "timestamp": when or datetime.now(UTC).isoformat(timespec="seconds"),
            "tools": {"components": [_tool()]},
            "component": _network(facts, main),
        },
        "components": list(_components(facts, main)),
        "dependencies": _dependencies(facts, main),
    }
    serial = uuid5(NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        **content,
    }


def _tool() -> Json:
    version = tool_version()
    return {"type": "application", "name": "tinyrefinery"} | (
        {"version": version} if version else {}
    )


def _network(facts: CardFacts, ref: str) -> Json:
    stage = facts.stage
    properties = {
        "digest": facts.network.digest,
        "model": facts.model,
        "labels": facts.labels,
        "stage": "" if stage is None else stage.stage,
        "seed": "" if stage is None else stage.seed,
        "recipe-digest": facts.recipe_digest,
        "parameters": facts.parameters,
        "macs": facts.macs,
        "bytes": facts.bytes,
        "data": _own_data(facts),
        "license-by": facts.license.by,
    }
    return {
        "type": NETWORK,
        "bom-ref": ref,
        "name": facts.title,
        **({"version": stage.key[:8]} if stage else {}),
        "description": f"Image classification: {facts.model}, {_classes(facts)}",
        **_hashes(facts.sha256),
        "licenses": _licenses(facts.license),
        "modelCard": _model_card(facts),
        "properties": _properties(properties),
    }


def _classes(facts: CardFacts) -> str:
    count = len(facts.network.info.classes)
    return f"{count:,} classes" if count else "classes not recorded"


def _model_card(facts: CardFacts) -> Json:
    info = facts.network.info
    parameters: Json = {
        "task": "image-classification",
        "modelArchitecture": facts.model,
        "inputs": [
            {"format": f"image, {info.size[0]}x{info.size[1]} pixels, {info.channels} channels"}
        ],
        "outputs": [{"format": f"scores of {_classes(facts)}"}],
    }
    if facts.stage is not None:
        parameters["approach"] = {"type": "supervised"}
    if own := _own_data(facts):
        parameters["datasets"] = [{"ref": _data_ref(own)}]
    card: Json = {"modelParameters": parameters}
    if metrics := list(_metrics(facts)):
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    names = ", ".join(info.classes[:20])
    uses = {"useCases": [f"Classify images as: {names}"]} if names else {}
    card["considerations"] = {**uses, "technicalLimitations": limits(facts)}
    return card


def _metrics(facts: CardFacts) -> Iterator[Json]:
    accuracy = facts.accuracy
    if accuracy is not None:
        where = f"{accuracy.split}, {accuracy.n} images"
        yield _metric("accuracy", accuracy.top1, where, accuracy.low, accuracy.high)
        for line in accuracy.classes:
            yield _metric(
                "accuracy",
                line.right / line.n,
                f"{accuracy.split}, {line.n} images of class {line.name}",
                *(line.low, line.high),
            )
    for artifact in facts.artifacts or ((facts.own_record,) if facts.own_record else ()):
        if (drop := artifact.drop) is not None:
            yield _metric(
                "accuracy drop in percentage points",
                drop["points"],
                f"{artifact.path.name} on {artifact.record['parity']['images']}",
                *(drop["low"], drop["high"]),
            )


def _metric(kind: str, value: float, where: str, low: float, high: float) -> Json:
    interval = {"lowerBound": f"{low:.6g}", "upperBound": f"{high:.6g}"}
    return {"type": kind, "value": f"{value:.6g}", "slice": where, "confidenceInterval": interval}


def _components(facts: CardFacts, main: str) -> Iterator[Json]:
    yield from _datasets(facts)
    for ref in dict.fromkeys(each.ref for each in facts.ancestors):
        yield _ancestor([each for each in facts.ancestors if each.ref == ref], main)
    for artifact in facts.artifacts:
        properties = {"form": artifact.form, "arena": artifact.ram, "macs": artifact.macs}
        yield {
            "type": "file",
            "bom-ref": artifact.record["sha256"],
            "name": artifact.path.name,
            "description": f"The network as {artifact.form}",
            **_hashes(artifact.record["sha256"]),
            "licenses": _licenses(facts.license),
            "properties": _properties(properties),
        }


def _datasets(facts: CardFacts) -> Iterator[Json]:
    """The data of the network, then that of networks behind it, each once."""
    own, licenses = facts.data, {each.digest: each.license for each in data_licenses(facts)}
    if own is not None:
        counts = {f"images-{split}": own.total(split) for split in own.splits}
        properties = {"source": own.source, "manifest-digest": own.digest, **counts}
        properties |= {f"problems-{kind}": n for kind, n in own.problems.items()}
        about = ", ".join(f"{own.total(split):,} {split} images" for split in own.splits)
        yield _dataset(own.digest, own.name, about, licenses[own.digest[:DIGITS]], properties)
    elif _own_data(facts):
        yield _dataset(_UNRECORDED, "unnamed", "", facts.data_license, {})
    known = {_own_data(facts)}
    for each in facts.ancestors:
        if each.data and each.data not in known:
            known.add(each.data)
            name = f"data of {each.name}"
            license = licenses[each.data[:DIGITS]]
            yield _dataset(each.data, name, "", license, {"manifest-digest": each.data})


def _dataset(
    digest: str, name: str, about: str, license: License, properties: Mapping[str, Any]
) -> Json:
    described = {"description": about} if about else {}
    return {
        "type": DATA,
        "bom-ref": _data_ref(digest),
        "name": name,
        "licenses": _licenses(license),
        "data": [{"type": "dataset", "name": name, **described}],
        "properties": _properties(dict(properties) | {"license-by": license.by}),
    }


def _own_data(facts: CardFacts) -> str:
    """What the network's data is known by; empty where nothing is known of it."""
    if facts.data is not None:
        return facts.data.digest[:DIGITS]
    return _UNRECORDED if facts.data_license else ""


def _data_ref(digest: str) -> str:
    return f"{DATA}:{digest[:DIGITS]}"


def _ancestor(uses: list[Ancestor], main: str) -> Json:
    """A network behind this one, and what it has each role for."""
    first = uses[0]
    properties = {
        "model": first.model,
        "labels": first.labels,
        "origin": first.origin,
        "data": first.data,
        "images-known": "true" if first.images_known else "false",
        "license-by": first.license.by,
    }
    edges = [(EDGES[use.role], use.of or main) for use in uses]
    return {
        "type": NETWORK,
        "bom-ref": first.ref,
        "name": first.name,
        **_hashes(first.sha256),
        "licenses": _licenses(first.license),
        "properties": [
            *_properties(properties),
            *({"name": PREFIX + name, "value": of} for name, of in dict.fromkeys(edges)),
        ],
    }


def _dependencies(facts: CardFacts, main: str) -> list[Json]:
    """Networks depend on their data, refiners and starting points; artifacts on the network."""
    own_data = _own_data(facts)
    needs: dict[str, list[str]] = {main: [_data_ref(own_data)] if own_data else []}
    for each in facts.ancestors:
        needs.setdefault(each.of or main, []).append(each.ref)
        own = needs.setdefault(each.ref, [])
        own += [_data_ref(each.data)] if each.data else []
    for artifact in facts.artifacts:
        needs[artifact.record["sha256"]] = [main]
    return [{"ref": ref, "dependsOn": _unique(refs)} for ref, refs in needs.items()]


def _unique(refs: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(refs))


def _hashes(sha256: str) -> Json:
    return {"hashes": [{"alg": "SHA-256", "content": sha256}]} if sha256 else {}


def _licenses(license: License) -> list[Json]:
    if license.spdx:
        return [{"license": {"id": license.spdx}}]
    return [{"license": {"name": license.name or UNKNOWN}}]


def _properties(values: Mapping[str, Any]) -> list[Json]:
    return [
        {"name": PREFIX + name, "value": str(value)}
        for name, value in values.items()
        if value not in (None, "")
    ]
