"""Damaged, edited and misplaced files of every artifact, read by every command that reads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

from campaign._cases import REFUSED, Case
from campaign._chain import KINDS, Chain
from campaign._readers import readers_of

MAY_PASS = REFUSED | {0}
"""A file that the command does not read, or that is made again, may be damaged."""
Edit = Callable[[dict[str, Any]], Any]


def cases(scratch: Path) -> Iterator[Case]:
    """Yield every case.

    Args:
        scratch: An empty folder, there until the last case is run.
    """
    chain = Chain(scratch / "chain", scratch / "kept")
    chain.make()
    for kind in KINDS:
        yield from _damaged(chain, kind)
        yield from _edited(chain, kind)
    yield from _own_inputs(chain)


# --- damaged files


def _delete(path: Path, _other: Path) -> None:
    path.unlink()


def _halve(path: Path, _other: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path, _other: Path) -> None:
    path.write_bytes(b"")


def _flip(path: Path, _other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _swap(path: Path, other: Path) -> None:
    mine = path.read_bytes()
    shutil.copyfile(other, path)
    other.write_bytes(mine)


def _fold(path: Path, _other: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = {"deleted": _delete, "cut to half": _halve, "emptied": _empty, "flipped": _flip, "swapped": _swap,
           "made a folder": _fold}  # fmt: skip


def _damaged(chain: Chain, kind: str) -> Iterator[Case]:
    folder = chain.kept / kind
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    readers = cycle(readers_of(chain, kind).items())
    for number, file in enumerate(files):
        other = files[(number + 1) % len(files)]
        for name, damage in DAMAGES.items():
            for _ in range(2):  # not every command for every damage: each meets each some time
                reader, command = next(readers)
                where = f"{kind}/{file} {name}: {reader}"
                yield Case(where, partial(_with_damage, chain, kind, file, other, damage, command), MAY_PASS)
        next(readers)


def _with_damage(
    chain: Chain, kind: str, file: Path, other: Path, damage: Callable[[Path, Path], None], command: Sequence[str],
    folder: Path,
) -> Sequence[str]:  # fmt: skip
    chain.restore()
    damage(chain.root / kind / file, chain.root / kind / other)
    return [word.replace("OUT", str(folder / "out")) for word in command]


# --- edited manifests


def _edits(manifest: dict[str, Any]) -> Iterator[tuple[str, Edit | str]]:
    """Yield edits by name: a change of the values, or the text of the whole file."""
    whole = {"a list": "[]", "null": "null", "a string": '"x"', "a number": "7", "cut": json.dumps(manifest)[:-40],
             "empty": "", "no JSON": "{'a': 1}", "deep": "[" * 100_000, "not UTF-8": "\xff"}  # fmt: skip
    yield from whole.items()
    wrong: dict[type, Any] = {str: 7, int: "x", float: "x", dict: [], list: {}, bool: 7, type(None): 7}
    for key, value in manifest.items():
        yield f"without {key}", partial(_without, key)
        yield f"{key} null", partial(_with, key, None)
        yield f"{key} of another type", partial(_with, key, wrong[type(value)])
        yield f"{key} emptied", partial(_with, key, type(value)())
    for stage in ("clean", "finetune", "export", "sweep"):
        yield f"stage {stage}", partial(_with, "stage", stage)
    for kind in ("corpus", "examples", "tokens", "model", "eval", "export", "files", "", "novel"):
        yield f"kind {kind or 'nothing'}", partial(_with, "kind", kind)
    for schema in (2, 0, "1", 1.5, True):
        yield f"schema {schema!r}", partial(_with, "schema", schema)
    yield "another field", partial(_with, "colour", "red")
    yield "kept above", partial(_with, "kept", "../texts.jsonl")
    for name in ("../texts.jsonl", "/etc/hostname", "a\0b", "\ud800", "", "x" * 5000):
        yield f"an output named {name[:20]!r}", partial(_with_output, name)
        yield f"an input at {name[:20]!r}", partial(_with_input, name)
    yield "metrics of words", partial(_with, "metrics", dict.fromkeys(manifest["metrics"], "x"))
    yield "metrics in lists", partial(_with, "metrics", {key: [] for key in manifest["metrics"]})
    yield "a config of nothing", partial(_with, "config", {"fingerprint": None, "run": 7})


def _with(key: str, value: Any, manifest: dict[str, Any]) -> Any:
    return {**manifest, key: value}


def _without(key: str, manifest: dict[str, Any]) -> Any:
    return {name: value for name, value in manifest.items() if name != key}


def _with_output(name: str, manifest: dict[str, Any]) -> Any:
    outputs = [*manifest["outputs"], {"path": name, "bytes": 3, "digest": "0" * 64, "payload": False}]
    return {**manifest, "outputs": outputs}


def _with_input(name: str, manifest: dict[str, Any]) -> Any:
    entry = {"role": "data", "path": name, "kind": "corpus", "digest": "0" * 32, "num_files": 0, "num_bytes": 0}
    return {**manifest, "inputs": [*manifest["inputs"], entry]}


def _edited(chain: Chain, kind: str) -> Iterator[Case]:
    manifest = json.loads((chain.kept / kind / "llmkit.json").read_text(encoding="utf-8"))
    readers = cycle(readers_of(chain, kind).items())
    changed = [word for word in chain.commands()[kind] if word]
    for name, edit in _edits(manifest):
        for _ in range(2):
            reader, command = next(readers)
            where = f"{kind}/llmkit.json {name}: {reader}"
            build = partial(_with_edit, chain, kind, edit, command)
            yield Case(where, build, MAY_PASS, check=partial(_nothing_lost, chain))
        if name.startswith(("kept", "an output")):
            build = partial(_with_edit, chain, kind, edit, [*changed, "-s", "seed=7", "--force"])
            yield Case(f"{kind}/llmkit.json {name}: --force", build, MAY_PASS, check=partial(_nothing_lost, chain))


def _with_edit(chain: Chain, kind: str, edit: Edit | str, command: Sequence[str], folder: Path) -> Sequence[str]:
    chain.restore()
    file = chain.root / kind / "llmkit.json"
    if isinstance(edit, str):
        file.write_bytes(edit.encode("latin-1"))
    else:
        file.write_text(json.dumps(edit(json.loads(file.read_text(encoding="utf-8")))), encoding="utf-8")
    return [word.replace("OUT", str(folder / "out")) for word in command]


def _nothing_lost(chain: Chain, _folder: Path) -> str:
    return "" if (chain.root / "texts.jsonl").is_file() else "a file outside of the artifact is gone"


# --- artifacts as their own input


def _own_inputs(chain: Chain) -> Iterator[Case]:
    commands = chain.commands()
    for reader, kind in (("tokens", "corpus"), ("base", "tokens"), ("model", "base"), ("model", "pairs"),
                         ("scores", "model"), ("export", "model")):  # fmt: skip
        for name, out in (("over", kind), ("around", ""), ("inside", f"{kind}/inner")):
            for force in ([], ["--force"]):
                command = [*commands[reader][:-1], str(chain.root / out), *force]
                yield Case(
                    f"{commands[reader][0]} {' '.join(force)} writes {name} its input {kind}",
                    partial(_restored, chain, command),
                    MAY_PASS if name == "inside" else REFUSED,
                    check=partial(_as_it_was, chain, kind),
                )
    for kind in KINDS:
        yield Case(
            f"lineage of {kind} that names itself as its input",
            partial(_with_edit, chain, kind, partial(_with_itself, str(chain.root / kind)),
                    ["lineage", str(chain.root / kind), "--verify"]),
            frozenset({3, 7}),
        )  # fmt: skip


def _with_itself(path: str, manifest: dict[str, Any]) -> Any:
    entry = {"role": "data", "path": path, "kind": manifest["kind"], "digest": manifest["id"], "num_files": 0,
             "num_bytes": 0}  # fmt: skip
    return {**manifest, "inputs": [*manifest["inputs"], entry]}


def _restored(chain: Chain, command: Sequence[str], _folder: Path) -> Sequence[str]:
    chain.restore()
    return command


def _as_it_was(chain: Chain, kind: str, _folder: Path) -> str:
    whole, used = chain.kept / kind, chain.root / kind
    files = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file()]
    gone = [file for file in files if not (used / file).is_file()]
    changed = [file for file in files if file not in gone and (used / file).read_bytes() != (whole / file).read_bytes()]
    return f"its input lost or changed {(gone + changed)[0]}" if gone or changed else ""
