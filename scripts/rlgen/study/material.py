"""Where the material of a study lies: data, models and what they answer, activations. `paths.py` has the rest."""

from dataclasses import dataclass

from rlgen.names import CHECKPOINT_FILES, DOCS, shard_name
from rlgen.study.config import Study
from rlgen.training.settings import SFT


@dataclass(frozen=True)
class Material:
    """Files that a study is made from, as texts relative to the project's folder."""

    study: Study

    @property
    def results(self) -> str:
        """Folder of everything the study makes."""
        return f"results/{self.study.study}"

    # Data.

    def samples(self, tasks: list[str]) -> list[str]:
        """Evaluation samples of tasks."""
        return [f"{self.results}/data/tasks/{task}.jsonl" for task in tasks]

    def docs(self, tasks: list[str]) -> list[str]:
        """The documents behind tasks that lm-eval ships; the organism's tasks have none."""
        return [] if self.study.organism else [f"{self.results}/data/tasks/{task}{DOCS}" for task in tasks]

    def training(self, seed: int | str) -> str:
        """Problems and solutions that SFT trains on, and RL where no teacher leaves problems out."""
        return f"{self.results}/data/training/seed{seed}.jsonl"

    def examples(self, model: str, seed: int | str) -> str:
        """What a model trains on: solutions of a model or a teacher, or problems as their source has them."""
        wanted = self.study.models[model]
        if solutions := getattr(wanted, "solutions", None):
            return self.solutions(solutions, seed)
        by_teacher = isinstance(wanted, SFT) and wanted.style != "source"
        return self.training(seed) if by_teacher else self.prompts(seed)

    def prompts(self, seed: int | str) -> str:
        """Problems that RL trains on: all of them, also those that the teacher could not solve."""
        if self.study.organism or not self.study.data.teacher:
            return self.training(seed)
        return f"{self.results}/data/problems/seed{seed}.jsonl"

    def solutions(self, name: str, seed: int | str) -> str:
        """Solutions that a model of the study wrote."""
        return f"{self.results}/data/solutions/{name}/seed{seed}.jsonl"

    def source(self, name: str) -> str:
        """Published rows of one source."""
        return f"{self.results}/data/sources/{name}.jsonl"

    def problems(self) -> list[str]:
        """The source of the problems that SFT and RL train on, where the study trains."""
        return [self.source(self.study.data.problems)] if self.study.data.problems else []

    def source_texts(self) -> list[str]:
        """Sources that the token stream mixes."""
        return [self.source(name) for name in self.study.stream.mix]

    def trajectories(self, seed: int | str) -> list[str]:
        """The teacher's shards."""
        return [f"{self.results}/data/trajectories/seed{seed}/{i}.jsonl" for i in range(self.study.data.teacher.shards)]

    # Models and what they answer.

    def model(self, model: str, seed: int | str) -> str:
        """Folder of a model, beside its checkpoints' folders."""
        return f"{self.results}/models/{model}/seed{seed}"

    def checkpoint_folder(self, state: str, seed: int | str) -> str:
        """Folder of one state, for `from_pretrained`."""
        model, _, number = self.study.state(state).partition("@")
        return f"{self.model(model, seed)}/checkpoint{number}"

    def checkpoint(self, state: str, seed: int | str) -> list[str]:
        """Files of one state."""
        return [f"{self.checkpoint_folder(state, seed)}/{name}" for name in CHECKPOINT_FILES]

    def checkpoints(self, model: str, seed: int | str) -> list[str]:
        """Files of all states of a model."""
        return [path for i in self.study.checkpoints(model) for path in self.checkpoint(f"{model}@{i}", seed)]

    @property
    def teacher_folder(self) -> str:
        """Folder of the teacher, for `from_pretrained`."""
        return f"{self.results}/models/teacher/checkpoint1"

    def teacher(self) -> list[str]:
        """Files of the teacher."""
        return [f"{self.teacher_folder}/{name}" for name in CHECKPOINT_FILES]

    def behaviour(self, model: str, seed: int | str, tasks: str) -> str:
        """Answers of all states of a model on one group of tasks, `known` or `unseen`."""
        return f"{self.results}/behaviour/{model}/seed{seed}/{tasks}.parquet"

    def behaviour_of(self, state: str, seed: int | str) -> list[str]:
        """Behaviour tables of a state's model, for the tasks that edited models answer."""
        model = self.study.state(state).partition("@")[0]
        return [self.behaviour(model, seed, tasks) for tasks in self.study.tasks.groups()]

    # Activations.

    def activations_folder(self, seed: int | str) -> str:
        """Folder of a seed's token stream and of the shards read from it."""
        return f"{self.results}/activations/seed{seed}"

    def stream(self, seed: int | str) -> str:
        """The token stream."""
        return f"{self.activations_folder(seed)}/stream.safetensors"

    def shards(self, folder: str, states: list[str], n: int) -> list[str]:
        """Manifests and shards of model states, one folder each."""
        names = ["manifest.json", *map(shard_name, range(n))]
        return [f"{folder}/{self.study.state(state)}/{name}" for state in states for name in names]

    def activations(self, states: list[str], seed: int | str) -> list[str]:
        """Shards that are kept: all, or the held-out ones where the others are harvested in windows."""
        return self.shards(self.activations_folder(seed), states, self.study.kept_shards)

    def harvested(self, model: str) -> list[str]:
        """States of a model whose activations are kept."""
        return [f"{model}@{i}" for i in self.study.harvested(model)]

    def completions(self, model: str, seed: int | str) -> str:
        """Reference and tuned model, position by position, on the tuned one's own completions."""
        return f"{self.activations_folder(seed)}/completions/{model}.safetensors"

    def completions_of(self, procedure: str, seed: int | str) -> str:
        """Completions of the model that a procedure explains."""
        tuned = self.study.tuned_state(self.study.procedures[procedure].dictionary)
        return self.completions(tuned.partition("@")[0], seed)

    def window(self, window: int | str, seed: int | str) -> str:
        """Folder of one window's token stream and shards."""
        return f"{self.activations_folder(seed)}/window{window}"

    def window_shards(self, states: list[str], window: int | str, seed: int | str) -> list[str]:
        """Shards of one window."""
        stream = self.study.stream
        return self.shards(self.window(window, seed), states, stream.training_shards // stream.windows)
