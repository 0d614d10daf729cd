"""Writers: what a completion is, that it depends on its own prompt alone, both backends, and one rule about <bos>."""

import ast
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from inspect import signature
from pathlib import Path

import pytest
import torch
from tiny_models import BEGIN, TEXTS, tiny_checkpoint, tiny_tokenizer
from transformers import AutoModelForCausalLM

from rlgen.files import ArtifactError
from rlgen.models.checkpoints import load_tokenizer
from rlgen.models.tokens import encode_prompts, render
from rlgen.teacher import writers
from rlgen.teacher.writers import RowNoise, Sampling, TransformersWriter, Written, open_writer

PROMPTS = ["A robe takes 2 bolts", "white fiber", "Which of these conducts electricity best? A) wood", "It"]
HOW = Sampling(n=1, max_new_tokens=12, temperature=1.0, top_p=1.0, seed=7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"), "Qwen2ForCausalLM")


@pytest.fixture
def writer(folder) -> TransformersWriter:
    return open_writer("transformers", folder, "float32", 0, 512)


@pytest.fixture
def vllm(monkeypatch) -> Iterator:
    """The stand-in under the name of the package."""
    spec = importlib.util.spec_from_file_location("vllm", Path(__file__).parents[2] / "stand_ins/vllm_stand_in.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "vllm", module)
    spec.loader.exec_module(module)
    return module


# --- prompts


def test_a_rendered_prompt_has_one_bos_and_a_plain_one_gets_it():
    tokenizer = tiny_tokenizer(begin=True)
    bos = tokenizer.bos_token_id
    plain, rendered = encode_prompts(tokenizer, ["white fiber", f"{BEGIN}white fiber"])
    assert plain == rendered and plain[0] == bos and plain.count(bos) == 1
    assert tokenizer(f"{BEGIN}white fiber")["input_ids"].count(bos) == 2  # what the rule is for


def test_a_tokenizer_without_bos_adds_nothing():
    tokenizer = tiny_tokenizer()
    assert tokenizer.bos_token is None
    (ids,) = encode_prompts(tokenizer, ["white fiber"])
    assert tokenizer.decode(ids) == "white fiber"


def test_render_applies_the_template():
    tokenizer, messages = tiny_tokenizer(), [{"role": "user", "content": "How many?"}]
    assert render(tokenizer, messages, False) == "<|im_start|>user\nHow many?<|im_end|>\n"
    assert render(tokenizer, messages, True) == "<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n"


def test_render_names_what_it_cannot_do():
    tokenizer = tiny_tokenizer()
    tokenizer.name_or_path = "models/base"
    tokenizer.chat_template = None
    with pytest.raises(ArtifactError, match=r"models/base: the tokenizer has no chat template; take a model with"):
        render(tokenizer, [{"role": "user", "content": "x"}], True)
    tokenizer.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(
        ArtifactError, match=r"models/base: its chat template refuses the roles system, user \(no system"
    ):
        render(tokenizer, [{"role": "system", "content": "x"}, {"role": "user", "content": "x"}], True)


# --- transformers


def greedy_by_hand(folder: Path, prompt: str, steps: int) -> list[int]:
    """One token at a time, no cache, no padding."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), load_tokenizer(folder)
    ids = tokenizer(prompt)["input_ids"]
    start = len(ids)
    for _ in range(steps):
        with torch.inference_mode():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            break
    return ids[start:]


def test_greedy_is_the_argmax_of_every_step(folder, writer):
    found = writer.write(PROMPTS, replace(HOW, n=2, temperature=0.0))
    for prompt, completions in zip(PROMPTS, found, strict=True):
        ids = greedy_by_hand(folder, prompt, 12)
        ended = ids[-1] in writer.eos_ids
        text = writer.tokenizer.decode(ids, skip_special_tokens=True)
        assert completions == [Written(text, len(ids), ended)] * 2


def test_completions_do_not_depend_on_order_batches_or_neighbours(writer):
    found = writer.write(PROMPTS, replace(HOW, n=3))
    assert found == writer.write(PROMPTS, replace(HOW, n=3))
    assert found[::-1] == writer.write(PROMPTS[::-1], replace(HOW, n=3))
    assert found[1:2] == writer.write(PROMPTS[1:2], replace(HOW, n=3))
    assert [some[:2] for some in found] == writer.write(PROMPTS, replace(HOW, n=2))
    for rows in (1, 5):
        small = TransformersWriter(writer.model, writer.tokenizer, 512, rows_per_batch=rows)
        assert small.write(PROMPTS, replace(HOW, n=3)) == found
    assert found != writer.write(PROMPTS, replace(HOW, n=3, seed=8))
    texts = [one.text for some in found for one in some]
    assert len(set(texts)) == len(texts)


def test_draws_follow_the_softmax_and_rows_have_streams_of_their_own():
    """20000 draws of one row from p = (.6, .3, .1): the largest deviation is far below five standard errors."""
    logits_BV, n = torch.tensor([[0.6, 0.3, 0.1]]).log().expand(2, 3), 20000
    noise = RowNoise([1, 2], torch.device("cpu"))
    draws_NB = torch.stack([noise(None, logits_BV).argmax(-1) for _ in range(n)])
    for row in range(2):
        shares = draws_NB[:, row].bincount(minlength=3) / n
        assert (shares - torch.tensor([0.6, 0.3, 0.1])).abs().max() < 5 * (0.6 * 0.4 / n) ** 0.5
    assert not torch.equal(draws_NB[:, 0], draws_NB[:, 1])
    alone = RowNoise([2], torch.device("cpu"))
    assert torch.equal(torch.stack([alone(None, logits_BV[:1]).argmax(-1) for _ in range(50)])[:, 0], draws_NB[:50, 1])
    assert not noise(None, torch.tensor([[0.0, -torch.inf], [0.0, -torch.inf]])).argmax(-1).any()


def test_a_small_nucleus_or_a_low_temperature_is_greedy(writer):
    greedy = writer.write(PROMPTS, replace(HOW, n=1, temperature=0.0))
    assert writer.write(PROMPTS, replace(HOW, n=1, top_p=1e-6)) == greedy
    assert writer.write(PROMPTS, replace(HOW, n=1, temperature=1e-4)) == greedy
    assert writer.write(PROMPTS, replace(HOW, n=1)) != greedy


def test_what_the_checkpoint_asks_for_does_not_come_on_top(folder, tmp_path, writer):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    model.generation_config.update(do_sample=True, top_k=1, repetition_penalty=5.0, temperature=0.1)
    assert TransformersWriter(model, load_tokenizer(folder), 512).write(PROMPTS, replace(HOW, n=2)) == writer.write(
        PROMPTS, replace(HOW, n=2)
    )


def scripted(writer: TransformersWriter, monkeypatch, texts: list[str], ends: bool = True) -> TransformersWriter:
    """Logits that write `texts`, in the order of the rows, after the columns of the prompts."""
    tokenizer, forward = writer.tokenizer, writer.model.forward
    lines = [tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] * ends for text in texts]
    state = {"step": 0}

    def written(*args, **kwargs):
        output = forward(*args, **kwargs)
        output.logits[:] = -50.0
        for row, line in enumerate(lines):
            output.logits[row, -1, line[min(state["step"], len(line) - 1)]] = 50.0
        state["step"] += 1
        return output

    monkeypatch.setattr(writer.model, "forward", written)
    return writer


def test_ends_and_counts(writer, monkeypatch):
    tokenizer = writer.tokenizer
    text = "The answer is 3."
    count = len(tokenizer(text)["input_ids"])
    scripted(writer, monkeypatch, [text])
    assert writer.write(["It"], replace(HOW, n=1, max_new_tokens=40, temperature=0.0)) == [
        [Written(text, count + 1, True)]
    ]
    scripted(writer, monkeypatch, [text])
    (((cut, tokens, finished),),) = writer.write(["It"], replace(HOW, n=1, max_new_tokens=3, temperature=0.0))
    assert text.startswith(cut) and (tokens, finished) == (3, False)


def test_stop_texts_end_a_row_and_are_cut_off(writer, monkeypatch):
    """Row 0 meets the stop text early, row 1 never: the rows' prompts hold it too, which does not count."""
    tokenizer, prompt = writer.tokenizer, "So.\nQuestion:"
    texts = ["B is it.\nQuestion: and on and on", "no end to it, none"]
    scripted(writer, monkeypatch, texts)
    monkeypatch.setattr(writer, "rows_per_batch", 2)
    stop = ["\nQuestion:", "never"]
    first, second = (
        some[0]
        for some in writer.write(
            [prompt, prompt + " "], replace(HOW, n=1, max_new_tokens=60, temperature=0.0, stop=stop)
        )
    )
    ids = tokenizer(texts[0])["input_ids"]
    shortest = next(t for t in range(len(ids)) if stop[0] in tokenizer.decode(ids[:t]))
    assert first == Written("B is it.", shortest, True)
    assert second == Written(texts[1], len(tokenizer(texts[1])["input_ids"]) + 1, True)


def test_no_room_for_a_completion_is_refused_before_any_is_written(writer, monkeypatch):
    monkeypatch.setattr(writer.model, "generate", None)
    tokens = len(writer.tokenizer(TEXTS[2])["input_ids"])
    writer.max_model_len = tokens + 11
    with pytest.raises(
        ArtifactError,
        match=rf"prompt 1 has {tokens} tokens .*value {tokens + 11}\), expected at least {tokens + 12}; .*'Which",
    ):
        writer.write(["It", TEXTS[2]], replace(HOW, n=1))


def test_several_ends_of_sequence(folder):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), load_tokenizer(folder)
    end, other = tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")
    model.generation_config.eos_token_id = [other, end]
    assert TransformersWriter(model, tokenizer, 512).eos_ids == [other, end]
    model.generation_config.eos_token_id = other
    writer = TransformersWriter(model, tokenizer, 512)
    assert writer.eos_ids == [other, end] and writer._written([5, other, 5], []).tokens == 2
    model.generation_config.eos_token_id = tokenizer.eos_token = None
    with pytest.raises(ArtifactError, match="has an eos token"):
        TransformersWriter(model, tokenizer, 512)


# --- opening


@pytest.mark.parametrize("architecture", ["Qwen3ForCausalLM", "Qwen2ForCausalLM", "LlamaForCausalLM"])
def test_every_architecture_writes(tmp_path, architecture):
    writer = open_writer("auto", tiny_checkpoint(tmp_path / "m", architecture, shards=2), "bfloat16", 0, 512)
    assert isinstance(writer, TransformersWriter) and writer.model.dtype == torch.bfloat16
    found = writer.write(PROMPTS[:2], replace(HOW, n=2))
    assert [len(some) for some in found] == [2, 2] and all(0 < one.tokens <= 12 for some in found for one in some)


def test_a_folder_that_is_no_checkpoint_is_named(folder, tmp_path):
    with pytest.raises(ArtifactError, match=r"nowhere: no config\.json"):
        open_writer("auto", tmp_path / "nowhere", "float32", 0, 64)
    broken = tiny_checkpoint(tmp_path / "broken")
    data = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ArtifactError, match="broken: not a checkpoint that can be read"):
        open_writer("auto", broken, "float32", 0, 64)


