"""Chat templates that print today's date: prompts, halves and digests would change from day to day."""

import re
from datetime import date

from transformers import PreTrainedTokenizerBase

from rlgen.files import ArtifactError

TODAY = "strftime_now"  # the only clock that transformers hands to a template
CALL = re.compile(rf"{TODAY}\s*\(\s*(['\"])(.*?)\1\s*\)")
ASKED = re.compile(rf"{TODAY}\s+is\s+(not\s+)?defined")


def fix_date(tokenizer: PreTrainedTokenizerBase, label: str, day: str | None) -> None:
    """Put a day (YYYY-MM-DD) into a tokenizer's chat templates in place of the clock; they are saved so.

    Whoever renders a conversation later, a trainer or an evaluation too, then prints that day. Raises ArtifactError
    for a template that reads the clock where no day is given, or reads it in a way that cannot be replaced.
    """
    templates = tokenizer.chat_template
    if isinstance(templates, dict):
        tokenizer.chat_template = {name: _fixed(text, label, day) for name, text in templates.items()}
    elif templates:
        tokenizer.chat_template = _fixed(templates, label, day)


def _fixed(template: str, label: str, day: str | None) -> str:
    if TODAY not in template:
        return template
    if day is None:
        problem = f"its chat template prints today's date ({TODAY}): prompts would change from day to day"
        raise ArtifactError(label, problem, "set data.chat_date to the day it shall print (YYYY-MM-DD)")
    fixed = CALL.sub(lambda call: repr(date.fromisoformat(day).strftime(call[2])), template)
    fixed = ASKED.sub(lambda asked: "false" if asked[1] else "true", fixed)
    if TODAY in fixed:
        at = fixed.index(TODAY)
        problem = f"its chat template reads the clock in a way that no date can replace ({fixed[at : at + 40]!r})"
        raise ArtifactError(label, problem, f"write the date into the template in place of {TODAY}")
    return fixed
