"""Whether a published model fits a study, told from its config alone: nothing here needs weights."""

from dataclasses import dataclass

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from rlgen.files import ArtifactError, first_line
from rlgen.models.checkpoints import blocks
from rlgen.sources.exactness import ANOTHER, check_exact
from rlgen.sources.gguf_models import read_config
from rlgen.sources.model_files import ModelFiles


@dataclass(frozen=True)
class Skeleton:
    """A model without weights, all its tensors on the meta device."""

    label: str
    model: PreTrainedModel

    @property
    def architecture(self) -> str:
        """Class of the model."""
        return type(self.model).__name__

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(blocks(self.model))

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return self.model.config.hidden_size

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding: at least as many as the tokenizer has ids."""
        return self.model.get_input_embeddings().num_embeddings


def skeleton(files: ModelFiles) -> Skeleton:
    """The model that a config describes. Raises ArtifactError for one that this project cannot read or edit."""
    config = _config(files)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception as error:  # whatever a config may say
        raise ArtifactError(files.label, f"no causal language model ({first_line(error)})", ANOTHER) from error
    found = Skeleton(files.label, model)
    published = (config.architectures or [found.architecture])[0]
    if published != found.architecture:
        problem = f"its weights are those of a {published}, expected a {found.architecture}"
        raise ArtifactError(files.label, problem, "take the language model itself")
    check_exact(files.label, model)
    return found


def _config(files: ModelFiles) -> PretrainedConfig:
    if files.header is not None:
        return read_config(files.header)
    content = files.read_json("config.json")
    if "quantization_config" in content:
        problem = "its weights are quantised (quantization_config), expected float32, bfloat16 or float16"
        raise ArtifactError(files.label, problem, "take the model before quantisation")
    try:
        return AutoConfig.from_pretrained(files.folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # unknown kinds, code in the repository, values that a config class refuses
        problem = f"architecture {content.get('model_type')!r} is not supported ({first_line(error)})"
        raise ArtifactError(files.label, problem, ANOTHER) from error


def check_context(found: Skeleton, tokens: int) -> None:
    """Raises ArtifactError where a model has fewer positions than a text of the study may have tokens."""
    positions = getattr(found.model.config, "max_position_embeddings", None)
    if positions is not None and positions < tokens:
        problem = f"its context holds {positions} tokens, the study's texts have up to {tokens}"
        raise ArtifactError(found.label, problem, "lower stream.sequence_tokens, or for a teacher max_model_len")


def check_fits(found: Skeleton, layer: int, reference: Skeleton | None) -> None:
    """Raises ArtifactError where a model lacks the study's layer or is not as wide as the reference."""
    if not 0 <= layer < found.blocks:
        problem = f"stream.layer={layer} is out of range, expected 0 to {found.blocks - 1} ({found.blocks} blocks)"
        raise ArtifactError(found.label, problem, "choose another layer or model")
    if reference is not None and found.hidden_size != reference.hidden_size:
        problem = f"hidden size {found.hidden_size}, expected {reference.hidden_size} as in {reference.label}"
        raise ArtifactError(found.label, problem, "only models of one width can be compared")
