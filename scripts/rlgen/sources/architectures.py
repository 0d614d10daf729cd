"""Every class of transformers that writes text from left to right, built small: exact here, or refused, and why."""

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from rlgen.files import ArtifactError
from rlgen.sources.exactness import check_exact, has_blocks, small_config, small_model

SIZE = {  # of a small model; a class is given those fields that it has
    "hidden_size": 32,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "moe_intermediate_size": 16,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "max_position_embeddings": 128,
    "vocab_size": 64,
    "pad_token_id": 63,
    "bos_token_id": 63,
    "eos_token_id": 63,
}
LOGITS = {"final_logit_softcapping": 2.0, "logit_scale": 0.25, "logits_scaling": 3.0}  # what a head may do besides
LARGE = 1e8  # weights of a model with parts (pictures, sound) that these fields do not make small
TRIED = (  # changes, in turn, until a class takes its fields and runs; None: left out
    {},
    {"head_dim": None},
    {"num_key_value_heads": None},
    {"num_key_value_heads": 4, "head_dim": None},
    dict.fromkeys(LOGITS),
)
SETTINGS = {
    "plain": LOGITS,
    "a window": LOGITS | {"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 0},
    "a window in some blocks": {"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 4},
}
REASONS = {  # what a message says -> the table's words
    r"has no model\.model\.layers": "its blocks lie elsewhere than at `model.model.layers`",
    r"attend in different ways": "its blocks attend in different ways",
    r"do not run in parts": "its blocks do not run in parts over a cache of keys and values",
    r"is not its whole forward pass": "its parts do not give the log-probabilities of the whole",
}


class Verdict(NamedTuple):
    """What was found of one class: `exact`, `refused` or `not built`, and why."""

    architecture: str
    verdict: str
    reason: str


def kinds() -> list[str]:
    """The kinds of model (`model_type`) that transformers has a causal language model for."""
    return list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def sweep(chosen: Iterable[str]) -> list[Verdict]:
    """Verdicts on some kinds of model, one per class, by its name."""
    found: dict[str, Verdict] = {}
    for kind in chosen:
        name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind]
        found.setdefault(name, _verdict(name, kind))
    return sorted(found.values())


def _verdict(name: str, kind: str) -> Verdict:
    """Exact where a class is so in its plain settings; what is refused with a window is said beside it."""
    reasons: dict[str, str | None] = {}
    for setting, values in SETTINGS.items():
        model = _small(kind, values)
        if model is None:
            return Verdict(name, "not built", "no small model of it could be made that runs by itself")
        reasons[setting] = _reason(model)
        if reasons["plain"] is not None:
            return Verdict(name, "refused", reasons["plain"])
    _, window, some = reasons.values()
    if window is not None:
        return Verdict(name, "exact", f"refused with a window: {window}")
    return Verdict(name, "exact", "" if some is None else f"refused with a window in some blocks only: {some}")


def _small(kind: str, values: dict[str, Any]) -> PreTrainedModel | None:
    """A model of a kind on the meta device, with these settings as far as it has them; None where none runs."""
    make = CONFIG_MAPPING[kind]
    for change in TRIED:
        with suppress(Exception), torch.device("meta"):  # classes refuse values in many ways
            own = make()
            fields = {name: value for name, value in (SIZE | values | change).items() if hasattr(own, name)}
            config = make(**{name: value for name, value in fields.items() if value is not None})
            model = AutoModelForCausalLM.from_config(config)
            weights = sum(weight.numel() for weight in model.parameters())
            if not has_blocks(model) or (weights < LARGE and _runs(config)):
                return model
    return None


def _runs(config: PretrainedConfig) -> bool:
    """Whether the class's own forward pass runs at this size, so that a failure is ours."""
    with torch.device("cpu"), torch.inference_mode():
        small_model(small_config(config))(input_ids=torch.arange(40)[None], use_cache=False)
    return True


def _reason(model: PreTrainedModel) -> str | None:
    """Why a model is refused, in the table's words; None where it is exact."""
    try:
        check_exact("it", model)
    except ArtifactError as error:
        return next(words for pattern, words in REASONS.items() if re.search(pattern, str(error)))
    return None


START, END = "<!-- classes: made by scripts/tools/sweep_architectures.py -->\n", "<!-- end of classes -->\n"


def with_table(page: str, verdicts: Iterable[Verdict]) -> str:
    """A page with its table of classes made anew."""
    before, _, rest = page.partition(START)
    return f"{before}{START}\n{table(verdicts)}\n{END}{rest.partition(END)[2]}"


def table(verdicts: Iterable[Verdict]) -> str:
    """The verdicts as a Markdown table, classes with the same one in one row."""
    rows: dict[tuple[str, str], list[str]] = {}
    for verdict in verdicts:
        rows.setdefault(verdict[1:], []).append(f"`{verdict.architecture}`")
    lines = ["| verdict | why | classes |", "|---|---|---|"]
    for (verdict, reason), names in sorted(rows.items()):
        lines.append(f"| {verdict} | {reason} | {len(names)}: {', '.join(names)} |")
    return "\n".join(lines) + "\n"
