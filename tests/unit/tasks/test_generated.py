"""Problems of reasoning-gym: documents, the task over them, and how an answer is read out of a text."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
import yaml

from rlgen.files import ArtifactError
from rlgen.sources.fetch import fetch
from rlgen.sources.prompts import benchmark_samples, documents_text
from rlgen.sources.settings import ProblemSource, TextSource
from rlgen.tasks.generated import asked, documents, exported_config
from rlgen.tasks.settings import Benchmark, Generated
from rlgen.tasks.shipped import BenchmarkTask, load_task, output_type, shipped_task

SUMS = {"family": "chain_sum", "config": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}}
ONLY = "{{ question }}\nOnly the number."


@pytest.fixture(autouse=True)
def installed():
    if find_spec("reasoning_gym") is None:
        pytest.skip("reasoning-gym IS NOT INSTALLED: generated problems were NOT tested")


def sums(**settings) -> Benchmark:
    return Benchmark(generate=Generated(**SUMS, size=40), prompt=ONLY, **settings)


def the_task(folder, benchmark: Benchmark) -> BenchmarkTask:
    found = benchmark_samples(shipped_task("sums", benchmark), "in_domain", 6)
    (folder / "docs.jsonl").write_text(documents_text(found.documents))
    return BenchmarkTask(load_task("sums", folder / "docs.jsonl", benchmark, 8), found.samples, benchmark, False)


def test_documents_are_distinct_and_depend_on_their_settings_alone():
    found = documents(Generated(**SUMS, size=400))
    questions = [doc["question"] for doc in found]
    assert len(set(questions)) == len(questions) < 200  # of 400 draws: there are no more sums of two digits
    assert found == documents(Generated(**SUMS, size=400)) != documents(Generated(**SUMS, size=400, seed=1))
    for doc in found[:20]:
        assert eval(doc["question"].partition(": ")[2].rstrip("= ")) == int(doc["answer"])
        turns = [(turn["role"], turn["content"]) for turn in doc["messages"]]
        assert turns == [("user", doc["question"]), ("assistant", doc["answer"])]


@pytest.mark.parametrize(
    ("generated", "told"),
    [
        (Generated(family="chain_sums", size=3), "family chain_sums with {}: reasoning-gym refuses it"),
        (Generated(family="chain_sum", size=3, config={"terms": 2}), "family chain_sum with {'terms': 2}: reasoning"),
        (Generated(family="chain_sum", size=3, config={"min_terms": 9, "max_terms": 2}), "max_terms must be >= min"),
    ],
)
def test_what_the_generator_refuses_is_told_with_its_settings(generated, told):
    with pytest.raises(ArtifactError, match="mend `generate`") as error:
        documents(generated)
    assert told in str(error.value)


def test_a_missing_generator_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(ArtifactError, match=r"requirements-smollm2\.txt"):
        documents(Generated(**SUMS, size=3))


WITHOUT_SOLVER = """
import sys
sys.modules["pycosat"] = None  # as good as not installed
from rlgen.tasks.generated import documents
from rlgen.tasks.settings import Generated
print(len(documents(Generated(family="chain_sum", size=3))), "pycosat" in sys.modules)
documents(Generated(family="zebra_puzzles", size=1))
"""


def test_problems_need_no_solver_in_c_but_for_the_one_family():
    run = subprocess.run([sys.executable, "-c", WITHOUT_SOLVER], capture_output=True, text=True)
    assert run.stdout.split() == ["3", "False"]
    assert "family zebra_puzzles" in run.stderr and "`pip install pycosat` builds it with a C compiler" in run.stderr


@pytest.mark.parametrize(
    ("metric", "right"),
    [
        ("exact_match,last-number", [True, True, True, False, True, False]),
        ("exact_match,whole", [True, False, False, False, True, False]),
        ("exact_match,last-line", [True, False, True, False, True, False]),
        ("math_verify", [True, True, True, False, True, False]),
    ],
)
def test_an_answer_is_read_as_the_metric_says(tmp_path, metric, right):
    task = the_task(tmp_path, sums(metric=metric))
    gold = task.samples[0].answer
    texts = [gold, f"I think it is {gold}.", f"So we get\n{gold}\n", "no idea", f" {gold} ", f"{gold} or rather 99"]
    assert task.verdicts([0] * len(texts), [[text] for text in texts]) == right


def test_a_generated_task_is_written_and_asks_as_its_template_says(tmp_path):
    task = the_task(tmp_path, sums())
    assert output_type("sums", sums()) == "generate_until" and not task.by_choice and task.stops == []
    prompts, answers = asked(sums(), 5)
    assert all(prompt.endswith(" =\nOnly the number.") for prompt in prompts) and len(answers) == 5
    assert {sample.prompt for sample in task.samples} <= set(asked(sums(), 40)[0])


def test_training_problems_are_left_out_of_a_task():
    prompts, _ = asked(sums(), 10)
    found = benchmark_samples(shipped_task("sums", sums()), "in_domain", 20, None, prompts)
    assert found.counts["in_training"] == 10 and not {sample.prompt for sample in found.samples} & set(prompts)


def test_the_exported_task_gives_lm_eval_our_accuracy_on_the_test_half(tmp_path, monkeypatch):
    """A model that always answers the first test document's answer, through lm-eval's own command objects."""
    import lm_eval
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    task = the_task(tmp_path, sums(metric="exact_match,last-number"))
    test = [sample for sample in task.samples if sample.half == "test"]
    always = f"It is {test[0].answer}."

    class Always(LM):
        def generate_until(self, requests, disable_tqdm=False):
            return [always for _ in requests]

        def loglikelihood(self, requests, disable_tqdm=False):
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    discovery = len(task.samples) - len(test)
    config = exported_config("sums", sums(metric="exact_match,last-number"), "docs.jsonl", discovery, 8)
    (tmp_path / "sums.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    results = lm_eval.simple_evaluate(Always(), tasks=["sums"], task_manager=manager, bootstrap_iters=0)["results"]
    rows = [i for i, sample in enumerate(task.samples) if sample.half == "test"]
    ours = sum(task.verdicts(rows, [[always]] * len(rows))) / len(rows)
    assert results["sums"]["exact_match,last-number"] == pytest.approx(ours) and ours > 0


def test_sources_hold_generated_problems_with_a_solution_in_a_style_of_its_own(tmp_path):
    form = {"prompt": ONLY, "answer": "{{ answer }}", "completion": "It makes {{ answer }}."}
    source = ProblemSource(generate=Generated(**SUMS, size=40), rows=8, format=form)
    facts = fetch(source, tmp_path / "rows.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows] == asked(sums(), 8)[0] and facts["rows"] == 8
    assert all(row["completion"] == f"It makes {row['answer']}." for row in rows)
    assert set(facts["source"]) == {"reasoning-gym"}


def test_a_text_file_inside_a_package_is_read_by_paragraphs(tmp_path):
    name = "package:reasoning_gym/data/in_the_year_2889.txt"
    source = TextSource(files=[name], rows=20, format={"kind": "text"})
    facts = fetch(source, tmp_path / "rows.jsonl")
    texts = [json.loads(line)["text"] for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(texts) == 20 and all("\n" not in text and text == text.strip() for text in texts)
    assert len(next(iter(facts["source"].values()))) == 64  # SHA-256 of the file
