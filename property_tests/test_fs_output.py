"""What fs.* give is what they say they give, whatever names and contents there are; and files stay what they are."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opcode_runtime.actions import ActionSettings, Call, builtin_registry, perform
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.outcome import Completed, Outcome

REGISTRY = builtin_registry()
UNHURRIED = settings(deadline=None)
NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1)
NAMES = NAMES.filter(lambda name: name not in {".", ".."} and len(name.encode()) < 100)
CONTENTS = st.binary(max_size=200) | st.text(max_size=100).map(str.encode)
TREES = st.dictionaries(NAMES, CONTENTS | st.none() | st.just("link"), max_size=6)
KNOWN = {
    ErrorCode.EXECUTION_ERROR,
    ErrorCode.VALIDATION_ERROR,
    ErrorCode.NON_RETRYABLE,
    ErrorCode.PATH_DENIED,
    ErrorCode.TOO_LARGE,
}


@contextmanager
def folder(tree: dict[str, Any], **limits: int) -> Iterator[Call]:
    """A call in a folder with files, folders and links."""
    with tempfile.TemporaryDirectory() as top:
        for name, content in tree.items():
            place = Path(top, name)
            if content is None:
                place.mkdir()
                (place / name).write_text(name, "utf-8")
            elif content == "link":
                place.symlink_to(next(iter(tree)))
            else:
                place.write_bytes(content)
        yield Call(cwd=Path(top), settings=ActionSettings(writable_paths=(top,), **limits))


def attempt(name: str, call: Call, params: dict[str, Any]) -> Outcome:
    """Run one attempt on the real clock."""
    return trio.run(perform, REGISTRY.get(name), params, call)


def assert_as_documented(name: str, outcome: Outcome) -> Any:
    """An output has the members of its schema and no others; an error has one of the codes of files."""
    if not isinstance(outcome, Completed):
        assert outcome.error.code in KNOWN, outcome
        return None
    schema = REGISTRY.get(name).spec.output
    assert schema is not None
    jsonschema_rs.Draft202012Validator(schema | {"additionalProperties": False}).validate(
        outcome.output
    )
    return outcome.output


@st.composite
def attempts(draw: st.DrawFn) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """A tree, an action, and parameters that often fit the tree."""
    tree = draw(TREES)
    paths = st.sampled_from([*tree, ".", "new", "a/b"]) | NAMES
    flags = {"create_dirs": st.booleans()}
    chosen: dict[str, dict[str, Any]] = {
        "fs.read": {
            "path": paths,
            "encoding": st.sampled_from(["auto", "text", "base64"]),
            "offset": st.integers(0, 300),
            "limit": st.integers(1, 300),
        },
        "fs.write": {"path": paths, "content": st.text(), "mode": st.integers(0, 0o777), **flags},
        "fs.append": {"path": paths, "content": st.text()},
        "fs.delete": {"path": paths, "recursive": st.booleans()},
        "fs.list": {
            "path": paths,
            "pattern": st.sampled_from(["*", "*/*", "?", "[a-z]*"]) | NAMES,
            "recursive": st.booleans(),
        },
        "fs.stat": {"path": paths},
        "fs.copy": {"src": paths, "dst": paths, **flags},
        "fs.move": {"src": paths, "dst": paths, **flags},
    }
    name = draw(st.sampled_from(sorted(chosen)))
    return tree, name, draw(st.fixed_dictionaries(chosen[name]))


@UNHURRIED
@given(attempts())
@example(({}, "fs.list", {"path": "."}))
def test_every_output_is_as_its_schema_says(
    given_: tuple[dict[str, Any], str, dict[str, Any]],
) -> None:
    tree, name, params = given_
    with folder(tree, list_entries_max=3, tree_entries_max=20) as call:
        assert_as_documented(name, attempt(name, call, params))
        left = [place.name for place in Path(str(call.cwd)).rglob(".*.partial")]
        assert [each for each in left if each not in tree] == []


@UNHURRIED
@given(NAMES, st.text())
def test_what_is_written_is_read_back_and_its_size_is_true(name: str, text: str) -> None:
    with folder({}) as call:
        wrote = assert_as_documented(
            "fs.write", attempt("fs.write", call, {"path": name, "content": text})
        )
        params = {"path": name, "encoding": "text"}
        read = assert_as_documented("fs.read", attempt("fs.read", call, params))
        about = assert_as_documented("fs.stat", attempt("fs.stat", call, {"path": name}))
        assert read["content"] == text
        assert wrote["size"] == read["size"] == about["size"] == len(text.encode())
        assert wrote["path"] == read["path"] == about["path"]


@UNHURRIED
@given(st.binary(max_size=400), st.integers(1, 60), st.sampled_from(["text", "base64"]))
def test_parts_follow_each_other_to_the_end_and_miss_nothing(
    content: bytes, limit: int, encoding: str
) -> None:
    with folder({"a": content}) as call:
        offset, parts = 0, b""
        for _ in range(len(content) + 1):
            params = {"path": "a", "offset": offset, "limit": limit, "encoding": encoding}
            got = assert_as_documented("fs.read", attempt("fs.read", call, params))
            raw = content[offset : got["next_offset"]]
            if encoding == "base64":
                assert base64.b64decode(got["content"]) == raw
            else:
                assert got["content"] == raw.decode(errors="replace")
            parts, offset = parts + raw, got["next_offset"]
            assert got["size"] == len(content)
            if not got["truncated"]:
                break
        assert parts == content


@UNHURRIED
@given(TREES)
def test_a_copy_holds_what_was_copied_and_a_listing_names_it(tree: dict[str, Any]) -> None:
    with folder({}) as call, folder(tree) as source:
        os.rename(str(source.cwd), Path(str(call.cwd), "t"))
        os.mkdir(str(source.cwd))
        copied = assert_as_documented("fs.copy", attempt("fs.copy", call, {"src": "t", "dst": "u"}))
        about = assert_as_documented("fs.stat", attempt("fs.stat", call, {"path": "u"}))
        assert copied["size"] == about["size"]
        listed = [
            assert_as_documented(
                "fs.list", attempt("fs.list", call, {"path": path, "recursive": True})
            )
            for path in ("t", "u")
        ]
        names = [[entry["name"] for entry in each["entries"]] for each in listed]
        assert names[0] == names[1]
        assert set(tree) <= set(names[0])
