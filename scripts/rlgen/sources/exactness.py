"""Whether a model run in parts, with a cache and under an edit gives the log-probabilities of its own forward pass.

Tried on a small random model of the same config, on texts longer than any of its windows: what a class does before its
first block, with its mask or after its last block shows in the numbers, and no list of classes has to be kept.
Shapes: B rows, P columns of prompts, L tokens after them, V vocabulary, d width.
"""

import copy

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from rlgen.files import ArtifactError, first_line
from rlgen.models.cache import RowCache
from rlgen.models.checkpoints import blocks
from rlgen.models.drafts import Draft
from rlgen.models.generation import Decoding, Prompts
from rlgen.models.head import output_head
from rlgen.models.hooks import Hook, edited

ANOTHER = "take a model of a class that docs/real-models.md lists as exact"
PROMPTS = (24, 17)  # tokens of two prompts, which are padded to the same length
TEXT = 16  # tokens after each
WINDOW = 8  # what every window of the small model is: less than a prompt, and than a text
TEXTS = 4  # tried at most
BLOCKS = 4
WORDS = 64  # of the small vocabulary
TOLERANCE = 1e-3  # nats; in float32, what is computed in another order differs by 1e-5
MOST = 1e9  # weights of a model that is small enough to be tried: 4 GB, the four widest blocks in use take 0.6e9


def check_exact(label: str, model: PreTrainedModel) -> None:
    """Raises ArtifactError, naming the model and what differs, where its parts are not its whole forward pass.

    Of the model only class and config are looked at: its tensors may be on the meta device.
    """
    config, name = model.config, type(model).__name__
    if not has_blocks(model):
        raise ArtifactError(label, f"architecture {name} has no model.model.layers", ANOTHER)
    kinds = sorted(set(getattr(config, "layer_types", None) or ()))
    if len(kinds) > 1:
        problem = f"the blocks of {name} attend in different ways ({', '.join(kinds)}), expected one"
        raise ArtifactError(label, problem, ANOTHER)
    try:
        small = small_config(config)
        settings = name + small.to_json_string()
        if settings not in _tried:
            _tried[settings] = least_differences(small_model(small))
    except Exception as error:  # whatever a class may want that this project does not give
        problem = f"a few blocks of {name} do not run in parts, with a cache of ours ({first_line(error)})"
        raise ArtifactError(label, problem, ANOTHER) from error
    for way, nats in _tried[settings].items():
        if not nats <= TOLERANCE:  # NaN is no agreement
            problem = f"{way} is not its whole forward pass: log-probabilities differ by {nats:.2g} nats"
            raise ArtifactError(label, problem, ANOTHER)


def has_blocks(model: PreTrainedModel) -> bool:
    """Whether the blocks lie where they are read and edited."""
    return isinstance(getattr(getattr(model, "model", None), "layers", None), torch.nn.ModuleList)


_tried: dict[str, dict[str, float]] = {}  # settings -> what was found: a study's models mostly share them


