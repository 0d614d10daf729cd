"""LoRA adapters: checked against a model without weights, merged into one with weights (by peft)."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel

from rlgen.files import ArtifactError, first_line
from rlgen.sources.model_checks import Skeleton
from rlgen.sources.model_files import ADAPTER, ModelFiles

PREFIX = "base_model.model."
ITS_OWN = "take an adapter that was trained on this model"


def check_adapter(adapter: ModelFiles, folder: Path, model: Skeleton) -> None:
    """Raises ArtifactError for an adapter that is no LoRA or does not fit the model. `folder` holds its weights."""
    kind = adapter.read_json("adapter_config.json").get("peft_type")
    if kind != "LORA":
        raise ArtifactError(
            adapter.label, f"peft_type {kind!r}, expected 'LORA'", "merge it by hand and import the result"
        )
    modules = dict(model.model.named_modules())
    try:
        with safe_open(folder / ADAPTER, framework="pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(folder / ADAPTER, f"cannot be read ({first_line(error)})", "fetch it again") from error
    if not any(".lora_" in name for name in shapes):
        raise ArtifactError(adapter.label, f"{ADAPTER} holds no LoRA weights", ITS_OWN)
    for name, shape in shapes.items():
        module, found, part = name.removeprefix(PREFIX).partition(".lora_")
        if not found or part[0] not in "AB":
            continue  # trained embeddings, biases and magnitudes, which peft checks
        if module not in modules:
            problem = f"changes {module}, which {model.label} ({model.architecture}) does not have"
            raise ArtifactError(adapter.label, problem, ITS_OWN)
        axis = 1 if part[0] == "A" else 0  # A (r, d_in), B (d_out, r), W (d_out, d_in)
        width = modules[module].weight.shape[axis]
        if shape[axis] != width:
            problem = f"{name} is for a width of {shape[axis]}, expected {width} as in {model.label}"
            raise ArtifactError(adapter.label, problem, ITS_OWN)


def untie(model: PreTrainedModel, folder: Path) -> None:
    """Give the output head weights of its own where an adapter changes them, or the embedding that they are tied to.

    A merge adds B A to one of the two in place: tied, it would change the other as well, which the adapter's own
    forward pass leaves alone.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head.weight is not embedding.weight:
        return
    ends = tuple(f"{name}.lora_" for name, module in model.named_modules() if module in (embedding, head))
    with safe_open(folder / ADAPTER, framework="pt") as file:
        if not any(name.removeprefix(PREFIX).startswith(ends) for name in file.keys()):  # noqa: SIM118 (no mapping)
            return
    head.weight = torch.nn.Parameter(embedding.weight.detach().clone(), requires_grad=False)
    model.config.tie_word_embeddings = False
    model.all_tied_weights_keys = {}


def merge(model: PreTrainedModel, folder: Path, label: str) -> PreTrainedModel:
    """The model with W + (alpha / r) B A in place of every W that the adapter changes, in the model's own dtype.

    With `use_rslora` the factor is alpha / sqrt(r) (arXiv 2106.09685, 2312.03732). Raises ArtifactError where weights
    of the adapter are missing, have no place in the model, or give values that are not finite.
    """
    from peft import PeftModel

    untie(model, folder)
    try:
        tuned = PeftModel.from_pretrained(model, str(folder), is_trainable=False)
        result = tuned.load_adapter(str(folder), "default", is_trainable=False)  # once more: only this one tells
    except Exception as error:
        raise ArtifactError(label, f"the adapter cannot be merged ({first_line(error)})", ITS_OWN) from error
    for what, names in (("no weights for", result.missing_keys), ("unused weights", result.unexpected_keys)):
        if names:
            raise ArtifactError(label, f"the adapter has {what} {names[0]} (and {len(names) - 1} more)", ITS_OWN)
    try:
        return tuned.merge_and_unload(safe_merge=True)
    except ValueError as error:  # NaN or infinity
        raise ArtifactError(label, f"the adapter cannot be merged ({first_line(error)})", ITS_OWN) from error
