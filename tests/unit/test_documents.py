"""Documents name what exists: the tree of docs/architecture.md, paths, rules, variables and targets of make."""

import re
from pathlib import Path

import pytest
import yaml
from rules import STUDIES, all_rules

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md", "scripts/rlgen/jobs/README.md"]
DOCUMENTS += [str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")]
GONE = {"scripts/train_dictionary.py"}  # the changelog says where it is now
OF_USERS = {
    "config/mine.yaml",
    "config/other.yaml",
    "scripts/figures/fig13_name.py",
    "scripts/rlgen/figures/fig13_name.py",
}
OF_USERS |= {"report/fig13.rst"}
SOURCES = (".py", ".smk", ".cpp", ".h")


def tree(text: str) -> list[str]:
    """Files of a drawn tree: names stand before two spaces, folders end in a slash, what lies in one is indented."""
    found, folders = [], []
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        folders = [(at, folder) for at, folder in folders if at < depth]
        place = "".join(folder for _, folder in folders)
        for name in re.split(r"\s{2,}", line.strip(), maxsplit=1)[0].split():
            if name.endswith("/"):
                folders.append((depth, name))
            else:
                found.append(place + name)
    return found


def modules() -> set[str]:
    """Files of the project that the tree names: all code but the docstrings of packages."""
    parts = [ROOT / name for name in ("rules", "scripts", "tests")]
    files = [ROOT / "Snakefile", *(path for part in parts for path in part.rglob("*"))]
    named = [path for path in files if path.suffix in SOURCES or path.name == "Snakefile"]
    return {str(path.relative_to(ROOT)) for path in named if path.name != "__init__.py"}


def drawn_tree() -> list[str]:
    return tree(ROOT.joinpath("docs/architecture.md").read_text().split("```")[1])


def test_the_tree_names_every_module_once_and_no_other():
    named = drawn_tree()
    assert sorted(named) == sorted(set(named))
    assert set(named) == modules()


def test_a_tree_is_read_by_its_indentation():
    text = "a/    words / of c.py\n  b.py c.py  words\n  d/\n    e.py\n  f.py  x\ng/h/\n  i.py"
    assert tree(text) == ["a/b.py", "a/c.py", "a/d/e.py", "a/f.py", "g/h/i.py"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_in_documents_exist(document):
    """With folders, from the project's root, the library or the document; a bare name, anywhere in the project."""
    known = {path.rsplit("/", 1)[-1] for path in modules()}
    inside = [ROOT, ROOT / "scripts", ROOT / "scripts/rlgen", (ROOT / document).parent]
    text = ROOT.joinpath(document).read_text()
    for place in set(re.findall(r"(?<![\w/.{}<>*])[\w.-]+(?:/[\w.-]+)*\.(?:py|smk|md|rst|yaml)\b", text)):
        if ("/" not in place and not place.endswith((".py", ".smk"))) or place in GONE | OF_USERS:
            continue
        assert place in known or any(folder.joinpath(place).is_file() for folder in inside), place


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_in_documents_lead_somewhere(document):
    for link in re.findall(r"\]\(([^)#:]+)\)", ROOT.joinpath(document).read_text()):
        assert (ROOT / document).parent.joinpath(link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS)
def test_targets_of_make_in_documents_exist(document):
    targets = set(re.search(r"^\.PHONY: (.*)$", ROOT.joinpath("Makefile").read_text(), flags=re.M)[1].split())
    named = re.findall(r"(?:`|^    )make ([a-z0-9-]+)", ROOT.joinpath(document).read_text(), flags=re.M)
    assert set(named) <= targets


def test_the_page_on_results_names_every_rule():
    rows = re.findall(r"^\|.*\| (.*) \|$", ROOT.joinpath("results/README.md").read_text(), flags=re.M)
    named = {name for row in rows for name in re.findall(r"`([\w{}]+)`", row)}
    models = {name for config in STUDIES for name in yaml.safe_load(ROOT.joinpath(config).read_text())["models"]}
    made = {re.sub(rf"_({'|'.join(models)})$", "_{model}", rule.name) for rule in all_rules()}
    assert made <= named
    assert named - made == {"open_window", "copy_page"}  # rules without scripts


def test_the_table_of_variables_holds_all_of_them():
    code = "".join(path.read_text() for path in [*ROOT.glob("scripts/**/*.py"), *ROOT.glob("rules/*.smk")])
    code += "".join(path.read_text() for path in ROOT.glob("tests/**/*.py"))
    table = ROOT.joinpath("scripts/rlgen/jobs/README.md").read_text()
    named = re.findall(r"^\| `(RLGEN_\w+)` \|", table, flags=re.M)
    assert sorted(named) == sorted(set(re.findall(r"\bRLGEN_[A-Z_]*[A-Z]\b", code)))


def test_a_commit_is_checked_by_what_make_checks():
    hooks = yaml.safe_load(ROOT.joinpath(".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == ["make check"]
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", ROOT.joinpath("Makefile").read_text(), flags=re.M)[1]
    assert all(word in recipe for word in ("ruff check", "ruff format --check", "snakefmt --check", "--lint"))
