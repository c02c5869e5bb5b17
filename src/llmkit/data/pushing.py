"""Put an artifact on the Hugging Face hub, or a server of its kind, when the user asks for it: nothing else sends data.

What goes there is what the id of the artifact is made of, its card, and the receipt of an export. `llmkit.json` and the
pages stay: they name paths of this machine and show samples of the data.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmkit.core.damage import changed_payload
from llmkit.core.errors import CheckFailedError, ConfigError, DataError, SetupError
from llmkit.core.machine import raise_limit
from llmkit.core.manifest import Artifact, article, open_artifact, read_manifest
from llmkit.data.artifacts import Corpus, Examples, Export, Index, Model, Predictions, Tokens

MODELS = (Model.KIND, Export.KIND)
DATASETS = (Corpus.KIND, Examples.KIND, Tokens.KIND, Predictions.KIND, Index.KIND)

NONE_HERE = "name the directory that a stage has written; llmkit export --model MODEL -o DIR makes one of any model"


@dataclass(frozen=True)
class Upload:
    """What goes to the hub.

    Attributes:
        artifact: The artifact.
        files: Bytes of each file, by its name below the artifact's folder.
    """

    artifact: Artifact
    files: Mapping[str, int]

    @property
    def kind(self) -> str:
        """What the hub calls it."""
        return "model" if self.artifact.kind in MODELS else "dataset"

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


def plan(directory: Path) -> Upload:
    """Return what goes to the hub of an artifact; it is read as a whole, and found to be what was written.

    Raises:
        CheckFailedError: It is an export, and nothing has proven that it answers as its model does.
        DataError: No artifact, or one that is damaged.
    """
    kinds = (*MODELS, *DATASETS)
    try:
        artifact = open_artifact(directory, kinds, role="DIR")
    except DataError as error:
        manifest = read_manifest(directory) if directory.is_dir() else None
        if manifest is None:
            raise DataError(error.message, NONE_HERE) from error
        if manifest.kind not in kinds:
            what = f"{directory} holds {article(manifest.kind)}, which stays here"
            raise DataError(
                what, f"models, exports and data are pushed; llmkit lineage {directory} names them"
            ) from None
        raise  # damaged, which has a hint of its own
    parity = artifact.manifest.metrics.get("parity") or {}
    if artifact.kind == Export.KIND and not (parity.get("passed") and parity.get("proven", True)):
        raise CheckFailedError(
            f"{directory} is an export that nothing has proven: it stays here",
            "the same export without --unproven and with --force, where its runtime is installed",
        )
    if gone := artifact.missing_outputs() or changed_payload(artifact):
        raise DataError(
            f"{directory} is damaged: {gone[0]} is not what was written",
            f"the same command that made it makes it again; llmkit lineage {directory} --verify lists what has changed",
        )
    kept = (Export.CARD, Export.PARITY)
    names = [output.path for output in artifact.manifest.outputs if output.payload or output.path in kept]
    return Upload(artifact, {name: (directory / name).stat().st_size for name in names})


def check_name(option: str, name: str) -> None:
    """Find out whether a repository can be called so.

    Raises:
        ConfigError: It cannot.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        name_is_right = False
    else:
        name_is_right = name.count("/") == 1
    if not name_is_right:
        raise ConfigError(f"{option} {name}: should be OWNER/NAME", hint=f"{option} me/my-model")


def send(upload: Upload, name: str, *, public: bool = False) -> str:
    """Send the files in one commit; return the address of the repository, which is made if it is not there.

    The token is the one that `hf auth login` has kept, or that of the environment variable HF_TOKEN.

    Args:
        upload: What to send.
        name: The repository, `OWNER/NAME`.
        public: A new repository may be seen by everybody, or one that everybody sees is pushed to.

    Raises:
        ConfigError: The repository is public, and nobody has said that it may be.
        SetupError: The hub is not reached, or does not let us.
    """
    from huggingface_hub import CommitOperationAdd

    artifact = upload.artifact
    is_there = check_hub(name, kind=upload.kind, public=public)
    with _asking(name) as api:
        if not is_there:
            api.create_repo(name, repo_type=upload.kind, private=not public)
        files = [CommitOperationAdd(file, artifact.path / file) for file in upload.files]
        message = f"{artifact.kind} {artifact.id[:12]}"
        return str(api.create_commit(name, files, repo_type=upload.kind, commit_message=message).repo_url)


def check_hub(name: str, *, kind: str = "model", public: bool = False) -> bool:
    """Find out whether the hub would take files, before there are any; return whether the repository is there.

    Args:
        name: The repository, `OWNER/NAME`.
        kind: What the hub calls it: `model` or `dataset`.
        public: Everybody may see what is sent.

    Raises:
        ConfigError: The repository is public, and nobody has said that it may be.
        SetupError: The hub is not reached, or does not know us.
    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import LocalTokenNotFoundError, RepositoryNotFoundError

    with _asking(name) as api:
        try:
            seen = not api.repo_info(name, repo_type=kind).private
        except RepositoryNotFoundError:
            seen = None
        if not get_token():
            raise LocalTokenNotFoundError
    if seen and not public:
        raise ConfigError(f"{name} is on the hub, and everybody may see it", hint="--public pushes to it all the same")
    return seen is not None


@contextmanager
def _asking(name: str) -> Iterator[Any]:
    """Yield the hub's client; what it raises is said in words."""
    from huggingface_hub import HfApi

    try:
        yield HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    except Exception as error:  # of httpx, of the hub's client, of the operating system: each has its own
        raise_limit(error)
        raise _refused(error, name) from error


def _refused(error: Exception, name: str) -> SetupError:
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return SetupError("the hub is switched off by HF_HUB_OFFLINE", "unset HF_HUB_OFFLINE")
    if isinstance(error, LocalTokenNotFoundError):
        return SetupError("the hub does not know who you are", "hf auth login, or HF_TOKEN in the environment")
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    while isinstance(error.__cause__, Exception):  # which file it was says less than why
        error = error.__cause__
    words = (str(error).splitlines() or [type(error).__name__])[0][:300]
    if status is None:
        return SetupError(f"the hub is not reached: {words}", "HF_ENDPOINT=URL names another")
    hint = "hf auth login, with a token that may write there" if status in (401, 403) else None
    return SetupError(f"the hub answers {status} to {name}: {words}", hint)
