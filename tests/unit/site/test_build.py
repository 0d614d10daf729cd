"""The site's files: deterministic bytes, escaped text, numbers of the tables, refusals that name a file."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import site_tables
from site_tables import HOSTILE, KEY, SET

from rlgen.digests import digest_of
from rlgen.files import ArtifactError, write_csv
from rlgen.site.build import build
from rlgen.site.chunks import LATENTS_PER_CHUNK
from rlgen.site.edits import effect_rows
from rlgen.site.settings import BuildSite

MEMBERS = ("base@1", "rl@5")


@pytest.fixture
def results(tmp_path) -> Path:
    cfg, sources = site_tables.write(tmp_path / "r")
    build(cfg, sources, tmp_path / "r/site")
    return tmp_path / "r"


def data(results: Path, name: str) -> dict:
    """What a script of a dictionary hands over: the last argument of its call."""
    text = (results / "site/data" / KEY / name).read_text()
    return json.loads(re.fullmatch(r"site\.\w+\((?:\"[^\"]*\",)(?:\d+,)?(\{.*\})\);\n", text)[1])


def test_the_same_tables_give_the_same_bytes(results, tmp_path):
    before = digest_of(results / "site")
    cfg, sources = site_tables.write(tmp_path / "elsewhere")
    build(cfg, sources, tmp_path / "elsewhere/site")
    assert digest_of(tmp_path / "elsewhere/site") == before
    build(cfg, sources, tmp_path / "elsewhere/site")  # over an earlier one
    assert digest_of(tmp_path / "elsewhere/site") == before
    assert [path.name for path in (tmp_path / "elsewhere").glob(".*")] == []


def test_the_table_holds_every_latent_with_its_numbers(results):
    table = data(results, "table.js")
    keys = [column["key"] for column in table["columns"]]
    assert keys[:6] == ["latent", "fires", "alive", "sets", "frequency", "nrn_l1"]
    assert keys[-3:] == ["main:alone-accuracy", "main:alone-KL", "main:contribution"]
    assert table["values"]["main:alone-KL"][70] == -0.1875 and table["values"]["main:alone-KL"][71] is None
    assert table["values"]["main:contribution"][5] == 0.01
    assert table["values"]["latent"] == list(range(130)) and table["values"]["alive"][:3] == [True, False, True]
    assert table["values"]["nrn_l1"][65] == 0.5 and table["values"]["cosine"][1] is None
    assert table["values"]["sets"][5] == "main" and table["values"]["fires"][1] == ""
    for column in table["columns"]:
        assert (results / "site" / column["source"]).is_file(), column


def test_chunks_hold_every_latent_once(results):
    names = sorted(path.name for path in (results / "site/data" / KEY).glob("chunk*.js"))
    held = [int(latent) for name in names for latent in data(results, name)]
    assert sorted(held) == list(range(130)) and len(names) == -(-130 // LATENTS_PER_CHUNK)
    entry = data(results, "chunk0001.js")["70"]
    assert entry["passages"][0] | {"tokens": 0} == {
        "code": "base@1", "band": "top", "rank": 1, "sequence": 70, "position": 2, "peak": 2,
        "tokens": 0, "values": [None, 0.0, 1.5, 0.25],
    }  # fmt: skip
    assert entry["scores"] == [["main", "contribution", task, 0.25, 0.01, True] for task in ("sum", "sort")]
    edit = ["main", "base", "exchange", 2.0]
    assert entry["alone"] == [[*edit, "sum", 8, 0.5, 0.125, 0.5, -0.125], [*edit, "sort", 8, 0.5, 0.25, 0.5, -0.25]]
    assert data(results, "chunk0001.js")["71"]["alone"] == []
    assert entry["neighbours"] == {by: [[72, 0.5]] for by in ("decoder", "firing", "course")}
    dead = data(results, "chunk0000.js")["1"]
    assert (dead["passages"], dead["density"], dead["lens"]) == ([], None, {})


def test_pages_escape_what_they_are_given(results):
    row = pd.read_csv(results / "features/mediation/sets.csv").assign(latents="2", note=HOSTILE)
    write_csv(results / "features/mediation/sets.csv", row)
    cfg, sources = site_tables.cfg([HOSTILE, "rl@5"]), site_tables.write(results / "other")[1]
    shutil.copy(results / "features/mediation/sets.csv", sources.evidence.sets)
    build(cfg, sources, results / "other/site")
    pages = [path.read_text() for path in (results / "other/site").glob("*.html")]
    assert len(pages) == 3 and not any(HOSTILE in page for page in pages)
    assert sum("&lt;script&gt;document.title=&#39;run&#39;" in page for page in pages) >= 2


def test_plain_pages_hold_sets_effects_and_rivals(results):
    index, page = ((results / "site" / name).read_text() for name in ("index.html", "procedure-main.html"))
    for latent in SET:
        link = f'<a href="latent.html#{KEY}/{latent}">{latent}</a>'
        assert link in index and link in page
    assert (
        ">0.250</td><td>0.750</td><td>+0.500 [+0.250, +0.625]</td><td>20</td><td>0</td><td>0.375</td><td>0.125</td>"
        in page
    )
    assert "<td>random</td><td>each at its own dose</td><td>20</td>" in page and "+0.300 [+0.200, +0.400]" in page


def test_texts_stand_side_by_side_with_what_was_right(results):
    page = (results / "site/procedure-main.html").read_text()
    cells = re.findall(r"<td>(.*?)</td>", page[page.index('id="texts"') :])[:6]
    escaped = "&lt;script&gt;document.title=&#39;run&#39;&lt;/script&gt;"
    assert cells == ["1 + 1 =", "2", "✗", escaped, "✓", "it is 2"]


def test_nothing_comes_from_a_network(results):
    for path in (results / "site").rglob("*.html"):
        assert re.findall(r"(?:src|href)=\"(?:https?:|//)", path.read_text()) == []
    own = [path for path in (results / "site/assets").glob("*.[jc]s*") if not path.name.startswith("tabulator")]
    assert len(own) == 5 and not any("fetch(" in path.read_text() or "innerHTML" in path.read_text() for path in own)


def test_effects_are_those_of_the_chosen_dose_on_the_test_half():
    table = site_tables.effects()
    others = [("chosen", False), ("half", "discovery"), ("subset", "critical"), ("set_kind", "random")]
    noise = [table.assign(**{key: value}) for key, value in [*others, ("procedure", "x")]]
    rows = effect_rows(pd.concat([table, *(part.assign(value=0.0) for part in noise)]), "main")
    assert [(r["task"], r["mean"], r["before"], r["value"], r["kl_before"], r["kl_value"]) for r in rows] == [
        ("ALL", True, 0.25, 0.75, 0.375, 0.125),
        ("sum", False, 0.25, 0.75, 0.375, 0.125),
    ]


@pytest.mark.parametrize("name", ["inspection/passages", "inspection/lens", "features"])
def test_a_broken_table_is_named_and_the_old_site_is_gone(results, name):
    path = results / f"dictionaries/{KEY}/{name}.parquet"
    path.write_bytes(path.read_bytes()[:100])
    cfg = site_tables.cfg(list(MEMBERS))
    sources = site_tables.write(results / "whole")[1]
    broken = sources.__class__([path.parents[len(Path(name).parts) - 1]], *list(vars(sources).values())[1:])
    with pytest.raises(ArtifactError, match=path.name):
        build(cfg, broken, results / "site")
    assert not (results / "site").exists()


def test_a_study_without_procedures_has_its_latents(tmp_path):
    _, sources = site_tables.write(tmp_path / "r")
    whole = site_tables.cfg(list(MEMBERS)).model_dump() | {"procedures": {}, "leading": None, "edited": []}
    files = sources.evidence.__class__(None, None, [], [], [])
    bare = sources.__class__(sources.dictionaries, files, None, None, None)
    build(BuildSite.model_validate(whole), bare, tmp_path / "r/site")
    assert sorted(path.name for path in (tmp_path / "r/site").glob("*.html")) == ["index.html", "latent.html"]
    assert "Mediating sets" not in (tmp_path / "r/site/index.html").read_text()
