"""Published and own models as checkpoints of a study: checked before weights are fetched, merged, in one file.

The weights keep the dtype in which they were published; those of a GGUF file become float32. No code of a repository
is run and no pickle is read.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from rlgen.digests import digest_of
from rlgen.files import ArtifactError, first_line
from rlgen.models.checkpoints import save_checkpoint
from rlgen.models.settings import Size, Source
from rlgen.progress import Progress
from rlgen.sources.adapters import check_adapter, merge
from rlgen.sources.chat_dates import fix_date
from rlgen.sources.gguf_models import load_gguf, read_gguf_tokenizer
from rlgen.sources.model_checks import Skeleton, check_context, check_fits, skeleton
from rlgen.sources.model_files import ModelFiles, check_space, find
from rlgen.sources.tokenizers import check_embedded, check_same, read_tokenizer
from rlgen.strict import Strict

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


class ImportModel(Strict):
    """The slice that `scripts/models/import_model.py` receives."""

    threads: int = Field(ge=1)
    layer: int = Field(ge=0, description="block whose output the study reads")
    sources: list[Source] = Field(min_length=1, description="the model's checkpoints, in the order of training")
    size: Size | None = Field(None, description="what the study says of the model")
    tokens: int = Field(1, ge=1, description="longest text that the model reads, as far as the study says")
    date: str | None = Field(None, description="what a chat template prints as today's date")


@dataclass(frozen=True)
class Candidate:
    """A source that passed all checks that need no weights."""

    files: ModelFiles
    adapter: ModelFiles | None
    skeleton: Skeleton
    tokenizer: PreTrainedTokenizerBase

    @property
    def size(self) -> int:
        """Bytes of its weights, as they are written."""
        if self.files.header is not None:
            return sum(4 * weight.numel() for weight in self.skeleton.model.parameters())
        return self.files.bytes_of(self.files.weights())


def import_model(
    source: Source, output: Path, reference: Path | None, layer: int, tokens: int = 1, date: str | None = None
) -> dict[str, Any]:
    """Write one source as a checkpoint folder; returns the facts about it.

    `reference` is the imported reference model's folder, None for the reference itself. Raises ArtifactError, before
    weights are downloaded or loaded, for all that `candidate` refuses and for a disk that is too full.
    """
    found = candidate(source, reference, layer, tokens, date)
    check_disk([found], output)
    return write(found, output)


def import_checkpoints(
    sources: list[Source],
    output: Path,
    reference: Path | None,
    layer: int,
    tokens: int = 1,
    date: str | None = None,
) -> list[dict[str, Any]]:
    """Write several sources as output/checkpoint1, checkpoint2, ...; the facts of each. All are checked first."""
    found = [candidate(source, reference, layer, tokens, date) for source in sources]
    check_disk(found, output)
    progress, facts_of = Progress("import", len(found), "checkpoints"), []
    for number, one in enumerate(found, start=1):
        facts_of.append(write(one, output / f"checkpoint{number}"))
        progress.update(number)
    return facts_of


def candidate(
    source: Source, reference: Path | None, layer: int, tokens: int = 1, date: str | None = None
) -> Candidate:
    """A source whose config, tokenizer and adapter fit the study; of a repository only small files are downloaded.

    `tokens` is the longest text that the model has to read; `date` is put into a chat template that prints today's.

    Raises ArtifactError, one line, for: a repository that cannot be reached, is gated, missing or not pinned to a
    commit; no weights as safetensors; an architecture whose blocks this project cannot read; a layer out of range; a
    hidden size or a tokenizer that is not the reference's; a context that is too short; a chat template that prints
    a date where none is given; an adapter that does not fit. What only changes how numbers are to be read is told on
    stderr.
    """
    files = find(source.origin, source.revision)
    files.weights()
    model = skeleton(files)
    tokenizer = tokenizer_of(files)
    check_embedded(tokenizer, files.label, model.vocabulary)
    check_context(model, tokens)
    fix_date(tokenizer, files.label, date)
    if reference is None:
        check_fits(model, layer, None)
    else:
        against = find(str(reference), None)
        of, known = skeleton(against), read_tokenizer(against.folder, against.label)
        check_fits(model, layer, of)
        check_same(tokenizer, files.label, known, against.label)
        tell_added(tokenizer, model, known, of)
    adapter = None
    if source.adapter is not None:
        adapter = find(source.adapter, source.adapter_revision)
        check_adapter(adapter, adapter.fetch(["adapter_config.json", *adapter.adapter_weights()]), model)
    return Candidate(files, adapter, model, tokenizer)


def tokenizer_of(files: ModelFiles) -> PreTrainedTokenizerBase:
    """The tokenizer that a model comes with."""
    return read_tokenizer(files.folder, files.label) if files.header is None else read_gguf_tokenizer(files.header)


def tell_added(
    tokenizer: PreTrainedTokenizerBase, model: Skeleton, known: PreTrainedTokenizerBase, reference: Skeleton
) -> None:
    """Say on stderr what a model's vocabulary has beyond the reference's, and what that means for the study."""
    added = sorted(set(tokenizer.get_vocab()) - set(known.get_vocab()), key=tokenizer.get_vocab().get)
    if added:
        what = f"{len(added)} tokens that {reference.label} lacks, such as {added[0]!r}"
        print(f"{model.label}: {what}: texts that both models read are cut as the reference cuts them", file=sys.stderr)
    if model.vocabulary != reference.vocabulary:
        what = f"{model.vocabulary} rows in its embedding, {reference.label} has {reference.vocabulary}"
        print(f"{model.label}: {what}: distances between them are over the ids that both have", file=sys.stderr)


def check_disk(found: list[Candidate], output: Path) -> None:
    """Raises ArtifactError where there is no room for the copies, and for the downloads before them."""
    from huggingface_hub.constants import HF_HUB_CACHE

    downloads = sum(one.files.bytes_of(one.files.missing_here(one.files.weights())) for one in found)
    needs = {Path(HF_HUB_CACHE): downloads, output: sum(one.size for one in found)}
    check_space({place: size for place, size in needs.items() if size}, f"importing {found[0].files.label}")


def write(found: Candidate, output: Path) -> dict[str, Any]:
    """Fetch and load the weights, merge the adapter, write the checkpoint folder; returns the facts about it."""
    files = found.files
    progress = Progress(f"import {files.label}", 3, "steps")
    folder = files.fetch(files.weights())
    progress.update(1, ", weights are here")
    model = load(found, folder)
    if found.adapter is not None:
        model = merge(model, found.adapter.folder, found.adapter.label)
    progress.update(2, ", model is in memory")
    save_checkpoint(model, found.tokenizer, output)
    return facts(found, model, output)


def published_dtype(files: ModelFiles, folder: Path) -> torch.dtype:
    """The dtype of most of a model's weights. Raises ArtifactError, naming the file, for one cut short or quantised."""
    count: Counter[str] = Counter()
    for file in files.weights():
        try:
            with safe_open(folder / file, framework="pt") as handle:
                for name in handle.keys():  # noqa: SIM118 (no mapping)
                    part = handle.get_slice(name)
                    count[part.get_dtype()] += torch.Size(part.get_shape()).numel()
        except (OSError, SafetensorError) as error:
            raise ArtifactError(folder / file, f"cannot be read ({first_line(error)})", "fetch it again") from error
    name = count.most_common(1)[0][0] if count else "nothing"
    if name not in DTYPES:
        raise ArtifactError(files.label, f"its weights are {name}, expected {', '.join(DTYPES)}", "take another model")
    return DTYPES[name]


