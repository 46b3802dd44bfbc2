"""The supervisor of one command: a process of its own between the daemon and the command.

Started as `python -I -S -c …` (see `_launch`), with nothing but the standard library, and as little of that as
possible: its start is paid by every shell step. Its one argument is the descriptor of a socket to the daemon.

Rule 1: it is a child subreaper, so whatever the command starts stays a descendant, however it forks or calls `setsid`.
Rule 2: the tree ends when the command has ended, when the daemon says so, and when the daemon is gone (the socket
closes).
Rule 3: it ends only after its last descendant; while it lives it holds a lock on its record.
Rule 4: nothing of its own (socket, record, standard streams) stays open in the command, and nobody may look into it.
Rule 5: it is not fenced in itself; the command is, between fork and exec. Under bubblewrap it is inside, as the first
process of the namespace: with it everything ends, and it ends with bubblewrap.

From the daemon: 8 bytes of length, then the marshalled order (a dict, made by `_launch.py`); later single bytes,
`t` for "terminate". To the daemon: lines `started PID`, `failed ERRNO STAGE`, `ended WAIT_STATUS`, `gone`.
"""

from __future__ import annotations

import ctypes
import errno
import marshal
import os
import resource
import select
import sys

from opcode_runtime.sandbox._inside import confine

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    # What `signal` is made of, without its enumerations: their import would be a fifth of every start.
    import _signal as signal

PR_SET_DUMPABLE = 4
FIRST = 1
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
TICK_MS = 1000
KILL_PAUSE_MS = 5
GRACE_TURN_MS = 20
SEARCHED = b"/bin:/usr/bin"
RESTORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def prctl(option: int, value: int) -> None:
    """Set one attribute of this process; where there is no prctl (not Linux) it does nothing."""
    call = getattr(ctypes.CDLL(None), "prctl", None)
    if call is not None:
        call(option, value, 0, 0, 0)


def read_exactly(fd: int, size: int) -> bytes:
    """Read `size` bytes, fewer only when the other side has closed."""
    parts = b""
    while len(parts) < size:
        part = os.read(fd, min(size - len(parts), 1 << 20))
        if not part:
            break
        parts += part
    return parts


def read_order(control: int) -> dict[str, Any] | None:
    """The daemon's order, or None when it died before it had sent it."""
    head = read_exactly(control, 8)
    size = int.from_bytes(head, "big")
    body = read_exactly(control, size)
    return marshal.loads(body) if len(head) == 8 and len(body) == size else None


def stat_fields(pid: int | str) -> list[bytes]:
    """The fields of /proc/PID/stat from the third on (state, ppid, pgrp, session, …); empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def become_command(order: dict[str, Any], failure: int) -> None:
    """In the forked child: turn into the command. Returns never; a failure goes down the pipe `failure`."""
    stage = b"prepare"
    try:
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in RESTORED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if order["cwd"] is not None:
            stage = b"cwd"
            os.chdir(order["cwd"])
        stage = b"fence"
        confine(order["fence"])
        stage = b"exec"
        execute(order["argv"], order["env"])
    except OSError as error:
        os.write(failure, b"failed %d %s\n" % (error.errno or 0, stage))
    except BaseException:  # between fork and exec nothing may unwind into the code above
        os.write(failure, b"failed 0 %s\n" % stage)
    finally:
        os._exit(127)


def execute(argv: list[bytes], env: dict[bytes, bytes]) -> None:
    """Become a program, looked for in the PATH of `env`; os.execvpe would import, which a fence may forbid by now.

    Raises:
        OSError: of the first place that refused it, else of the last one where it was not.
    """
    name = argv[0]
    if b"/" in name:
        os.execve(name, argv, env)
    refusal: OSError | None = None
    for folder in env.get(b"PATH", SEARCHED).split(b":"):
        try:
            os.execve(os.path.join(folder or b".", name), argv, env)
        except OSError as error:
            missing = error.errno in {errno.ENOENT, errno.ENOTDIR}
            if refusal is None or not missing:
                refusal = error
    if refusal is not None:
        raise refusal


def start(order: dict[str, Any]) -> tuple[int, bytes]:
    """Fork and exec the command. Returns its pid and, when that failed, why (one line)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        become_command(order, writing)
    os.close(writing)
    why = read_exactly(reading, 4096)
    os.close(reading)
    return pid, why


def reap(main: int) -> tuple[bool, int | None]:
    """Take every dead child. Returns whether any is left, and the command's wait status if it was among them."""
    status = None
    while True:
        try:
            pid, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False, status
        if pid == 0:
            return True, status
        if pid == main:
            status = code