def small_config(config: PretrainedConfig) -> PretrainedConfig:
    """The same class, width and settings, with few blocks, a small vocabulary and narrow windows."""
    small = copy.deepcopy(config)
    for name, value in vars(config).items():
        if isinstance(value, list) and len(value) == config.num_hidden_layers:  # one entry per block
            setattr(small, name, (value * BLOCKS)[:BLOCKS])
        elif isinstance(value, int) and not isinstance(value, bool) and _is_width_of_view(name):
            setattr(small, name, min(value, WINDOW))
        elif name.endswith("intermediate_size") and isinstance(value, int):
            setattr(small, name, min(value, 64))
    small.num_hidden_layers, small.vocab_size = BLOCKS, WORDS
    small.pad_token_id = small.bos_token_id = small.eos_token_id = WORDS - 1  # which no text holds
    if hasattr(small, "initializer_range"):
        small.initializer_range = small.hidden_size**-0.5  # what enters a layer and what leaves it are of one size
    rope = getattr(small, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":  # positions are encoded otherwise beyond this many
        rope["original_max_position_embeddings"] = small.original_max_position_embeddings = max(PROMPTS)
    return small


def small_model(small: PretrainedConfig) -> PreTrainedModel:
    """A random model. Raises ValueError where it is too large to be tried."""
    with torch.device("meta"):
        weights = sum(p.numel() for p in AutoModelForCausalLM.from_config(small).parameters())
    if weights > MOST:
        raise ValueError(f"{BLOCKS} blocks have {weights:.2g} weights")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(small, dtype=torch.float32).eval()


def _is_width_of_view(name: str) -> bool:
    """Whether a config's field says how far a token sees."""
    return name.endswith(("window", "window_size", "chunk_size")) and not name.startswith("use_")


def least_differences(model: PreTrainedModel) -> dict[str, float]:
    """The smallest differences over a few texts, which end with the first that shows none.

    Where two experts nearly tie, a router may fall the other way in another order of sums; what a class does otherwise
    than this project shows in every text.
    """
    best: dict[str, float] = {}
    for seed in range(TEXTS):
        found = differences(model, seed)
        if not best or max(found.values()) < max(best.values()):
            best = found
        if max(best.values()) <= TOLERANCE:
            break
    return best


@torch.inference_mode()
def differences(model: PreTrainedModel, seed: int = 0) -> dict[str, float]:
    """Largest difference (nats) of log-probabilities from the whole forward pass, by the way in which they are made.

    All under an edit of the stream after a block in the middle, at the last token of the prompt and after it.
    """
    generator = torch.Generator().manual_seed(seed)
    ids_BT = torch.randint(WORDS - 1, (len(PROMPTS), max(PROMPTS) + TEXT), generator=generator)
    push_d = 0.3 * torch.randn(model.config.hidden_size, generator=generator)
    hook = Hook(lambda h_BTd: h_BTd + push_d, layer=len(blocks(model)) // 2 - 1)
    rows = zip(PROMPTS, ids_BT, strict=True)
    expected_BLV = torch.stack([_whole(model, row_T[-n - TEXT :], hook) for n, row_T in rows])
    column_P = torch.arange(max(PROMPTS))
    attention_BP = (column_P >= max(PROMPTS) - torch.tensor(PROMPTS)[:, None]).long()
    prompts = Prompts(ids_BT[:, :-TEXT], attention_BP).with_prefix(model)
    text_BL = ids_BT[:, -TEXT:]
    ways = {
        "going on from a block's output": _resumed(model, prompts, text_BL, hook),
        "writing token by token": _written(model, prompts, text_BL, hook),
    }
    return {way: float((found - expected_BLV).abs().max()) for way, found in ways.items()}


def _whole(model: PreTrainedModel, ids_T: torch.Tensor, hook: Hook) -> torch.Tensor:
    """Log-probabilities (L, V) that predict the text, from the class's own forward over all tokens."""
    with edited(model, hook, len(ids_T) - TEXT - 1):
        logits_TV = model(input_ids=ids_T[None], use_cache=False).logits[0]
    return logits_TV[-TEXT - 1 : -1].log_softmax(-1)


def _resumed(model: PreTrainedModel, prompts: Prompts, text_BL: torch.Tensor, hook: Hook) -> torch.Tensor:
    length_B, rows_B = torch.full((len(text_BL),), TEXT), torch.arange(len(text_BL))
    draft = Draft.read(model, prompts, text_BL, length_B, hook.layer, len(text_BL))
    return draft.check(model, prompts, rows_B, hook)[0][:, :-1].log_softmax(-1)


def _written(model: PreTrainedModel, prompts: Prompts, text_BL: torch.Tensor, hook: Hook) -> torch.Tensor:
    cache = prompts.fill(RowCache(max(PROMPTS) + TEXT), range(len(blocks(model))))
    decoding = Decoding(prompts, cache, torch.zeros_like(text_BL), eos_id=-1)
    head, found = output_head(model), []
    for token_B in text_BL.T:
        found.append(decoding.logits(model, head, hook).log_softmax(-1))
        decoding.write(token_B, None)
        decoding.token_A = token_B
    return torch.stack(found, dim=1)