def test_vllm_is_asked_for_only_where_it_is(folder, monkeypatch):
    monkeypatch.setattr(writers.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ArtifactError, match=r"backend: not installed \(value vllm\)"):
        open_writer("vllm", folder, "float32", 1, 64)


# --- vLLM


def test_vllm_by_the_stand_in(folder, vllm):
    writer = open_writer("auto", folder, "bfloat16", 2, 300)
    assert vllm.LLM.made[-1] == {
        "model": str(folder), "tensor_parallel_size": 2, "dtype": "bfloat16", "seed": 0, "max_model_len": 300
    }  # fmt: skip
    how = replace(HOW, temperature=0.6, top_p=0.95, max_new_tokens=4, stop=["h"])
    found = writer.write(PROMPTS, replace(how, n=3))
    ((prompts, parameters),) = writer.engine.calls
    assert [p["prompt_token_ids"] for p in prompts] == encode_prompts(writer.tokenizer, PROMPTS)
    assert {(p.n, p.temperature, p.top_p, p.max_tokens, *p.stop) for p in parameters} == {(3, 0.6, 0.95, 4, "h")}
    assert len({p.seed for p in parameters}) == len(PROMPTS) and all(0 <= p.seed < 2**31 for p in parameters)
    assert [len(some) for some in found] == [3] * len(PROMPTS)
    flat = [one for some in found for one in some]
    assert all(one.tokens == len(one.text) + one.finished and "h" not in one.text for one in flat)
    assert {one.finished for one in flat} == {True, False}
    assert writer.write(PROMPTS[::-1], replace(how, n=3)) == found[::-1]
    assert writer.write(PROMPTS[2:3], replace(how, n=3)) == found[2:3]
    assert writer.write(PROMPTS, replace(how, n=3, seed=8)) != found


