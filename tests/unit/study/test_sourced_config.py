"""Studies over published models and data: each thing that cannot be is refused in one line, and nothing else is."""

import pytest
from studies import REMOVE, changed, content_of, refused

from rlgen.activations.settings import OrganismStream, SourcedStream
from rlgen.sources.settings import ProblemSource, SourcedData, TextSource
from rlgen.study.load import load

PAPER, OWN, ORGANISM = content_of("qwen3-4b"), content_of("bring-your-own"), content_of("config")
TASKS = "hendrycks_math500, aime24, aime25, openbookqa, commonsense_qa, headqa_en, sciq, arc_challenge, logiqa, piqa"
LCM = {"family": "lcm", "size": 9}
GENERAL = PAPER["data"]["sources"]["general"]
ALL_SELECTION = PAPER["tasks"]["selection"]
MIXED_UP = [  # one kind of study with a part of the other
    (PAPER, {"data": ORGANISM["data"]}, "tasks.in_domain: unknown task 'hendrycks_math500', expected one of add, max"),
    (PAPER, {"stream": ORGANISM["stream"]}, "stream.mix: missing, expected the sources that the token stream mixes"),
    (PAPER, {"evaluation": ORGANISM["evaluation"]}, "evaluation.backend: missing, expected transformers or vllm"),
    (PAPER, {"evaluation": REMOVE}, "evaluation.backend: missing, expected transformers or vllm"),
    (PAPER, {"data__kind": "hub"}, "data.kind: unknown kind 'hub', expected one of organism, sources"),
    (ORGANISM, {"data": PAPER["data"]}, f"tasks.in_domain: unknown task 'add', expected one of {TASKS}"),
    (
        ORGANISM,
        {"stream": PAPER["stream"] | {"layer": 2}},
        "stream.mix: the organism has no sources to mix, expected sa",
    ),
    (
        ORGANISM,
        {"evaluation": PAPER["evaluation"]},
        "evaluation.backend: only for benchmarks, expected none with data.",
    ),
    (ORGANISM, {"models__more": OWN["models"]["sft"]}, "models.more.method: load, expected a model that learns the"),
    (ORGANISM, {"stream__windows": 2}, "stream.windows: input should be 1 (value 2)"),
    (OWN, {"models__sft": {"method": "more", "parent": "base"}}, "models.sft.method: unknown method 'more'"),
    (
        OWN,
        {"models__base": ORGANISM["models"]["base"], "stream__layer": 2},
        "models.base.method: pretrain learns the or",
    ),
]
BAD = [
    (
        {"models__sft__style": "plain"},
        "models.sft.style: plain is the organism's, expected teacher or source",
    ),
    (
        {"stream__mix": {"reasoning": 0.5, "wiki": 0.5}},
        "stream.mix: unknown source 'wiki', expected one of problems, rea",
    ),
    (
        {"stream__mix": {"general": 0.5, "problems": 0.5}},
        "stream.mix: problems holds problems, expected sources of text",
    ),
    (
        {"stream__mix": {"reasoning": 0.5, "general": 0.4}},
        "stream.mix: shares {'reasoning': 0.5, 'general': 0.4}, expect",
    ),
    (
        {"stream__mix": {"reasoning": 1.5, "general": -0.5}},
        "stream.mix: shares {'reasoning': 1.5, 'general': -0.5}, expe",
    ),
    (
        {"stream__mix": {"reasoning": 1.0, "general": 0.0}},
        "stream.mix: shares {'reasoning': 1.0, 'general': 0.0}, expect",
    ),
    ({"stream__mix": {}}, "stream.mix: dictionary should have at least 1 item"),
    ({"stream__mix": REMOVE}, "stream.mix: missing; expected a value, see config/README.md"),
    (
        {"stream__windows": 81},
        "stream: windows=81: 2000 training shards do not divide into so many, expected a divisor",
    ),
    ({"stream__windows": 0}, "stream.windows: input should be greater than or equal to 1 (value 0)"),
    ({"stream__windows_on_disk": 0}, "stream.windows_on_disk: input should be greater than or equal to 1 (value 0)"),
    ({"stream__disk_gb": 0}, "stream.disk_gb: input should be greater than 0 (value 0)"),
    ({"stream__precision": "float16"}, "stream.precision: input should be 'float32' or 'bfloat16' (value 'float16')"),
    ({"stream__layer": 36}, "stream.layer: 36 is beyond the model, expected 0 to 35"),
    ({"stream__sequence_tokens": 1}, "stream.sequence_tokens: input should be greater than or equal to 2 (value 1)"),
    ({"stream__sampled_models": ["rl"]}, "stream.sampled_models: unknown field"),
    (
        {"recipes__batchtopk__batch_rows": 5_000_001},
        "recipes.batchtopk.batch_rows: 5000001 exceeds the 5000000 training ",
    ),
    ({"data__problems": None}, "data.problems: missing, expected a source of problems for rl, sft to train on"),
    ({"data__problems": "gsm"}, "data.problems: unknown source 'gsm', expected one of problems, reasoning, general"),
    (
        {"data__problems": "reasoning"},
        "data.problems: reasoning holds texts, expected a source with format.kind problem",
    ),
    (
        {"data__teacher": None},
        "data.teacher: missing, expected one, or a completion in problems's format, for SFT",
    ),
    ({"data__teacher__keep_per_prompt": 9}, "data.teacher: keep_per_prompt=9, expected at most samples_per_prompt=4"),
    ({"data__sources__general": 3}, "data.sources.general: expected fields, `name: value`"),
    (
        {"data__sources__general": GENERAL | {"hub": None, "files": []}},
        "data.sources.general: expected hub, files, files of a hub repository, or generate",
    ),
    (
        {"data__sources__general": GENERAL | {"files": ["*.jsonl"]}},
        "data.sources.general: files='*.jsonl' of a hub repository, expected a name without wildcards",
    ),
    (
        {"data__sources__general": GENERAL | {"stream": True}},
        "data.sources.general: stream given for files, expected only with a hub repository without files",
    ),
    (
        {"data__sources__general": GENERAL | {"hub": None, "revision": "a" * 40}},
        "data.sources.general: revision given without hub, expected only with it",
    ),
    (
        {
            "data__sources__general": {
                "subset": "x",
                "generate": {"family": "lcm", "size": 9},
                "format": {"kind": "text"},
            }
        },
        "data.sources.general: subset given without hub, expected only with it",
    ),
    (
        {"data__sources__general": GENERAL | {"generate": LCM}},
        "data.sources.general: generate given beside hub or files, expected one of them",
    ),
    (
        {"data__benchmarks__sciq": {"generate": LCM, "options": 4}},
        "data.benchmarks.sciq: fewshot or options given for a generated task, expected neither",
    ),
    (
        {"data__benchmarks__sciq": {"prompt": "{{ question }}"}},
        "data.benchmarks.sciq: prompt given, expected only with generate: shipped tasks ask in their own words",
    ),
    (
        {"models__sft__style": "source"},
        "models.sft.style: source, but the format of problems has no completion, expected one",
    ),
    ({"data__sources__general": {"hub": "a/b"}}, "data.sources.general.format: missing; expected a value"),
    (
        {"data__sources__general__format__colum": "x"},
        "data.sources.general.format.colum: unknown field (value 'x'); "
        "expected one of the fields in config/README.md, nearest: column",
    ),
    ({"data__sources__general__format__colum": "x"}, "data.sources.general.format.colum: unknown field (value 'x')"),
    (
        {"data__sources__reasoning__format__roles": {}},
        "data.sources.reasoning.format.roles: dictionary should have at l",
    ),
    ({"data__sources__problems__format__prompt": ""}, "data.sources.problems.format.prompt: string should have at lea"),
    (
        {"data__sources__general__format__kind": "pdf"},
        "data.sources.general.format.kind: unknown kind 'pdf', expected one of ",
    ),
    ({"data__sources": PAPER["data"]["sources"] | {"a/b": GENERAL}}, "data: 'a/b' cannot be part of a path, expected"),
    (
        {"data__benchmarks__sciq": {"revision": "a", "files": {"test": "b"}}},
        "data.benchmarks.sciq: revision and files given, expected one of revision (the hub), files",
    ),
    ({"tasks__unseen": ["logiqa", "chess"]}, f"tasks.unseen: unknown task 'chess', expected one of {TASKS}"),
    (
        {"interventions__leave_out": ["aime26"]},
        f"interventions.leave_out: unknown task 'aime26', expected one of {TASKS}",
    ),
    (
        {"interventions__leave_out": ALL_SELECTION},
        f"interventions.leave_out: {', '.join(ALL_SELECTION)}, expected a sele",
    ),
    ({"evaluation__backend": "hf"}, "evaluation.backend: input should be 'transformers' or 'vllm' (value 'hf')"),
    (
        {"published__accuracy": {"dpo": {"sciq": 1}}},
        "published.accuracy: unknown model 'dpo', expected one of base, rl,",
    ),
    (
        {"published__accuracy": {"rl": {"chess": 1}}},
        "published.accuracy.rl: unknown task 'chess', expected one of hendr",
    ),
    (
        {"published__accuracy": {"rl": {"sciq": 100.1}}},
        "published.accuracy.rl.sciq: 100.1, expected a number from 0 to 1",
    ),
    ({"published__accuracy": {"rl": {"sciq": -1}}}, "published.accuracy.rl.sciq: -1, expected a number from 0 to 100"),
    (
        {"published__accuracy": {"rl": {"sciq": float("nan")}}},
        "published.accuracy.rl.sciq: input should be a finite num",
    ),
    ({"published__disable": {"chess": 1}}, f"published.disable: unknown task 'chess', expected one of {TASKS}"),
    ({"published__amplify": {"sciq": 101}}, "published.amplify.sciq: 101, expected a number from -100 to 100"),
    ({"published__source": REMOVE}, "published.source: missing; expected a value"),
]


