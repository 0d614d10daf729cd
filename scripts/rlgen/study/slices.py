"""What each rule may know of the study: what its slice does not hold cannot change its result. One function per rule.

Settings objects travel whole, single numbers travel under their own name, so a script can never fall back on a default
that the study overrides. States are explicit (`rl@5`) where they name activations, labels (`rl`) where they name rows
of tables. Lists keep the order in which the rule passes files.
"""

from typing import Any

from rlgen.ledger.settings import states_of
from rlgen.models.settings import Source
from rlgen.organism.families import EOS, HEADERS
from rlgen.study.config import Study
from rlgen.study.pages import leading
from rlgen.training.settings import SFT, OnPolicy

Slice = dict[str, Any]
RETOLD = ("set_size", "effect", "gap_share", "difference")  # statistics that a variant's own runs tell


def make_tokenizer(study: Study) -> Slice:
    return {"families": study.data.families}


def make_task(study: Study, task: str) -> Slice:
    return {
        "salt": study.salt,
        "task": task,
        "role": study.tasks.role_of()[task],
        "split": study.data.split.model_dump(),
        "evaluation": study.evaluation.model_dump(),
    }


def _examples(study: Study) -> int:
    """As many training examples as the longest training takes."""
    return max([_sft_examples(study), _prompts(study)])


def _learners(study: Study) -> list[SFT]:
    """Models that learn solutions of a teacher, or of the source of the problems."""
    return [model for model in study.models.values() if isinstance(model, SFT) and model.by_teacher]


def _sft_examples(study: Study) -> int:
    return max((model.examples for model in _learners(study)), default=1)


def _prompts(study: Study) -> int:
    """Problems that some model writes solutions of, in training or before."""
    drawn = [model.prompts for model in study.models.values() if isinstance(model, OnPolicy)]
    return max([*drawn, *(entry.prompts for entry in study.solutions.values())], default=1)


def make_training_set(study: Study, seed: str) -> Slice:
    return {
        "salt": study.salt,
        "seed": int(seed),
        "tasks": study.tasks.in_domain,
        "split": study.data.split.model_dump(),
        "examples": _examples(study),
    }


def fetch_source(study: Study, source: str) -> Slice:
    return {"name": source, "source": study.data.sources[source].model_dump()}


def import_model(study: Study, model: str) -> Slice:
    return {
        "threads": study.threads,
        "layer": study.stream.layer,
        "sources": [source.model_dump() for source in study.models[model].sources()],
        "size": study.models[model].size and study.models[model].size.model_dump(),
        "tokens": study.stream.sequence_tokens,
        "date": study.data.chat_date,
    }


def import_teacher(study: Study) -> Slice:
    teacher = study.data.teacher
    source = Source.model_validate(teacher.model_dump(include={*Source.model_fields}))
    size = teacher.size and teacher.size.model_dump()
    return {
        "threads": study.threads,
        "layer": 0,
        "sources": [source.model_dump()],
        "size": size,
        "tokens": teacher.max_model_len,
        "date": study.data.chat_date,
    }


def write_trajectories(study: Study, seed: str, shard: str) -> Slice:
    return {
        "seed": int(seed),
        "threads": study.threads,
        "shard": int(shard),
        "chat": study.data.chat,
        "teacher": study.data.teacher.model_dump(),
    }


def collect_trajectories(study: Study, seed: str) -> Slice:
    needed = max((model.least for model in _learners(study)), default=1)
    teacher = study.data.teacher.model_dump()
    return {"seed": int(seed), "examples": _sft_examples(study), "at_least": needed, "teacher": teacher}


def draw_problems(study: Study, seed: str) -> Slice:
    learners = _learners(study)
    if study.data.teacher:  # SFT learns what the teacher solved, unless it says otherwise
        learners = [model for model in learners if model.style == "source"]
    examples = max([_prompts(study), *(model.examples for model in learners)])
    return {"seed": int(seed), "examples": examples, "completions": bool(learners)}