def test_vllm_writes_greedy_completions_once(folder, vllm):
    writer = open_writer("vllm", folder, "auto", 0, 300)
    found = writer.write(PROMPTS, replace(HOW, n=2, temperature=0.0, top_p=0.5))
    ((_, parameters),) = writer.engine.calls
    assert {(p.n, p.top_p) for p in parameters} == {(1, 1.0)}
    assert all(len(some) == 2 and some[0] == some[1] for some in found)
    assert vllm.LLM.made[-1]["tensor_parallel_size"] == 1


def test_vllm_refuses_a_prompt_without_room(folder, vllm):
    writer = open_writer("vllm", folder, "auto", 1, 14)
    with pytest.raises(ArtifactError, match="prompt 2 has"):
        writer.write(["It", "It", TEXTS[0]], replace(HOW, n=1))
    assert writer.engine.calls == []


def test_auto_takes_transformers_without_a_gpu(folder, vllm):
    assert isinstance(open_writer("auto", folder, "float32", 0, 300), TransformersWriter)


def names_in(path: Path, of: str, method: str | None = None) -> set[str]:
    """Fields of a class, or parameters of one of its methods, by its source text."""
    (found,) = (n for n in ast.parse(path.read_text()).body if isinstance(n, ast.ClassDef) and n.name == of)
    if method is None:
        return {n.target.id for n in found.body if isinstance(n, ast.AnnAssign)}
    (call,) = (n for n in found.body if isinstance(n, ast.FunctionDef) and n.name == method)
    return {a.arg for a in [*call.args.args, *call.args.kwonlyargs]}


