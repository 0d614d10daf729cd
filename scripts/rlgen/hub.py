"""The Hugging Face hub: what names a repository and a commit, and its failures in one line each."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlgen.files import ArtifactError, first_line

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
COMMIT = re.compile(r"[0-9a-f]{40}")
PIN = "run `make pin STUDY=...` on a connected machine"


def is_hub_id(text: str) -> bool:
    """Whether a text names a repository of the hub: `owner/name`, no GGUF file, and no folder of that name here."""
    return may_be_hub_id(text) and not Path(text).exists()


def may_be_hub_id(text: str) -> bool:
    """Whether a text could name a repository of the hub, whatever lies on this machine."""
    return bool(HUB_ID.fullmatch(text)) and not text.endswith(".gguf")


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a commit hash, which never moves."""
    return revision is not None and bool(COMMIT.fullmatch(revision))


def check_pinned(repository: str, revision: str | None) -> None:
    """Raises ArtifactError for a repository of the hub without a commit: a branch or tag may move."""
    if revision is None:
        raise ArtifactError(repository, "no revision, expected the commit to use (40 hex digits)", PIN)
    if not is_commit(revision):
        raise ArtifactError(
            repository, f"revision {revision!r} may move, expected a commit (40 hex digits)", f"to look it up, {PIN}"
        )


@contextmanager
def hub_errors(repository: str, revision: str | None) -> Iterator[None]:
    """Turns failures of huggingface_hub into ArtifactErrors: the repository, what is wrong, what to do."""
    from huggingface_hub import errors

    name = f"{repository} at {revision}" if revision else repository
    try:
        yield
    except errors.GatedRepoError as error:
        remedy = "ask for access on its page, then `hf auth login` (or set HF_TOKEN) and run the command again"
        raise ArtifactError(name, "the repository is gated and this account has no access", remedy) from error
    except errors.RepositoryNotFoundError as error:
        remedy = "check the name; for a private one `hf auth login` first"
        raise ArtifactError(name, "the hub has no such repository, or it is private", remedy) from error
    except errors.RevisionNotFoundError as error:
        raise ArtifactError(name, "the repository has no such revision", f"take another, or {PIN}") from error
    except errors.HFValidationError as error:
        raise ArtifactError(name, f"not a hub id ({first_line(error)})", "expected owner/name, or a folder") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise not_reached(name, error) from error
    except errors.EntryNotFoundError as error:
        raise ArtifactError(name, f"a file is missing ({first_line(error)})", "take another revision") from error
    except errors.HfHubHTTPError as error:  # server errors, too many requests, disabled repositories
        raise ArtifactError(name, f"the hub refuses ({first_line(error)})", "try again later") from error
    except Exception as error:
        if not is_network_error(error):
            raise
        raise not_reached(name, error) from error


def is_network_error(error: Exception) -> bool:
    """Whether an error of the hub's client means that the hub was not reached.

    Told by name: huggingface_hub and datasets use HTTP libraries of their own choice, and change it.
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & {"TransportError", "ConnectionError", "TimeoutException", "Timeout"})


def loading_script(error: BaseException) -> str | None:
    """The script that makes `datasets` refuse a repository, where an error says so."""
    found = re.search(r"Dataset scripts are no longer supported, but found (\S+)", str(error))
    return found and found[1]


def not_reached(name: str, error: Exception) -> ArtifactError:
    """The error for what is neither in the cache nor, without a network, to be had."""
    from huggingface_hub import is_offline_mode

    if is_offline_mode():
        remedy = "run this once with HF_HUB_OFFLINE=0 on a connected machine"
        return ArtifactError(name, "not in the cache, and HF_HUB_OFFLINE=1 forbids to ask the hub", remedy)
    remedy = "connect this machine, or set HF_HUB_OFFLINE=1 to use what an earlier run left in the cache"
    return ArtifactError(name, f"the hub cannot be reached ({first_line(error)})", remedy)
