"""What every section of a policy document has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A mapping of the document: strict, and without keys that it does not know."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


Sections = tuple[tuple[tuple[str, ...], type[Section]], ...]
"""Which section stands where (`*` for any name)."""
