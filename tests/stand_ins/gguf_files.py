"""GGUF files of tiny models, written byte by byte: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from rlgen.models.checkpoints import load_tokenizer

BLOCK = {  # llama.cpp's name of a tensor in a block -> that of transformers
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
ENDS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
F32, Q8_0, UNREADABLE = 0, 8, 24  # 24: I8, which holds no weights of a language model
ALIGNMENT = 32
Listed = tuple[str, list]  # letter of struct or "text", values


def gguf_of(checkpoint: Path, path: Path, kind: int = F32, **fields: Any) -> Path:
    """Write a tiny Llama checkpoint as a GGUF file, matrices in one type; `fields` replace those of its header.

    A field's name has __ for dots; None leaves it out.
    """
    tensors = {name: value for name, value in _tensors(checkpoint).items() if value is not None}
    known = _fields(checkpoint) | {name.replace("__", "."): value for name, value in fields.items()}
    known = {name: value for name, value in known.items() if value is not None}
    parts, table, start = [], b"", 0
    for name, weights in tensors.items():
        number = kind if weights.ndim == 2 else F32
        data = _q8_0(weights) if number == Q8_0 else weights.astype("<f4").tobytes()
        shape = weights.shape[::-1]
        table += _text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        table += struct.pack("<IQ", number, start)
        parts.append(data + bytes(-len(data) % ALIGNMENT))
        start += len(parts[-1])
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(known))
    header += b"".join(_text(name) + _value(value) for name, value in known.items()) + table
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + bytes(-len(header) % ALIGNMENT) + b"".join(parts))
    return path


def dequantised(weights: np.ndarray) -> np.ndarray:
    """What Q8_0 keeps of a matrix: per 32 weights one scale in half precision, and integers of 8 bits."""
    scale, integers = _scaled(weights)
    return (scale.astype(np.float32) * integers).reshape(weights.shape).astype(np.float32)


def _tensors(checkpoint: Path) -> dict[str, np.ndarray | None]:
    weights, config = load_file(checkpoint / "model.safetensors"), _config(checkpoint)
    found = {f"{name}.weight": weights.get(f"{other}.weight") for name, other in ENDS.items()}
    for block in range(config["num_hidden_layers"]):
        for name, other in BLOCK.items():
            value = weights[f"model.layers.{block}.{other}.weight"]
            heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}.get(name)
            found[f"blk.{block}.{name}.weight"] = value if heads is None else interleaved(value, config[heads])
    return found


def interleaved(weights: np.ndarray, heads: int) -> np.ndarray:
    """Rows of queries or keys in llama.cpp's order: the two halves of a head, which rotate together, by turns."""
    halves = weights.reshape(heads, 2, len(weights) // heads // 2, weights.shape[1])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def _config(checkpoint: Path) -> dict[str, Any]:
    return json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))


def _fields(checkpoint: Path) -> dict[str, Any]:
    config, tokenizer = _config(checkpoint), load_tokenizer(checkpoint)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    special = set(tokenizer.all_special_tokens) | {"<|im_start|>", "<|im_end|>"}
    return {
        "general.architecture": "llama",
        "general.name": "tiny",
        "llama.block_count": config["num_hidden_layers"],
        "llama.context_length": config["max_position_embeddings"],
        "llama.embedding_length": config["hidden_size"],
        "llama.feed_forward_length": config["intermediate_size"],
        "llama.attention.head_count": config["num_attention_heads"],
        "llama.attention.head_count_kv": config["num_key_value_heads"],
        "llama.attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        "llama.rope.freq_base": 10000.0,
        "llama.rope.dimension_count": config["head_dim"],
        "llama.vocab_size": config["vocab_size"],
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": ("text", tokens),
        "tokenizer.ggml.token_type": ("i", [3 if token in special else 1 for token in tokens]),
        "tokenizer.ggml.merges": ("text", [" ".join(pair) for pair in model["merges"]]),
        "tokenizer.ggml.add_bos_token": tokenizer.bos_token is not None,
        "tokenizer.ggml.bos_token_id": tokenizer.bos_token_id,
        "tokenizer.ggml.eos_token_id": tokenizer.eos_token_id,
        "tokenizer.ggml.padding_token_id": tokenizer.pad_token_id,
        "tokenizer.chat_template": tokenizer.chat_template,
    }


def _scaled(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    blocks = weights.reshape(-1, 32).astype(np.float32)
    scale = (np.abs(blocks).max(1, keepdims=True) / 127).astype(np.float16)
    safe = np.where(scale == 0, 1, scale).astype(np.float32)
    return scale, np.clip(np.round(blocks / safe), -127, 127).astype(np.int8)


def _q8_0(weights: np.ndarray) -> bytes:
    scale, integers = _scaled(weights)
    return b"".join(s.astype("<f2").tobytes() + row.tobytes() for s, row in zip(scale, integers, strict=True))


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: bool | int | float | str | Listed) -> bytes:
    """A field's value behind the number of its type."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    kind, values = value
    if kind == "text":
        return struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(_text, values))
    return struct.pack("<IIQ", 9, 5, len(values)) + struct.pack(f"<{len(values)}i", *values)
