"""The sparse crosscoder: one code for the activations of several models on the same token.

For members m = 1..M with normalised activations x_m = (h_m - mean_m) / scale_m:

    pre   = sum_m x_m W_enc[m] + b_enc        (S)    and what an encoder that is not linear adds (encoders.py)
    z     = act(pre)                          (S), z >= 0
    x^_m  = z W_dec[:, m] + b_dec[m]          h^_m = x^_m * scale_m + mean_m

act is relu for the objective `l1`. For all others it keeps z_k where
z_k * sum_m ||W_dec[k, m]||_2 exceeds one learnt threshold, and is zero elsewhere. (docs/method.md, section 4.)

Shapes: B rows, S latents, M members, d width of the residual stream. "Raw" means the units of the residual stream.
"""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from rlgen.dictionaries.encoders import Bend, OneSided
from rlgen.dictionaries.member_maps import MemberMaps
from rlgen.dictionaries.objectives import latent_norms
from rlgen.dictionaries.settings import Objective
from rlgen.digests import digest_of
from rlgen.files import ArtifactError, canonical_json, read_tensors, write_json, write_tensors
from rlgen.names import DICTIONARY_FILES, MAPS, Readout

WEIGHTS, CONFIG, NORMALISATION = DICTIONARY_FILES
REMEDY = "delete the folder and train the dictionary again"
ENDS = (0, -1)  # places of the reference and the tuned model among the members


def of_ends(x_BMd: torch.Tensor) -> torch.Tensor:
    """Of all members those two alone (B, 2, d), by a stride: a list of places would be a tensor on another device."""
    return x_BMd[:, :: x_BMd.shape[1] - 1]


