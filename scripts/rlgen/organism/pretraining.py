"""Pretraining the organism's base model, and training it on (the null for 'any further training')."""

import math
import sys
from dataclasses import dataclass, field

import numpy as np
import torch
from pydantic import Field
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from rlgen.organism.language import draw_document
from rlgen.organism.settings import Architecture, ContinuePretraining, OrganismData, Pretrain
from rlgen.progress import Progress
from rlgen.resume import Resume
from rlgen.seeds import stream_seed
from rlgen.training.settings import Training


class _Documents(Training):
    """What training on documents needs besides."""

    salt: str = Field(description="of the hash that splits prompt spaces")
    data: OrganismData


class PretrainModel(_Documents):
    """The slice that `scripts/models/pretrain.py` receives."""

    model: Pretrain


class ContinueModel(_Documents):
    """The slice that `scripts/models/continue_pretraining.py` receives."""

    model: ContinuePretraining


def new_model(architecture: Architecture, tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """A randomly initialised model with tied embeddings, float32."""
    torch.manual_seed(stream_seed(seed, "model-init"))
    config = AutoConfig.for_model(
        architecture.kind,
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
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


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


@dataclass
class _Run:
    """What training changes, and nothing else: put down into tensors and facts, taken up from them."""

    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    rng: np.random.Generator  # draws the documents
    step: int = 0
    curve: list[dict] = field(default_factory=list)

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """(tensors, facts); losses are among the tensors, because JSON has no NaN."""
        tensors = {"curve": torch.tensor([row["value"] for row in self.curve], dtype=torch.float64)}
        for name, parameter in self.model.named_parameters():
            tensors[name] = parameter
            tensors |= {f"{name}/{key}": value for key, value in self.optimizer.state[parameter].items()}
        steps = [row["step"] for row in self.curve]
        return tensors, {"step": self.step, "curve": steps, "rng": self.rng.bit_generator.state}

    @torch.no_grad()
    def restore(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Continue from a state of the same run."""
        moments = {}
        for i, (name, parameter) in enumerate(self.model.named_parameters()):
            parameter.copy_(tensors[name])
            moments[i] = {key: tensors[f"{name}/{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        self.rng.bit_generator.state = facts["rng"]
        self.step = facts["step"]
        self.curve = [_loss_row(*row) for row in zip(facts["curve"], tensors["curve"].tolist(), strict=True)]


def _loss_row(step: int, loss: float) -> dict:
    return {"step": step, "metric": "loss", "value": loss}


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    settings: Pretrain | ContinuePretraining,
    data: OrganismData,
    salt: str,
    seed: int,
    progress: Progress,
    resume: Resume,
) -> list[dict]:
    """Train in place on freshly drawn documents; returns the loss curve as rows of (step, metric, value).

    From scratch the first half of the steps sees mostly careful authors (the skill is learnt), the second half mostly
    careless ones (the habit is careless); training on continues with the second mix at a constant learning rate.
    Continues from the state in `resume`, where there is one, to the bits of a run that was never interrupted.
    """
    from_scratch = isinstance(settings, Pretrain)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=settings.betas
    )
    run = _Run(model, optimizer, np.random.default_rng(stream_seed(seed, settings.method, "documents")))
    if (state := resume.load()) is not None:
        run.restore(*state)
        progress.resume(run.step)
        print(f"continuing from step {run.step}", file=sys.stderr)
    model.train()
    for step in range(run.step, settings.steps):
        early = from_scratch and step < settings.steps / 2
        careful = data.authors.careful_first_half if early else data.authors.careful_second_half
        batch = document_batch(tokenizer, data, salt, settings.batch_documents, careful, run.rng)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * (_cosine(step, settings) if from_scratch else 1.0)
        loss = _advance(model, optimizer, batch, settings.clip)
        run.step = step + 1
        if step % 10 == 0 or step == settings.steps - 1:
            run.curve.append(_loss_row(run.step, loss.item()))
        progress.update(run.step)
        if resume.due():
            resume.save(*run.state())
    model.eval()
    return run.curve


def _advance(
    model: PreTrainedModel, optimizer: torch.optim.Optimizer, batch: tuple[torch.Tensor, ...], clip: float
) -> torch.Tensor:
    """One step of the optimiser; returns the loss before it."""
    ids_BT, attention_BT, labels_BT = (t.to(model.device) for t in batch)
    loss = model(input_ids=ids_BT, attention_mask=attention_BT, labels=labels_BT).loss
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return loss.detach()
