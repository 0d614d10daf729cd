"""Arithmetic behind `make plan`: FLOPs, bytes and hours of work that has not run. No figure here is measured.

What a study's jobs do is told by `rlgen.planning.work`. A FLOP is one multiplication or one addition. A model's
forward pass takes 2 FLOPs per weight and token, and for attention, whose scores and mixtures reach back half a sequence
on average, 2 * length * hidden_size per block and token (heads are taken to be as wide as the stream together).
Training takes three forward passes, and a fourth where activations are computed again (gradient checkpointing).

Shapes: M members, d width, S latents.
"""

from dataclasses import dataclass, field, fields
from typing import Any

from rlgen.activations.disk import BYTES
from rlgen.dictionaries.settings import Recipe
from rlgen.models.settings import Size

PRODUCTS = 5  # dense products of a dictionary's step: encoder, decoder, and the gradients of code, decoder and encoder
TRAINED = 4 + 4 + 8  # bytes per weight in training: float32 weight, its gradient, Adam's two moments


def _assumed(default: float, what: str) -> Any:
    return field(default=default, metadata={"help": what})


@dataclass(frozen=True)
class Assumptions:
    """What a plan takes for granted until something is measured. Every field is an option of `make plan`.

    Peaks are those of an H100 SXM in its maker's data sheet; everything else is a guess of this project's.
    """

    peak_tflops: float = _assumed(989, "bfloat16 products of one GPU, dense, 1e12 FLOP/s")
    float32_tflops: float = _assumed(67, "the same in float32")
    utilisation: float = _assumed(0.4, "share of the peak in training, forward passes and dictionaries")
    generation_utilisation: float = _assumed(
        0.1, "share of the peak in vLLM's generation and in passes over few tokens"
    )
    transformers_utilisation: float = _assumed(0.01, "share of the peak where transformers generates")
    memory_gb_s: float = _assumed(3350, "speed of a GPU's memory, 1e9 bytes/s")
    memory_utilisation: float = _assumed(0.5, "share of that speed that is reached")
    kv_share: float = _assumed(0.4, "width of keys, and of values, as a share of the hidden size")
    sequences: float = _assumed(128, "sequences that vLLM writes side by side, on the GPUs that share a model")
    pass_s: float = _assumed(0.03, "seconds that a pass of transformers takes at least, however small")
    gpu_memory_gb: float = _assumed(80, "memory of one GPU, 1e9 bytes")
    disk_gb_s: float = _assumed(2, "shards read or written by one job, 1e9 bytes/s")
    prompt_tokens: float = _assumed(200, "mean prompt")
    solution_tokens: float = _assumed(
        4000, "mean written solution: teacher's, SFT's, RL's and of benchmarks that ask for one"
    )
    choice_tokens: float = _assumed(10, "mean answer to choose from")
    choices: float = _assumed(4, "answers to choose from, where a benchmark's `options` do not say")
    vocabulary: float = _assumed(150_000, "width of a model's logits, where no config.json says")

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value <= 0 or (one.name.endswith("utilisation") and value > 1):
                limit = "above 0 and at most 1" if one.name.endswith("utilisation") else "above 0"
                raise ValueError(f"{one.name}: {value:g}, expected a number {limit}")

    def moved(self, byte: float, gpus: int = 1) -> float:
        """Hours in which GPUs read or write so many bytes of their memory."""
        return byte / (self.memory_utilisation * self.memory_gb_s * 1e9 * gpus) / 3600

    def rate(self, precision: str = "bfloat16") -> float:
        """Peak of one GPU, FLOP/s."""
        return 1e12 * (self.float32_tflops if precision == "float32" else self.peak_tflops)


