"""Does a model still know a task's steps? Every step read after right ones, in the task's own format.

The text is the task's, not the model's: a model that has only learnt to write in another style still shows the skill
here, and one that has lost it does not. What always saying the commonest word would reach stands beside it.
"""

from collections import Counter
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from rlgen.behaviour.evaluator import Evaluator
from rlgen.models.cache import RowCache
from rlgen.models.generation import Prompts, forward
from rlgen.tasks.samples import Sample


def commonest(samples: Sequence[Sample], step: int) -> dict[str, str]:
    """Task -> the word that most often is the right one at a step (-1: the last), on the discovery half.

    Ties go to the word that comes first in the files.
    """
    words: dict[str, Counter] = {}
    for s in samples:
        if s.half == "discovery":
            words.setdefault(s.task, Counter())[s.trace[step]] += 1
    return {task: counts.most_common(1)[0][0] for task, counts in words.items()}


def guesses(samples: Sequence[Sample]) -> dict[str, list]:
    """What answering without reading the prompt reaches, by sample: `guess` of the answer, `own_format_guess` of steps.

    The commonest word is chosen on the discovery half, so that only the test half says what it reaches on new prompts.
    """
    words = [commonest(samples, step) for step in range(_steps(samples))]
    right_BN = [[words[i][s.task] == word for i, word in enumerate(s.trace)] for s in samples]
    return {
        "guess": [right_N[-1] for right_N in right_BN],
        "own_format_guess": [sum(right_N) / len(right_N) for right_N in right_BN],
    }


@torch.inference_mode()
def own_format(model: PreTrainedModel, evaluator: Evaluator) -> list[float]:
    """Share of a sample's N steps s_1..s_N that are the likeliest of its choices after the prompt and s_1..s_{i-1}.

    Every word is one token. Raises ValueError where samples have no steps, or not the same number.
    """
    samples, tokenizer = evaluator.samples, evaluator.tokenizer
    n = _steps(samples)
    prompts = Prompts.encode(tokenizer, [" ".join([s.prompt, *s.trace[:-1]]) for s in samples])
    right_BN = torch.tensor(tokenizer.convert_tokens_to_ids([word for s in samples for word in s.trace])).view(-1, n)
    shares = []
    for rows_B in torch.arange(len(samples)).split(evaluator.batch_size):
        batch = prompts.take(rows_B).to(model.device)
        h_BQd = forward(model, RowCache(batch.ids_BP.shape[1]), batch.ids_BP, batch.padding_B, 0)
        logits_BNV = model.lm_head(h_BQd[:, -n:]).cpu()
        best_BN = logits_BNV.masked_fill(~evaluator.choice_BV[rows_B][:, None], -torch.inf).argmax(-1)
        shares += (best_BN == right_BN[rows_B]).float().mean(1).tolist()
    return shares


def _steps(samples: Sequence[Sample]) -> int:
    lengths = {len(s.trace) for s in samples}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"samples with {sorted(lengths)} steps, expected one number above 0")
    return lengths.pop()
