"""Chat templates that print today's date: refused, or the date of the config, the same on every day."""

import pytest
from tiny_models import TEMPLATE, source, tiny_checkpoint, tiny_tokenizer

from rlgen.files import ArtifactError
from rlgen.models.checkpoints import load_tokenizer
from rlgen.sources.chat_dates import fix_date
from rlgen.sources.model_import import import_model
from rlgen.sources.settings import SourcedData

LLAMA = (  # as Llama 3.1 asks for it
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}{%- set date_string = "
    'strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}{%- endif %}'
    "Today Date: {{ date_string }}\n"
) + TEMPLATE
GPT_OSS = "Current date: {{ strftime_now('%Y-%m-%d') }}\n" + TEMPLATE
FALLBACK = "{% if strftime_now is not defined %}none{% else %}{{ strftime_now( '%Y' ) }}{% endif %}" + TEMPLATE
TURN = [{"role": "user", "content": "2+2?"}]


def tokenizer_with(template):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def rendered(tokenizer) -> str:
    return tokenizer.apply_chat_template(TURN, tokenize=False)


@pytest.mark.parametrize("template", [LLAMA, GPT_OSS, FALLBACK])
def test_a_template_that_prints_the_date_is_refused_without_one(template, tmp_path):
    folder = tiny_checkpoint(tmp_path / "m", tokenizer=tokenizer_with(template))
    with pytest.raises(
        ArtifactError, match=r"m: its chat template prints today's date .*; set data\.chat_date"
    ) as error:
        import_model(source(folder), tmp_path / "out", None, 1)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("template", "begin"),
    [(LLAMA, "Today Date: 09 Mar 2025\n"), (GPT_OSS, "Current date: 2025-03-09\n"), (FALLBACK, "2025")],
)
def test_an_imported_model_prints_the_configs_date(template, begin, tmp_path):
    folder = tiny_checkpoint(tmp_path / "m", tokenizer=tokenizer_with(template))
    import_model(source(folder), tmp_path / "out", None, 1, date="2025-03-09")
    assert rendered(load_tokenizer(tmp_path / "out")) == begin + rendered(tokenizer_with(TEMPLATE))


def test_templates_by_name_are_fixed_too():
    tokenizer = tokenizer_with({"default": TEMPLATE, "tool_use": GPT_OSS})
    fix_date(tokenizer, "m", "2025-03-09")
    assert tokenizer.chat_template["default"] == TEMPLATE and "2025-03-09" in tokenizer.chat_template["tool_use"]


@pytest.mark.parametrize("template", [None, TEMPLATE])
def test_other_templates_stay_as_they_are(template):
    for day in (None, "2025-03-09"):
        tokenizer = tokenizer_with(template)
        fix_date(tokenizer, "m", day)
        assert tokenizer.chat_template == template


def test_a_clock_that_no_date_can_replace_is_refused():
    with pytest.raises(
        ArtifactError, match=r"reads the clock in a way that no date can replace \('strftime_now\(how\)"
    ):
        fix_date(tokenizer_with("{{ strftime_now(how) }}"), "m", "2025-03-09")


@pytest.mark.parametrize(("given", "kept"), [("2025-03-09", "2025-03-09"), (None, None)])
def test_the_date_is_a_setting(given, kept):
    assert data_with(given).chat_date == kept


def test_a_date_that_yaml_has_read_is_one():
    import yaml

    assert data_with(yaml.safe_load("2025-03-09")).chat_date == "2025-03-09"


@pytest.mark.parametrize("given", ["2025-02-30", "9 March 2025", 3])
def test_what_is_no_date_is_refused(given):
    with pytest.raises(ValueError, match="chat_date"):
        data_with(given)


def data_with(day) -> SourcedData:
    text = {"files": ["t.jsonl"], "format": {"kind": "text"}}
    return SourcedData(kind="sources", sources={"t": text}, benchmarks={"piqa": {}}, chat_date=day)
