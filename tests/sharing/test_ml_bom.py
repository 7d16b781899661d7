"""The bill of materials is valid CycloneDX 1.6, and what is read back is what was written."""

import json
from dataclasses import replace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.running import stage_folder
from tinyrefinery.errors import DataError
from tinyrefinery.networks.opening import open_network
from tinyrefinery.reading.digests import file_digest
from tinyrefinery.sharing.bom_beside import bom_beside
from tinyrefinery.sharing.card_facts import card_facts
from tinyrefinery.sharing.licenses import SPDX
from tinyrefinery.sharing.ml_bom import bom, bom_text
from tinyrefinery.sharing.model_card import write_card

WHEN = "2026-11-30T12:00:00+00:00"


def mistakes(text):
    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)


@pytest.mark.parametrize("license", [None, "apache-2.0", "our own"])
def test_it_is_valid(chain_run, file_run, license):
    for run in (chain_run, file_run):
        assert mistakes(bom_text(card_facts(open_network(run), license=license))) is None


def test_the_validator_finds_a_mistake(chain_run):
    content = bom(card_facts(open_network(chain_run)))
    content["metadata"]["component"]["modelCard"]["colour"] = "red"
    assert mistakes(json.dumps(content)) is not None


def test_every_license_id_is_one_of_spdx():
    parts = [{"type": "file", "name": n, "licenses": [{"license": {"id": n}}]} for n in SPDX]
    content = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": parts}
    assert mistakes(json.dumps(content)) is None


def test_it_is_valid_for_a_lone_file(tmp_path, teacher_file):
    lone = tmp_path / "net.safetensors"
    lone.write_bytes(teacher_file.read_bytes())
    facts = card_facts(open_network(lone), data_license="CC0-1.0")
    assert mistakes(bom_text(facts)) is None
    write_card(facts)
    assert str(card_facts(open_network(lone)).data_license) == "CC0-1.0"


def test_every_reference_leads_somewhere(file_run):
    content = bom(card_facts(open_network(file_run)))
    parts = [content["metadata"]["component"], *content["components"]]
    refs = [part["bom-ref"] for part in parts]
    assert len(set(refs)) == len(refs) == 5  # network, two data sets, refiner and its refiner
    for dependency in content["dependencies"]:
        assert {dependency["ref"], *dependency["dependsOn"]} <= set(refs)
    assert {part["type"] for part in parts} == {"machine-learning-model", "data"}


def test_the_network_is_identified_by_its_bytes(chain_run):
    content = bom(card_facts(open_network(chain_run)), WHEN)
    digest = file_digest(stage_folder(chain_run, "refined") / "model.safetensors")
    assert content["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert bom(card_facts(open_network(chain_run)), WHEN) == content


def test_what_is_behind_a_copied_network_is_read_back(tmp_path, file_run):
    facts = card_facts(open_network(file_run), license="mit", data_license="CC0-1.0")
    lone = tmp_path / "copied" / "net.safetensors"
    lone.parent.mkdir()
    lone.write_bytes((stage_folder(file_run, "student") / "model.safetensors").read_bytes())
    (lone.parent / "bom.json").write_text(bom_text(facts))
    read = card_facts(open_network(lone))
    assert (str(read.license), str(read.data_license)) == ("MIT", "CC0-1.0")
    assert (read.labels, read.model) == (facts.labels, facts.model)
    assert [replace(each, of="") for each in read.ancestors] == [
        replace(each, of="") for each in facts.ancestors
    ]
    assert [each.of for each in read.ancestors] == [each.of for each in facts.ancestors]
    assert mistakes(bom_text(read)) is None


def test_it_counts_for_its_own_network_only(tmp_path, chain_run):
    write_card(card_facts(open_network(chain_run), license="mit"), tmp_path)
    other = tmp_path / "other.safetensors"
    other.write_bytes((stage_folder(chain_run, "plain") / "model.safetensors").read_bytes())
    assert bom_beside(other) is None


@pytest.mark.parametrize("text", ["[", "[]", '{"metadata": {"component": {"hashes": [{}]}}}'])
def test_a_damaged_one_is_one_error(tmp_path, teacher_file, text):
    lone = tmp_path / "net.safetensors"
    lone.write_bytes(teacher_file.read_bytes())
    (tmp_path / "bom.json").write_text(text)
    with pytest.raises(DataError, match=r"bom\.json"):
        bom_beside(lone)
