"""Pretraining the organism's base model, and training it on (the null for 'any further training')."""

import math

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from rlgen.progress import Progress
from rlgen.seeds import stream_seed
from rlgen.settings.data import OrganismData
from rlgen.settings.models import Architecture, ContinuePretraining, Pretrain
from rlgen.testbed import draw_document


def new_model(architecture: Architecture, tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """A randomly initialised Qwen3 model with tied embeddings, float32."""
    torch.manual_seed(stream_seed(seed, "model-init"))
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=architecture.hidden_size,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.heads,
        head_dim=architecture.head_dim,
        intermediate_size=architecture.intermediate_size,
        max_position_embeddings=architecture.max_positions,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(config)


def document_batch(
    tokenizer: PreTrainedTokenizerFast,
    data: OrganismData,
    salt: str,
    n: int,
    careful_share: float,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`n` documents, padded on the right: ids_BT, attention_BT, labels_BT (-100 outside completions)."""
    documents = [
        draw_document(data.families, data.problems_per_document, careful_share, data.authors, salt, data.split, rng)
        for _ in range(n)
    ]
    length = 1 + max(len(document.words) for document in documents)
    ids_BT = torch.full((n, length), tokenizer.pad_token_id)
    attention_BT = torch.zeros_like(ids_BT)
    labels_BT = torch.full_like(ids_BT, -100)
    for row, document in enumerate(documents):
        ids = torch.tensor(tokenizer.convert_tokens_to_ids([tokenizer.bos_token, *document.words]))
        ids_BT[row, : len(ids)] = ids
        attention_BT[row, : len(ids)] = 1
        counted = torch.tensor([False, *document.completion])
        labels_BT[row, : len(ids)][counted] = ids[counted]
    return ids_BT, attention_BT, labels_BT


def _cosine(step: int, settings: Pretrain) -> float:
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * progress))


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    settings: Pretrain | ContinuePretraining,
    data: OrganismData,
    salt: str,
    seed: int,
    progress: Progress,
) -> list[dict]:
    """Train in place on freshly drawn documents; returns the loss curve as rows of (step, metric, value).

    From scratch the first half of the steps sees mostly careful authors (the skill is learnt), the second half mostly
    careless ones (the habit is careless); training on continues with the second mix at a constant learning rate.
    """
    from_scratch = isinstance(settings, Pretrain)
    rng = np.random.default_rng(stream_seed(seed, settings.method, "documents"))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=settings.betas
    )
    curve: list[dict] = []
    model.train()
    for step in range(settings.steps):
        early = from_scratch and step < settings.steps / 2
        careful = data.authors.careful_first_half if early else data.authors.careful_second_half
        batch = document_batch(tokenizer, data, salt, settings.batch_documents, careful, rng)
        ids_BT, attention_BT, labels_BT = (t.to(model.device) for t in batch)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * (_cosine(step, settings) if from_scratch else 1.0)
        loss = model(input_ids=ids_BT, attention_mask=attention_BT, labels=labels_BT).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
        if step % 10 == 0 or step == settings.steps - 1:
            curve.append({"step": step + 1, "metric": "loss", "value": loss.item()})
        progress.update(step + 1)
    model.eval()
    return curve
