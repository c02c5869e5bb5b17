"""Put an artifact on the Hugging Face hub, or a server of its kind, when the user asks for it: nothing else sends data.

What goes there is what the id of the artifact is made of, its card, and the receipt of an export. `llmkit.json` and the
pages stay: they name paths of this machine and show samples of the data.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from llmkit.core.errors import CheckFailedError, ConfigError, SetupError
from llmkit.core.manifest import open_artifact
from llmkit.data.artifacts import Corpus, Examples, Export, Model, Predictions, Tokens

MODELS, DATASETS = (Model.KIND, Export.KIND), (Corpus.KIND, Examples.KIND, Tokens.KIND, Predictions.KIND)
NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Pushed:
    """What was put where.

    Attributes:
        url: Its page.
        files: What went there, relative to the artifact.
        bytes: Of all of them.
    """

    url: str
    files: list[str]
    bytes: int


def push(directory: Path, name: str, *, public: bool = False) -> Pushed:
    """Upload an artifact in one commit; the repository is made if it is not there.

    Args:
        directory: A finished artifact.
        name: `OWNER/NAME` on the hub.
        public: A new repository may be seen by everybody.

    Raises:
        CheckFailedError: An export that nothing has proven.
        ConfigError: That is no name.
        DataError: No artifact, or one that is damaged.
        SetupError: The hub is not reached, or does not let us.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"--to {name}: should be OWNER/NAME", hint=f"llmkit push {directory} --to OWNER/NAME")
    artifact = open_artifact(directory, (*MODELS, *DATASETS), role="DIR")
    manifest = artifact.manifest
    if not manifest.metrics.get("parity", {}).get("proven", True):
        raise CheckFailedError(
            f"{directory} is an export that nothing has proven: it stays here",
            "the same export without --unproven and with --force, where its runtime is installed",
        )
    lost = artifact.missing_outputs()
    if lost:
        raise ConfigError(f"{directory} has lost {lost[0]}", hint="the same command that made it makes it again")
    kept = (Export.CARD, Export.PARITY)
    files = [output.path for output in manifest.outputs if output.payload or output.path in kept]
    kind = "model" if manifest.kind in MODELS else "dataset"
    url = _upload(directory, name, kind, files, private=not public, message=f"{manifest.kind} {manifest.id[:12]}")
    return Pushed(url, files, sum((directory / file).stat().st_size for file in files))


def _upload(directory: Path, name: str, kind: str, files: list[str], *, private: bool, message: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    try:
        made = api.create_repo(name, repo_type=kind, private=private, exist_ok=True)
        api.upload_folder(
            folder_path=directory, repo_id=name, repo_type=kind, allow_patterns=files, commit_message=message
        )
    except LocalTokenNotFoundError as error:
        raise SetupError("the hub does not know who you are", "hf auth login, or HF_TOKEN=TOKEN") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        hint = "hf auth login, with a token that may write there" if status in (401, 403) else None
        raise SetupError(f"the hub answers {status} to {name}: {str(error).splitlines()[0]}", hint) from error
    except Exception as error:
        # The library's own client (httpx, httpx2) is no part of what it promises.
        if not isinstance(error, OfflineModeIsEnabled) and not type(error).__module__.startswith("httpx"):
            raise
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise SetupError(f"the hub is not reached: {words}", "HF_ENDPOINT=URL names another") from error
    return str(made)
