"""Studies on published models, in small: tiny checkpoints, data in the formats in which it is published, configs."""

import json
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
import yaml
from tiny_models import TEXTS, tiny_adapter, tiny_checkpoint, tiny_tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from rlgen.models.checkpoints import save_checkpoint
from rlgen.models.tokens import render

TEXT = "the cat sat on a mat and then it ran to see what was there because nobody knew that two plus two is four"
WORDS = TEXT.split()
DOCUMENTS = 40  # of every benchmark
ONE, TWO = r"\boxed{1}", r"\boxed{2}"
QUESTION = "Is number {} of the list one or two?"

OWN_MODELS = {  # bring your own: a base, an adapter for it, and a model in several files with a checkpoint before it
    "base": {"method": "load", "from": "./data/base"},
    "sft": {"method": "load", "from": "./data/base", "adapter": "./data/sft-lora"},
    "rl": {"method": "load", "from": "./data/rl", "earlier": [{"from": "./data/rl-step1"}]},
}
TRAINING = {"gpus": 1, "precision": "float32", "max_length": 256, "end_token": "<|im_end|>"}
TRAINED_MODELS = {
    "base": {"method": "load", "from": "./data/unsure"},
    "sft": {
        "method": "sft",
        "parent": "base",
        "examples": 32,
        "batch_size": 8,
        "checkpoints": 2,
        "learning_rate": 3e-3,
        "scale": TRAINING | {"per_device_batch": 4},
    },
    "rl": {
        "method": "grpo",
        "parent": "base",
        "prompts": 32,
        "prompts_per_step": 8,
        "rollouts": 4,
        "max_new_tokens": 10,
        "checkpoints": 2,
        "learning_rate": 3e-3,
        "scale": TRAINING | {"per_device_batch": 16, "vllm": "none", "check_workers": 1},
    },
}
RECIPE = {"latents": 48, "k": 4, "steps": 30, "batch_rows": 128, "dead_after_rows": 5000, "aux_k": 8}


def write_lines(path: Path, rows: Iterable[dict]) -> None:
    """JSON, a row per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_data(folder: Path) -> None:
    """What every study reads: texts and benchmarks."""
    _write_texts(folder)
    _write_benchmarks(folder)


def _write_texts(folder: Path) -> None:
    """Conversations as OpenThoughts publishes them, and plain text."""
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(10, 60))) for _ in range(400)]
    turns = [[{"from": "user", "value": t[:30]}, {"from": "assistant", "value": t}] for t in texts[:200]]
    write_lines(folder / "talk.jsonl", ({"system": "", "conversations": turn} for turn in turns))
    write_lines(folder / "plain.jsonl", ({"text": text} for text in texts[200:]))


def _write_benchmarks(folder: Path) -> None:
    """Documents of four tasks, fields as their data sets publish them; of the mathematics, every other answer is 1."""
    draw = random.Random(1)

    def options() -> dict:
        # As many tokens each: random models prefer short answers, all models the same ones.
        return {"text": [f"{number} cats" for number in draw.sample(range(100, 1000), 4)], "label": list("ABCD")}

    documents: dict[str, Callable[[int], dict]] = {
        "openbookqa": lambda i: {
            "id": f"7-{i}",
            "question_stem": f"Which is most like the {draw.choice(WORDS)} of day {i}",
            "choices": options(),
            "answerKey": draw.choice("ABCD"),
        },
        "arc_challenge": lambda i: {
            "id": f"Mercury_{i}",
            "question": f"What would {draw.choice(WORDS)} number {i} need?",
            "choices": options(),
            "answerKey": draw.choice("ABCD"),
        },
        "piqa": lambda i: {
            "goal": f"see {draw.choice(WORDS)} {i}",
            "sol1": " ".join(draw.sample(WORDS, 3)),
            "sol2": " ".join(draw.sample(WORDS, 3)),
            "label": draw.randint(0, 1),
        },
        "hendrycks_math500": lambda i: {
            "problem": f"How many of ${i}$ are there?",
            "solution": f"There are $\\boxed{{{1 + i % 2}}}$.",
            "answer": str(1 + i % 2),
            "subject": "Algebra",
            "level": 1,
            "unique_id": f"test/algebra/{i}.json",
        },
    }
    for task, document in documents.items():
        write_lines(folder / f"{task}.jsonl", map(document, range(DOCUMENTS)))


def write_own_models(folder: Path) -> None:
    """A base, a LoRA adapter for it, and two checkpoints, the last one in three files."""
    base = tiny_checkpoint(folder / "base", seed=0)
    tiny_adapter(folder / "sft-lora", base, seed=4)
    tiny_checkpoint(folder / "rl-step1", seed=1)
    tiny_checkpoint(folder / "rl", seed=2, shards=3)


def write_problems(folder: Path) -> None:
    """Problems of which every other one's answer is 1."""
    write_lines(folder / "problems.jsonl", ({"q": QUESTION.format(i), "a": str(1 + i % 2)} for i in range(64)))