def make_benchmark(study: Study, task: str) -> Slice:
    benchmark, evaluation = study.data.benchmarks[task], study.evaluation
    return {
        "task": task,
        "role": study.tasks.role_of()[task],
        "benchmark": benchmark.model_dump(),
        "chat": evaluation.renders_chat(benchmark),
        "prompts_per_half": evaluation.prompts_per_half,
        "max_new_tokens": evaluation.max_new_tokens,
    }


def export_task(study: Study, task: str) -> Slice:
    longest = study.evaluation.max_new_tokens
    return {"task": task, "benchmark": study.data.benchmarks[task].model_dump(), "max_new_tokens": longest}


def pretrain(study: Study, model: str, seed: str) -> Slice:
    return {
        "salt": study.salt,
        "seed": int(seed),
        "threads": study.threads,
        "name": model,
        "model": study.models[model].model_dump(mode="json"),
        "data": study.data.model_dump(),
    }


continue_pretraining = pretrain


def train_sft(study: Study, model: str, seed: str) -> Slice:
    return {
        "seed": int(seed),
        "threads": study.threads,
        "name": model,
        "model": study.models[model].model_dump(mode="json"),
        "chat": not study.organism and study.data.chat,
    }


train_dpo = train_distil = train_sft


def train_grpo(study: Study, model: str, seed: str) -> Slice:
    return train_sft(study, model, seed) | {"answer_marker": _marker(study)}


def _marker(study: Study) -> str | None:
    return study.evaluation.answer_marker if study.organism else None


def sample_solutions(study: Study, solutions: str, seed: str) -> Slice:
    return {
        "seed": int(seed),
        "threads": study.threads,
        "name": solutions,
        "solutions": study.solutions[solutions].model_dump(mode="json"),
        "chat": not study.organism and study.data.chat,
        "answer_marker": _marker(study),
        "end": f" {EOS}" if study.organism else "",
    }


def evaluate_model(study: Study, model: str, seed: str) -> Slice:
    return {
        "seed": int(seed),
        "threads": study.threads,
        "model": model,
        "states": [study.label(f"{model}@{i}") for i in study.checkpoints(model)],
        "evaluation": study.evaluation.model_dump(),
    }


def evaluate_benchmarks(study: Study, model: str, seed: str, tasks: str) -> Slice:
    return evaluate_model(study, model, seed) | {"benchmarks": _benchmarks(study, study.tasks.groups()[tasks])}


def _benchmarks(study: Study, tasks: list[str]) -> Slice:
    """How benchmarks are read; the rule passes a file of documents for each, named after it."""
    return {task: study.data.benchmarks[task].model_dump() for task in tasks}


def summarise_behaviour(study: Study) -> Slice:
    return {
        "models": list(study.models),
        "trained": study.trained(),
        "seeds": study.seeds,
        "groups": list(study.tasks.groups()),
        "bootstrap": study.interventions.bootstrap,
    }


def build_stream(study: Study, seed: str) -> Slice:
    return {
        "salt": study.salt,
        "seed": int(seed),
        "threads": study.threads,
        "data": study.data.model_dump(),
        "tasks": [*study.tasks.in_domain, *study.tasks.selection],
        "max_new_tokens": study.evaluation.max_new_tokens,
        "stream": study.stream.model_dump(),
    }


def build_mixed_stream(study: Study, seed: str, part: int) -> Slice:
    return {"seed": int(seed), "threads": study.threads, "part": int(part), "stream": stream_content(study)}


def build_window_stream(study: Study, seed: str, window: str) -> Slice:
    return build_mixed_stream(study, seed, int(window))


def stream_content(study: Study) -> Slice:
    """What decides the rows of a stream over sources, and not how many of them lie on the disk at a time."""
    return study.stream.model_dump(exclude={"windows_on_disk", "disk_gb"})


def harvest(study: Study, model: str) -> Slice:
    return {
        "threads": study.threads,
        "states": [f"{model}@{i}" for i in study.harvested(model)],
        "stream": study.stream.of_shards(study.kept_shards).model_dump(),
    }


