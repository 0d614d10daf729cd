"""The sentence about activations that were deleted (the rest of rlgen.planning.why is tested on whole studies)."""

import pytest

from rlgen.planning.why import HarvestedAgain

DELETED = "; their activations were deleted: "


@pytest.mark.parametrize(
    ("again", "words"),
    [
        (
            HarvestedAgain(stale=3, shared=0, new=0, windows=80, models=2, jobs=[None] * 160),
            "3 dictionaries are stale" + DELETED + "80 windows x 2 models are harvested again",
        ),
        (
            HarvestedAgain(stale=1, shared=2, new=1, windows=80, models=1, jobs=[None] * 80),
            "1 dictionary is stale, 1 dictionary is new, 2 dictionaries are trained anew because activations are shared"
            + DELETED
            + "80 windows x 1 model are harvested again",
        ),
        (
            HarvestedAgain(stale=0, shared=0, new=1, windows=80, models=2, jobs=[None] * 100),
            "1 dictionary is new" + DELETED + "100 parts of 80 windows x 2 models are harvested again",
        ),
    ],
)
def test_who_needs_deleted_activations_and_how_many(again, words):
    assert str(again) == words
