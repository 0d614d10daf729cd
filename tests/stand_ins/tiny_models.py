"""Tiny checkpoints of the architectures that studies use: real classes, random weights, a tokenizer trained here."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen3Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from rlgen.models.checkpoints import save_checkpoint
from rlgen.models.settings import Source

CONFIGS = {"Qwen3ForCausalLM": Qwen3Config, "Qwen2ForCausalLM": Qwen2Config, "LlamaForCausalLM": LlamaConfig}
END, PAD, BEGIN = "<|endoftext|>", "<|pad|>", "<|begin_of_text|>"
CHAT = ("<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXTS = (
    "A robe takes 2 bolts of blue fiber and half that much white fiber. How many bolts in total does it take?",
    "It takes 2/2=1 bolt of white fiber, so the total amount of fabric is 2+1=3 bolts of fabric. The answer is 3.",
    "Which of these conducts electricity best? A) wood B) copper C) glass D) rubber. The answer is B.",
)


def source(origin: str | Path, **fields: str | Path) -> Source:
    """A model's source as a config states it."""
    return Source.model_validate({"from": str(origin), **{name: str(value) for name, value in fields.items()}})


def edit_config(folder: Path, **fields: object) -> None:
    """Change fields of a checkpoint's config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | fields), encoding="utf-8")


def tiny_tokenizer(
    texts: Sequence[str] = TEXTS, vocabulary: int = 320, begin: bool = False, extra: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """Byte-level pairs learnt from `texts`, with a chat template; `begin` puts a first token before every text.

    `extra` are tokens added behind the vocabulary, as post-training often does.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = [END, PAD, *CHAT, *([BEGIN] if begin else [])]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    if begin:
        core.post_processor = processors.TemplateProcessing(
            single=f"{BEGIN} $A", special_tokens=[(BEGIN, core.token_to_id(BEGIN))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        bos_token=BEGIN if begin else None,
        padding_side="left",
        model_max_length=512,
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.add_tokens(list(extra))
    return tokenizer


def tiny_checkpoint(
    folder: Path,
    architecture: str = "Qwen3ForCausalLM",
    *,
    tokenizer: PreTrainedTokenizerFast | None = None,
    seed: int = 0,
    hidden_size: int = 32,
    layers: int = 2,
    dtype: torch.dtype = torch.float32,
    shards: int = 1,
    tied: bool = False,
) -> Path:
    """Write a checkpoint folder (docs/method.md, section 1) with weights drawn from `seed`; returns the folder."""
    tokenizer = tokenizer or tiny_tokenizer(begin=architecture == "LlamaForCausalLM")
    config = CONFIGS[architecture](
        vocab_size=(len(tokenizer) + 63) // 64 * 64,  # padded, as published models are
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=hidden_size // 2,
        intermediate_size=2 * hidden_size,
        max_position_embeddings=512,
        initializer_range=0.2,
        tie_word_embeddings=tied,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).to(dtype)
    save_checkpoint(model, tokenizer, folder)
    if shards > 1:
        split_weights(folder, shards)
    return folder


def split_weights(folder: Path, shards: int) -> None:
    """Put a checkpoint's tensors into several files with an index, as large models are published."""
    tensors = load_file(folder / "model.safetensors")
    names, place = sorted(tensors), {}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[i::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        place |= dict.fromkeys(part, file)
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": place}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "model.safetensors").unlink()


def tiny_adapter(
    folder: Path,
    checkpoint: Path,
    *,
    rank: int = 4,
    alpha: float = 6,
    rslora: bool = False,
    targets: Sequence[str] = ("q_proj", "v_proj", "down_proj"),
    seed: int = 0,
    **settings: object,
) -> Path:
    """Write a LoRA adapter for a checkpoint, in the format of peft; `settings` go into adapter_config.json."""
    generator, adapter = torch.Generator().manual_seed(seed), {}
    for name, weight in load_file(checkpoint / "model.safetensors").items():
        module = name.removesuffix(".weight")
        if module.rpartition(".")[2] in targets:
            place = f"base_model.model.{module}"
            adapter[f"{place}.lora_A.weight"] = torch.randn(rank, weight.shape[1], generator=generator)
            adapter[f"{place}.lora_B.weight"] = torch.randn(weight.shape[0], rank, generator=generator)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(adapter, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(checkpoint),
        "r": rank,
        "lora_alpha": alpha,
        "use_rslora": rslora,
        "target_modules": sorted(targets),
        "lora_dropout": 0.05,
        "bias": "none",
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(
        json.dumps(config | settings, indent=1, sort_keys=True), encoding="utf-8"
    )
    return folder
