"""The rules of a study, as Snakemake itself reads them: name, script, environment, settings, command."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from script_files import ROOT
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings, WorkflowSettings
from snakemake_interface_executor_plugins.settings import ExecMode

# Of each kind, windows, generated tasks, variants, arms.
STUDIES = tuple(f"config/{name}.yaml" for name in ("config", "qwen3-4b", "smollm2", "sensitivity", "arms"))


@dataclass(frozen=True)
class Rule:
    """One rule. `slice` names its settings; `files` are its lines in the rule files."""

    name: str
    script: str
    environment: str
    slice: str
    command: str  # shell text, unformatted


@cache
def workflow(config: str):
    """The parsed workflow of a study; nothing is locked and no job is planned."""
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        parsed = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[ROOT / config]),
            workflow_settings=WorkflowSettings(exec_mode=ExecMode.SUBPROCESS),
            snakefile=ROOT / "Snakefile",
            workdir=ROOT,
        )._workflow
        return parsed


@cache
def rules(config: str) -> dict[str, Rule]:
    """Rule name -> rule, for rules that run a script."""
    found = {}
    for rule in workflow(config).rules:
        params = dict(rule.params.items())
        if "script" in params:
            environment = Path(str(rule.conda_env)).stem
            tables = " ".join(f"--{name}" for name, _ in rule.input.items())
            command = rule.shellcmd.replace("{params.tables}", tables)
            found[rule.name] = Rule(rule.name, params["script"], environment, params["slice"], command)
    return found


def all_rules() -> list[Rule]:
    """Rules of both kinds of study, each once."""
    return list({rule.name: rule for config in STUDIES for rule in rules(config).values()}.values())
