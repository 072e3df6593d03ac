"""The published JSON Schema is the generated one, and says what the loader takes."""

from pathlib import Path
from typing import Any

import pytest

from tallystick.policyfile.document import SECTIONS, Document
from tallystick.policyfile.schema import PUBLISHED, json_schema, main, schema_text

REPOSITORY = Path(__file__).parents[3]


def parts(schema: Any) -> list[dict[str, Any]]:
    """Every mapping within a schema."""
    if isinstance(schema, list):
        return [part for item in schema for part in parts(item)]
    if not isinstance(schema, dict):
        return []
    return [schema, *(part for value in schema.values() for part in parts(value))]


def test_the_published_schema_is_the_generated_one() -> None:
    assert (REPOSITORY / PUBLISHED).read_text("utf-8") == schema_text()


def test_the_schema_can_be_written_where_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main([str(tmp_path / "x.json")])
    (tmp_path / PUBLISHED).parent.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    main([])
    assert (tmp_path / "x.json").read_text("utf-8") == PUBLISHED.read_text("utf-8") == schema_text()


def test_every_section_refuses_unknown_keys_and_describes_the_known() -> None:
    sections = [part for part in parts(json_schema()) if isinstance(part.get("properties"), dict)]
    assert len(sections) >= len(SECTIONS) - 1
    for section in sections:
        assert section["additionalProperties"] is False
        assert section["description"]
        for name, key in section["properties"].items():
            assert "$ref" in key or key["description"], name


def test_null_is_nowhere_taken() -> None:
    for part in parts(json_schema()):
        assert part.get("type") != "null"
        assert part.get("default", 0) is not None


def test_the_reference_names_every_key() -> None:
    reference = (REPOSITORY / "docs" / "reference" / "policy.md").read_text("utf-8")
    for where, section in SECTIONS:
        for key in section.model_fields:
            assert f"`{key}`" in reference or f"`{'.'.join((*where, key))}`" in reference, (where, key)
    assert set(json_schema()["properties"]) == set(Document.model_fields)
