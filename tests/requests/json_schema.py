"""As much of JSON Schema (2020-12) as `kinovi schema` uses; an unknown keyword is an error."""

from __future__ import annotations

import re
from typing import Any

ANNOTATIONS = {"$schema", "title", "description", "default", "format"}
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


def is_type(value: object, name: str) -> bool:
    """Whether a value is of a type of JSON; a boolean is no number."""
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, TYPES[name])


def valid(value: Any, schema: Any) -> bool:  # noqa: PLR0911, PLR0912, C901 - one for each keyword
    """Whether a value is valid by a schema."""
    if isinstance(schema, bool):
        return schema
    for keyword, said in schema.items():
        match keyword:
            case "type":
                names = [said] if isinstance(said, str) else said
                if not any(is_type(value, name) for name in names):
                    return False
            case "enum":
                if not any(value == each and type(value) is type(each) for each in said):
                    return False
            case "const":
                if value != said:
                    return False
            case "minimum" | "maximum":
                if is_type(value, "number") and (
                    value < said if keyword == "minimum" else value > said
                ):
                    return False
            case "maxLength":
                if isinstance(value, str) and len(value) > said:
                    return False
            case "pattern":
                if isinstance(value, str) and re.search(said, value) is None:
                    return False
            case "minItems" | "maxItems":
                if isinstance(value, list):
                    few, many = keyword == "minItems", keyword == "maxItems"
                    if (few and len(value) < said) or (many and len(value) > said):
                        return False
            case "items":
                if isinstance(value, list) and not all(valid(each, said) for each in value):
                    return False
            case "required":
                if isinstance(value, dict) and not set(said) <= set(value):
                    return False
            case "properties":
                if isinstance(value, dict) and not all(
                    valid(value[name], each) for name, each in said.items() if name in value
                ):
                    return False
            case "additionalProperties":
                if isinstance(value, dict):
                    more = {
                        name: v
                        for name, v in value.items()
                        if name not in schema.get("properties", {})
                    }
                    if said is False and more:
                        return False
                    if said is not False and not all(valid(each, said) for each in more.values()):
                        return False
            case "anyOf":
                if not any(valid(value, each) for each in said):
                    return False
            case "allOf":
                if not all(valid(value, each) for each in said):
                    return False
            case "if":
                if valid(value, said) and not valid(value, schema.get("then", {})):
                    return False
            case "dependentSchemas":
                if isinstance(value, dict) and not all(
                    valid(value, each) for name, each in said.items() if name in value
                ):
                    return False
            case "then":
                pass
            case _:
                assert keyword in ANNOTATIONS, keyword
    return True
