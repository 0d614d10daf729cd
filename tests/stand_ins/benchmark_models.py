"""Ten shipped tasks over a few documents in the data sets' own formats, and tiny random models to run on them."""

import json
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from rlgen.sources.prompts import BenchmarkSamples, benchmark_samples, documents_text
from rlgen.tasks.settings import Benchmark
from rlgen.tasks.shipped import BenchmarkTask, load_task, shipped_task

ARCHITECTURES = {"qwen3": Qwen3Config, "qwen2": Qwen2Config, "llama": LlamaConfig}
THINGS = ["cat", "river", "stone", "candle", "magnet", "leaf", "engine", "cloud", "spoon", "violin"]
DOCUMENTS = 10
CHOSEN = ["openbookqa", "commonsense_qa", "headqa_en", "sciq", "arc_challenge", "logiqa", "piqa"]
GENERATED = ["hendrycks_math500", "aime24", "aime25"]
TASKS = [*GENERATED, *CHOSEN]
SPLIT = {"aime24": "train", "commonsense_qa": "validation", "piqa": "validation"}  # test otherwise
CHAT = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def document(task: str, i: int) -> dict:
    """Document i of a task, fields as its data set publishes them."""
    thing, others = THINGS[i], [THINGS[(i + k) % 10] for k in (1, 2, 3, 4)]
    options = {"text": [f"a {o}" for o in others], "label": list("ABCD")}
    return {
        "hendrycks_math500": lambda: {
            "problem": f"What is ${i}+{i}$ in {thing}s?",
            "solution": f"We add: $\\boxed{{{2 * i}}}$.",
            "answer": str(2 * i),
            "subject": "Algebra",
            "level": 1,
            "unique_id": f"test/algebra/{i}.json",
        },
        "aime24": lambda: {"ID": f"2024-I-{i}", "Problem": f"Find {thing} {i}.", "Solution": "So.", "Answer": 100 + i},
        "aime25": lambda: {"problem": f"Let $n={i}$ be a {thing}. Find $n^2$.", "answer": str(i * i), "id": str(i)},
        "openbookqa": lambda: {
            "id": f"7-{i}",
            "question_stem": f"Which of these is most like a {thing}",
            "choices": options,
            "answerKey": "ABCD"[i % 4],
        },
        "commonsense_qa": lambda: {
            "id": f"c{i}",
            "question": f"Where would you put a {thing}? ",
            "question_concept": thing,
            "choices": {"label": list("ABCDE"), "text": [*others, "box"]},
            "answerKey": "ABCDE"[i % 5],
        },
        "headqa_en": lambda: {
            "name": "Cuaderno_2013_1_B",
            "year": "2013",
            "category": "biology",
            "qid": str(i),
            "qtext": f"The {thing} is excited by:",
            "ra": 1 + i % 4,
            "image": None,
            "answers": [{"aid": k + 1, "atext": f"{o} flow."} for k, o in enumerate(others)],
        },
        "sciq": lambda: {
            "question": f"What does a {thing} do?",
            "distractor3": others[0],
            "distractor1": others[1],
            "distractor2": others[2],
            "correct_answer": "work",
            "support": f" Every {thing} can work.",
        },
        "arc_challenge": lambda: {
            "id": f"Mercury_{i}",
            "question": f"Which would a {thing} need?",
            "choices": {"text": options["text"][: 3 + i % 2], "label": list("1234")[: 3 + i % 2]},
            "answerKey": "123"[i % 3],
        },
        "logiqa": lambda: {
            "label": "abcd"[i % 4],
            "context": f"All {thing}s sing.",
            "question": "Which is true?",
            "options": [f"Some {o} sings." for o in others],
        },
        "piqa": lambda: {"goal": f"clean a {thing}", "sol1": "use soap", "sol2": f"use a {others[0]}", "label": i % 2},
    }[task]()


def written(task: str, folder: Path) -> Benchmark:
    """The benchmark of a file of documents, JSONL or (for sciq) Parquet."""
    rows = [document(task, i) for i in range(DOCUMENTS)]
    path = folder / f"{task}.published.{'parquet' if task == 'sciq' else 'jsonl'}"
    if task == "sciq":
        import pandas as pd

        pd.DataFrame(rows).to_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Benchmark(files={SPLIT.get(task, "test"): str(path)})


def made(task: str, folder: Path, per_half: int = 3, tokenizer=None) -> tuple[BenchmarkSamples, BenchmarkTask]:
    """Samples of a task as `make_benchmark` makes them, and the task that a later job reads."""
    benchmark = written(task, folder)
    found = benchmark_samples(shipped_task(task, benchmark), "selection", per_half, tokenizer)
    docs = folder / f"{task}.docs.jsonl"
    docs.write_text(documents_text(found.documents), encoding="utf-8")
    chat = tokenizer is not None
    return found, BenchmarkTask(load_task(task, docs, benchmark, max_new_tokens=12), found.samples, benchmark, chat)


@cache
def tokenizer_of(architecture: str) -> PreTrainedTokenizerFast:
    """A byte-pair tokenizer with a chat template: Llama's writes a beginning of sequence, Qwen's pads with its end."""
    texts = [json.dumps(document(task, i)) + " Question: Problem: Answer: \n" for task in TASKS for i in range(10)]
    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|begin_of_text|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    own.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=500, special_tokens=special, initial_alphabet=alphabet)
    )
    bos = {}
    if architecture == "llama":
        bos = {"bos_token": special[1]}
        own.post_processor = processors.TemplateProcessing(
            single=f"{special[1]} $A", pair=None, special_tokens=[(special[1], own.token_to_id(special[1]))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=own, eos_token=special[0], pad_token=special[0], chat_template=CHAT, padding_side="left", **bos
    )


@cache
def model_of(architecture: str, seed: int = 0, blocks: int = 3):
    """A random model whose next tokens depend on what it reads."""
    torch.manual_seed(seed)
    config = ARCHITECTURES[architecture](
        vocab_size=len(tokenizer_of(architecture)),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=blocks,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=tokenizer_of(architecture).eos_token_id,
        pad_token_id=None,
    )
    return AutoModelForCausalLM.from_config(config).eval()