@dataclass(frozen=True)
class ModelSize:
    """What a pass costs: the study's `size`, a checkpoint's config.json, or a GGUF file's header.

    `saved` are the bytes per weight of its checkpoint and of those trained from it.
    """

    blocks: int
    hidden_size: int
    parameters: float
    vocabulary: int | None = None
    saved: int = 2

    @classmethod
    def stated(cls, size: Size) -> "ModelSize":
        """As the study says."""
        return cls(size.blocks, size.hidden_size, size.parameters)

    def forward(self, tokens: float, length: float, blocks: int | None = None) -> float:
        """FLOPs of a pass over `tokens` in sequences of `length`, through the first `blocks` (default: all)."""
        share = (self.blocks if blocks is None else blocks) / self.blocks
        return tokens * share * (2 * self.parameters + 2 * length * self.hidden_size * self.blocks)

    def written_bytes(self, tokens: float, length: float, sequences: float, kv_share: float) -> float:
        """Bytes read from memory while `tokens` are written, `sequences` side by side.

        All bfloat16 weights once per token of the side-by-side sequences, and for each token keys and values of half a
        sequence of `length`.
        """
        cached = 2 * 2 * kv_share * self.hidden_size * self.blocks * length / 2
        return tokens * (2 * self.parameters / sequences + cached)

    def training(self, tokens: float, length: float, again: bool) -> float:
        """FLOPs of forward and backward pass; `again`: activations are computed a second time."""
        return (4 if again else 3) * self.forward(tokens, length)

    def training_bytes(self, gpus: int, batch_tokens: float, vocabulary: float, again: bool) -> float:
        """Memory of one of `gpus` GPUs that share weights, gradients and Adam's moments (FSDP).

        float32 weights, gradients and moments, divided; bfloat16 copies of all weights (one GPU: autocast keeps them)
        or of two blocks (FSDP gathers a block while it computes another); per token the input of every block (all that
        checkpointing keeps; some 17 widths per block without, feed-forward included) in bfloat16, and logits with their
        gradient in float32.
        """
        copies = 2 * self.parameters * (1 if gpus == 1 else min(1.0, 2 / self.blocks))
        kept = 2 * self.hidden_size * self.blocks * (1 if again else 17)
        logits = 2 * 4 * (self.vocabulary or vocabulary)
        return TRAINED * self.parameters / gpus + copies + batch_tokens * (kept + logits)


def dictionary_weights(members: int, d: int, latents: int, hidden: int = 0) -> int:
    """Numbers in encoder (M, d, S) and decoder (S, M, d) and their biases (S) and (M, d), and in hidden units."""
    return 2 * members * d * latents + latents + members * d + hidden * (members * d + 1 + latents)


def dictionary_flops(rows: float, members: int, d: int, latents: int, hidden: int = 0) -> float:
    """FLOPs of training on rows: the five dense products of a step on a GPU, 2*M*d*S each per row.

    Sparse codes need fewer (rlgen.dictionaries.compiled_step), dead latents' auxiliary loss a few more. Of hidden units
    the two products, each thrice: forward, and by either factor.
    """
    return rows * (PRODUCTS * 2 * members * d * latents + 3 * 2 * hidden * (members * d + latents))


def dictionary_moved(rows: float, members: int, d: int, recipe: Recipe) -> float:
    """Bytes of a GPU's memory that training on rows reads and writes beside its products.

    Per step 40 per weight: Adam reads and writes weight and moments and reads the gradient, which was written before
    it, and copies in the rows' precision are written and read. Per row and latent 12 passes over float32 codes: before
    and after the activation, weighted, selected, and their gradients.
    """
    steps = rows / recipe.batch_rows
    return (
        40 * steps * dictionary_weights(members, d, recipe.latents, recipe.hidden_units)
        + 12 * 4 * rows * recipe.latents
    )


def dictionary_bytes(members: int, d: int, recipe: Recipe, gpus: int = 1) -> float:
    """Memory of one GPU: weights, gradients and moments in float32; of the batch the rows, their reconstruction and
    error, the code before and after its activation with a gradient each. Batches are shared, weights are not."""
    rows = recipe.batch_rows / gpus
    batch = rows * (members * d * (BYTES[recipe.precision] + 2 * 4) + 4 * 4 * recipe.latents)
    return TRAINED * dictionary_weights(members, d, recipe.latents, recipe.hidden_units) + batch


def hours(flops: float, rate: float, gpus: int = 1, moved: float = 0, disk_gb_s: float = 1) -> float:
    """Hours of one job: of its arithmetic at `rate` FLOP/s per GPU, or of the bytes it moves if those take longer."""
    return max(flops / (rate * gpus), moved / (disk_gb_s * 1e9)) / 3600
