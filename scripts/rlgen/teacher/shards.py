"""One shard of the teacher's trajectories: written in chunks that a killed job finds again."""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import Field, model_validator
from transformers import PreTrainedTokenizerBase

from rlgen.files import ArtifactError, atomic_path, canonical_json, digest, write_text
from rlgen.models.tokens import check_kept, render
from rlgen.progress import Progress
from rlgen.seeds import stream_seed
from rlgen.strict import Strict
from rlgen.tasks.math_answers import AnswerChecker
from rlgen.tasks.problems import Problem
from rlgen.tasks.samples import Trajectory
from rlgen.teacher.settings import Teacher
from rlgen.teacher.writers import Sampling, Writer, encode


class WriteTrajectories(Strict):
    """The slice that `scripts/data/write_trajectories.py` receives."""

    seed: int = Field(ge=0)
    threads: int = Field(ge=1, description="of numeric work, and processes that judge answers")
    shard: int = Field(ge=0, description="which of the teacher's shards")
    chat: bool = Field(description="whether problems go through the teacher's chat template")
    teacher: Teacher

    @model_validator(mode="after")
    def _is_there(self):
        if self.shard >= self.teacher.shards:
            raise ValueError(f"shard={self.shard}, expected less than shards={self.teacher.shards}")
        return self


class Chunks:
    """Finished chunks of a shard in a folder, one file each, whole or absent and checked before they are trusted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, index: int) -> Path:
        return self.folder / f"chunk{index:06}.json"

    def save(self, index: int, key: str, rows: list[dict]) -> None:
        """Keep the rows of a chunk; `key` says what they follow from."""
        write_text(self.path(index), canonical_json({"rows": rows, "sha256": digest([key, rows])}))

    def load(self, index: int, key: str) -> list[dict] | None:
        """The rows of a chunk; None where it is not there, broken, or follows from something else."""
        try:
            content = json.loads(self.path(index).read_text(encoding="utf-8"))
            if content["sha256"] == digest([key, content["rows"]]):
                return content["rows"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):  # cut short or overwritten
            pass
        print(f"chunk not used, written anew: {self.path(index)}: it is not what this job would write", file=sys.stderr)
        return None


def shard_prompts(
    problems: Sequence[Problem], cfg: WriteTrajectories, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[Problem], list[str]]:
    """The shard's problems, and their prompts as the teacher reads them.

    Raises ArtifactError where there are none, where the tokenizer has no chat template, and for a prompt that does not
    fit.
    """
    teacher, mine = cfg.teacher, list(problems[cfg.shard :: cfg.teacher.shards])
    if not mine:
        raise ArtifactError(
            f"shards: {len(problems)} problems (value {teacher.shards}), expected at most as many shards"
        )
    texts = [p.prompt for p in mine]
    if cfg.chat:
        turns = [[{"role": "user", "content": text}] for text in texts]
        texts = [render(tokenizer, turn, True) for turn in turns]
        for turn, text in zip(turns, texts, strict=True):
            check_kept(tokenizer, turn, text)
    encode(tokenizer, texts, teacher.max_new_tokens, teacher.max_model_len)
    return mine, texts


def write_shard(
    output: Path, writer: Writer, problems: Sequence[Problem], cfg: WriteTrajectories, state: Path | None
) -> None:
    """Write one JSON row per completion of the shard's problems, `samples_per_prompt` for each, in their order.

    A killed job goes on at the first chunk that `state` lacks, to the same file. Raises ArtifactError as
    `shard_prompts` does, before anything is written.
    """
    teacher = cfg.teacher
    mine, texts = shard_prompts(problems, cfg, writer.tokenizer)
    parts = [slice(first, first + teacher.batch_prompts) for first in range(0, len(mine), teacher.batch_prompts)]
    progress = Progress(f"trajectories, shard {cfg.shard}", len(mine), "problems")
    keys = [digest([cfg.seed, teacher.model_dump(), [asdict(p) for p in mine[part]], texts[part]]) for part in parts]
    with AnswerChecker(cfg.threads, teacher.answer_timeout_s) as checker:

        def rows_of(index: int) -> list[Trajectory]:
            return _trajectories(writer, checker, mine[parts[index]], texts[parts[index]], teacher, cfg.seed)

        def seen(index: int) -> None:
            progress.update(min(parts[index].stop, len(mine)))

        write_in_chunks(output, state, keys, rows_of, seen)


def write_in_chunks(
    output: Path,
    state: Path | None,
    keys: Sequence[str],
    rows_of: Callable[[int], list[Trajectory]],
    seen: Callable[[int], None],
) -> None:
    """Write the rows of all chunks, one JSON line each, and of those that `state` holds only what was written before.

    A chunk's key says what it follows from; `seen` is told which chunk is there.
    """
    with tempfile.TemporaryDirectory() as scratch:
        chunks = Chunks(state or Path(scratch))
        for index, key in enumerate(keys):
            if chunks.load(index, key) is None:
                chunks.save(index, key, [asdict(row) for row in rows_of(index)])
            seen(index)
        with atomic_path(output) as partial, open(partial, "w", encoding="utf-8", newline="\n") as file:
            for index, key in enumerate(keys):
                rows = chunks.load(index, key)
                if rows is None:
                    raise ArtifactError(chunks.path(index), "cannot be read back", "look at the disk")
                for row in rows:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _trajectories(
    writer: Writer, checker: AnswerChecker, problems: list[Problem], texts: list[str], teacher: Teacher, seed: int
) -> list[Trajectory]:
    how = (teacher.samples_per_prompt, teacher.max_new_tokens, teacher.temperature, teacher.top_p)
    written = writer.write(texts, Sampling(*how, seed=stream_seed(seed, "teacher")))
    pairs = [(problem, one) for problem, some in zip(problems, written, strict=True) for one in some]
    right = checker.right([one.text for _, one in pairs], [problem.answer for problem, _ in pairs])
    return [
        Trajectory(problem.prompt, problem.answer, one.text, one.tokens, one.finished, verdict)
        for (problem, one), verdict in zip(pairs, right, strict=True)
    ]
