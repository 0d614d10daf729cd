"""Behaviour of edited models on shipped tasks: choices ranked by log-likelihood, and generated solutions.

The edit acts from the prompt's last token on: in both kinds of task that is where the text after it is predicted.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlgen.behaviour.continuations import Ids, encode, encode_answer, encode_completion, encode_pair
from rlgen.behaviour.evaluator import Evaluator
from rlgen.behaviour.reading import BenchmarkGoal, Reading, answer_logprobs, under
from rlgen.behaviour.task_evaluator import BenchmarkScores, TaskEvaluator, layer_of
from rlgen.files import ArtifactError
from rlgen.models.generation import Prompts
from rlgen.models.head import output_head
from rlgen.models.hooks import Hook
from rlgen.models.logprobs import token_logprobs
from rlgen.models.long_texts import Ends, generate_texts
from rlgen.models.passes import passes_on
from rlgen.progress import Progress
from rlgen.tasks.shipped import BenchmarkTask


class ChoiceEvaluator(TaskEvaluator):
    """Log-likelihood of every choice after its prompt, prompt and choice tokenized as lm-eval's HFLM does."""

    def __init__(self, task: BenchmarkTask, tokenizer: PreTrainedTokenizerFast, batch_size: int) -> None:
        super().__init__(task, tokenizer, batch_size)
        pairs = [[encode_pair(tokenizer, s.prompt, choice) for choice in s.choices] for s in self.samples]
        self.prompt_ids = [some[0][0] for some in pairs]
        self.choice_ids = [[ids for _, ids in some] for some in pairs]
        self.samples_per_batch = max(1, batch_size // max(map(len, self.choice_ids)))

    @property
    def longest(self) -> int:
        return max(len(p) + max(map(len, c)) for p, c in zip(self.prompt_ids, self.choice_ids, strict=True))

    def own_texts(self, model: PreTrainedModel, prompts: Prompts, samples: list[int]) -> list[Ids]:
        own_R = torch.arange(len(samples), device=model.device)
        found = self.responses(model, prompts, samples, own_R, None)
        return [self.choice_ids[i][self._best(i, answers)] for i, answers in zip(samples, found, strict=True)]

    def responses(
        self, model: PreTrainedModel, prompts: Prompts, samples: list[int], own_R: torch.Tensor, hook: Hook | None
    ) -> list[list[tuple[float, bool]]]:
        choices = [self.choice_ids[i] for i in samples]
        reading = Reading.of(model, prompts, choices, layer_of(hook), self.batch_size)
        first, own = [sum(map(len, choices[:s])) for s in range(len(samples))], own_R.tolist()
        flat_F2 = torch.tensor([(r, first[s] + k) for r, s in enumerate(own) for k in range(len(choices[s]))])
        row_F, text_F = flat_F2.to(model.device).unbind(1)
        answers = [(0.0, False)] * len(row_F)
        for part_B, _ in passes_on(reading.draft.length_N[text_F] + 1, self.padding, self.batch_size):
            hidden_BTd, ids_BT, mask_BT = reading.hidden(model, text_F[part_B], hook and hook.take(row_F[part_B]))
            logprob_BT, greedy_BT = token_logprobs(output_head(model), hidden_BTd, ids_BT, mask_BT)
            found = zip(logprob_BT.sum(1).tolist(), greedy_BT.all(1).tolist(), strict=True)
            for place, answer in zip(part_B.tolist(), found, strict=True):
                answers[place] = answer
        rest = iter(answers)
        return [list(islice(rest, len(choices[s]))) for s in own]

    def scores(self, model, prompts, rows, own_R, found, hook) -> BenchmarkScores:
        scores = BenchmarkScores.empty(len(rows))
        scores.correct_B[:] = torch.tensor(self.task.verdicts(rows, found))
        scores.format_blind_B[:] = scores.correct_B
        for r, (i, answers) in enumerate(zip(rows, found, strict=True)):
            sample, best = self.samples[i], self._best(i, answers)
            right = sample.choices.index(sample.answer)
            scores.answer_logprob_B[r] = choice_logprob([value for value, _ in answers], right)
            scores.completions[r], scores.length_B[r] = sample.choices[best], len(self.choice_ids[i][best])
        return scores

    def _best(self, sample: int, answers: list[tuple[float, bool]]) -> int:
        return self.task.preferred(sample, [value for value, _ in answers])


class TextEvaluator(TaskEvaluator):
    """Greedy solutions, judged by the shipped task; the right answer's log-probability after the own reasoning."""

    def __init__(
        self, task: BenchmarkTask, tokenizer: PreTrainedTokenizerFast, batch_size: int, max_new_tokens: int
    ) -> None:
        super().__init__(task, tokenizer, batch_size)
        self.max_new_tokens, self.samples_per_batch = max_new_tokens, batch_size
        self.prompt_ids = [encode(tokenizer, s.prompt) for s in self.samples]
        self.answer_tokens = max(len(tokenizer.encode(f"\n{task.ask}{s.answer}")) for s in self.samples)

    @property
    def longest(self) -> int:
        return max(map(len, self.prompt_ids)) + self.max_new_tokens + self.answer_tokens

    def own_texts(self, model: PreTrainedModel, prompts: Prompts, samples: list[int]) -> list[Ids]:
        own_R = torch.arange(len(samples), device=model.device)
        found = self.responses(model, prompts, samples, own_R, None)
        pairs = zip((self.samples[i] for i in samples), found, strict=True)
        texts = [encode_completion(self.tokenizer, sample.prompt, text)[1] for sample, (text,) in pairs]
        return [ids or [self.tokenizer.eos_token_id] for ids in texts]

    def responses(
        self, model: PreTrainedModel, prompts: Prompts, samples: list[int], own_R: torch.Tensor, hook: Hook | None
    ) -> list[list[str]]:
        ends, texts = Ends.of(model, self.tokenizer, self.task.stops), []
        for part in torch.arange(len(own_R), device=own_R.device).split(self.batch_size):
            own = hook and hook.take(part)
            batch = under(model, prompts.take(own_R[part]), own)
            texts += generate_texts(model, self.tokenizer, batch, self.max_new_tokens, ends, own)
        return [[text] for text in texts]

    def scores(self, model, prompts, rows, own_R, found, hook) -> BenchmarkScores:
        scores = BenchmarkScores.empty(len(rows))
        scores.completions[:] = [text for (text,) in found]
        scores.correct_B[:] = torch.tensor(self.task.verdicts(rows, found))
        scores.format_blind_B[:] = scores.correct_B
        pairs = [(self.samples[i], text) for i, (text,) in zip(rows, found, strict=True)]
        asked = [encode_answer(self.tokenizer, s.prompt, text, s.answer, self.task.ask)[1:] for s, text in pairs]
        scores.answer_logprob_B[:] = answer_logprobs(model, prompts, own_R, asked, hook)
        scores.length_B[:] = torch.tensor([len(encode_completion(self.tokenizer, s.prompt, t)[1]) for s, t in pairs])
        return scores


def choice_logprob(loglikelihoods: Sequence[float], answer: int) -> float:
    """Log-softmax over the choices' log-likelihoods at the right one, nats."""
    return float(torch.tensor(loglikelihoods, dtype=torch.float64).log_softmax(0)[answer])


class BenchmarkEvaluator:
    """Scores models on several tasks of either kind, as one list of samples."""

    table = Evaluator.table  # the same columns, from `samples` and scores alone

    def __init__(
        self,
        tasks: Sequence[BenchmarkTask],
        tokenizer: PreTrainedTokenizerFast,
        batch_size: int,
        max_new_tokens: int,
        completion_tokens: int,
    ) -> None:
        self.tokenizer, self.batch_size = tokenizer, batch_size
        self.max_new_tokens, self.completion_tokens = max_new_tokens, completion_tokens
        self.parts: list[TaskEvaluator] = [
            ChoiceEvaluator(task, tokenizer, batch_size)
            if task.by_choice
            else TextEvaluator(task, tokenizer, batch_size, max_new_tokens)
            for task in tasks
        ]
        self.samples = [sample for part in self.parts for sample in part.samples]
        self.first = [sum(len(p.samples) for p in self.parts[:k]) for k in range(len(self.parts))]

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt with its text."""
        return max(part.longest for part in self.parts)

    def check_context(self, positions: int) -> None:
        """Raises ArtifactError for a task whose prompts do not fit a model's context with the text after them."""
        for part in self.parts:
            if part.longest > positions:
                raise ArtifactError(
                    f"benchmark {part.task.name}: the longest prompt with its text takes {part.longest} tokens, the "
                    f"model's context holds {positions}; expected a smaller evaluation.max_new_tokens, or fewer shots"
                )

    def score(
        self,
        model: PreTrainedModel,
        rows_R: torch.Tensor | None = None,
        hook: Hook | None = None,
        progress: Progress | None = None,
        goal: BenchmarkGoal | None = None,
    ) -> BenchmarkScores:
        """All scores of samples rows_R (default: each once; repeats allowed), as `TaskEvaluator.score`."""
        rows_R = torch.arange(len(self.samples)) if rows_R is None else rows_R
        scores, done = BenchmarkScores.empty(len(rows_R)), 0
        for part, first, of_part in self._parts():
            place_P = ((rows_R >= first) & (rows_R < first + len(part.samples))).nonzero().squeeze(1)
            if len(place_P) == 0:
                continue
            seen = (lambda n, before=done: None) if progress is None else lambda n, b=done: progress.update(b + n)
            own, part_goal = hook and hook.take(place_P), None if goal is None else goal.some(of_part)
            scores.fill(place_P.tolist(), part.score(model, rows_R[place_P] - first, own, seen, part_goal))
            done += len(place_P)
        return scores

    def distances(self, model: PreTrainedModel, rows_R: torch.Tensor, hook: Hook, goal: BenchmarkGoal) -> torch.Tensor:
        """Distance of samples rows_R (repeats allowed) from a goal on its text, nats (R,)."""
        kl_R = torch.full((len(rows_R),), torch.nan)
        for part, first, of_part in self._parts():
            place_P = ((rows_R >= first) & (rows_R < first + len(part.samples))).nonzero().squeeze(1)
            if len(place_P):
                own = hook.take(place_P)
                kl_R[place_P] = part.distances(model, rows_R[place_P] - first, own, goal.some(of_part))
        return kl_R

    def goal(self, model: PreTrainedModel) -> BenchmarkGoal:
        """This model's own behaviour on all samples, as a goal for edits of others."""
        goals = [part.goal(model, self.completion_tokens) for part in self.parts]
        texts, hidden = [t for g in goals for t in g.texts], [h for g in goals for h in g.hidden]
        return BenchmarkGoal(texts, hidden, output_head(model))

    def stream_on(self, model: PreTrainedModel, goal: BenchmarkGoal, chosen: Sequence[int], layer: int) -> torch.Tensor:
        """The model's stream at the goal's completion positions of some samples, raw units, float32 (N, d), CPU."""
        streams = {}
        for part, first, of_part in self._parts():
            own = [i - first for i in chosen if i in of_part]
            found = part.stream_on(model, goal.some(of_part), own, layer)
            streams |= {first + i: h_Td for i, h_Td in found.items()}
        return torch.cat([streams[i] for i in chosen])

    def _parts(self) -> Iterator[tuple[TaskEvaluator, int, range]]:
        for part, first in zip(self.parts, self.first, strict=True):
            yield part, first, range(first, first + len(part.samples))
