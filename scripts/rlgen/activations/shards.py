"""Shards: activations of several models on the same tokens, row by row.

One folder per model state holds `shard000.safetensors`, `shard001.safetensors`, ... and `manifest.json`. Row i of shard
j is the same token of the same sequence in every folder, because every folder was harvested from one token stream and
because reading shuffles all members with one permutation. A file that is cut short, altered, or made from another
stream or layer is refused by name before any of its numbers are used.

Shapes: N rows, M members (model states), d width of the residual stream.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from rlgen.digests import digest_of, digests_of
from rlgen.files import ArtifactError, canonical_json, read_tensors, write_json, write_tensors
from rlgen.names import shard_name
from rlgen.seeds import stream_seed

MANIFEST = "manifest.json"
REMEDY = "delete the folder and harvest it again"
LABELS = ("token_ids", "sequence", "position")  # what every member must agree on, row by row


class Rows(NamedTuple):
    """Aligned rows of all members."""

    activations_NMd: torch.Tensor  # raw units, in the shards' precision
    token_ids_N: torch.Tensor  # int32, vocabulary index of the row's token
    sequence_N: torch.Tensor  # int32, index of its sequence in the stream
    position_N: torch.Tensor  # int32, position in that sequence


def write_shard(
    path: str | Path,
    activations_Nd: torch.Tensor,
    token_ids_N: torch.Tensor,
    sequence_N: torch.Tensor,
    position_N: torch.Tensor,
    fingerprint: dict,
) -> None:
    """Write one shard of one model state: activations in bfloat16 where they are, else in float32.

    `fingerprint` says where the numbers come from: `model` (the state's name, as `rl@5`), `stream` (digest of the token
    stream), `layer` (int); further JSON values are kept. Raises ValueError when the lengths differ or a value is not
    finite, so that a broken harvest stops here and not in a dictionary.
    """
    _check_fingerprint(fingerprint)
    labels = dict(zip(LABELS, (token_ids_N, sequence_N, position_N), strict=True))
    for name, label_N in labels.items():
        if label_N.shape != activations_Nd.shape[:1]:
            raise ValueError(f"{path}: {len(label_N)} {name} for {len(activations_Nd)} rows of activations")
    if not torch.isfinite(activations_Nd).all():
        raise ValueError(f"{path}: activations of {fingerprint['model']} hold NaN or infinite values")
    kept = torch.bfloat16 if activations_Nd.dtype == torch.bfloat16 else torch.float32
    tensors = {"activations": activations_Nd.to(kept)}
    tensors |= {name: label_N.to(torch.int32) for name, label_N in labels.items()}
    write_tensors(path, tensors, {"fingerprint": canonical_json(fingerprint)})


def write_manifest(folder: str | Path, fingerprint: dict, shards: int) -> None:
    """Write the manifest of `shards` finished shards: rows, bytes and SHA-256 of each, and their one fingerprint.

    Raises ArtifactError naming a shard that is missing, unreadable or carries another fingerprint or width.
    """
    _check_fingerprint(fingerprint)
    folder, entries, widths = Path(folder), [], set()
    for index in range(shards):
        path = folder / shard_name(index)
        try:
            with safe_open(path, framework="pt") as file:
                rows, d = file.get_slice("activations").get_shape()
                found = json.loads((file.metadata() or {}).get("fingerprint", "null"))
        except (OSError, SafetensorError) as error:
            raise ArtifactError(path, f"not a whole shard ({error})", REMEDY) from error
        if found != fingerprint:
            raise ArtifactError(path, f"made from {found}, expected {fingerprint}", REMEDY)
        widths.add(d)
        if len(widths) > 1:
            raise ArtifactError(path, f"{d} wide, the shards before it {min(widths - {d})}", REMEDY)
        entries.append({"file": path.name, "rows": rows, "bytes": path.stat().st_size, "sha256": digest_of(path)})
    write_json(folder / MANIFEST, {"fingerprint": fingerprint, "d": widths.pop(), "shards": entries})


@dataclass
class Shards:
    """The aligned shards of several model states. Make one with `Shards.open`."""

    folders: list[Path]
    members: list[str]
    manifests: list[dict]
    permute_shift: bool = False
    _verified: set[Path] = field(default_factory=set, repr=False)  # files whose checksum this object has seen hold

    @classmethod
    def open(cls, folders: Sequence[str | Path], members: Sequence[str], permute_shift: bool = False) -> "Shards":
        """Open one folder per member, in the same order. Reads manifests only.

        `permute_shift` makes the null data: the last member becomes the first plus their difference taken from
        permuted rows, h_b := h_a + (h_b - h_a)[perm]. The shift keeps its distribution and loses its tokens.

        Raises ArtifactError naming the folder whose model, stream, layer, width or row counts do not fit.
        """
        if len(folders) != len(members) or len(members) == 0:
            raise ValueError(f"{len(folders)} shard folders for {len(members)} members")
        folders = [Path(folder) for folder in folders]
        manifests = [_read_manifest(folder) for folder in folders]
        for folder, member, manifest in zip(folders, members, manifests, strict=True):
            model = manifest["fingerprint"]["model"]
            if model != member:
                raise ArtifactError(folder / MANIFEST, f"holds {model}, expected {member}", "give the folders in order")
            _check_same(folder, manifest, folders[0], manifests[0])
        return cls(folders, list(members), manifests, permute_shift)

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return len(self.manifests[0]["shards"])

    @property
    def rows(self) -> int:
        """Rows of all shards together, per member."""
        return sum(entry["rows"] for entry in self.manifests[0]["shards"])

    @property
    def d(self) -> int:
        """Width of the residual stream."""
        return self.manifests[0]["d"]

    @property
    def layer(self) -> int:
        """Block whose output the rows are, counting from 0."""
        return self.manifests[0]["fingerprint"]["layer"]

    @property
    def stream(self) -> str:
        """Digest of the token stream."""
        return self.manifests[0]["fingerprint"]["stream"]

    def split(self, held_out: int) -> tuple[range, range]:
        """(training shards, held-out shards): the last `held_out` shards judge and are never trained on."""
        if not 0 <= held_out < self.n_shards:
            raise ValueError(f"held_out_shards={held_out} leaves nothing of {self.n_shards} shards to train on")
        return range(self.n_shards - held_out), self.held_out(held_out)

    def held_out(self, shards: int) -> range:
        """The last shards, which judge. Raises ValueError where there are fewer."""
        if shards > self.n_shards:
            raise ValueError(f"held_out_shards={shards} of {self.n_shards} shards")
        return range(self.n_shards - shards, self.n_shards)

    def read(self, shards: Sequence[int]) -> Rows:
        """The rows of these shards, in stream order. Raises ArtifactError for a file that is not what it should be.

        Files are mapped, not read: every number is copied once, to its place in the result.
        """
        self._verify(shards)
        counts = [self.manifests[0]["shards"][index]["rows"] for index in shards]
        activations_NMd = torch.empty(sum(counts), len(self.members), self.d, dtype=self._dtype(shards))
        labels = []
        for index, rows_NMd in zip(shards, activations_NMd.split(counts), strict=True):
            labels.append(self._read_one(index, rows_NMd))
        return Rows(activations_NMd, *(torch.cat(column) for column in zip(*labels, strict=True)))

    def places(self, shards: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """(sequence_N, position_N) int64 of the rows of these shards, without reading the rows."""
        self._verify(shards)
        folder, entries = self.folders[0], self.manifests[0]["shards"]
        found = [read_tensors(folder / entries[index]["file"], only=LABELS[1:])[0] for index in shards]
        sequence_N, position_N = (torch.cat([labels[name] for labels in found]).long() for name in LABELS[1:])
        return sequence_N, position_N

    def _dtype(self, shards: Sequence[int]) -> torch.dtype:
        """The precision of these shards: float32 where those of any member are."""
        paths = [
            folder / manifest["shards"][index]["file"]
            for index in shards[:1]
            for folder, manifest in zip(self.folders, self.manifests, strict=True)
        ]
        found = {_kept_dtype(path) for path in paths}
        return torch.bfloat16 if found == {"BF16"} else torch.float32

    def _verify(self, shards: Sequence[int]) -> None:
        """Compare what has not been looked at yet with the manifests: present, whole, unaltered."""
        entries = {
            folder / manifest["shards"][index]["file"]: manifest["shards"][index]
            for index in shards
            for folder, manifest in zip(self.folders, self.manifests, strict=True)
        }
        new = [path for path in entries if path not in self._verified]
        for path in new:
            _check_size(path, entries[path])
        for path, found in zip(new, digests_of(new), strict=True):
            if found != entries[path]["sha256"]:
                raise ArtifactError(
                    path, "its SHA-256 differs from the manifest's: altered after it was written", REMEDY
                )
            self._verified.add(path)

    def _read_one(self, index: int, rows_NMd: torch.Tensor) -> list[torch.Tensor]:
        """Fill `rows_NMd` with shard `index` of all members; returns its labels."""
        labels: dict[str, torch.Tensor] = {}
        for member, (folder, manifest) in enumerate(zip(self.folders, self.manifests, strict=True)):
            entry = manifest["shards"][index]
            path = folder / entry["file"]
            tensors, _ = read_tensors(path)
            rows_NMd[:, member] = tensors["activations"]
            for name in LABELS:
                if not torch.equal(tensors[name], labels.setdefault(name, tensors[name])):
                    raise ArtifactError(path, f"its {name} differ from those in {self.folders[0]}", REMEDY)
        if self.permute_shift:
            rows_NMd[:, -1] = permuted_shift(rows_NMd[:, 0].float(), rows_NMd[:, -1].float(), index)
        return [labels[name] for name in LABELS]


def permuted_shift(first_Nd: torch.Tensor, last_Nd: torch.Tensor, shard: int) -> torch.Tensor:
    """first + (last - first)[perm], with one fixed permutation per shard index, so that every reader sees one null."""
    generator = torch.Generator().manual_seed(stream_seed(shard, "permute_shift"))
    return first_Nd + (last_Nd - first_Nd)[torch.randperm(len(first_Nd), generator=generator)]


def _check_fingerprint(fingerprint: dict) -> None:
    missing = {"model", "stream", "layer"} - set(fingerprint)
    if missing:
        raise ValueError(f"the fingerprint {fingerprint} lacks {sorted(missing)}")


def _read_manifest(folder: Path) -> dict:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        _check_fingerprint(manifest["fingerprint"])
        return {key: manifest[key] for key in ("fingerprint", "d", "shards")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(path, f"not a whole manifest ({error})", REMEDY) from error


def _check_same(folder: Path, manifest: dict, first_folder: Path, first: dict) -> None:
    """Refuse a member whose stream, layer, width or rows differ from the first member's."""
    pairs = {key: (manifest["fingerprint"][key], first["fingerprint"][key]) for key in ("stream", "layer")}
    pairs["width"] = (manifest["d"], first["d"])
    pairs["rows per shard"] = tuple([entry["rows"] for entry in m["shards"]] for m in (manifest, first))
    for name, (found, expected) in pairs.items():
        if found != expected:
            raise ArtifactError(folder / MANIFEST, f"{name} is {found}, but {expected} in {first_folder}", REMEDY)


def _kept_dtype(path: Path) -> str:
    """Precision of a shard's activations, as its header names it."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_slice("activations").get_dtype()
    except (OSError, SafetensorError) as error:
        raise ArtifactError(path, f"not a whole shard ({error})", REMEDY) from error


def _check_size(path: Path, entry: dict) -> None:
    """Refuse a shard that is missing or not as long as its manifest says."""
    if not path.is_file():
        raise ArtifactError(path, "missing", REMEDY)
    size = path.stat().st_size
    if size != entry["bytes"]:
        raise ArtifactError(path, f"{size} bytes, the manifest says {entry['bytes']}: cut short or foreign", REMEDY)
