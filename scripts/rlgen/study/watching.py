"""The monitor of a study's watched set, from files that the study has made (docs/method.md, section 14)."""

from pathlib import Path

from rlgen.arms.drift import reference_texts
from rlgen.arms.monitor import Monitor
from rlgen.arms.readouts import Reader, Watched
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.files import ArtifactError, read_parquet
from rlgen.models.checkpoints import load_model, load_tokenizer
from rlgen.study import slices
from rlgen.study.config import Study
from rlgen.study.paths import Paths
from rlgen.tasks.samples import read_samples


def monitor_of(study: Study, seed: int, model: str | None = None, device: str = "cpu") -> Monitor:
    """Reads any checkpoint of this architecture; `model`: its name, where the dictionary knows it.

    Raises ValueError where the study watches no set or has no such seed, ArtifactError naming what is not made yet.
    """
    if study.arms is None or study.arms.watch is None:
        raise ValueError(f"study {study.study}: arms.watch names no procedure, expected one")
    if seed not in study.seeds:
        raise ValueError(f"seed {seed}, expected one of {', '.join(map(str, study.seeds))}")
    at, watch, reference = Paths(study), study.arms.watch, study.roles.reference
    dictionary = Path(at.of_procedure(watch, seed)[0]).parent
    chosen = Path(at.chosen(watch, seed))
    drift = Path(at.drift(study.roles.target, seed))
    tasks = at.samples([*study.tasks.in_domain, *study.tasks.selection])
    folder = Path(at.checkpoint_folder(reference, seed))
    needed = [*at.of_procedure(watch, seed, "features.parquet"), chosen, drift, *tasks, *at.checkpoint(reference, seed)]
    if missing := [str(path) for path in needed if not Path(path).exists()]:
        remedy = f"run snakemake with this study and the target {at.results}/arms/foretold.csv"
        raise ArtifactError(missing[0], "is not made yet", remedy)
    told = slices.measure_arm(study, study.roles.target, str(seed))
    before, tokenizer = load_model(folder, device), load_tokenizer(folder)
    texts = reference_texts(before, tokenizer, read_samples(tasks), told["prompts"], told["max_new_tokens"], seed)
    crosscoder = Crosscoder.load(dictionary, told["readout"])
    reader = Reader.of(crosscoder, told["readout"], model or reference)
    return Monitor(before, texts, told["layer"], reader, Watched.read(dictionary, chosen), read_parquet(drift))
