"""The texts that a real model is trained on, as tokens: what the loss sees, how long they are, which are left out.

All of it before the model is loaded, so that what cannot be trained on costs no time on a GPU. A text longer than
`max_length` is left out, not cut: without its end it has no final answer, and it was taken for its answer being right.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from transformers import AutoConfig, GenerationConfig, PreTrainedTokenizerFast

from rlgen.files import ArtifactError
from rlgen.models.tokens import KEEP, lost
from rlgen.progress import Progress
from rlgen.tasks.samples import Example
from rlgen.training import processes
from rlgen.training.settings import DPO, SFT, OnPolicy, Scale, Style, TrainDistil, TrainDPO, TrainGRPO, TrainSFT
from rlgen.training.solutions import Pair

UNSEEN = -100  # label of a token without loss
QUANTILES = {"median": 0.5, "90 %": 0.9, "99 %": 0.99, "longest": 1.0}
Tokens = tuple[NDArray[np.int32], int]  # the tokens of prompt and completion, and how many of them are the prompt's


def sft_rows(examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, parent: Path, cfg: TrainSFT) -> Dataset:
    """What SFT reads: texts for the organism, else `input_ids` and `labels`, with labels on the completion only.

    Of fewer examples than the settings name (a teacher solved no more) whole steps are taken, and their number is said.
    Raises ArtifactError where too many texts are too long, or where the tokens of a prompt are not the beginning of the
    tokens of prompt and completion, so that the loss would fall on another text than the one meant.
    """
    model = cfg.model
    most = min(model.examples, len(examples) // model.batch_size * model.batch_size)
    if most < model.examples:
        _say(f"{most} training examples of the {model.examples} that examples allows: {len(examples)} are there")
    rows = [(prompt_of(e, cfg.chat), completion_of(e, cfg.chat, model.style)) for e in examples[:most]]
    if not cfg.chat and model.scale is None:
        return Dataset.from_list([{"prompt": prompt, "completion": completion} for prompt, completion in rows])
    found = _checked(rows, tokenizer, parent, cfg)
    kept = within(model, [len(ids) for ids, _ in found], model.batch_size, "training texts")
    labels = [np.where(np.arange(len(ids)) < prompt, UNSEEN, ids) for ids, prompt in (found[i] for i in kept)]
    return Dataset.from_dict({"input_ids": [found[i][0] for i in kept], "labels": labels})


def dpo_rows(pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerFast, parent: Path, cfg: TrainDPO) -> Dataset:
    """What DPO reads: `prompt`, `chosen` and `rejected`, texts or conversations. Raises ArtifactError as `sft_rows`.

    Of fewer pairs than the settings name whole steps are taken, and their number is said.
    """
    model = cfg.model
    most = min(model.pairs, len(pairs) // model.batch_size * model.batch_size)
    if most < model.pairs:
        _say(f"{most} pairs of the {model.pairs} that pairs allows: {len(pairs)} are there")
    sides = [
        [(prompt_of(e, cfg.chat), completion_of(e, cfg.chat)) for e in (Example(p.prompt, text, "") for text in texts)]
        for p, texts in ((p, (p.chosen, p.rejected)) for p in pairs[:most])
    ]
    rows = [{"prompt": good[0], "chosen": good[1], "rejected": bad[1]} for good, bad in sides]
    if not cfg.chat and model.scale is None:
        return Dataset.from_list(rows)
    found = _checked([side for pair in sides for side in pair], tokenizer, parent, cfg)
    lengths = [max(len(found[i][0]), len(found[i + 1][0])) for i in range(0, len(found), 2)]
    return Dataset.from_list([rows[i] for i in within(model, lengths, model.batch_size, "pairs")])


def _checked(
    rows: Sequence[tuple], tokenizer: PreTrainedTokenizerFast, parent: Path, cfg: TrainSFT | TrainDPO
) -> list[Tokens]:
    """Tokens of (prompt, completion), after all that would make the model learn another text than the one meant."""
    check_parent(tokenizer, parent, cfg.chat, cfg.model.scale)
    _check_kept([prompt + completion for prompt, completion in rows] if cfg.chat else [], tokenizer, parent)
    found = _tokens(rows, lambda row: sft_tokens(tokenizer, *row), f"{cfg.name}: tokens")
    _check_boundaries(found, rows, tokenizer, parent)
    _check_ends([ids[prompt:] for ids, prompt in found], tokenizer, parent)
    return found


def prompt_rows(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast, parent: Path, cfg: TrainGRPO | TrainDistil
) -> Dataset:
    """What trainings on own completions read: `prompt` (a text, or a conversation) and `answer`.

    Raises ArtifactError as `sft_rows` does.
    """
    model = cfg.model
    rows = [{"prompt": prompt_of(e, cfg.chat), "answer": e.answer} for e in examples[: model.prompts]]
    if isinstance(cfg, TrainGRPO) and cfg.answer_marker is None:
        _check_answers(rows)
    if not cfg.chat and model.scale is None:
        return Dataset.from_list(rows)
    check_parent(tokenizer, parent, cfg.chat, model.scale)
    prompts = [row["prompt"] for row in rows]
    _check_kept(prompts if cfg.chat else [], tokenizer, parent)
    if model.scale is None:
        return Dataset.from_list(rows)
    found = _tokens(prompts, lambda prompt: len(prompt_tokens(tokenizer, prompt)), f"{cfg.name}: tokens")
    kept = within(model, [n + model.max_new_tokens for n in found], model.prompts_per_step, "prompts with completions")
    return Dataset.from_list([rows[i] for i in kept])


def prompt_of(example: Example, chat: bool) -> str | list[dict[str, str]]:
    """A prompt as a text, or as the conversation that a chat template takes."""
    return [{"role": "user", "content": example.prompt}] if chat else example.prompt


def completion_of(example: Example, chat: bool, style: Style = "teacher") -> str | list[dict[str, str]]:
    """A completion as the text behind a prompt, or as the turn that answers one.

    Raises ArtifactError where the example has no text of that style.
    """
    text = example.plain if style == "plain" else example.completion
    if text is None:
        raise ArtifactError(f"training prompt {example.prompt[:40]!r} has no plain solution, expected style: teacher")
    return [{"role": "assistant", "content": text}] if chat else f" {text}"


def prompt_tokens(tokenizer: PreTrainedTokenizerFast, prompt: str | list[dict]) -> list[int]:
    """Tokens of a prompt as TRL's trainers give it to the model."""
    if isinstance(prompt, str):
        return tokenizer(prompt)["input_ids"]
    return _turns(tokenizer, prompt, add_generation_prompt=True)


