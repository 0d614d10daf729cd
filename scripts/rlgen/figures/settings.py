"""Results of a paper, to be drawn beside a study's own. What a paper does not state is left out, never filled in."""

from pydantic import Field

from rlgen.strict import Strict


class Published(Strict):
    """Published values of the same quantities: model names and tasks are the study's."""

    source: str = Field(description="where they are published, as shown on the page")
    accuracy: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="model -> task -> accuracy, percent"
    )
    disable: dict[str, float] = Field(
        default_factory=dict, description="task -> points on critical samples when features are zeroed in the target"
    )
    amplify: dict[str, float] = Field(
        default_factory=dict, description="task -> points on critical samples when they are amplified in the reference"
    )
