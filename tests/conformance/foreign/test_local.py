"""Foreign definitions that work with files, programs and repositories, where they ask nobody: through the daemon."""

from __future__ import annotations

import json

import pytest

from tests.conformance.foreign.gates import CHECK_BACKUP
from tests.conformance.foreign.ground import Ground, Json, has, logged, sha256

pytestmark = [pytest.mark.needs(what) for what in ("corpus", "bash", "python3", "git")]


async def test_backup_verification_logs_a_fresh_backup(ground: Ground) -> None:
    ground.file("scripts/check_backup.sh", CHECK_BACKUP)
    ground.file("backups/age", "23.5")
    inputs = {"backup_dir": ground.path("backups"), "max_age_hours": 24}
    view = await ground.run("backup-verification", inputs)
    inner = {"branch": "true", "output": {"logged": True}}
    assert (view.status, view.output) == ("completed", {"branch": "true", "output": inner})
    fields = logged(view, "verify-exists.true.check-freshness.true.log-ok")["fields"]
    assert fields == {"path": ground.path("backups/full"), "size_mb": 1.5, "age_hours": 23.5}


async def test_backup_verification_logs_that_there_is_none(ground: Ground) -> None:
    ground.file("scripts/check_backup.sh", CHECK_BACKUP)
    inputs = {"backup_dir": ground.path("nothing"), "max_age_hours": 24}
    view = await ground.run("backup-verification", inputs)
    assert (view.status, view.output["branch"]) == ("completed", "default")
    fields = logged(view, "verify-exists.default.log-missing")["fields"]
    assert fields == {"backup_dir": ground.path("nothing")}


async def test_batch_file_processor_hashes_the_name_of_each_file(ground: Ground) -> None:
    for name in ("in/b.txt", "in/a.txt"):
        ground.file(name, "hello")
    inputs = {"input_dir": ground.path("in"), "output_dir": ground.path("out")}
    view = await ground.run("batch-file-processor", inputs)
    assert (view.status, view.output) == ("completed", {"logged": True})
    loop = view.outputs["process-each"]
    expected = [sha256(each["name"]) for each in view.outputs["list-files"]["entries"]]
    assert [each["hash"] for each in loop["results"]] == expected
    assert sorted(expected) == sorted(map(sha256, ("a.txt", "b.txt")))
    assert logged(view, "log-complete")["fields"] == {"output_dir": ground.path("out")}


async def test_batch_file_processor_is_done_at_once_with_an_empty_folder(ground: Ground) -> None:
    (ground.folder / "in").mkdir()
    inputs = {"input_dir": ground.path("in"), "output_dir": ground.path("out")}
    view = await ground.run("batch-file-processor", inputs)
    assert view.status == "completed"
    assert view.outputs["process-each"] == {"iterations": 0, "results": []}


PARSE_CSV = """
import csv, json, sys
rows = list(csv.DictReader(open(sys.argv[1])))
print(json.dumps({"rows": rows, "count": len(rows)}))
"""


async def test_csv_to_api_posts_the_number_of_rows_as_a_number(ground: Ground) -> None:
    ground.file("scripts/parse_csv.py", PARSE_CSV)
    inputs = {
        "csv_path": ground.file("people.csv", "name,age\nAda,36\nBo,7\n"),
        "api_url": ground.service("/rows", {"ok": True}),
    }
    view = await ground.run("csv-to-api", inputs)
    assert (view.status, view.output) == ("completed", {"logged": True})
    assert ground.bodies("/rows") == [{"row_count": 2}]
    assert view.outputs["parse-csv"]["stdout"]["rows"][1] == {"name": "Bo", "age": "7"}


async def test_data_anonymizer_hashes_each_field_and_copies_the_file(ground: Ground) -> None:
    inputs = {
        "input_path": ground.file("people.json", '{"email": "x"}'),
        "output_path": ground.path("copy.json"),
        "pii_fields": ["email", "phone"],
    }
    view = await ground.run("data-anonymizer", inputs)
    assert view.status == "completed"
    hashes = [each["hash"] for each in view.outputs["hash-fields"]["results"]]
    assert hashes == [sha256("email"), sha256("phone")]
    assert ground.read("copy.json") == '{"email": "x"}'
    expected = {key: inputs[key] for key in ("input_path", "output_path")}
    assert logged(view, "log-anonymized")["fields"] == expected