def descendants() -> set[int]:
    """Every process below this one, by walking /proc upwards; empty where there is no /proc."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if name.isdecimal():
            fields = stat_fields(name)
            if fields:
                parents[int(name)] = int(fields[1])
    found = {os.getpid()}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return found - {os.getpid()}
        found |= more


def send(number: int, target: int, *, group: bool) -> None:
    """Signal a process or its group; one that is gone or not ours is passed over."""
    try:  # noqa: SIM105 - importing contextlib would be paid by every step
        (os.killpg if group else os.kill)(target, number)
    except (ProcessLookupError, PermissionError):
        pass


def kill_round(main: int) -> None:
    """SIGKILL everything below. Whole groups first: the kernel does that at once, so a fork bomb cannot outrun it."""
    tree = descendants()
    groups = {int(fields[2]) for fields in map(stat_fields, tree) if fields} - {0, os.getpgrp()}
    for group in groups or {main}:
        send(signal.SIGKILL, group, group=True)
    for pid in tree:
        send(signal.SIGKILL, pid, group=False)


class Watch:
    """Waits for the command, the daemon's word and the daemon's death, whichever comes first.

    Arguments:
        control: socket to the daemon.
        main: pid of the command.
        wakeup: pipe that SIGCHLD and SIGTERM write to.
    """

    def __init__(self, control: int, main: int, wakeup: int) -> None:
        self.control, self.main, self.wakeup = control, main, wakeup
        self.parent = os.getppid()
        self.status: int | None = None
        self.alone = False
        self.asked = False
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)
        self.poll.register(wakeup, select.POLLIN)

    def turn(self, wait_ms: int) -> bool:
        """Wait a moment and take in what happened. Returns whether any child is left."""
        for fd, _ in self.poll.poll(wait_ms):
            word = receive(fd)
            if fd == self.control:
                self.hear(word)
            elif bytes([signal.SIGTERM]) in word:
                self.asked = True
        self.alone = self.alone or os.getppid() != self.parent
        left, status = reap(self.main)
        self.status = status if status is not None else self.status
        return left

    def hear(self, word: bytes) -> None:
        """Take the daemon's word; an empty one means that it is gone."""
        self.asked = True
        if not word:
            self.alone = True
            self.poll.unregister(self.control)

    def until_end(self, grace_ms: int) -> None:
        """Return when the tree has to be killed: the command ended, or somebody asked and the grace is over."""
        while not self.is_over() and not self.asked:
            self.turn(TICK_MS)
        if self.is_over() or grace_ms <= 0:
            return
        send(signal.SIGTERM, self.main, group=True)
        for _ in range(0, grace_ms, GRACE_TURN_MS):
            self.turn(GRACE_TURN_MS)
            if self.is_over():
                return

    def is_over(self) -> bool:
        """Whether the command has ended or the daemon is gone: no reason to be patient with the rest."""
        return self.status is not None or self.alone

    def kill_all(self, group: int | None) -> None:
        """Kill until nothing is left below. `group`: the descriptor of a control group's cgroup.kill, or None."""
        left = self.turn(0)
        while left:
            if group is not None:
                os.write(group, b"1")
            kill_round(self.main)
            left = self.turn(KILL_PAUSE_MS)


def receive(fd: int) -> bytes:
    """Read what is there; a connection that was reset reads as closed (the daemon died with words unread)."""
    try:
        return os.read(fd, 4096)
    except OSError:
        return b""


def tell(control: int, line: str) -> None:
    """Report to the daemon, if it is still there."""
    try:  # noqa: SIM105 - as above
        os.write(control, line.encode())
    except OSError:
        pass


def watch_signals() -> int:
    """Let SIGCHLD and SIGTERM wake the poll; what a terminal or a careless `kill` sends is not to end us."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    return reading


def prepare() -> None:
    """Session, subreaper, no new privileges; what the command is to have of it, it inherits."""
    if os.getpid() == FIRST:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getsid(0) != os.getpid():
        os.setsid()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def remove_tree(directory: bytes) -> None:
    """Take away the command's folder for temporary files; nobody is left who could change it meanwhile."""
    for folder, inner, files in os.walk(directory, topdown=False):
        for name in files + inner:
            remove(os.path.join(folder, name))
    remove(directory)


def remove(path: bytes) -> None:
    """Unlink a file or an empty folder; what cannot be removed is left to the next cleaning of such places."""
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        else:
            os.unlink(path)
    except OSError:
        pass


def run(control: int, order: dict[str, Any]) -> None:
    """Start the command, see its tree to its end, report."""
    wakeup = watch_signals()
    main, why = start(order)
    tell(control, why.decode() if why else f"started {main}\n")
    watch = Watch(control, main, wakeup)
    watch.until_end(order["grace_ms"])
    watch.kill_all(order["kill_group"])
    tell(control, f"ended {watch.status if watch.status is not None else 0}\n")


def main() -> None:
    """Read the order, run it; the record goes when nothing is left to be recorded."""
    control = int(sys.argv[1])
    os.set_inheritable(control, False)
    prepare()
    order = read_order(control)
    if order is None:
        tell(control, "gone\n")
        return
    for fd in order["descriptors"]:
        os.set_inheritable(fd, False)
    called_off = bool(select.select([control], [], [], 0)[0])
    if not called_off:
        run(control, order)
    if order["temporary"] is not None:
        remove_tree(order["temporary"])
    if order["record"] is not None:
        remove(order["record"])
    tell(control, "gone\n")
