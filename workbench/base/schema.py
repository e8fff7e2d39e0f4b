"""JSON Schemas of the YAML files, for editors and other tools."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema


class _Plain(GenerateJsonSchema):
    """Leaves out the titles that pydantic makes from the names of fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def file_schema(model: type[BaseModel], kind: str) -> dict[str, Any]:
    """The JSON Schema of the files that a model reads.

    Args:
        model: forbids unknown keys.
        kind: of the file, in one word; its schema is `KIND.json`.
    """
    generated = model.model_json_schema(schema_generator=_Plain, mode="validation")
    head = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": f"{kind}.json",
        "title": f"Kernel workbench: {kind}",
    }
    return {**head, **{key: value for key, value in generated.items() if key != "title"}}