async def test_data_anonymizer_fails_where_there_is_no_file(ground: Ground) -> None:
    inputs = {"input_path": ground.path("none"), "output_path": ground.path("copy")}
    view = await ground.run("data-anonymizer", {**inputs, "pii_fields": []})
    assert (view.status, view.statuses["read-data"]) == ("failed", "failed")
    rest = {view.statuses[each] for each in ("hash-fields", "log-anonymized", "write-output")}
    assert rest == {"skipped"}
    assert ground.path("none") in view.error["message"]


async def test_dependency_audit_logs_that_nothing_was_found_and_asks_all_the_same(
    ground: Ground,
) -> None:
    counts = {"critical": 0, "high": 0, "medium": 0, "packages": []}
    found = json.dumps({"vulnerabilities_found": False} | counts)
    ground.file("scripts/scan.sh", f"echo '{found}'")
    view = await ground.run("dependency-audit", {"notification_url": ground.service("/alerts")})
    (asked,) = view.decisions
    injected = asked["context"]["data_inject"]
    assert list(injected.values()) == list(counts.values())
    view = await ground.answer(view, "defer")
    assert view.status == "completed"
    assert view.outputs["check-vulns"] == {"branch": "false", "output": {"logged": True}}
    assert len(ground.bodies("/alerts")) == 1


async def test_git_branch_cleanup_deletes_what_is_merged_and_not_protected(ground: Ground) -> None:
    ground.file("repo/readme", "r")
    await ground.git("init", "-q", "-b", "main", cwd="repo")
    await ground.git("add", ".", cwd="repo")
    await ground.git("commit", "-q", "-m", "first", cwd="repo")
    for branch in ("develop", "done", "feature/x"):
        await ground.git("branch", branch, cwd="repo")
    await ground.git("checkout", "-q", "-b", "open", cwd="repo")
    await ground.git("commit", "-q", "--allow-empty", "-m", "more", cwd="repo")
    await ground.git("checkout", "-q", "main", cwd="repo")
    view = await ground.run("git-branch-cleanup", {"repo_dir": ground.path("repo")})
    assert view.status == "completed"
    assert view.outputs["parse-branches"]["stdout"] == ["develop", "done", "feature/x", "main"]
    branches = [each["branch"] for each in view.output["results"]]
    assert branches == ["default", "true", "true", "default"]
    left = (await ground.git("branch", "--format=%(refname:short)", cwd="repo")).split()
    assert left == ["develop", "main", "open"]
    deleted = logged(view, "cleanup-loop.iter_2.check-protected.true.log-deleted")
    assert deleted["fields"] == {"branch": "feature/x"}


async def test_git_branch_cleanup_has_nothing_to_do_without_a_repository(ground: Ground) -> None:
    ground.file("plain/file")
    view = await ground.run("git-branch-cleanup", {"repo_dir": ground.path("plain")})
    assert view.outputs["parse-branches"]["stdout"] == []
    assert (view.status, view.output) == ("completed", {"iterations": 0, "results": []})


async def test_image_processing_copies_the_image_and_tells_the_network(ground: Ground) -> None:
    inputs = {
        "source_path": ground.file("cat.png", "not really a cat"),
        "output_path": ground.path("small.png"),
        "cdn_upload_url": ground.service("/upload"),
    }
    view = await ground.run("image-processing", inputs)
    assert view.status == "completed"
    assert ground.read("small.png") == "not really a cat"
    assert ground.bodies("/upload") == [
        {
            "file_path": inputs["output_path"],
            "original_size": 16,
            "source_hash": sha256(inputs["source_path"]),
            "source_path": inputs["source_path"],
        }
    ]


