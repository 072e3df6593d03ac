"""The published JSON Schema of policy documents.

    python -m tallystick.policyfile.schema [FILE]

writes it to docs/reference/policy.schema.json, or to the file that is named.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tallystick.policyfile.document import Document

PUBLISHED = Path("docs/reference/policy.schema.json")


def json_schema() -> dict[str, Any]:
    """Generate the JSON Schema (draft 2020-12) of a policy document."""
    schema = _published(Document.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Tallystick policy",
    }


def schema_text() -> str:
    """Write the JSON Schema as it is published."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _published(schema: Any) -> Any:
    """Say exactly what is taken: null is not, though it stands for an absent key within."""
    if isinstance(schema, list):
        return [_published(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    if isinstance(kept.get("description"), str):
        kept["description"] = " ".join(kept["description"].split())
    if {"type": "null"} in kept.get("anyOf", []):
        kept.update(next(choice for choice in kept.pop("anyOf") if choice != {"type": "null"}))
    if "patternProperties" in kept:
        # pydantic leaves names that do not fit the pattern without any check
        [(pattern, kept["additionalProperties"])] = kept.pop("patternProperties").items()
        kept["propertyNames"] = {**kept.get("propertyNames", {}), "pattern": pattern}
    return {key: _published(value) for key, value in kept.items()}


def main(arguments: list[str]) -> None:
    """Write the JSON Schema to the file named, or to where it is published."""
    target = Path(arguments[0]) if arguments else PUBLISHED
    target.write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
