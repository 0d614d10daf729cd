"""What building the pages obeys."""

from pydantic import Field

from rlgen.interventions.settings import Procedure
from rlgen.strict import Strict

BANDS = {"50-100 %": (0.5, 1.0), "25-50 %": (0.25, 0.5), "0-25 %": (0.0, 0.25)}  # of a latent's largest activation
BINS = 20  # of the density of activations, between 0 and the largest
LATENTS = 32  # of a set that are edited alone, the most important ones
PROMPTS = 30  # test prompts per task that they answer
TEXTS = 6  # test prompts per task whose completions are kept


class Shown(Strict):
    """One trained dictionary on the site."""

    dictionary: str
    recipe: str
    seed: int = Field(ge=0)
    members: list[str] = Field(min_length=2, description="model states, reference first")
    course: str | None = Field(None, description="key of the dictionary over the last member's checkpoints")

    @property
    def key(self) -> str:
        """How pages name it: `base-rl/batchtopk/seed3`."""
        return f"{self.dictionary}/{self.recipe}/seed{self.seed}"


class BuildSite(Strict):
    """The slice that `scripts/site/build_site.py` receives. Lists keep the order of the files that the rule passes."""

    study: str
    seeds: list[int] = Field(min_length=1)
    dictionaries: list[Shown]
    procedures: dict[str, Procedure]
    leading: str | None = Field(description="the procedure that comes first")
    edited: list[str] = Field(description="procedures that edit a model")

    def of_procedure(self, procedure: str, seed: int) -> Shown | None:
        """The dictionary that a procedure reads."""
        wanted = (self.procedures[procedure].dictionary, self.procedures[procedure].recipe, seed)
        return next((d for d in self.dictionaries if (d.dictionary, d.recipe, d.seed) == wanted), None)

    def readers(self, shown: Shown) -> list[str]:
        """Procedures that read a dictionary, the leading one first."""
        names = [name for name in self.procedures if self.of_procedure(name, shown.seed) == shown]
        return sorted(names, key=lambda name: name != self.leading)

    def edits(self) -> list[tuple[str, int]]:
        """Procedures and seeds that edit a model, in the order of their tables."""
        return [(name, seed) for name in self.edited for seed in self.seeds]

    def joint(self) -> list[tuple[str, int]]:
        """Procedures and seeds that rank all tasks at once, in the order of their tables."""
        return [(name, seed) for name, p in self.procedures.items() if p.joint for seed in self.seeds]
