"""What a study says of feature statistics and dynamics."""

from pydantic import Field

from rlgen.strict import Strict


class Features(Strict):
    """Statistics of latents (docs/method.md, section 5) and dynamics (section 6)."""

    alive_firings: int = Field(10, ge=1, description="held-out rows a latent must fire on to count as alive")
    top: int = Field(50, ge=1, description="size of the tuned-specific top list in the dynamics")
    random_draws: int = Field(1000, ge=10, description="draws of the chance baseline and of permutation tests")
    contexts: int = Field(5, ge=1, description="maximally activating contexts kept per latent")
    context_tokens: int = Field(12, ge=1, description="tokens shown of a context")
    shown: int = Field(8, ge=1, description="features of the leading procedure's set that table4 shows of a seed")
    course_recipe: str = Field("batchtopk", description="recipe of the dictionaries that the dynamics read")
