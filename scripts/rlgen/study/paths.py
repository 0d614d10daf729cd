"""Where every artifact of a study lies: one place for rules, planning and tests (results/README.md lists the formats).

A *state* is a model at a checkpoint: `rl` (the last one), `rl@2`. `seed` may be a number or a pattern such as `{seed}`.
Lists of files keep the order in which the slices list what the files belong to.
"""

from dataclasses import dataclass

from rlgen.names import DICTIONARY_FILES, MAPS
from rlgen.study.aims import aims
from rlgen.study.material import Material

SUMMARISED = ["quality.csv", "features.parquet"]
MEASURED = ["curves.csv", *SUMMARISED, "contexts.parquet"]


@dataclass(frozen=True)
class Paths(Material):
    """Files of one study, as texts relative to the project's folder."""

    # Dictionaries.

    def members(self, dictionary: str) -> list[str]:
        """States that a dictionary reads together."""
        return self.study.dictionaries[dictionary].members

    def dictionary_folder(self, dictionary: str, recipe: str, seed: int | str) -> str:
        """Folder of one dictionary, for `SAE.load_from_disk`."""
        return f"{self.results}/dictionaries/{dictionary}/{recipe}/seed{seed}"

    def dictionary(self, dictionary: str, recipe: str, seed: int | str, *names: str) -> list[str]:
        """Files of a trained dictionary, and further files beside them."""
        return [f"{self.dictionary_folder(dictionary, recipe, seed)}/{name}" for name in [*DICTIONARY_FILES, *names]]

    def of_procedure(self, procedure: str, seed: int | str, *names: str) -> list[str]:
        """Files of the dictionary that a procedure reads, and the maps that its readout needs."""
        settings = self.study.procedures[procedure]
        maps = [MAPS] * (settings.readout == "mapped")
        return self.dictionary(settings.dictionary, settings.recipe, seed, *names, *maps)

    def of_dynamics(self, dictionary: str, seed: int | str) -> list[str]:
        """Files of a dictionary that the dynamics read."""
        return self.dictionary(dictionary, self.study.features.course_recipe, seed, "features.parquet")

    def course_beside(self, dictionary: str, seed: int | str) -> list[str]:
        """Files of the dictionary over the checkpoints of the model that another one explains, if there is one."""
        course = self.study.course_beside(dictionary)
        return self.dictionary(course, self.study.features.course_recipe, seed) if course else []

    def of_dictionary(self, dictionary: str, *names: str) -> list[str]:
        """Files of one dictionary, recipe by recipe, seed by seed, without the recipes of variants."""
        pairs = [(r, seed) for r in self.study.own_recipes(dictionary) for seed in self.study.seeds]
        return [f"{self.dictionary_folder(dictionary, r, seed)}/{name}" for r, seed in pairs for name in names]

    def summaries(self, dictionaries: list[str], name: str) -> list[str]:
        """The summaries of some dictionaries: what a figure of these needs, and no other dictionary."""
        return [f"{self.results}/dictionaries/{dictionary}/{name}" for dictionary in dictionaries]

    def trained_through(self, window: int, seed: int | str) -> list[str]:
        """What says that every dictionary has been trained through a window; nothing for windows before the first."""
        entries = self.study.trained_dictionaries() if window > 0 else []
        return [f"{self.dictionary_folder(d, r, seed)}/window{window}/curves.csv" for d, r in entries]

    def state_before(self, dictionary: str, recipe: str, window: int, seed: int | str) -> list[str]:
        """State of a dictionary after the window before; the first window has none."""
        folder = f"{self.dictionary_folder(dictionary, recipe, seed)}/window{window - 1}"
        return [f"{folder}/state.safetensors"] if window > 1 else []

    # Features, interventions, pages.

    def tuned_of(self, procedure: str, seed: int | str) -> list[str]:
        """Files of the model that a procedure explains."""
        return self.checkpoint(self.study.tuned_state(self.study.procedures[procedure].dictionary), seed)

    def tuned_behaviour(self, procedure: str, seed: int | str, tasks: str) -> str:
        """Answers of the model that a procedure explains."""
        state = self.study.tuned_state(self.study.procedures[procedure].dictionary)
        return self.behaviour(state.partition("@")[0], seed, tasks)

    def attribution(self, procedure: str, seed: int | str, tasks: str = "known") -> list[str]:
        """Scores by cause, where a procedure's score needs them."""
        folder = f"{self.results}/features/mediation/{procedure}/seed{seed}"
        return [f"{folder}/attribution/{tasks}.parquet"] * self.study.procedures[procedure].by_cause

    def joint(self, procedure: str, seed: int | str) -> list[str]:
        """The ranking of all tasks together, where a procedure's score is one."""
        folder = f"{self.results}/features/mediation/{procedure}/seed{seed}"
        return [f"{folder}/together.parquet"] * self.study.procedures[procedure].joint

    def chosen(self, procedure: str, seed: int | str) -> str:
        """The set that a procedure chooses."""
        return f"{self.results}/features/mediation/{procedure}/seed{seed}/set.json"

    def of_mediation(self, name: str) -> list[str]:
        """One file of every procedure and seed, without those of variants."""
        pairs = [(procedure, seed) for procedure in self.study.own_procedures() for seed in self.study.seeds]
        return [f"{self.results}/features/mediation/{procedure}/seed{seed}/{name}" for procedure, seed in pairs]

    def intervention(self, procedure: str, seed: int | str) -> str:
        """Answers of the models that a procedure edits."""
        return f"{self.results}/interventions/{procedure}/seed{seed}.parquet"

    def controls(self, procedure: str, seed: int | str) -> str:
        """What is known of the controls of each edit: how many random sets, how alike, what was refused and why."""
        return f"{self.results}/interventions/{procedure}/seed{seed}.controls.csv"

    def fixed_edit(self, procedure: str, name: str, seed: int | str) -> str:
        """One of a procedure's edits on its own, which models are trained to do or held to."""
        return f"{self.results}/interventions/{procedure}/seed{seed}.edits/{name}.safetensors"

    def edited_alone(self, procedure: str, seed: int | str) -> str:
        """What each latent of a procedure's set does alone."""
        return f"{self.results}/interventions/{procedure}/seed{seed}.alone.parquet"

    def edited_texts(self, procedure: str, seed: int | str) -> str:
        """What edited models write, beside what they wrote before."""
        return f"{self.results}/interventions/{procedure}/seed{seed}.texts.parquet"

    def steering(self, seed: int | str) -> str:
        """Answers of unedited models, and under edits without a dictionary."""
        return f"{self.results}/interventions/steering/seed{seed}.parquet"

    def sensitivity(self, procedure: str, seed: int | str) -> str:
        """What a variant finds and does in one seed; `equivalence`, `maps`: what else is asked of the main one."""
        return f"{self.results}/sensitivity/{procedure}/seed{seed}.csv"

    def drift(self, model: str, seed: int | str) -> str:
        """How far an arm has moved from the reference."""
        return f"{self.results}/arms/{model}/seed{seed}.parquet"

    def varied(self, seed: int | str) -> str:
        """Answers under sets of every size, score and choice of tasks."""
        return f"{self.results}/extended/seed{seed}.parquet"

    def measured_of(self, procedure: str, seed: int | str, name: str) -> str:
        """What is measured of the dictionary that a procedure reads: one of its tables."""
        settings = self.study.procedures[procedure]
        return f"{self.dictionary_folder(settings.dictionary, settings.recipe, seed)}/{name}"

    def of_variants(self) -> list[str]:
        """What serves nothing but the comparison of variants: their dictionaries' measures, scores and edits."""
        files = []
        for name, seed in [(name, seed) for name in self.study.factor_of() for seed in self.study.seeds]:
            folder = f"{self.results}/features/mediation/{name}/seed{seed}"
            files += [f"{folder}/{file}" for file in ("scores.parquet", "set.json", "overlap.csv")]
            files += [self.intervention(name, seed), self.controls(name, seed)]
            files += self.of_procedure(name, seed, *MEASURED)
        files += [self.sensitivity(name, s) for name in self.study.compared_procedures() for s in self.study.seeds]
        return list(dict.fromkeys(files))

    def every_artifact(self) -> list[str]:
        """Files that no summary asks for: a deleted one comes back through `snakemake all`.

        But for those of windows, which serve nothing but training and would bring it back.
        """
        study, seeds = self.study, self.study.seeds
        files = [path for model in study.models for seed in seeds for path in self.checkpoints(model, seed)]
        if study.trained():  # where a teacher writes, RL has problems of its own
            files += [path for seed in seeds for path in dict.fromkeys([self.training(seed), self.prompts(seed)])]
        files += [self.solutions(name, seed) for name in study.solutions for seed in seeds]
        files += [self.stream(seed) for seed in seeds]
        for model in study.models:
            files += [path for seed in seeds for path in self.activations(self.harvested(model), seed)]
        for dictionary in study.dictionaries:
            files += self.of_dictionary(dictionary, *DICTIONARY_FILES, *MEASURED)
        files += [path for name in SUMMARISED for path in self.summaries(list(study.dictionaries), name)]
        if not study.organism:
            roles = study.tasks.role_of()
            files += [f"{self.results}/data/tasks/{task}.yaml" for task in study.data.generated if task in roles]
        if not study.organism and study.data.teacher:
            files += [path for seed in seeds for path in self.trajectories(seed)]
        aimed = [(a.procedure, a.set) for a in aims(study).values()]
        files += [self.fixed_edit(*aim, seed) for aim in dict.fromkeys(aimed) for seed in seeds]
        files += self.of_variants()
        read = [(p, seed) for p in study.procedures for seed in seeds]
        maps = {path for p, seed in read for path in self.of_procedure(p, seed) if path.endswith(MAPS)}
        return files + sorted(maps | {self.completions_of(p, seed) for p, seed in read})
