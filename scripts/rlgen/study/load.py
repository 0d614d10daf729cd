"""From a config file to a checked study, or to one line per problem."""

import re
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from rlgen.study.checks import problems
from rlgen.study.claim_checks import claim_problems
from rlgen.study.config import Study, nearest
from rlgen.study.extended_checks import arms_problems, extended_problems, variants_problems
from rlgen.study.variants import Refusal, expand


class ConfigError(Exception):
    """A study that cannot be run: one line per problem, each with field, value and expectation."""


def load(source: dict | str | Path) -> Study:
    """The study of a config file, or of its parsed content. Raises ConfigError with one line per problem."""
    try:
        content = source if isinstance(source, dict) else yaml.safe_load(Path(source).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{source}: cannot be read as YAML ({error})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: holds {type(content).__name__}, expected fields such as 'study: name'")
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise ConfigError("\n".join(line for e in error.errors() for line in _explain(e))) from None
    study, refusals = expand(study)
    found = [line for refusal in refusals for line in _refused(refusal)]
    told = [*problems(study), *claim_problems(study), *extended_problems(study)]
    told += [*variants_problems(study), *arms_problems(study)]
    if found := [*found, *(_as_written(study, line) for line in told)]:
        raise ConfigError("\n".join(found))
    return study


def _refused(refusal: Refusal) -> list[str]:
    """Lines `field: value; expectation` of a variant that cannot be."""
    if isinstance(refusal.error, str):
        field, found, words = refusal.error.partition(": ")
        inside = found and field.replace(".", "").replace("_", "").isalpha()
        return [
            f"{'.'.join(refusal.place)}.{field}: {words}" if inside else f"{'.'.join(refusal.place)}: {refusal.error}"
        ]
    return _explain(refusal.error | {"loc": refusal.place})


def _as_written(study: Study, line: str) -> str:
    """A line on the recipe or procedure of a variant, with the field's place in the config."""
    for name, factor in study.factor_of().items():
        for part in ("recipe", "procedure"):
            if line.startswith((f"{part}s.{name}.", f"{part}s.{name}:")):
                return f"variants.factors.{factor}.{name}.{part}{line.removeprefix(f'{part}s.{name}')}"
    return line


def _explain(error: dict) -> list[str]:
    """Lines `field: value; expectation` of one pydantic error."""
    place = [str(part) for part in error["loc"]]
    # pydantic adds by what it told kinds of entries apart: a model's method, the kind of data and of its stream
    if place[:1] == ["models"]:
        del place[2:3]
    elif place[:1] in (["data"], ["stream"], ["evaluation"]):
        del place[1:2]
        if place[1:2] == ["sources"]:  # and in them, kinds of sources and of their formats
            del place[3:4]
            if place[3:4] == ["format"] and place[4:5] in (["messages"], ["text"]):
                del place[4:5]
    field = ".".join(place)
    if error["type"] == "extra_forbidden":
        like = nearest(place[-1], _fields(error["loc"][:-1]))
        value = f"unknown field (value {error['input']!r})"
        return [f"{field}: {value}; expected one of the fields in config/README.md{like}"]
    if error["type"] == "missing":
        return [f"{field}: missing; expected a value, see config/README.md"]
    if error["type"] == "union_tag_invalid":  # what tells kinds of entries apart
        key, tag = error["ctx"]["discriminator"].strip("'"), error["ctx"]["tag"]
        tags = re.findall(r"'([^']*)'", error["ctx"]["expected_tags"])
        return [f"{field}.{key}: unknown {key} '{tag}', expected one of {', '.join(tags)}{nearest(tag, tags)}"]
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("dict_type", "model_type", "model_attributes_type"):
        text = "expected fields, `name: value`"
    if not field:  # a cross-field check, whose lines name their fields themselves
        return text.split("\n")
    value = f" (value {error['input']!r})" if isinstance(error["input"], str | int | float | bool | None) else ""
    return [f"{field}: {text[0].lower()}{text[1:]}{value}"]


def _fields(place: tuple) -> list[str]:
    """Names of the fields at a place in a study (of pydantic's errors), of all settings models that may stand there."""
    kinds = {Study}
    for part in place:
        inner = {field for kind in kinds for field in _inner(kind, part)}
        kinds = inner or kinds  # what tells kinds of entries apart is part of the place, and is no field
    return [info.alias or name for kind in kinds for name, info in kind.model_fields.items()]


def _inner(kind: type[BaseModel], part: str | int) -> set[type[BaseModel]]:
    """Settings models behind one field of a settings model, through lists and names of the study's own."""
    names = {info.alias or name: info for name, info in kind.model_fields.items()}
    return _models(names[part].annotation) if part in names else set()


def _models(annotation: Any) -> set[type[BaseModel]]:
    """All settings models that a type names."""
    if get_origin(annotation) is None:
        return {annotation} if isinstance(annotation, type) and issubclass(annotation, BaseModel) else set()
    return {model for inner in get_args(annotation) for model in _models(inner)}
