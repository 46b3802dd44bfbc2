"""Every row there is to account for, and why some are not played here.

`row_ids.txt` lists the scenarios of the engine that opcode descends from, by their names there, area by area. Each of
them is a row here, or in one of the tables below with its reason.
"""

from __future__ import annotations

from pathlib import Path

LATER: dict[str, tuple[str, ...]] = {
    "schedules come with the scheduler": (
        "TestCreateGetScheduledJob", "TestCreateGetScheduledJob_NotFound", "TestUpdateScheduledJob",
        "TestUpdateScheduledJob_NotFound", "TestUpdateScheduledJob_Empty", "TestListScheduledJobs",
        "TestDeleteScheduledJob", "TestDeleteScheduledJob_NotFound", "TestCalculateNextRun", "TestTickRunsDueJobs",
        "TestTickSkipsNotDueJobs", "TestDisabledJobsSkipped", "TestMultipleJobsSomeDue", "TestTickWithNilNextRunAt",
        "TestJobUpdateAfterRun", "TestJobRunFailure", "TestMissedRecovery", "TestStartStop",
        "TestDedupPreventsDoubleRun", "TestDedupReleasedAfterTick", "TestSchedulerTrigger",
    ),
    "plugins are not there yet": (
        "TestCreateGetPlugin", "TestCreateGetPlugin_NotFound", "TestUpdatePlugin", "TestUpdatePlugin_NotFound",
        "TestListPlugins", "TestPluginDiscovery",
    ),
    "streams of events come with the panel": (
        "TestPublishSubscribe", "TestFilterByWorkflowID", "TestFilterByEventType", "TestMultipleSubscribers",
        "TestCancelSubscription", "TestBackpressure", "TestPublishCancelledContext", "TestSubscribeCancelledContext",
        "TestConcurrentAccess",
    ),
    "workflows are removed by retention, which is not there yet": ("TestDeleteWorkflow",),
}  # fmt: skip
"""Rows of features that come later, by reason."""

NO_COUNTERPART: dict[str, tuple[str, ...]] = {
    "a check without a list of actions does not exist here: the registry is always asked": (
        "TestSemantic_NilLookupSkipsActionCheck", "TestWorkflowValidator_NilActionLookup",
    ),
    "the journal reuses its free pages by itself: nothing is to be vacuumed": ("TestVacuum",),
}  # fmt: skip
"""Rows without a scenario here, by reason."""

ELSEWHERE: dict[str, tuple[str, ...]] = {
    "secrets are played in `tests/secrets`": (
        "TestInterpolator_Secrets",
        "TestInterpolator_TwoPassOrder",
        "TestInterpolator_SecretNotFound",
        "TestInterpolator_NoVault",
        "TestInterpolator_VaultError",
        "TestInterpolator_InvalidSecretPath",
        "TestStoreAndGetSecret",
        "TestSecretResolution",
        "TestAESVault_StoreAndResolve",
        "TestAESVault_PassphraseDerivation",
        "TestAESVault_Overwrite",
        "TestAESVault_EmptyValue",
        "TestAESVault_List",
        "TestAESVault_Delete",
        "TestAESVault_ResolveNotFound",
        "TestAESVault_EncryptedAtRest",
        "TestAESVault_UniqueNonces",
        "TestAESVault_WrongKeyCannotDecrypt",
        "TestAESVault_InvalidKeyLength",
        "TestAESVault_NoKeyOrPassphrase",
        "TestAESVault_PassphraseWithoutSalt",
    ),
    "every foreign definition runs to its ends in `tests/conformance/foreign`": ("TestExample",),
}
"""Rows that other tests play, by where."""

_IDS = Path(__file__).with_name("row_ids.txt")


def areas() -> dict[str, tuple[str, ...]]:
    """The ids of `row_ids.txt`, by area, in order."""
    found: dict[str, list[str]] = {}
    area = ""
    for line in _IDS.read_text("utf-8").splitlines():
        if line.startswith("# "):
            area = line[2:]
        else:
            found.setdefault(area, []).append(line)
    return {name: tuple(ids) for name, ids in found.items()}