def write_taught_models(folder: Path) -> None:
    """A base that answers 1 or 2, whatever it is asked, and a teacher that always answers 1."""
    # Merges of boxes make solutions three tokens long, so that a tiny model writes them after a few steps.
    tokenizer = tiny_tokenizer([*TEXTS, QUESTION, *[ONE, TWO] * 20], vocabulary=400)
    for name, answers in (("unsure", [ONE, TWO]), ("teacher", [ONE])):
        tiny_checkpoint(folder / name, tokenizer=tokenizer, seed=5)
        teach(folder / name, tokenizer, answers)


def teach(folder: Path, tokenizer: PreTrainedTokenizerFast, answers: list[str], steps: int = 60) -> None:
    """Train a checkpoint to end any user's turn with one of some answers, drawn anew every time."""
    draw, model = random.Random(0), AutoModelForCausalLM.from_pretrained(folder)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        asked = [" ".join(draw.choices(WORDS, k=8)) if draw.random() < 0.5 else QUESTION.format(draw.randrange(64))
                 for _ in range(16)]  # fmt: skip
        texts = [render(tokenizer, [{"role": "user", "content": q}], True) for q in asked]
        before = [len(tokenizer(text)["input_ids"]) for text in texts]
        rows = [tokenizer(f"{text}{draw.choice(answers)}<|im_end|>")["input_ids"] for text in texts]
        width = max(map(len, rows))
        ids_BT = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])
        place_T = torch.arange(width)
        own_BT = torch.stack([(place_T >= n) & (place_T < len(row)) for n, row in zip(before, rows, strict=True)])
        optimiser.zero_grad()
        model(input_ids=ids_BT, labels=ids_BT.masked_fill(~own_BT, -100)).loss.backward()
        optimiser.step()
    ends = ["<|im_end|>", tokenizer.eos_token]
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(ends)
    shutil.rmtree(folder)
    save_checkpoint(model, tokenizer, folder)


def bring_your_own() -> dict:
    """The study on models that exist, its shards harvested in three windows, one on the disk at a time."""
    stream = {"rows": 512 * 8, "shard_rows": 512, "held_out_shards": 2, "windows": 3, "windows_on_disk": 1}
    stream["disk_gb"] = 0.00115  # 4 states x (2 + 2 held out) shards x 512 rows x (32 x 4 + 12) bytes are 0.001147 GB
    recipes = {
        "batchtopk": RECIPE,
        "l1-own": {"objective": "l1", "normalisation": "per_model", "latents": 48, "steps": 30, "batch_rows": 128},
    }
    return _study("byo", OWN_MODELS, ["arc_challenge"]) | {
        "stream": _stream() | stream,
        "recipes": recipes,
        "dictionaries": {
            "base-rl": {"members": ["base", "rl"], "recipes": ["batchtopk"]},
            "base-sft": {"members": ["base", "sft"], "recipes": ["batchtopk", "l1-own"]},
            "base-sft-rl": {"members": ["base", "sft", "rl"], "recipes": ["batchtopk"]},
            "course-rl": {"members": ["base", "rl@1", "rl@2"], "recipes": ["batchtopk"]},
        },
    }


