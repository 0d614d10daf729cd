"""Scripts: each explains itself with nothing heavy installed, and each rule has the script that it runs."""

import argparse
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from rules import STUDIES, all_rules, workflow
from script_files import script_file

ROOT = Path(__file__).parents[2]
HELP = """
import contextlib, io, runpy, sys
sys.modules.update(dict.fromkeys(["snakemake", "torch", "transformers", "trl", "sae_lens", "matplotlib"]))
sys.path.insert(0, "scripts")
for path in sys.argv[1:]:
    sys.argv = [path, "--help"]
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text):
            runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        assert end.code == 0 and "usage:" in text.getvalue() and len(text.getvalue()) > 100, path
    else:
        raise AssertionError(f"{path} did not stop at --help")
"""


def scripts() -> list[str]:
    folders = [path for path in (ROOT / "scripts").iterdir() if path.is_dir() and path.name != "rlgen"]
    files = [ROOT / "scripts/job.py", *(path for folder in folders for path in folder.glob("*.py"))]
    return sorted(str(path.relative_to(ROOT)) for path in files)


def test_help_needs_no_engine_and_no_model_library():
    run = subprocess.run([sys.executable, "-c", HELP, *scripts()], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_every_rule_has_its_script_and_every_script_its_rule():
    called = {rule.script for rule in all_rules()}
    by_hand = {Path(path).stem for path in scripts() if "/tools/" in path or path == "scripts/job.py"}
    assert called | by_hand == {Path(path).stem for path in scripts()} and not called & by_hand


@pytest.mark.parametrize("config", STUDIES)
def test_commands_use_no_name_of_the_rule_files(config):
    """The engine works a command out anew for each job: a loop's variable has its last value by then."""
    late = {rule.name: rule.run_func.__code__.co_names for rule in workflow(config).rules if rule.run_func}
    assert {name: names for name, names in late.items() if set(names) - {"shell"}} == {}


def test_scripts_and_library_know_nothing_of_the_whole_study_or_the_engine():
    for path in scripts():
        text = (ROOT / path).read_text()
        assert "snakemake" not in text.partition('"""')[2].partition('"""')[2], path
        assert "rlgen.study.load " not in text or "/tools/" in path, path


def options(script: str, monkeypatch) -> list[argparse.Action]:
    """What a script's parser takes, as it stands when the script asks for its options."""

    class Asked(Exception):
        pass

    def stop(parser):
        raise Asked(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(Asked) as asked:
        runpy.run_path(str(script_file(script)))["main"]()
    return asked.value.args[0]._actions


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.name)
def test_rules_pass_every_option_that_their_script_requires(rule, monkeypatch):
    found = options(rule.script, monkeypatch)
    known, required = ({a.option_strings[0] for a in some} for some in (found, [a for a in found if a.required]))
    passed = set(re.findall(r"--[\w-]+", rule.command.partition(" -- ")[2]))
    assert required and required <= passed <= known