def harvest_window(study: Study, model: str) -> Slice:
    stream = study.stream
    return harvest(study, model) | {
        "stream": stream.of_shards(stream.training_shards // stream.windows).model_dump(),
    }


def train_dictionary(study: Study, dictionary: str, recipe: str, seed: str) -> Slice:
    return _members(study, dictionary) | {
        "seed": int(seed),
        "threads": study.threads,
        "recipe": study.recipes[recipe].model_dump(),
        "held_out_shards": study.stream.held_out_shards,
    }


def train_window(study: Study, dictionary: str, recipe: str, seed: str, window: str) -> Slice:
    return finish_dictionary(study, dictionary, recipe, seed) | {
        "window": int(window),
        "windows": study.stream.windows,
        "stream": stream_content(study),
    }


def finish_dictionary(study: Study, dictionary: str, recipe: str, seed: str) -> Slice:
    return _members(study, dictionary) | {
        "seed": int(seed),
        "threads": study.threads,
        "recipe": study.recipes[recipe].model_dump(),
    }


def measure_dictionary(study: Study, dictionary: str) -> Slice:
    return _members(study, dictionary) | {
        "threads": study.threads,
        "held_out_shards": study.stream.held_out_shards,
        "alive_firings": study.features.alive_firings,
        "contexts": study.features.contexts,
        "context_tokens": study.features.context_tokens,
    }


def inspect_latents(study: Study, dictionary: str) -> Slice:
    return {key: value for key, value in measure_dictionary(study, dictionary).items() if key != "alive_firings"}


def export_neuronpedia(study: Study, dictionary: str, recipe: str, seed: str) -> Slice:
    members = _members(study, dictionary)["members"]
    shown = {"dictionary": dictionary, "recipe": recipe, "seed": int(seed), "members": members}
    return {"study": study.study, "layer": study.stream.layer, "dictionary": shown}


def map_members(study: Study, dictionary: str) -> Slice:
    return _members(study, dictionary) | {
        "threads": study.threads,
        "held_out_shards": study.stream.held_out_shards,
    }


def summarise_dictionary(study: Study, dictionary: str) -> Slice:
    return {"dictionary": dictionary, "recipes": study.own_recipes(dictionary), "seeds": study.seeds}


def measure_dynamics(study: Study, seed: str) -> Slice:
    joint = study.joint()
    courses = [{"model": model} | _members(study, name) for model, name in study.courses().items()]
    return {
        "seed": int(seed),
        "threads": study.threads,
        "courses": courses,
        "joint": _members(study, joint)["members"] if joint else None,
        "states": course_states(study),
        "held_out_shards": study.stream.held_out_shards,
        "top": study.features.top,
        "random_draws": study.features.random_draws,
    }


def harvest_completions(study: Study, model: str) -> Slice:
    return {
        "threads": study.threads,
        "reference": study.label(study.roles.reference),
        "tuned": model,
        "layer": study.stream.layer,
    }


def harvest_benchmark_completions(study: Study, model: str) -> Slice:
    evaluation = study.evaluation
    return harvest_completions(study, model) | {
        "completion_tokens": evaluation.completion_tokens,
        "batch_size": evaluation.batch_size,
    }


def score_features(study: Study, procedure: str, seed: str) -> Slice:
    settings = study.procedures[procedure]
    return {
        "seed": int(seed),
        "threads": study.threads,
        "score": settings.score,
        "cut": settings.cut,
        "cut_share": settings.cut_share,
        "cut_count": settings.cut_count,
        "readout": settings.readout,
        "critical": settings.critical,
        "tasks": study.tasks.selection,
        "random_draws": study.features.random_draws,
    }


def attribute_features(study: Study, procedure: str, seed: str) -> Slice:
    settings, organism = study.procedures[procedure], study.organism
    return {
        "seed": int(seed),
        "threads": study.threads,
        "reference": study.label(study.roles.reference),
        "tuned": study.explained(procedure),
        "layer": study.stream.layer,
        "positions": study.interventions.positions,
        "readout": settings.readout,
        "critical": settings.critical,
        "doses": study.interventions.doses,
        "completion_tokens": None if organism else study.evaluation.completion_tokens,
        "batch_size": None if organism else study.evaluation.batch_size,
    }


def choose_together(study: Study, procedure: str, seed: str) -> Slice:
    settings = study.procedures[procedure]
    return attribute_features(study, procedure, seed) | {
        "score": settings.score,
        "cut_count": settings.cut_count,
        "gate_penalty": settings.gate_penalty,
        "tasks": study.tasks.selection,
    }


def summarise_mediation(study: Study) -> Slice:
    return {"procedures": list(study.own_procedures()), "seeds": study.seeds}


def measure_truth(study: Study, seed: str) -> Slice:
    return {
        "salt": study.salt,
        "seed": int(seed),
        "threads": study.threads,
        "data": study.data.model_dump(),
        "layer": study.stream.layer,
    }


def intervene(study: Study, procedure: str, seed: str) -> Slice:
    settings = study.procedures[procedure]
    return _inside_generation(study, seed) | {
        "procedure": procedure,
        "readout": settings.readout,
        "edits": {study.label(state): edits for state, edits in settings.edits.items()},
        "tuned": study.explained(procedure),
        "away": [study.label(state) for state in settings.away],
        "models": edited_models(study, procedure),
        "random_sets": study.interventions.random_sets,
        "readout_variance": study.interventions.readout_variance,
    }


def steer(study: Study, seed: str) -> Slice:
    return _inside_generation(study, seed) | {
        "states": steered_states(study),
        "models": steered_states(study),
        "target": study.label(study.roles.target),
        "truth_doses": study.interventions.truth_doses,
        "headers": {"towards": HEADERS[True], "away": HEADERS[False]} if study.organism else {},
    }


def intervene_benchmarks(study: Study, procedure: str, seed: str) -> Slice:
    return intervene(study, procedure, seed) | {"benchmarks": _benchmarks(study, edited_tasks(study))}


def steer_benchmarks(study: Study, seed: str) -> Slice:
    return steer(study, seed) | {"benchmarks": _benchmarks(study, edited_tasks(study))}


edit_alone, edit_alone_benchmarks = intervene, intervene_benchmarks


def export_edit(study: Study, procedure: str, set: str, seed: str) -> Slice:
    """Of the reference alone, by exchange."""
    return intervene(study, procedure, seed) | {
        "edits": {study.label(study.roles.reference): ["exchange"]},
        "models": exchanged_models(study, procedure),
        "set": set,
    }


def export_edit_benchmarks(study: Study, procedure: str, set: str, seed: str) -> Slice:
    return export_edit(study, procedure, set, seed) | {"benchmarks": _benchmarks(study, choosing_tasks(study))}


def measure_recovery(study: Study, seed: str) -> Slice:
    return {
        "seed": int(seed),
        "threads": study.threads,
        "procedures": list(study.own_procedures()),
        "readouts": [procedure.readout for procedure in study.own_procedures().values()],
    }


def build_site(study: Study) -> Slice:
    """Every trained dictionary but those of variants, and every procedure."""

    def course(name: str, seed: int) -> str | None:
        beside = study.course_beside(name)
        return f"{beside}/{study.features.course_recipe}/seed{seed}" if beside else None

    dictionaries = [
        {"dictionary": name, "recipe": recipe, "seed": seed, "course": course(name, seed)}
        | {"members": list(map(study.state, entry.members))}
        for name, entry in study.dictionaries.items()
        for recipe in study.own_recipes(name)
        for seed in study.seeds
    ]
    return {
        "study": study.study,
        "seeds": study.seeds,
        "dictionaries": dictionaries,
        "procedures": {name: p.model_dump() for name, p in study.own_procedures().items()},
        "leading": leading(study),
        "edited": [name for name, p in study.own_procedures().items() if p.edits],
    }


def summarise_interventions(study: Study) -> Slice:
    edited = edited_procedures(study)
    return {
        "procedures": edited,
        "tuned": [study.explained(name) for name in edited],
        "seeds": study.seeds,
        "reference": study.label(study.roles.reference),
        "target": study.label(study.roles.target),
        "bootstrap": study.interventions.bootstrap,
    }


def measure_sensitivity(study: Study, procedure: str, seed: str) -> Slice:
    main = study.procedures[study.variants.procedure]
    return {
        "seed": int(seed),
        "threads": study.threads,
        "variant": procedure,
        "factor": study.factor_of().get(procedure, "main"),
        "readouts": [study.procedures[procedure].readout, main.readout],
        "critical": main.critical,
        "tasks": study.tasks.selection,
        "same_cosine": study.variants.same_cosine,
        "reference": study.label(study.roles.reference),
        "target": study.explained(study.variants.procedure),
        "bootstrap": study.interventions.bootstrap,
        "claims": _retold(study),
    }


def _retold(study: Study) -> Slice:
    """Claims on the main procedure that can be judged of a variant, too, with the labels of states that tables use."""
    claims = {name: c for name, c in study.claims.items() if c.procedure == study.variants.procedure}
    return {
        name: claim.model_dump() | {key: study.label(state) for key, state in states_of(claim).items()}
        for name, claim in claims.items()
        if claim.statistic in RETOLD
    }


def measure_equivalence(study: Study, seed: str) -> Slice:
    main, asked = study.procedures[study.variants.procedure], study.variants.equivalence
    inside = _inside_generation(study, seed)
    kept = ("seed", "threads", "layer", "positions", "evaluation", "reference", "selection")
    return {name: inside[name] for name in kept} | {
        "models": equivalent_models(study),
        "readout": main.readout,
        "latents": asked.latents,
        "prompts": asked.prompts,
    }


def measure_maps(study: Study, seed: str) -> Slice:
    main, asked = study.procedures[study.variants.procedure], study.variants.maps
    inside = _inside_generation(study, seed)
    kept = ("seed", "threads", "layer", "positions", "evaluation", "reference", "selection", "doses")
    return {name: inside[name] for name in kept} | {
        "models": equivalent_models(study),
        "members": mapped_states(study),
        "readout": main.readout,
        "held_out_shards": study.stream.held_out_shards,
        "bootstrap": study.interventions.bootstrap,
        **asked.model_dump(),
    }


def mapped_states(study: Study) -> list[str]:
    """The reference and the model that the main procedure explains, with explicit checkpoints."""
    main = study.procedures[study.variants.procedure]
    return [study.state(study.roles.reference), study.tuned_state(main.dictionary)]


def equivalent_models(study: Study) -> list[str]:
    """Labels of the reference and of the model that the main procedure explains."""
    return [study.label(study.roles.reference), study.explained(study.variants.procedure)]


def summarise_sensitivity(study: Study) -> Slice:
    return {"variants": study.compared_procedures(), "seeds": study.seeds, "siblings": study.siblings()}


def measure_arm(study: Study, model: str, seed: str) -> Slice:
    evaluation = study.evaluation
    return {
        "seed": int(seed),
        "threads": study.threads,
        "states": [study.label(f"{model}@{i}") for i in study.checkpoints(model)],
        "layer": study.stream.layer,
        "prompts": study.arms.prompts,
        "max_new_tokens": evaluation.max_new_tokens if study.organism else evaluation.completion_tokens,
        "readout": study.procedures[study.arms.watch].readout if study.arms.watch else None,
    }


def foretell_arms(study: Study) -> Slice:
    return summarise_arms(study) | {"random_sets": study.interventions.random_sets}


def compare_arms(study: Study) -> Slice:
    names = study.arms.sets
    return {
        "threads": 1,
        "arms": study.arms.listed(),
        "seeds": study.seeds,
        "sets": [(study.arm_of(name), study.procedures[name].readout) for name in names],
    }


def summarise_arms(study: Study) -> Slice:
    return {
        "arms": study.arms.listed(),
        "seeds": study.seeds,
        "reference": study.roles.reference,
        "target": study.roles.target,
        "bootstrap": study.interventions.bootstrap,
    }


def vary_sets(study: Study, seed: str) -> Slice:
    procedure = study.procedures[study.extended.procedure]
    reference, tuned = varied_models(study)
    return _inside_generation(study, seed) | {
        "procedure": study.extended.procedure,
        "score": procedure.score,
        "readout": procedure.readout,
        "models": [reference, tuned],
        "tuned": tuned,
        "unseen": study.tasks.unseen,
        "sizes": study.extended.sizes,
        "left_out": study.extended.left_out,
        "readout_variance": study.interventions.readout_variance,
    }


def vary_sets_benchmarks(study: Study, seed: str) -> Slice:
    return vary_sets(study, seed) | {"benchmarks": _benchmarks(study, edited_tasks(study))}


def summarise_varied(study: Study) -> Slice:
    reference, tuned = varied_models(study)
    return {
        "seeds": study.seeds,
        "score": study.procedures[study.extended.procedure].score,
        "reference": reference,
        "tuned": tuned,
        "bootstrap": study.interventions.bootstrap,
    }


def varied_models(study: Study) -> list[str]:
    """Labels of the reference and of the model that the varied procedure explains: both are edited."""
    return exchanged_models(study, study.extended.procedure)


def summarise_seeds(study: Study) -> Slice:
    return {"seeds": study.seeds}


def edited_tasks(study: Study) -> list[str]:
    """Tasks that edited models answer."""
    return [task for task in study.tasks.role_of() if task not in study.interventions.leave_out]


def choosing_tasks(study: Study) -> list[str]:
    """Those of them that choose doses."""
    return [task for task in edited_tasks(study) if task in study.tasks.selection]


def edited_procedures(study: Study) -> list[str]:
    """Procedures that edit some model; the others only choose features. Those of variants are summarised apart."""
    return [name for name, procedure in study.own_procedures().items() if procedure.edits]


def steered_states(study: Study) -> list[str]:
    """Labels of the states that run unedited and steered: the compared models, and whatever a procedure edits."""
    compared = [study.label(m) for m in (study.roles.reference, study.roles.target, study.roles.contrast) if m]
    return list(dict.fromkeys([*compared, *study.edited_states()]))


def edited_models(study: Study, procedure: str) -> list[str]:
    """Labels of the states that a procedure's edits need: run, aimed at, or moved away from."""
    settings = study.procedures[procedure]
    states = [study.roles.reference, study.tuned_state(settings.dictionary), *settings.edits]
    return list(dict.fromkeys(study.label(state) for state in states))


def exchanged_models(study: Study, procedure: str) -> list[str]:
    """Labels of the reference and of the model that a procedure explains."""
    return [study.label(study.roles.reference), study.explained(procedure)]


def course_states(study: Study) -> list[str]:
    """Explicit states whose activations the dynamics read: the reference, then all checkpoints of every course."""
    members = [m for dictionary in study.courses().values() for m in study.dictionaries[dictionary].members]
    return list(dict.fromkeys(study.state(member) for member in members))


def _members(study: Study, dictionary: str) -> Slice:
    entry = study.dictionaries[dictionary]
    return {"members": [study.state(member) for member in entry.members], "permute_shift": entry.permute_shift}


def _inside_generation(study: Study, seed: str) -> Slice:
    """Common to everything that edits a model while it generates."""
    return {
        "seed": int(seed),
        "threads": study.threads,
        "layer": study.stream.layer,
        "reference": study.label(study.roles.reference),
        "selection": study.tasks.selection,
        "doses": study.interventions.doses,
        "random_directions": study.interventions.random_directions,
        "positions": study.interventions.positions,
        "evaluation": study.evaluation.model_dump(),
    }
