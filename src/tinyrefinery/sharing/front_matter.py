"""The YAML at the top of a card, which the Hugging Face Hub reads."""

from typing import Any

import yaml

from tinyrefinery.sharing.card_facts import CardFacts
from tinyrefinery.sharing.licenses import UNKNOWN, License

LIBRARY = "tinyrefinery"


def front_matter(facts: CardFacts) -> str:
    """The block between two lines of dashes, with its line ends.

    Source: https://huggingface.co/docs/hub/model-cards, and the metadata specification it links.
    """
    tags = ["image-classification", LIBRARY]
    tags += ["label-refinery"] if any(a.role == "refiner" for a in facts.ancestors) else []
    tags += sorted({artifact.record["target"] for artifact in facts.artifacts})
    content: dict[str, Any] = {
        **_license(facts.license),
        "library_name": LIBRARY,
        "pipeline_tag": "image-classification",
        "tags": tags,
    }
    if facts.data is not None and facts.data.hub:
        content["datasets"] = [facts.data.hub]
    if facts.accuracy is not None:
        content["metrics"] = ["accuracy"]
        content["model-index"] = [_model_index(facts)]
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{text}---\n"


def _license(license: License) -> dict[str, str]:
    """`license`, and its name where the Hub has no word for it."""
    if not license:
        return {"license": UNKNOWN}
    return (
        {"license": license.hub}
        if license.hub
        else {"license": "other", "license_name": str(license)}
    )


def _model_index(facts: CardFacts) -> dict[str, Any]:
    accuracy, data = facts.accuracy, facts.data
    assert accuracy is not None
    name = data.name if data else "unnamed"
    return {
        "name": facts.title,
        "results": [
            {
                "task": {"type": "image-classification"},
                "dataset": {
                    "name": name,
                    "type": (data.hub or data.source or name) if data else name,
                    "split": accuracy.split,
                },
                "metrics": [
                    {
                        "type": "accuracy",
                        "name": f"top-1 accuracy, {accuracy.n:,} {accuracy.split} images",
                        "value": accuracy.top1,
                        "verified": False,
                    }
                ],
            }
        ],
    }
