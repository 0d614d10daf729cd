"""Whether a published model fits a study, told from its config alone: nothing here needs weights."""

import copy
from dataclasses import dataclass

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from rlgen.files import ArtifactError
from rlgen.hub import first_line
from rlgen.models.checkpoints import blocks
from rlgen.models.residual import resumed_after, stopped_at
from rlgen.sources.model_files import ModelFiles

ANOTHER = "take a model whose class transformers itself has, with its blocks at model.model.layers"


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
    if not isinstance(getattr(getattr(model, "model", None), "layers", None), torch.nn.ModuleList):
        raise ArtifactError(files.label, f"architecture {published} has no model.model.layers", ANOTHER)
    kinds = sorted(set(getattr(config, "layer_types", None) or ()))
    if len(kinds) > 1:
        problem = f"the blocks of {published} attend in different ways ({', '.join(kinds)}), expected one"
        raise ArtifactError(files.label, problem, ANOTHER)
    _check_runs_in_parts(files.label, config)
    return found


def _config(files: ModelFiles) -> PretrainedConfig:
    content = files.read_json("config.json")
    if "quantization_config" in content:
        problem = "its weights are quantised (quantization_config), expected float32, bfloat16 or float16"
        raise ArtifactError(files.label, problem, "take the model before quantisation")
    try:
        return AutoConfig.from_pretrained(files.folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # unknown kinds, code in the repository, values that a config class refuses
        problem = f"architecture {content.get('model_type')!r} is not supported ({first_line(error)})"
        raise ArtifactError(files.label, problem, ANOTHER) from error


def _check_runs_in_parts(label: str, config: PretrainedConfig) -> None:
    """Raises ArtifactError where stopping at a block and going on from its output is not the whole forward pass.

    Tried on two random blocks of the model's width: some architectures scale what enters the first block.
    """
    small = copy.deepcopy(config)
    small.num_hidden_layers, small.vocab_size, small.intermediate_size = 2, 64, 64
    small.pad_token_id = small.bos_token_id = small.eos_token_id = None
    if getattr(small, "layer_types", None):
        small.layer_types = (small.layer_types * 2)[:2]
    ids_BT = torch.arange(8)[None]
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(small, dtype=torch.float32).eval()
            whole_BTd = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
            with stopped_at(model, 0) as body:
                half_BTd = body(input_ids=ids_BT, use_cache=False).last_hidden_state
            with resumed_after(model, 0) as body:
                parts_BTd = body(inputs_embeds=half_BTd, use_cache=False).last_hidden_state
    except Exception as error:
        problem = f"two blocks of {type(config).__name__} do not run by themselves ({first_line(error)})"
        raise ArtifactError(label, problem, ANOTHER) from error
    if not torch.allclose(whole_BTd, parts_BTd, rtol=1e-4, atol=1e-5):
        problem = "going on from a block's output is not its whole forward pass (it scales what enters the first block)"
        raise ArtifactError(label, problem, ANOTHER)


def check_fits(found: Skeleton, layer: int, reference: Skeleton | None) -> None:
    """Raises ArtifactError where a model lacks the study's layer or is not as wide as the reference."""
    if not 0 <= layer < found.blocks:
        problem = f"stream.layer={layer} is out of range, expected 0 to {found.blocks - 1} ({found.blocks} blocks)"
        raise ArtifactError(found.label, problem, "choose another layer or model")
    if reference is not None and found.hidden_size != reference.hidden_size:
        problem = f"hidden size {found.hidden_size}, expected {reference.hidden_size} as in {reference.label}"
        raise ArtifactError(found.label, problem, "only models of one width can be compared")
