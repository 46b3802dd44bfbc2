"""Where settings come from, and what is said about wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opcode_runtime.cli.exits import CommandError, Exit
from opcode_runtime.cli.settings import ENVIRONMENT, data_dir_of, load_settings
from opcode_runtime.model.settings import Settings


def write(data_dir: Path, text: str) -> Path:
    path = data_dir / "settings.json"
    path.write_text(text)
    return path


def refusal(data_dir: Path, **given: object) -> CommandError:
    with pytest.raises(CommandError) as caught:
        load_settings(data_dir, given, {})
    assert caught.value.exit is Exit.USAGE
    return caught.value


def test_without_file_flags_and_variables_the_defaults_hold(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {}, {}) == Settings()


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(tmp_path: Path) -> None:
    write(tmp_path, json.dumps({"pool_size": 2, "log_level": "error", "drain_s": 3}))
    environment = {"OPCODE_POOL_SIZE": "5", "OPCODE_LOG_LEVEL": "warn"}
    settings = load_settings(tmp_path, {"log_level": "debug", "base_url": None}, environment)
    assert (settings.log_level, settings.pool_size, settings.drain_s) == ("debug", 5, 3)
    assert settings.listen_addr == Settings().listen_addr


def test_every_documented_variable_is_read(tmp_path: Path) -> None:
    given = {
        "OPCODE_LISTEN_ADDR": ":5000",
        "OPCODE_BASE_URL": "https://example.test",
        "OPCODE_DB_PATH": "/elsewhere/journal",
        "OPCODE_LOG_LEVEL": "debug",
        "OPCODE_POOL_SIZE": "7",
    }
    assert set(given) == set(ENVIRONMENT)
    settings = load_settings(tmp_path, {}, given)
    found = {variable: str(getattr(settings, key)) for variable, key in ENVIRONMENT.items()}
    assert found == given


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {}, {"OPCODE_POOL_SIZE": ""}) == Settings()


def test_malformed_json_is_refused_with_file_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path, '{\n  "pool_size": 3,\n  "log_level": debug\n}')
    assert f"{path}, line 3, column 16" in refusal(tmp_path).message


def test_an_unknown_key_is_refused_with_its_line_and_a_suggestion(tmp_path: Path) -> None:
    path = write(tmp_path, '{\n  "drain_s": 1,\n  "pol_size": 3\n}')
    error = refusal(tmp_path)
    assert f"{path}, line 3" in error.message
    assert error.next == "Did you mean 'pool_size'?"


def test_an_unknown_key_inside_an_object_is_found_on_its_own_line(tmp_path: Path) -> None:
    text = '{\n  "answers": {"step_max": "retry"},\n  "limits": {\n    "step_max": 3\n  }\n}'
    path = write(tmp_path, text)
    error = refusal(tmp_path)
    assert f"{path}, line 4" in error.message
    assert "'limits.step_max'" in error.message
    assert error.next == "Did you mean 'steps_max'?"


def test_a_key_that_nothing_resembles_lists_the_known_ones(tmp_path: Path) -> None:
    write(tmp_path, '{"xyzzy": 1}')
    assert "pool_size" in (refusal(tmp_path).next or "")


def test_a_value_of_the_wrong_type_is_refused_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, '{\n  "limits": {\n    "steps_max": "many"\n  }\n}')
    message = refusal(tmp_path).message
    assert f"{path}, line 3: limits.steps_max: expected int, got str" in message


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"pool_size": 0}', "1 or more"),
        ('{"limits": {"iterations_max": 0}}', "limits.iterations_max: a number, 1 or more"),
        ('{"limits": {"breaker_cooldown_s": -1}}', "0 or more"),
        ('{"answers": {"*": "a"}}', "must be one of"),
        ('{"drain_s": -1}', "0 or more"),
        ('{"min_free_bytes": -1}', "0 or more"),
        ('{"retention_days": 0}', "above 0"),
        ('{"retention_count": -1}', "0 or more"),
        ('{"log_level": "loud"}', "log_level"),
        ('{"answers": {"*": "perhaps"}}', "retry, skip, fail"),
        ('{"pool_size": 1, "pool_size": 2}', "stands twice"),
        ('{"drain_s": NaN}', "NaN is not a JSON number"),
        ("[1]", "an array"),
        ("", "this is not JSON"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, word: str) -> None:
    write(tmp_path, text)
    assert word in refusal(tmp_path).message


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_bytes(b'{"log_level": "\xff"}')
    assert "is not UTF-8" in refusal(tmp_path).message


def test_a_wrong_variable_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="the variable OPCODE_POOL_SIZE: pool_size"):
        load_settings(tmp_path, {}, {"OPCODE_POOL_SIZE": "ten"})


def test_a_wrong_flag_is_refused_by_its_name(tmp_path: Path) -> None:
    assert "the flag --pool-size" in refusal(tmp_path, pool_size=-3).message


def test_a_relative_journal_directory_in_the_file_starts_from_the_file(tmp_path: Path) -> None:
    write(tmp_path, '{"db_path": "elsewhere"}')
    assert load_settings(tmp_path, {}, {}).db_path == str(tmp_path / "elsewhere")


def test_the_data_directory_is_the_flag_else_the_variable_else_in_the_home(tmp_path: Path) -> None:
    environment = {"OPCODE_HOME": str(tmp_path / "a")}
    assert data_dir_of(tmp_path / "b", environment) == tmp_path / "b"
    assert data_dir_of(None, environment) == tmp_path / "a"
    assert data_dir_of(None, {}) == Path.home() / ".opcode"
