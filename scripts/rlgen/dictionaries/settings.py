"""Settings of the dictionaries: recipes (how) and dictionaries (over which models)."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from rlgen.seeds import stream_seed
from rlgen.strict import Strict

# Fields that came after the first results. At these values they are not written: what was made before is not stale.
LATER = {"replicate": 0, "exclusive_latents": 0, "alignment": "mse", "alignment_mse": 0.3, "alignment_temperature": 0.1}
LATER |= {"encoder": "linear", "encoder_units": 256, "kernel_width": 1.0}


Objective = Literal["batchtopk", "l1", "shared_latents", "dedicated"]


class Recipe(Strict):
    """How a sparse crosscoder is trained (docs/method.md, section 4)."""

    objective: Objective = "batchtopk"
    normalisation: Literal["shared", "per_model"] = "shared"
    latents: int = Field(256, ge=2, description="dictionary size S")
    k: int = Field(8, ge=1, description="latents kept per row on average (all but l1)")
    free_latents: int = Field(0, ge=0, description="latents that may differ between models (shared_latents)")
    exclusive_latents: int = Field(
        0, ge=0, description="latents of the reference alone, and as many of the tuned model alone (dedicated)"
    )
    l1_coefficient: float = Field(2.0, ge=0, description="lambda (l1)")
    l1_ramp: float = Field(0.05, ge=0, le=1, description="share of the steps over which lambda rises from 0")
    steps: int = Field(1500, ge=1)
    batch_rows: int = Field(1024, ge=1)
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of activations and their products with weights; weights and losses stay float32"
    )
    learning_rate: float = Field(2e-3, gt=0)
    warmup: float = Field(0.05, ge=0, le=1, description="share of the steps with rising learning rate")
    decay: float = Field(0.2, ge=0, le=1, description="share of the steps, at the end, with falling learning rate")
    decoder_init_norm: float = Field(0.08, gt=0)
    aux_coefficient: float = Field(1 / 32, ge=0, description="weight of the dead-latent loss")
    aux_k: int = Field(32, ge=1, description="dead latents that model the residual")
    dead_after_rows: int = Field(100_000, ge=1, description="rows without firing after which a latent counts as dead")
    threshold_momentum: float = Field(0.99, ge=0, lt=1, description="running mean of the smallest kept value")
    replicate: int = Field(
        0, ge=0, description="another start, and another order of the same rows; 0: those of the study's seed"
    )

    alignment: Literal["mse", "cosine", "contrastive"] = Field(
        "mse", description="how reconstructions are compared with activations (docs/method.md, section 4)"
    )
    alignment_mse: float = Field(
        0.3, gt=0, description="weight of the squared error beside cosine and contrastive, which know no lengths"
    )
    alignment_temperature: float = Field(0.1, gt=0, description="contrastive: what cosines are divided by")
    encoder: Literal["linear", "mlp", "kernel"] = Field(
        "linear", description="the map from activations to codes; decoders are linear (docs/method.md, section 4)"
    )
    encoder_units: int = Field(256, ge=1, description="hidden units of mlp, random Fourier features of kernel")
    kernel_width: float = Field(1.0, gt=0, description="of the Gaussian kernel, in lengths of a row of all members")

    @model_validator(mode="after")
    def _fits(self):
        if self.objective != "l1" and self.k > self.latents:
            raise ValueError(f"k={self.k} exceeds latents={self.latents}")
        if self.objective == "shared_latents" and not 0 < self.free_latents < self.latents:
            raise ValueError(f"free_latents={self.free_latents}, expected 1..{self.latents - 1} for shared_latents")
        if self.objective == "dedicated" and not 0 < 2 * self.exclusive_latents < self.latents:
            most = (self.latents - 1) // 2
            raise ValueError(f"exclusive_latents={self.exclusive_latents}, expected 1..{most} for dedicated")
        if self.objective != "dedicated" and self.exclusive_latents:
            raise ValueError(f"exclusive_latents={self.exclusive_latents}, expected 0 for {self.objective}")
        if self.objective == "dedicated" and self.encoder != "linear":
            raise ValueError(f"encoder={self.encoder}, expected linear for dedicated, whose latents read one model")
        if self.alignment == "contrastive" and self.batch_rows < 2:
            raise ValueError(f"batch_rows={self.batch_rows}, expected 2 or more for contrastive, rows to tell apart")
        return self

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialise(self).items() if name not in LATER or value != LATER[name]}

    @property
    def hidden_units(self) -> int:
        """What the encoder has beside a matrix."""
        return 0 if self.encoder == "linear" else self.encoder_units

    def seed(self, seed: int) -> int:
        """What start and order of rows are drawn from, in a study's seed."""
        return stream_seed(seed, "replicate", self.replicate) if self.replicate else seed


class Dictionary(Strict):
    """One set of models read together; `recipes` name entries of the study's `recipes`."""

    members: list[str] = Field(
        min_length=2, description="model states, reference first; 'rl@2' is the second checkpoint of rl"
    )
    recipes: list[str] = Field(min_length=1)
    is_null: bool = Field(
        False,
        description="null: a pair of states that differ for no reason worth explaining, drawn in grey",
    )
    permute_shift: bool = Field(False, description="null: give the last member's shift from the first to permuted rows")
