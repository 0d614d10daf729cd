"""Settings of the token stream and of harvesting it."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from rlgen.strict import Strict

RING = 4  # shards whose rows are mixed in memory while a dictionary trains
ROWS_TOGETHER = 32768  # rows of small shards that are read together, and lost where a harvest is killed


class Harvested(Strict):
    """Rows of the residual stream that one harvest reads, and how they are kept."""

    layer: int = Field(1, ge=0, description="block whose output is read, counting from 0")
    rows: int = Field(81920, ge=1, description="rows harvested per model")
    shard_rows: int = Field(8192, ge=1, description="rows per shard file")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the models that are read and of the rows on disk"
    )

    @model_validator(mode="after")
    def _whole_shards(self):
        if self.rows % self.shard_rows:
            raise ValueError(f"rows={self.rows} is not a multiple of shard_rows={self.shard_rows}")
        return self

    @property
    def shards(self) -> int:
        """Number of shard files per model state."""
        return self.rows // self.shard_rows

    def of_shards(self, shards: int) -> "Harvested":
        """The settings of a harvest of so many shards of the same kind."""
        return Harvested(**self.model_dump(include={*Harvested.model_fields} - {"rows"}), rows=shards * self.shard_rows)


def read_together(shards: int, shard_rows: int, mixed_lengths: bool) -> list[range]:
    """Which shards of a harvest are read together: all but the last few the same number of them."""
    each = max(1, ROWS_TOGETHER // shard_rows) if mixed_lengths else 1
    return [range(first, min(first + each, shards)) for first in range(0, shards, each)]


class _Stream(Harvested):
    """A token stream whose activations train and judge the dictionaries."""

    held_out_shards: int = Field(1, ge=1, description="last shards, never trained on, that judge dictionaries")
    max_norm_ratio: float = Field(
        10.0, gt=1, description="rows with a norm above this multiple of the median are dropped"
    )

    @model_validator(mode="after")
    def _leaves_training_shards(self):
        if self.shards <= self.held_out_shards:
            raise ValueError(f"held_out_shards={self.held_out_shards} leaves no shard of {self.shards} to train on")
        return self

    @property
    def training_shards(self) -> int:
        """Number of shards that dictionaries train on."""
        return self.shards - self.held_out_shards


class OrganismStream(_Stream):
    """Documents of the organism's language, and completions that the study's models write."""

    windows: Literal[1] = 1
    careful_share: float = Field(0.30, ge=0, le=1, description="P(careful) in the documents that fill the stream")
    prompts_per_task: int = Field(150, ge=0, description="training-split prompts per in-domain and selection task")
    sampled_models: list[str] = Field(description="models whose temperature-1 completions enter the stream")
    rows_from: Literal["completions", "all"] = Field(
        "completions", description="rows kept: from the last prompt token on, or every token"
    )


class SourcedStream(_Stream):
    """Text of the study's sources, cut into sequences. Rows are all tokens but the first of a sequence."""

    mix: dict[str, float] = Field(min_length=1, description="source -> its share of the rows")
    sequence_tokens: int = Field(512, ge=2, description="longest sequence")
    windows: int = Field(
        1, ge=1, description="parts in which the training shards are harvested, trained on and deleted; 1 keeps them"
    )
    windows_on_disk: int = Field(2, ge=1, description="windows that may lie on the disk at a time")
    disk_gb: float | None = Field(
        None, gt=0, description="largest size of all activations on the disk together, 1e9 bytes; none: as needed"
    )

    @field_validator("mix")
    @classmethod
    def _sums_to_one(cls, mix: dict[str, float]) -> dict[str, float]:
        if min(mix.values()) <= 0 or abs(sum(mix.values()) - 1) > 1e-9:
            raise ValueError(f"shares {mix}, expected numbers above 0 that sum to 1")
        return dict(sorted(mix.items()))

    @model_validator(mode="after")
    def _whole_windows(self):
        if self.training_shards % self.windows:
            raise ValueError(
                f"windows={self.windows}: {self.training_shards} training shards do not divide into so many, "
                "expected a divisor"
            )
        return self


def _kind_of_stream(value: Any) -> str:
    own = set(SourcedStream.model_fields) - set(OrganismStream.model_fields)  # one is enough: `mix` may be forgotten
    mixed = bool(own & set(value)) if isinstance(value, dict) else isinstance(value, SourcedStream)
    return "sources" if mixed else "organism"


Stream = Annotated[
    Annotated[OrganismStream, Tag("organism")] | Annotated[SourcedStream, Tag("sources")],
    Discriminator(_kind_of_stream),
]
