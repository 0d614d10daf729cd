"""The classes of transformers: what the table in docs/real-models.md says of them holds."""

from pathlib import Path

import pytest

from rlgen.sources.architectures import Verdict, kinds, sweep, table, with_table

PAGE = Path(__file__).parents[3] / "docs/real-models.md"
SAMPLE = ["llama", "qwen3", "mistral", "cohere", "granite", "gemma2", "gpt2", "nanochat", "phi", "gpt_oss"]


def row_of(architecture: str) -> tuple[str, str]:
    """What the page says of a class."""
    (line,) = (line for line in PAGE.read_text(encoding="utf-8").splitlines() if f"`{architecture}`" in line)
    _, verdict, reason, _, _ = (cell.strip() for cell in line.split("|"))
    return verdict, reason


def test_verdicts_on_a_few_classes():
    found = {verdict.architecture: verdict[1:] for verdict in sweep(SAMPLE)}
    assert found == {name: row_of(name) for name in found} and len(found) == len(SAMPLE)
    assert found["MistralForCausalLM"] == found["CohereForCausalLM"] == found["GraniteForCausalLM"] == ("exact", "")
    assert {name for name, (verdict, _) in found.items() if verdict == "refused"} == {
        "Gemma2ForCausalLM",
        "GPT2LMHeadModel",
        "NanoChatForCausalLM",
        "PhiForCausalLM",
        "GptOssForCausalLM",
    }


@pytest.mark.slow
def test_the_table_is_what_all_classes_give():
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page, sweep(kinds())) == page


def test_a_table_by_hand():
    rows = [Verdict("B", "exact", ""), Verdict("A", "refused", "why"), Verdict("C", "exact", "")]
    assert table(rows).splitlines()[2:] == ["| exact |  | 2: `B`, `C` |", "| refused | why | 1: `A` |"]