def load(found: Candidate, folder: Path) -> PreTrainedModel:
    """The model with its weights, in the dtype in which they were published; a GGUF file's in float32.

    Raises ArtifactError where some are missing or of another shape.
    """
    files = found.files
    if files.header is not None:
        model, told = load_gguf(files.header, found.skeleton.model.config)
    else:
        model, told = _load_folder(files, folder, published_dtype(files, folder))
    for kind, what in {"missing": "missing in", "mismatched": "of another shape in", "unexpected": "unused of"}.items():
        names = sorted(str(name) for name in told[f"{kind}_keys"])
        if names:
            problem = f"{len(names)} tensors are {what} its weights, such as {names[0]}"
            raise ArtifactError(files.label, problem, "check that its config.json belongs to its weights")
    return model.eval()


def _load_folder(files: ModelFiles, folder: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, dict[str, Any]]:
    try:
        return AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ArtifactError(
            files.label, f"its weights cannot be loaded ({first_line(error)})", "fetch them again"
        ) from error


def facts(found: Candidate, model: PreTrainedModel, output: Path) -> dict[str, Any]:
    """What an import made, and of what: for the study's records. sha256 is that of model.safetensors."""
    adapter, skeleton, header = found.adapter, found.skeleton, found.files.header
    return ({} if header is None else {"quantisation": header.quantisation}) | {
        "source": found.files.name,
        "revision": found.files.revision,
        "fingerprint": found.files.fingerprint(),
        "adapter": adapter and adapter.name,
        "adapter_revision": adapter and adapter.revision,
        "adapter_fingerprint": adapter and adapter.fingerprint(),
        "sha256": digest_of(output / "model.safetensors"),
        "architecture": skeleton.architecture,
        "dtype": str(model.dtype).removeprefix("torch."),
        "blocks": skeleton.blocks,
        "hidden_size": skeleton.hidden_size,
        "vocabulary": skeleton.vocabulary,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def check_size(facts: dict[str, Any], size: Size | None) -> None:
    """Raise ArtifactError where a study says something else about a model than its files; weights to 5 per cent."""
    for field in ("blocks", "hidden_size", "parameters") if size else ():
        found, said = facts[field], getattr(size, field)
        if abs(found - said) > (0.05 * said if field == "parameters" else 0):
            raise ArtifactError(
                f"{facts['source']}: {field} is {found:g}, the study says size.{field}={said:g}; mend it"
            )
