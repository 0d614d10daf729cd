"""Which latents are a post-trained model's own, by latent scaling: two cuts, side by side wherever one is shown.

nu: how much of the latent the reference needs, relative to the post-trained model, for the reconstruction error and for
the reconstruction. A latent is exclusive where both lie below a cut; undefined ones are not.
"""

import pandas as pd

TAIL = 0.7  # norm ratio above which a latent counts as the post-trained model's
CUTS = {"ours": (0.5, 0.5), "public": (0.2, 0.5)}  # nu of the error, nu of the reconstruction


def counts(latents: pd.DataFrame) -> dict[str, int]:
    """Cut -> how many latents (rows with nu_err, nu_rec) are exclusive by it."""
    return {
        name: int(((latents["nu_err"] < error) & (latents["nu_rec"] < reconstruction)).sum())
        for name, (error, reconstruction) in CUTS.items()
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