def _turns(tokenizer: PreTrainedTokenizerFast, turns: list[dict], **options: bool) -> list[int]:
    return tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True, **options)["input_ids"]


def sft_tokens(
    tokenizer: PreTrainedTokenizerFast, prompt: str | list[dict], completion: str | list[dict]
) -> tuple[NDArray[np.int32], int]:
    """Tokens of prompt and completion as TRL 1.16 makes them (`SFTTrainer._prepare_dataset`), and the prompt's number.

    The number is -1 where the prompt's own tokens are not the beginning of them, or nothing follows: TRL would warn
    once and begin the completion where they part.
    """
    before = prompt_tokens(tokenizer, prompt)
    if isinstance(prompt, str):
        end = tokenizer.eos_token
        text = prompt + (completion if completion.endswith(end) else completion + end)
        ids = tokenizer(text)["input_ids"]
    else:
        ids = _turns(tokenizer, prompt + completion)
    begins = ids[: len(before)] == before and len(ids) > len(before)
    return np.asarray(ids, dtype=np.int32), len(before) if begins else -1


def check_parent(tokenizer: PreTrainedTokenizerFast, parent: Path, chat: bool, scale: Scale | None) -> None:
    """Raises ArtifactError for turns without a chat template, and for more tokens than the model has positions."""
    if chat and not tokenizer.chat_template:
        raise ArtifactError(f"{parent}: the tokenizer has no chat template; expected one, or texts without turns")
    positions = AutoConfig.from_pretrained(parent, local_files_only=True).max_position_embeddings
    if scale and scale.max_length > positions:
        raise ArtifactError(
            f"scale.max_length: {scale.max_length}, but {parent} has {positions} positions, expected <="
        )