@dataclass
class Crosscoder:
    """A trained dictionary, in normalised units, float32."""

    members: list[str]  # model states, reference first
    objective: Objective
    W_enc_MdS: torch.Tensor
    b_enc_S: torch.Tensor
    W_dec_SMd: torch.Tensor
    b_dec_Md: torch.Tensor
    mean_Md: torch.Tensor  # raw units
    scale_M: torch.Tensor  # raw units per normalised unit
    threshold: float | None  # on z_k * sum_m ||W_dec[k, m]||; None for l1
    free_latents: int  # the first so many may differ between members; the rest are tied. S unless shared_latents
    exclusive_latents: int = 0  # the first so many belong to the first member alone, as many after them to the last
    bend: Bend | None = None  # what the encoder adds that is not linear, in normalised units

    maps: MemberMaps | None = None  # between members: what the readout `mapped` needs

    @property
    def n_latents(self) -> int:
        """Dictionary size S."""
        return self.W_dec_SMd.shape[0]

    @property
    def d(self) -> int:
        """Width of the residual stream."""
        return self.W_dec_SMd.shape[2]

    @property
    def free_S(self) -> torch.Tensor:
        """Latents whose decoders may differ between members (bool). Controls are drawn from these."""
        return torch.arange(self.n_latents, device=self.W_dec_SMd.device) < self.free_latents

    @property
    def decoder_raw_SMd(self) -> torch.Tensor:
        """Decoder directions in raw units: one unit of z adds this to the residual stream."""
        return self.W_dec_SMd * self.scale_M[:, None]

    def normalise(self, h_BMd: torch.Tensor) -> torch.Tensor:
        """Raw activations of all members -> normalised ones (B, M, d)."""
        return (h_BMd - self.mean_Md) / self.scale_M[:, None]

    def encode(self, h_BMd: torch.Tensor) -> torch.Tensor:
        """Raw activations of all members on the same tokens -> joint code z_BS."""
        x_BX = self.normalise(h_BMd).flatten(-2)
        pre_BS = x_BX @ self.W_enc_MdS.flatten(0, 1) + self.b_enc_S
        return self._activate(pre_BS if self.bend is None else pre_BS + self.bend.pre(x_BX))

    def encode_one(self, h_Bd: torch.Tensor, member: int, readout: Readout = "swap") -> torch.Tensor:
        """Raw activations of one member alone -> its code z_BS (docs/method.md, section 7)."""
        x_Bd = (h_Bd - self.mean_Md[member]) / self.scale_M[member]
        return self._activate(self.one_sided(member, readout).pre(x_Bd))

    def one_sided(self, member: int, readout: Readout, dtype: torch.dtype | None = None) -> OneSided:
        """What encodes one member's normalised activations alone, in `dtype` or the dictionary's own.

        `swap` puts the member into every slot: enc(x_m, ..., x_m). `own` uses the member's slot alone, times M (a
        latent that belongs to one member has one slot to begin with).
        `mapped` puts into every other slot what the member's stream predicts of it. Training hardly determines the
        difference between two slots' encoders of models that are alike, only their sum, hence the default.
        """
        dtype = dtype or self.W_enc_MdS.dtype
        if readout == "mapped":
            return self._mapped[member].to(dtype)
        slots_S = torch.full_like(self.b_enc_S, len(self.members))
        slots_S[: 2 * self.exclusive_latents] = 1

        def alone(W_MdX: torch.Tensor, slots_X: torch.Tensor | int) -> torch.Tensor:
            W_MdX = W_MdX.to(dtype)
            return W_MdX.sum(0) if readout == "swap" else W_MdX[member] * slots_X

        bend = self.bend and self.bend.to(dtype)
        if bend:
            bend = replace(bend, V_XH=alone(bend.V_XH.unflatten(0, (-1, self.d)), len(self.members)))
        return OneSided(alone(self.W_enc_MdS, slots_S), self.b_enc_S.to(dtype), bend)

    @cached_property
    def _mapped(self) -> list[OneSided]:
        """The readout `mapped` of every member, computed in float64.

        With h_o = h_m A_mo + a_mo in raw units, x_o = ((x_m scale_m + mean_m) A_mo + a_mo - mean_o) / scale_o.
        """
        if self.maps is None:
            raise ValueError("readout 'mapped' needs the maps between the dictionary's members, which were not loaded")
        mean_Md, scale_M = self.mean_Md.double(), self.scale_M.double()

        def predicted(m: int, W_MdX: torch.Tensor, b_X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            map_Mdd, W_raw_MdX = self.maps.map_MMdd[m], W_MdX.double() / scale_M[:, None, None]
            rest_Md = mean_Md[m] @ map_Mdd + self.maps.offset_MMd[m] - mean_Md
            W_dX = scale_M[m] * torch.einsum("mde,mes->ds", map_Mdd, W_raw_MdX)
            found_X = b_X.double() + torch.einsum("md,mds->s", rest_Md, W_raw_MdX)
            return W_dX.to(self.b_enc_S), found_X.to(self.b_enc_S)

        def bent(m: int, bend: Bend) -> Bend:
            V_dH, c_H = predicted(m, bend.V_XH.unflatten(0, (-1, self.d)), bend.c_H)
            return replace(bend, V_XH=V_dH, c_H=c_H)

        ours = (self.W_enc_MdS, self.b_enc_S)
        return [OneSided(*predicted(m, *ours), self.bend and bent(m, self.bend)) for m in range(len(self.members))]

    def complete(self, h_B2d: torch.Tensor, readout: Readout) -> torch.Tensor:
        """Raw activations of the first and the last member -> of all members (B, M, d).

        Of members between them there are none on these texts: their slots get the mean of what either end says of
        them, itself or, `mapped`, what its stream predicts.
        """
        slots = [h_B2d[:, 0]]
        for o in range(1, len(self.members) - 1):
            said = []
            for m, h_Bd in ((0, h_B2d[:, 0]), (-1, h_B2d[:, 1])):
                if readout == "mapped":
                    said.append((h_Bd.double() @ self.maps.map_MMdd[m, o] + self.maps.offset_MMd[m, o]).to(h_Bd.dtype))
                else:
                    x_Bd = (h_Bd - self.mean_Md[m]) / self.scale_M[m]
                    said.append(x_Bd * self.scale_M[o] + self.mean_Md[o])
            slots.append(sum(said) / 2)
        return torch.stack([*slots, h_B2d[:, 1]], dim=1)

    def readout_raw(self, member: int, readout: Readout) -> tuple[OneSided, torch.Tensor]:
        """What reads raw rows h of a member, and floor_S: f(h) = pre where pre > floor, else 0.

        `encode_one`, folded as `fold` does: in float64, rounded once to float32, instead of for every token.
        """
        one = self.one_sided(member, readout, torch.float64)
        one = one.raw(self.mean_Md[member].double(), self.scale_M[member].double())
        floor_S = torch.zeros_like(one.b_S) if self.threshold is None else _threshold_on_pre(self)
        return one.to(torch.float32), floor_S.clamp(min=0).float()

    def decode(self, z_BS: torch.Tensor) -> torch.Tensor:
        """Code -> reconstruction of every member in raw units (B, M, d)."""
        x_BMd = (z_BS @ self.W_dec_SMd.flatten(1)).unflatten(-1, self.b_dec_Md.shape) + self.b_dec_Md
        return x_BMd * self.scale_M[:, None] + self.mean_Md

    def reconstruct(self, h_BMd: torch.Tensor) -> torch.Tensor:
        """Raw activations of all members -> their reconstruction from the joint code (B, M, d)."""
        return self.decode(self.encode(h_BMd))

    def _activate(self, pre_BS: torch.Tensor) -> torch.Tensor:
        z_BS = pre_BS.relu()
        if self.threshold is None:
            return z_BS
        return z_BS * (z_BS * latent_norms(self.W_dec_SMd) > self.threshold)

    def save(self, folder: str | Path, metadata: dict | None = None) -> None:
        """Write `sae_weights.safetensors`, `cfg.json` (SAELens layout, raw units) and `normalisation.safetensors`.

        `SAE.load_from_disk(folder)` of SAELens reads the first two without this package: a dictionary over
        concatenated raw activations (d_in = M*d), architecture `standard` for l1, else `jumprelu`. It has none for an
        encoder that is not linear, and refuses that one's name, `crosscoder-mlp` or `-kernel`. The third holds what
        this package needs to return to normalised units; it is written last and names the weights it belongs to.
        `metadata` (JSON values) is added to that of `cfg.json`.
        """
        folder = Path(folder)
        write_tensors(folder / WEIGHTS, fold(self), {"format": "pt"})
        facts = {"members": self.members, "objective": self.objective, "free_latents": self.free_latents}
        if self.exclusive_latents:
            facts["exclusive_latents"] = self.exclusive_latents
        if self.bend:
            facts["encoder"] = self.bend.kind
        write_json(folder / CONFIG, sae_lens_config(self, facts | (metadata or {})))
        tensors = {"mean": self.mean_Md, "scale": self.scale_M}
        if self.threshold is not None:
            tensors["threshold"] = torch.tensor(self.threshold, dtype=torch.float64)
        facts["weights_sha256"] = digest_of(folder / WEIGHTS)
        write_tensors(folder / NORMALISATION, tensors, {"crosscoder": canonical_json(facts)})

    @classmethod
    def load(cls, folder: str | Path, readout: Readout = "swap") -> "Crosscoder":
        """Read what `save` wrote, and the maps beside it where the readout needs them.

        Raises ArtifactError naming a file that is missing, cut short or of another save.
        """
        folder = Path(folder)
        normalisation, header = read_tensors(folder / NORMALISATION)
        weights, _ = read_tensors(folder / WEIGHTS)
        try:
            facts = json.loads(header["crosscoder"])
            expected = facts.pop("weights_sha256")
        except (KeyError, ValueError) as error:
            raise ArtifactError(
                folder / NORMALISATION, f"not a crosscoder's normalisation ({error!r})", REMEDY
            ) from error
        if digest_of(folder / WEIGHTS) != expected:
            raise ArtifactError(folder / WEIGHTS, f"not the weights that {NORMALISATION} belongs to", REMEDY)
        maps = MemberMaps.load(folder / MAPS, facts["members"]) if readout == "mapped" else None
        return replace(unfold(weights, normalisation, facts), maps=maps)


def fold(crosscoder: Crosscoder) -> dict[str, torch.Tensor]:
    """Weights for raw concatenated activations (B, M*d), named as SAELens names them.

    W_enc[m] / scale_m, b_enc - sum_m (mean_m / scale_m) W_enc[m], W_dec[:, m] * scale_m, b_dec[m] * scale_m + mean_m,
    and, unless l1, the threshold on pre_k instead of on z_k * norms_k. Computed in float64, rounded once to float32.
    """
    scale_M1, mean_Md = crosscoder.scale_M.double()[:, None], crosscoder.mean_Md.double()
    W_enc_MdS = crosscoder.W_enc_MdS.double() / scale_M1[..., None]
    folded = {
        "W_enc": W_enc_MdS.flatten(0, 1),
        "b_enc": crosscoder.b_enc_S.double() - mean_Md.flatten() @ W_enc_MdS.flatten(0, 1),
        "W_dec": (crosscoder.W_dec_SMd.double() * scale_M1).flatten(1),
        "b_dec": (crosscoder.b_dec_Md.double() * scale_M1 + mean_Md).flatten(),
    }
    if crosscoder.threshold is not None:
        folded["threshold"] = _threshold_on_pre(crosscoder)
    if crosscoder.bend:
        scale_X = scale_M1.expand_as(mean_Md).flatten()
        bend = crosscoder.bend.to(torch.float64).raw(mean_Md.flatten(), scale_X)
        folded |= {"V_enc": bend.V_XH, "c_enc": bend.c_H, "U_enc": bend.U_HS}
    return {name: tensor.float() for name, tensor in folded.items()}


def _threshold_on_pre(crosscoder: Crosscoder) -> torch.Tensor:
    """What pre_k must exceed for z_k * norms_k to exceed the threshold, float64 (S,)."""
    norms_S = latent_norms(crosscoder.W_dec_SMd.double())
    # a latent without a decoder exceeds no threshold, not even 0
    return torch.where(norms_S > 0, crosscoder.threshold / norms_S, torch.inf)


def unfold(weights: dict[str, torch.Tensor], normalisation: dict[str, torch.Tensor], facts: dict) -> Crosscoder:
    """Undo `fold`: back to normalised units. `facts`: what `save` says of it beside tensors."""
    facts = dict(facts)
    kind = facts.pop("encoder", None)
    mean_Md, scale_M1 = normalisation["mean"].double(), normalisation["scale"].double()[:, None]
    M, d = mean_Md.shape
    W_enc = weights["W_enc"].double()
    W_dec_SMd = weights["W_dec"].double().unflatten(1, (M, d)) / scale_M1
    threshold, bend = normalisation.get("threshold"), None
    if kind:
        bend = Bend(kind, *(weights[name].double() for name in ("V_enc", "c_enc", "U_enc")))
        scale_X = scale_M1.expand_as(mean_Md).flatten()
        bend = bend.raw(-mean_Md.flatten() / scale_X, 1 / scale_X).to(torch.float32)
    return Crosscoder(
        **facts,
        W_enc_MdS=(W_enc.unflatten(0, (M, d)) * scale_M1[..., None]).float(),
        b_enc_S=(weights["b_enc"].double() + mean_Md.flatten() @ W_enc).float(),
        W_dec_SMd=W_dec_SMd.float(),
        b_dec_Md=((weights["b_dec"].double().view(M, d) - mean_Md) / scale_M1).float(),
        mean_Md=normalisation["mean"],
        scale_M=normalisation["scale"],
        threshold=None if threshold is None else threshold.item(),
        bend=bend,
    )


def sae_lens_config(crosscoder: Crosscoder, metadata: dict) -> dict:
    """The `cfg.json` of SAELens that makes its encoder and decoder compute what ours do on concatenated activations."""
    known = "standard" if crosscoder.threshold is None else "jumprelu"
    return {
        "architecture": f"crosscoder-{crosscoder.bend.kind}" if crosscoder.bend else known,
        "d_in": len(crosscoder.members) * crosscoder.d,
        "d_sae": crosscoder.n_latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.0.0"} | metadata,  # layout of 6.x: an unversioned file is read as older
    }