async def test_log_anomaly_triage_fails_where_its_script_gave_nothing_to_show(
    ground: Ground,
) -> None:
    inputs = {"log_path": ground.path("none.log"), "notification_url": ground.service("/notify")}
    view = await ground.run("log-anomaly-triage", inputs)
    assert view.outputs["analyze"]["exit_code"] != 0
    step = view.steps["triage"]
    assert (view.status, step["status"]) == ("failed", "failed")
    assert step["error"]["code"] == "INTERPOLATION_ERROR"
    assert "anomaly_count" in step["error"]["message"]
    assert ground.requests("/notify") == 0


CHECK_VERSION = """
latest=$(sed 's|.*refs/tags/||' | sort | tail -n 1)
[ "$latest" = "$1" ] && update=false || update=true
printf '{"update_available": %s, "latest_version": "%s", "tag_ref": "tags/%s"}' $update "$latest" "$latest"
"""


async def _installed(ground: Ground) -> Json:
    """A repository with two versions, and a clone of it that stands on the older one."""
    ground.file("scripts/check_version.sh", CHECK_VERSION)
    ground.file("tool/readme", "r")
    await ground.git("init", "-q", "-b", "main", cwd="tool")
    await ground.git("add", ".", cwd="tool")
    await ground.git("commit", "-q", "-m", "one", cwd="tool")
    await ground.git("tag", "v1", cwd="tool")
    await ground.git("clone", "-q", "tool", "installed")
    await ground.git("commit", "-q", "--allow-empty", "-m", "two", cwd="tool")
    await ground.git("tag", "v2", cwd="tool")
    return {"repo_url": ground.path("tool"), "install_dir": ground.path("installed")}


async def test_openclaw_version_checker_installs_a_new_version_and_tells_of_it(
    ground: Ground,
) -> None:
    inputs = await _installed(ground) | {"current_version": "v1"}
    url = ground.service("/notify")
    view = await ground.run("openclaw-version-checker", {**inputs, "notification_url": url})
    assert view.status == "completed"
    assert view.outputs["route-update.true.install-update"]["exit_code"] == 0
    assert (await ground.git("describe", "--tags", cwd="installed")).strip() == "v2"
    (body,) = ground.bodies("/notify")
    versions = {"previous_version": "v1", "new_version": "v2"}
    assert has(body, versions)
    assert logged(view, "route-update.true.log-updated")["fields"] == versions


async def test_openclaw_version_checker_tells_nobody_when_no_url_was_given(ground: Ground) -> None:
    inputs = await _installed(ground) | {"current_version": "v1"}
    view = await ground.run("openclaw-version-checker", inputs)
    step = view.steps["route-update.true.notify-update"]
    assert (view.status, step["status"], step["reason"]) == ("completed", "skipped", "guard")
    assert view.output == {"branch": "true", "output": {"logged": True}}


async def test_openclaw_version_checker_leaves_the_newest_version_alone(ground: Ground) -> None:
    inputs = await _installed(ground) | {"current_version": "v2"}
    view = await ground.run("openclaw-version-checker", inputs)
    assert (view.status, view.output["branch"]) == ("completed", "default")
    fields = logged(view, "route-update.default.log-up-to-date")["fields"]
    assert fields == {"current_version": "v2"}
    assert (await ground.git("describe", "--tags", cwd="installed")).strip() == "v1"


async def test_repo_health_check_logs_that_all_is_well(ground: Ground) -> None:
    ground.file("repo/readme")
    await ground.git("init", "-q", cwd="repo")
    view = await ground.run("repo-health-check", {"repo_dir": ground.path("repo")})
    expected = {"branch": "true", "output": {"logged": True}}
    assert (view.status, view.output) == ("completed", expected)


async def test_repo_health_check_asks_where_there_is_no_repository(ground: Ground) -> None:
    ground.file("plain/file")
    view = await ground.run("repo-health-check", {"repo_dir": ground.path("plain")})
    (asked,) = view.decisions
    injected = asked["context"]["data_inject"]
    assert (injected["git_status_exit"], injected["test_exit"]) == (128, 0)