@pytest.mark.parametrize(
    ("study", "changes", "message"), MIXED_UP, ids=lambda v: "" if isinstance(v, str) else next(iter(v))
)
def test_parts_of_two_kinds_of_study_are_told_apart(study, changes, message):
    told = refused(study, **changes)
    assert told.startswith(message) and "\n" not in told


@pytest.mark.parametrize(("changes", "message"), BAD, ids=lambda v: next(iter(v)) if isinstance(v, dict) else "")
def test_what_cannot_be_is_refused_in_one_line(changes, message):
    told = refused(PAPER, **changes)
    assert told.startswith(message) and "\n" not in told


def test_problems_in_several_places_are_told_together():
    told = refused(PAPER, stream__mix={"wiki": 1.0}, published__disable={"chess": 1}, data__problems="gsm").split("\n")
    assert [line.split(":")[0] for line in told] == ["stream.mix", "data.problems", "published.disable"]


@pytest.mark.parametrize(
    "changes",
    [
        {"stream__mix": {"reasoning": 0.1 + 0.2, "general": 0.7}},  # 1 up to rounding
        {"stream__windows": 2000},
        {"stream__windows": 1},
        {"recipes__batchtopk__batch_rows": 5_000_000},
        {"interventions__leave_out": ALL_SELECTION[1:]},
        {"published__accuracy": {"rl": {"aime25": 0.0, "sciq": 100}}, "published__disable": {"sciq": -100}},
        {"published": REMOVE},
        {"data__teacher": None, "data__sources__problems__format__completion": "{{ solution }}"},
        {"data__teacher": None, "models__sft": PAPER["models"]["rl"]},
    ],
    ids=lambda v: next(iter(v)),
)
def test_what_is_unusual_but_possible_is_accepted(changes):
    load(changed(PAPER, **changes))


