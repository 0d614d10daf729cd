"""Settings of the dictionaries: recipes (how) and dictionaries (over which models)."""

from typing import Literal

from pydantic import Field, model_validator

from rlgen.strict import Strict


class Recipe(Strict):
    """How a sparse crosscoder is trained (docs/method.md, section 4)."""

    objective: Literal["batchtopk", "l1", "shared_latents"] = "batchtopk"
    normalisation: Literal["shared", "per_model"] = "shared"
    latents: int = Field(256, ge=2, description="dictionary size S")
    k: int = Field(8, ge=1, description="latents kept per row on average (batchtopk, shared_latents)")
    free_latents: int = Field(0, ge=0, description="latents that may differ between models (shared_latents)")
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

    @model_validator(mode="after")
    def _fits(self):
        if self.objective != "l1" and self.k > self.latents:
            raise ValueError(f"k={self.k} exceeds latents={self.latents}")
        if self.objective == "shared_latents" and not 0 < self.free_latents < self.latents:
            raise ValueError(f"free_latents={self.free_latents}, expected 1..{self.latents - 1} for shared_latents")
        return self


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
