"""Put an artifact on a hub: what of it goes there, and how; nothing else in llmkit sends anything anywhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from llmkit.core.damage import changed_payload
from llmkit.core.errors import CheckFailedError, ConfigError, DataError, SetupError, UserError
from llmkit.core.machine import raise_limit
from llmkit.core.manifest import MANIFEST, Artifact
from llmkit.data.artifacts import Export, Model

TEXTS = frozenset({".html", ".jinja", ".json", ".md", ".txt", ".xml", ".yaml"})
MOST_READ = 2**23
"""Bytes of a text in which names of folders are looked for, at most."""


@dataclass(frozen=True)
class Upload:
    """What is sent of an artifact.

    Attributes:
        artifact: The artifact.
        files: Files below its folder, and their bytes.
        telling: Those that name a folder of this machine.
    """

    artifact: Artifact
    files: tuple[tuple[str, int], ...]
    telling: tuple[str, ...]

    @property
    def repo_type(self) -> str:
        """What the hub calls it: models are, also in the form of a runtime, and all else is data."""
        return "model" if self.artifact.kind in Model.KINDS else "dataset"

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size in self.files)


def plan(artifact: Artifact, *, manifest: bool = False) -> Upload:
    """Return what would be sent: the files that the artifact's manifest lists, and no others.

    Args:
        artifact: The artifact.
        manifest: Send `llmkit.json` as well, which names the folders that it was made from and this machine's system.

    Raises:
        CheckFailedError: It is an export, and nothing has proven that it answers as its model does.
        DataError: Files are gone, or are not what was written.
    """
    path = artifact.path
    if artifact.kind == Export.KIND:
        _check_receipt(artifact)
    if gone := artifact.missing_outputs() or changed_payload(artifact):
        raise DataError(
            f"{path} is damaged: {gone[0]} is not what was written",
            hint=f"restore it from a copy, or run the command that made it again; llmkit lineage {path} shows it",
        )
    names = sorted([output.path for output in artifact.manifest.outputs] + [MANIFEST] * manifest)
    files = tuple((name, (path / name).stat().st_size) for name in names)
    folders = [str(path.resolve().parent), *(item.path for item in artifact.manifest.inputs)]
    telling = tuple(name for name, size in files if size <= MOST_READ and _names(path / name, folders))
    return Upload(artifact, files, telling)


def _check_receipt(artifact: Artifact) -> None:
    parity = artifact.manifest.metrics.get("parity") or {}
    if not (parity.get("passed") and parity.get("proven", True)):
        why = (parity.get("failures") or ["it has no receipt"])[0]
        raise CheckFailedError(
            f"{artifact.path} is not pushed: nothing has proven that it answers like its model: {why}",
            hint="llmkit export without --unproven, with the same -o and --force, proves it",
        )


def _names(file: Path, folders: list[str]) -> bool:
    if file.suffix not in TEXTS:
        return False
    text = file.read_text(encoding="utf-8", errors="replace")
    return any(folder in text for folder in folders if folder != "/")


def check_name(name: str) -> None:
    """Find out whether a repository can be called so.

    Raises:
        ConfigError: It cannot.
    """
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ConfigError(f"repository '{name}': {error}", hint="OWNER/NAME, as in --to me/my-model") from error


def publish(upload: Upload, name: str, *, public: bool = False) -> str:
    """Send the files in one commit; return the address of the repository.

    The token is the one that `hf auth login` has kept, or that of the environment variable HF_TOKEN.

    Args:
        upload: What to send.
        name: The repository, `OWNER/NAME`; it is made if there is none.
        public: Everybody may see it.

    Raises:
        ConfigError: The repository is public, and nobody has said that it may be.
        SetupError: The hub cannot be reached, or refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    check_name(name)
    api, kind, artifact = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None), upload.repo_type, upload.artifact
    try:
        try:
            is_public = not api.repo_info(name, repo_type=kind).private
        except RepositoryNotFoundError:
            name = api.create_repo(name, repo_type=kind, private=not public).repo_id
            is_public = public
        if is_public and not public:
            raise ConfigError(
                f"the repository {name} is there, and everybody may see it", hint="--public pushes to it all the same"
            )
        added = [CommitOperationAdd(file, artifact.path / file) for file, _ in upload.files]
        done = api.create_commit(
            name, added, repo_type=kind, commit_message=f"{artifact.kind} {artifact.id[:12]} of llmkit"
        )
    except UserError:
        raise
    except Exception as error:  # of httpx, of the hub's client, of the operating system: each has its own
        raise_limit(error)
        raise _refused(error, name) from error
    return str(getattr(done, "repo_url", name))


def _refused(error: Exception, name: str) -> SetupError:
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return SetupError(f"{name}: the hub is switched off by HF_HUB_OFFLINE", hint="unset HF_HUB_OFFLINE")
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    if status in (401, 403):
        return SetupError(
            f"the hub does not let {name} be written ({status})",
            hint="hf auth login keeps a token that may write; HF_TOKEN in the environment does as well",
        )
    while isinstance(error.__cause__, Exception):  # which file it was says less than why
        error = error.__cause__
    said = " ".join(str(error).split())[:300] or type(error).__name__
    return SetupError(f"{name} was not pushed: {said}", hint="check the network, and HF_ENDPOINT if it is set")
