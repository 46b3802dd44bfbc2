"""The programs that the demo's shell steps run: the standard library only, each with a line in the ledger at both ends.

A held program announces itself in the middle of its work and stays there until the gate opens, so that the demo can end
the daemon while it certainly works. It gives up by itself after a while.
"""

from __future__ import annotations

_HEAD = """
import hashlib, json, os, stat, sys, time
work = sys.argv[1]
step, attempt = os.environ["OPCODE_STEP_ID"], int(os.environ["OPCODE_ATTEMPT"])

def note(what):
    line = {"step": step, "attempt": attempt, "what": what, "pid": os.getpid(), "at": time.time()}
    ledger = os.open(os.path.join(work, "ledger.jsonl"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(ledger, (json.dumps(line) + "\\n").encode())
    os.close(ledger)

def keep(name, value):
    fresh = os.path.join(work, ".%s.%d" % (name, os.getpid()))
    with open(fresh, "w") as file:
        json.dump(value, file)
    os.replace(fresh, os.path.join(work, name))

def listing():
    with open(os.path.join(work, "listing.json")) as file:
        return json.load(file)

def content(name, size):
    try:
        with open(os.path.join(sys.argv[2], name), "rb") as file:
            return file.read(size)
    except OSError:
        return None

def answer(value):
    note("end")
    print(json.dumps(value))

note("begin")
"""

SURVEY = (
    _HEAD
    + """
files_max, bytes_max = int(sys.argv[3]), int(sys.argv[4])
skipped = {".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox", ".hypothesis"}
found, total, seen, truncated = [], 0, 0, False
for here, folders, names in os.walk(sys.argv[2]):
    folders[:] = sorted(n for n in folders if n not in skipped and not n.endswith("_cache"))
    for name in sorted(names):
        seen += 1
        path = os.path.join(here, name)
        try:
            info = os.lstat(path)
        except OSError:
            continue
        if not stat.S_ISREG(info.st_mode):
            continue
        if len(found) >= files_max or total + info.st_size > bytes_max:
            truncated = True
            continue
        found.append([os.path.relpath(path, sys.argv[2]), info.st_size, info.st_mtime_ns])
        total += info.st_size
    if len(found) >= files_max or seen >= 10 * files_max:
        truncated = True
        break
keep("listing.json", found)
answer({"files": len(found), "bytes": total, "truncated": truncated})
"""
)
"""Arguments: work, folder, most files, most bytes. Lists regular files; keeps name, size and change time of each."""

HASH = (
    _HEAD
    + """
shard, shards, held = int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "held"
mine = [entry for number, entry in enumerate(listing()) if number % shards == shard]
digests = {}

def digest(entries):
    for name, size, _ in entries:
        data = content(name, size)
        digests[name] = None if data is None else hashlib.sha256(data).hexdigest()

def hold():
    keep("begun-%s.%d" % (step, attempt), {"pid": os.getpid(), "done": len(digests), "of": len(mine)})
    give_up = time.monotonic() + 40
    while not os.path.exists(os.path.join(work, "gate")):
        if time.monotonic() > give_up:
            note("gave up")
            sys.exit(3)
        time.sleep(0.01)

digest(mine[: len(mine) // 2])
if held:
    hold()
digest(mine[len(mine) // 2 :])
keep("shard-%d.json" % shard, digests)
lines = "".join("%s %s\\n" % (digests[name], ascii(name)) for name in sorted(digests))
answer({
    "files": len(mine),
    "unreadable": sum(each is None for each in digests.values()),
    "digest": hashlib.sha256(lines.encode()).hexdigest(),
})
"""
)
"""Arguments: work, folder, shard, shards, `held` or `free`. Hashes every file of one shard."""

LINES = (
    _HEAD
    + """
lines = text = 0
for name, size, _ in listing():
    data = content(name, size)
    if data is not None and b"\\0" not in data[:8192]:
        text += 1
        lines += data.count(b"\\n")
answer({"text_files": text, "lines": lines})
"""
)
"""Arguments: work, folder. Counts the lines of what looks like text."""

SUFFIXES = (
    _HEAD
    + """
counts = {}
for name, _, _ in listing():
    suffix = ascii(os.path.splitext(name)[1])[1:-1] or "(none)"
    counts[suffix] = counts.get(suffix, 0) + 1
top = sorted(counts, key=lambda each: (-counts[each], each))[:5]
answer({"kinds": len(counts), "top": ", ".join("%s %d" % (each, counts[each]) for each in top)})
"""
)
"""Arguments: work. Counts files by suffix."""

MERGE = (
    _HEAD
    + """
parts = json.load(sys.stdin)
answer({
    "files": sum(part["files"] for part in parts),
    "unreadable": sum(part["unreadable"] for part in parts),
})
"""
)
"""Arguments: work; on standard input the answers of the hashing steps. Adds them up."""
