"""Edited generation against plain generation, and many conditions side by side against one at a time."""

import organism
import torch
from measure import Measurement, medians

from rlgen.behaviour.evaluator import Evaluator
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.interventions.edits import FeatureEdits, directions
from rlgen.interventions.runner import Condition, Runner
from rlgen.models.generation import Limits, generate
from rlgen.models.hooks import Hook
from rlgen.organism.settings import Split
from rlgen.organism.tasks import evaluation_samples

LATENTS, FEATURES, NEW, SETS, DOSES, REPETITIONS = 512, 50, 16, 20, 7, 5
STRENGTH = 0.13  # what an edit adds at dose 1, as a share of the stream's length: as control sets of the default study
SAMPLES = 75  # per half: as many prompts as a control set of the default study has on one task


def crosscoder(stream_Nd: torch.Tensor) -> Crosscoder:
    """A random dictionary with a threshold that about a tenth of its latents exceed, normalised to the stream."""
    g, d = torch.Generator().manual_seed(0), stream_Nd.shape[1]
    W_dec_SMd = torch.nn.functional.normalize(torch.randn(LATENTS, 2, d, generator=g), dim=-1)
    mean_d, scale = stream_Nd.mean(0), (stream_Nd - stream_Nd.mean(0)).square().mean().sqrt()
    W_enc_MdS = W_dec_SMd.permute(1, 2, 0) / 2
    return Crosscoder(
        ["m@1", "m@2"], "batchtopk", W_enc_MdS.contiguous(), torch.zeros(LATENTS), W_dec_SMd, torch.zeros(2, d),
        mean_d.expand(2, d).contiguous(), scale.expand(2).contiguous(), 2.0 * 1.3, LATENTS,
    )  # fmt: skip


def edits(stream_Nd: torch.Tensor, conditions: int, doses: list[float]) -> FeatureEdits:
    """Conditions of 50 random features each; directions have the length that makes dose 1 add STRENGTH."""
    g, dictionary = torch.Generator().manual_seed(1), crosscoder(stream_Nd)
    mask_CS = torch.zeros(conditions, LATENTS, dtype=torch.bool)
    for c in range(conditions):
        mask_CS[c, torch.randperm(LATENTS, generator=g)[:FEATURES]] = True
    plain = FeatureEdits(
        dictionary, 0, "swap", directions(dictionary, "exchange", True), mask_CS, torch.ones(conditions)
    )
    added = plain.on("cpu").take(torch.zeros(1, dtype=torch.long))(stream_Nd[None])[0] - stream_Nd
    size = STRENGTH * stream_Nd.norm(dim=1).mean() / added.norm(dim=1).mean()
    return FeatureEdits(dictionary, 0, "swap", size * plain.direction_Sd, mask_CS, torch.tensor(doses))


def runner_on(task_names: list[str]) -> Runner:
    """A fresh runner: nothing is known of the prompts yet."""
    samples = [s for t in task_names for s in evaluation_samples(t, "selection", SAMPLES, "benchmark", Split())]
    return Runner(organism.model(), Evaluator(samples, organism.words(), NEW, ";", 1200), organism.LAYER, False)


def stream_of(runner: Runner) -> torch.Tensor:
    return runner.unedited.h_NTd[:, 0]


def edited_generation() -> Measurement:
    """As many prompts as a batch of the default study, 16 tokens each whatever they are."""
    runner = runner_on(organism.DATA.families)
    prompts, n = runner.prompts, len(runner.prompts)
    change = edits(stream_of(runner), 1, [1.0]).on("cpu")
    limits = Limits(NEW, -1, organism.words().pad_token_id)
    hook = Hook(change, organism.LAYER, which_B=torch.zeros(n, dtype=torch.long))
    model = organism.model()
    edited_s, plain_s = medians(
        lambda: generate(model, prompts, limits, hook), lambda: generate(model, prompts, limits)
    )
    return Measurement(
        f"generation under an edit of {FEATURES} features, {n} prompts x {NEW} tokens, d=64, 4 blocks",
        "the same without an edit",
        *(1e3 * edited_s, 1e3 * plain_s, "ms", "<= 1.15", 7),
    )


def side_by_side() -> Measurement:
    """20 sets and 7 doses of one set on one task, with all scores, from loaded models on."""
    conditions = [Condition(f"set{c}", 1.0) for c in range(SETS)]
    conditions += [Condition("curve", dose) for dose in (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)]
    change = edits(stream_of(runner_on(["let"])), len(conditions), [c.dose for c in conditions])
    change.mask_CS[SETS:] = change.mask_CS[SETS]
    everything = list(range(2 * SAMPLES))

    def together() -> None:
        runner_on(["let"]).run(conditions, change, everything)

    def one_by_one() -> None:
        for c in range(len(conditions)):
            runner = runner_on(["let"])
            hook = Hook(change.on("cpu"), organism.LAYER, which_B=torch.full((len(everything),), c))
            runner.evaluator.score(runner.model, hook=hook, prompts=runner.prompts)

    def one_by_one_from_drafts() -> None:
        for c in range(len(conditions)):
            one = FeatureEdits(
                change.crosscoder, 0, "swap", change.direction_Sd, change.mask_CS[[c]], change.dose_C[[c]]
            )
            runner_on(["let"]).run([conditions[c]], one, everything)

    ours, single = medians(together, one_by_one, repetitions=REPETITIONS, warmup=1)
    drafted = medians(one_by_one_from_drafts, repetitions=1, warmup=0)[0]
    return Measurement(
        f"{SETS} control sets and a curve of {DOSES} doses on one task, {2 * SAMPLES} prompts, scored",
        "as many single runs, each an edited generation of its own, scored",
        *(single / ours, 1.0, "times faster", ">= 4.0", REPETITIONS),
        note=f"together {ours:.2f} s, single runs {single:.2f} s; with drafts too {drafted:.2f} s (once)",
    )


def measurements() -> list[Measurement]:
    """Two rows."""
    return [edited_generation(), side_by_side()]


if __name__ == "__main__":
    torch.set_num_threads(1)
    for row in measurements():
        print(row, f"ratio {row.ratio:.3f}")