def test_an_organism_may_have_published_values():
    load(ORGANISM | {"published": {"source": "here", "accuracy": {"rl": {"add": 3.0}}, "amplify": {"max": -100}}})


def test_kinds_are_recognised_by_what_is_there():
    paper, organism = load(PAPER), load(ORGANISM)
    assert isinstance(paper.data, SourcedData) and not paper.organism and organism.organism
    assert [type(s) for s in paper.data.sources.values()] == [ProblemSource, TextSource, TextSource]
    assert isinstance(paper.stream, SourcedStream) and isinstance(organism.stream, OrganismStream)
    unnamed = {"files": ["x.jsonl"], "format": {"prompt": "{{ q }}", "answer": "{{ a }}"}}  # problems where no kind is
    assert isinstance(load(changed(PAPER, data__sources__problems=unnamed)).data.sources["problems"], ProblemSource)
    for study in (paper, organism):  # also where the parts are objects already
        assert type(study).model_validate({name: getattr(study, name) for name in type(study).model_fields}) == study


def test_shares_are_in_the_order_of_their_names():
    """So that the order in a config means nothing: the sources are drawn one after another."""
    one, other = ({"reasoning": 0.5, "general": 0.5}, {"general": 0.5, "reasoning": 0.5})
    assert [list(load(changed(PAPER, stream__mix=mix)).stream.mix) for mix in (one, other)] == [
        ["general", "reasoning"]
    ] * 2


def test_windows_decide_which_shards_stay():
    """2002 shards of 200,000 rows, 2 held out."""
    windows, whole = load(PAPER), load(changed(PAPER, stream__windows=1))
    assert (windows.stream.shards, windows.stream.training_shards, windows.kept_shards) == (2002, 2000, 2)
    assert whole.kept_shards == 2002
    part = windows.stream.of_shards(25)
    assert (part.rows, part.shards, part.layer, part.precision) == (5_000_000, 25, 18, "bfloat16")
