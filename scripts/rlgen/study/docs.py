"""The schema of a study and its description for people, both made from the settings models."""

import json
from typing import Any

from rlgen.study.config import Study

INTRODUCTION = """\
# Config of a study

One YAML file describes one study; `config.yaml` is the default one. Another study is another file here, complete in
itself: `snakemake --configfile config/other.yaml --cores all`. A file is checked as a whole before any job is planned:
an unknown field, a wrong type, an impossible value or a name that nothing defines stops with the field, the value and
what was expected.

A *model state* is a model at a checkpoint: `rl` is the last checkpoint of `rl`, `rl@2` its second.

This page and `schema.json` are generated: `python scripts/tools/describe_config.py`.
"""


def schema() -> str:
    """JSON schema of a study, for editors."""
    return json.dumps(Study.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


def page() -> str:
    """Markdown: one table for the study, then one per kind of entry, in the order of the config."""
    document = Study.model_json_schema()
    definitions = document.pop("$defs")
    parts = [INTRODUCTION, _section("Study", document, definitions)]
    parts += [_section(name, definitions[name], definitions) for name in _order(document, definitions)]
    return "\n".join(parts)


def _order(entry: dict, definitions: dict[str, dict]) -> list[str]:
    """Names of definitions in the order in which a reader meets them, each once."""
    found: dict[str, None] = {}

    def visit(node: Any) -> None:
        if isinstance(node, dict):
            name = node.get("$ref", "").rpartition("/")[2]
            if name and name not in found:
                found[name] = None
                visit(definitions[name])
            for key, value in node.items():
                if key != "discriminator":
                    visit(value)
        elif isinstance(node, list):
            for value in node:
                visit(value)

    visit(entry)
    return list(found)


def _section(title: str, entry: dict, definitions: dict[str, dict]) -> str:
    """Heading, description and the table of fields of one settings model."""
    required = entry.get("required", [])
    lines = [f"## {title}", "", entry.get("description", "").replace("\n", " ").strip(), ""]
    lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in entry["properties"].items():
        default = "required" if name in required else _default(field)
        meaning = field.get("description") or _described(field, definitions)
        cells = [f"`{name}`", _type(field), default, meaning]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _default(field: dict) -> str:
    value = field.get("const", field.get("default"))
    if isinstance(value, dict):
        return "all defaults"
    return "none" if value is None else f"`{json.dumps(value)}`"


def _described(field: dict, definitions: dict[str, dict]) -> str:
    """First sentence of the settings model that a field holds, where the field itself says nothing."""
    text = definitions.get(_reference(field), {}).get("description", "")
    return text.replace("\n", " ").partition(". ")[0].rstrip(".")


def _reference(field: dict) -> str:
    return field.get("$ref", "").rpartition("/")[2]


def _type(field: dict) -> str:
    """Type and bounds of a field in words."""
    if reference := _reference(field):
        return f"[{reference}](#{reference.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in field:
            return " or ".join(_type(option) for option in field[key])
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind = field.get("type", "any")
    if kind == "array":
        items = field.get("prefixItems") or [field["items"]]
        return "list of " + ", ".join(_type(item) for item in items)
    if kind == "object":
        of = field["additionalProperties"]
        return "name -> " + ("anything" if of is True else _type(of))
    return {"string": "text", "null": "none"}.get(kind, kind) + _bounds(field)


def _bounds(field: dict) -> str:
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {field[key]:g}" for key, sign in words.items() if key in field]
    return f" ({', '.join(found)})" if found else ""
