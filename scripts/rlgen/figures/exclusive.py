"""Which latents are a post-trained model's own, by latent scaling: two cuts, side by side wherever one is shown.

nu: how much of the latent the reference needs, relative to the post-trained model, for the reconstruction error and for
the reconstruction. Ours calls a latent exclusive where both lie below .5; public code where |nu of the error| < .2 and
|nu of the reconstruction| < .5. Undefined ones are not.
"""

import numpy as np
import pandas as pd

TAIL = 0.7  # norm ratio above which a latent counts as the post-trained model's
CUTS = {  # (from, to) of nu of the error, of nu of the reconstruction, both ends left out
    "ours": ((-np.inf, 0.5), (-np.inf, 0.5)),
    "public": ((-0.2, 0.2), (-0.5, 0.5)),
}


def counts(latents: pd.DataFrame) -> dict[str, int]:
    """Cut -> how many latents (rows with nu_err, nu_rec) are exclusive by it."""
    return {
        name: int((latents["nu_err"].between(*error, "neither") & latents["nu_rec"].between(*rec, "neither")).sum())
        for name, (error, rec) in CUTS.items()
    }


def table(features: pd.DataFrame) -> pd.DataFrame:
    """Per dictionary, recipe and seed: alive latents, those in the tail, and how many of these are exclusive."""
    rows = []
    for names, latents in features[features["alive"].astype(bool)].groupby(
        ["dictionary", "recipe", "seed"], sort=False
    ):
        tail = latents[latents["nrn_l1"] > TAIL]
        row = dict(zip(["dictionary", "recipe", "seed"], names, strict=True)) | {"alive": len(latents)}
        row["tail"] = len(tail)
        rows.append(row | {f"exclusive_{cut}": n for cut, n in counts(tail).items()})
    columns = ["dictionary", "recipe", "seed", "alive", "tail", *(f"exclusive_{cut}" for cut in CUTS)]
    return pd.DataFrame(rows, columns=columns)