def within(settings: SFT | DPO | OnPolicy, lengths: Sequence[int], step: int, what: str) -> list[int]:
    """Places of the texts that fit, whole steps of them; says on stderr how long all are.

    Raises ArtifactError where a larger share than `max_cut_share` does not fit, or fewer steps than checkpoints are
    left. All fit where there is no `scale`.
    """
    total = len(lengths)
    quantiles = np.quantile(lengths, list(QUANTILES.values()), method="inverted_cdf")
    told = ", ".join(f"{name} {int(n)}" for name, n in zip(QUANTILES, quantiles, strict=True))
    _say(f"{total} {what}, tokens: {told}")
    if settings.scale is None:
        return list(range(total))
    limit, tolerated = settings.scale.max_length, settings.scale.max_cut_share
    fit = [i for i, n in enumerate(lengths) if n <= limit]
    over = total - len(fit)
    text = f"{over} of {total} {what} ({over / total:.2%}) are longer than scale.max_length={limit} tokens"
    if over > tolerated * total:
        remedy = f"expected at most scale.max_cut_share={tolerated:.2%}; raise one of the two"
        raise ArtifactError(f"{text} (longest {max(lengths)}), {remedy}")
    kept = fit[: len(fit) // step * step]
    _say(
        f"{text}; left out: {over + len(fit) - len(kept)}, of which {len(fit) - len(kept)} only fill no step of {step}"
    )
    if len(kept) < settings.checkpoints * step:
        steps = f"{len(kept) // step} steps of {step} are left"
        raise ArtifactError(f"{text}: {steps}, expected at least one for each of {settings.checkpoints} checkpoints")
    return kept


def stop_tokens(tokenizer: PreTrainedTokenizerFast, parent: Path) -> set[int]:
    """Tokens that end generation: of the tokenizer and of the parent's generation_config.json."""
    ends = {tokenizer.eos_token_id}
    if (Path(parent) / "generation_config.json").exists():
        told = GenerationConfig.from_pretrained(parent, local_files_only=True).eos_token_id
        ends |= set(told if isinstance(told, list) else [told])
    return ends - {None}


def set_end_token(tokenizer: PreTrainedTokenizerFast, parent: Path, scale: Scale | None) -> None:
    """Make `scale.end_token` the tokenizer's end of sequence. Raises ArtifactError for a token it does not have."""
    if scale is None or scale.end_token is None:
        return
    if scale.end_token not in tokenizer.get_vocab():
        raise ArtifactError(f"scale.end_token: {scale.end_token!r} is no token of {parent}, expected one of its tokens")
    tokenizer.eos_token = scale.end_token


def _tokens(rows: Sequence, of: Callable, what: str) -> list:
    """`of` every row, each process its share: tokens of many long texts take minutes."""
    share = processes.own(list(rows))
    progress, found = Progress(what, len(share), "texts"), []
    for row in share:
        found.append(of(row))
        if processes.first():
            progress.update(len(found))
    return processes.gathered(found)


def _check_kept(conversations: Sequence[list[dict]], tokenizer, parent: Path) -> None:
    """What the template does not print, the model neither reads nor learns."""
    if not conversations:
        return
    shown = _tokens(conversations, lambda turns: lost(turns, _text(tokenizer, turns)), "renderings")
    cut = [(line, missing) for line, missing in enumerate(shown, start=1) if missing is not None]
    if cut:
        what = f"the chat template leaves out text of {len(cut)} of {len(shown)} conversations"
        raise ArtifactError(f"{parent}: {what} (line {cut[0][0]}: {cut[0][1][:60]!r}), {KEEP}")


def _text(tokenizer: PreTrainedTokenizerFast, turns: list[dict]) -> str:
    return tokenizer.apply_chat_template(turns, tokenize=False)


def _check_boundaries(found: Sequence[Tokens], rows: Sequence, tokenizer, parent: Path) -> None:
    broken = [i for i, (_, prompt) in enumerate(found) if prompt < 0]
    if not broken:
        return
    ids, before = found[broken[0]][0].tolist(), prompt_tokens(tokenizer, rows[broken[0]][0])
    at = next((i for i, pair in enumerate(zip(before, ids, strict=False)) if len(set(pair)) > 1), len(ids))
    what = f"{len(broken)} of {len(found)} prompts are not the beginning of prompt and completion, as tokens"
    parting = f"line {broken[0] + 1}: {tokenizer.decode(before[at:])!r} becomes {tokenizer.decode(ids[at:])[:40]!r}"
    remedy = "expected a chat template that renders a prompt alike in both, or a completion that merges with no token"
    raise ArtifactError(f"{parent}: {what} ({parting}), {remedy}")


def _check_ends(completions: Sequence[NDArray], tokenizer, parent: Path) -> None:
    """The model learns to stop by the token that generation stops at, or never stops."""
    ends = stop_tokens(tokenizer, parent)
    endless = [ids for ids in completions if not np.isin(ids, sorted(ends)).any()]
    if endless:
        last, names = tokenizer.decode(endless[0][-3:]), [tokenizer.decode([end]) for end in sorted(ends)]
        what = f"{len(endless)} of {len(completions)} completions end in {last!r} without a token that ends generation"
        raise ArtifactError(
            f"{parent}: {what} ({', '.join(names)}), expected scale.end_token to name the one they have"
        )


def _check_answers(rows: Sequence[dict]) -> None:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row["answer"], str) or not row["answer"].strip():
            raise ArtifactError(f"line {number} of the training examples has no answer, expected one to compare with")


def _say(text: str) -> None:
    if processes.first():
        print(text, file=sys.stderr)