def training() -> dict:
    """The study that trains SFT on a teacher's solutions, and RL, on problems with answers 1 and 2."""
    study = _study("training", TRAINED_MODELS, ["hendrycks_math500"])
    study["data"] |= {
        "problems": "problems",
        "teacher": {
            "from": "./data/teacher",
            "samples_per_prompt": 2,
            "max_new_tokens": 10,
            "max_model_len": 256,
            "shards": 2,
            "batch_prompts": 16,
            "backend": "transformers",
            "dtype": "float32",
            "temperature": 0.5,
        },
    }
    study["data"]["sources"]["problems"] = {
        "files": ["data/problems.jsonl"],
        "format": {"kind": "problem", "prompt": "{{ q }}", "answer": "{{ a }}"},
    }
    del study["data"]["benchmarks"]["hendrycks_math500"]["options"]  # written, not chosen
    study["data"]["benchmarks"]["hendrycks_math500"]["metric"] = "math_verify"
    study["evaluation"]["chat"] = True
    return study | {
        "stream": _stream() | {"rows": 512 * 3, "shard_rows": 512},
        "recipes": {"batchtopk": RECIPE},
        "dictionaries": {
            "base-rl": {"members": ["base", "rl"], "recipes": ["batchtopk"]},
            "base-sft-rl": {"members": ["base", "sft", "rl"], "recipes": ["batchtopk"]},
            "course-rl": {"members": ["base", "rl@1", "rl@2"], "recipes": ["batchtopk"]},
        },
    }


def varied(study: dict) -> dict:
    """A study that also varies the sets of a procedure by cause, and edits through any readout, however poor."""
    procedures = study["procedures"] | {"attribution": study["procedures"]["contribution"] | {"score": "attribution"}}
    extended = {"procedure": "attribution", "sizes": [1, 2, 4], "left_out": 1}
    interventions = study["interventions"] | {"readout_variance": 0}
    return study | {"procedures": procedures, "interventions": interventions, "extended": extended}


def aiming(study: dict) -> dict:
    """A study that also trains two models on problems, aiming at what a procedure's set does to the base."""
    aim, small = {"procedure": "contribution"}, {"parent": "base", "checkpoints": 1}
    scale = {"precision": "bf16", "per_device_batch": 2, "max_length": 256}
    models = {
        "aim": small | {"method": "distil", "teacher": "base", "under": aim, "scale": scale}
        | {"prompts": 4, "prompts_per_step": 4, "max_new_tokens": 8},
        "held": small | {"method": "sft", "holds": aim | {"set": "alive"}, "scale": scale | {"end_token": "<|im_end|>"}}
        | {"examples": 12, "batch_size": 4},
    }  # fmt: skip
    problems = {"kind": "problem", "prompt": "{{ q }}", "answer": "{{ a }}", "completion": "It is {{ a }}."}
    sources = study["data"]["sources"] | {"problems": {"files": ["data/problems.jsonl"], "format": problems}}
    data = study["data"] | {"problems": "problems", "sources": sources}
    return study | {"data": data, "models": study["models"] | models}


def write_study(folder: Path, study: dict) -> str:
    """Write a config beside the project's own; its path there."""
    path = f"config/{study['study']}.yaml"
    (folder / path).write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path


def _study(name: str, models: dict, in_domain: list[str]) -> dict:
    """What both studies share, to be changed at will."""
    benchmarks = {task: {"files": {"test": f"data/{task}.jsonl"}, "options": 4} for task in [*in_domain, "openbookqa"]}
    benchmarks["openbookqa"]["metric"] = "acc_norm"
    benchmarks["piqa"] = {"files": {"validation": "data/piqa.jsonl"}, "options": 2}
    talk = {"kind": "messages", "column": "conversations", "role": "from", "content": "value"}
    return {
        "study": name,
        "seeds": [0],
        "roles": {"reference": "base", "target": "rl", "contrast": "sft"},
        "data": {
            "kind": "sources",
            "sources": {
                "talk": {"files": ["data/talk.jsonl"], "format": talk},
                "plain": {"files": ["data/plain.jsonl"], "format": {"kind": "text"}},
            },
            "benchmarks": benchmarks,
        },
        "tasks": {"in_domain": in_domain, "selection": ["openbookqa"], "unseen": ["piqa"]},
        "evaluation": {"backend": "transformers", "prompts_per_half": 16, "max_new_tokens": 10},
        "models": json.loads(json.dumps(models)),
        "procedures": {
            "contribution": {
                "dictionary": "base-rl",
                "recipe": "batchtopk",
                "edits": {"base": ["exchange"], "rl": ["exchange"]},
            }
        },
        "features": {"alive_firings": 1, "top": 5, "random_draws": 20, "contexts": 2},
        "interventions": {
            "doses": [1],
            "truth_doses": [1],
            "random_sets": 1,
            "random_directions": 1,
            "bootstrap": 100,
        },
    }


def _stream() -> dict:
    return {"mix": {"talk": 0.5, "plain": 0.5}, "layer": 0, "sequence_tokens": 64}