def test_the_stand_in_has_the_signatures_of_the_package(vllm):
    """Against an installed vllm, or the unpacked source that RLGEN_VLLM_SOURCE names; read as text, not imported."""
    sys.modules.pop("vllm")
    spec = importlib.util.find_spec("vllm")
    place = os.environ.get("RLGEN_VLLM_SOURCE") or (spec and spec.submodule_search_locations[0])
    if not place:
        pytest.skip("no vllm installed and no RLGEN_VLLM_SOURCE: the stand-in was NOT compared with the package")
    source = Path(place)
    engine = names_in(source / "entrypoints/llm.py", "LLM", "__init__") | names_in(
        source / "engine/arg_utils.py", "EngineArgs"
    )
    assert set(signature(vllm.LLM.__init__).parameters) <= engine
    assert set(signature(vllm.LLM.generate).parameters) <= names_in(source / "entrypoints/llm.py", "LLM", "generate")
    assert set(signature(vllm.SamplingParams).parameters) <= names_in(source / "sampling_params.py", "SamplingParams")
    output = names_in(source / "outputs.py", "CompletionOutput")
    assert set(signature(vllm.CompletionOutput).parameters) <= output
    request = names_in(source / "outputs.py", "RequestOutput", "__init__")
    assert set(signature(vllm.RequestOutput).parameters) <= request
