"""Attempts on processes, limits, the kernel and the network."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import signal
import socket
import struct
import subprocess

from tests.escape.shell_attempts import (
    LIBC,
    W,
    attack,
    checked,
    holds_secret,
    in_work,
    read,
)


# The daemon and its supervisor.
@attack("daemon")
def read_the_daemons_environment() -> object:
    return read(f"/proc/{W['daemon']}/environ")


@attack("daemon")
def read_the_daemons_root() -> object:
    return read(f"/proc/{W['daemon']}/root{W['token']}")


@attack("daemon")
def read_the_daemons_working_directory() -> object:
    return read(f"/proc/{W['daemon']}/cwd/token")


@attack("daemon")
def read_a_file_the_daemon_has_open() -> object:
    return read(f"/proc/{W['daemon']}/fd/{W['daemon_fd']}")


@attack("daemon")
def list_the_daemons_memory() -> object:
    with open(f"/proc/{W['daemon']}/maps") as file:
        return bool(file.read(100))


@attack("daemon")
def read_the_daemons_memory() -> object:
    with open(f"/proc/{W['daemon']}/mem", "rb") as file:
        file.seek(W["daemon_address"])
        return holds_secret(file.read(200))


@attack("daemon")
def copy_the_daemons_memory() -> object:
    into = ctypes.create_string_buffer(200)
    here = struct.pack("QQ", ctypes.addressof(into), 200)
    there = struct.pack("QQ", W["daemon_address"], 200)
    checked(LIBC.process_vm_readv(W["daemon"], here, 1, there, 1, 0))
    return holds_secret(into.raw)


@attack("daemon")
def trace_the_daemon() -> object:
    LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    checked(LIBC.ptrace(0x4206, W["daemon"], None, None))  # PTRACE_SEIZE: does not stop it
    return True


@attack("daemon")
def take_a_descriptor_from_the_daemon() -> object:
    handle = os.pidfd_open(W["daemon"])
    return holds_secret(os.pread(checked(LIBC.syscall(438, handle, W["daemon_fd"], 0)), 4096, 0))


@attack("meddling")
def set_the_daemons_limits() -> object:
    resource.prlimit(W["daemon"], resource.RLIMIT_NOFILE, (1024, 1024))
    return True


@attack("meddling")
def slow_the_daemon_down() -> object:
    os.setpriority(os.PRIO_PROCESS, W["daemon"], 5)
    return True


@attack("root")
def enter_the_daemons_namespaces() -> object:
    checked(LIBC.setns(os.open(f"/proc/{W['daemon']}/ns/net", os.O_RDONLY), 0))
    return True


@attack("signals")
def signal_the_daemon() -> object:
    os.kill(W["daemon"], signal.SIGCONT)
    return True


@attack("signals")
def signal_the_daemon_by_a_handle() -> object:
    signal.pidfd_send_signal(os.pidfd_open(W["daemon"]), signal.SIGCONT)
    return True


@attack("signals")
def signal_whoever_started_it() -> object:
    os.kill(W["parent"], signal.SIGCONT)
    return W["parent"] > 1


@attack("signals")
def have_a_file_signal_the_daemon() -> object:
    reading, _writing = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETOWN, W["daemon"])
    os.kill(W["daemon"], 0)
    return True


# What a careless start hands on.
@attack("handed on")
def find_the_key_in_the_environment() -> object:
    return W["secret"] in str(dict(os.environ))


@attack("handed on")
def find_the_key_in_ones_own_proc_environ() -> object:
    return read("/proc/self/environ")


@attack("handed on")
def find_the_key_in_the_environment_of_who_started_it() -> object:
    return read(f"/proc/{W['parent']}/environ")


@attack("handed on")
def find_an_inherited_descriptor() -> object:
    return any(int(name) > 2 and _is_foreign(int(name)) for name in os.listdir("/proc/self/fd"))


def _is_foreign(fd: int) -> bool:
    try:
        return holds_secret(os.pread(fd, 4096, 0))
    except OSError:
        return False


@attack("handed on")
def preload_a_library_by_the_daemons_environment() -> object:
    return "LD_PRELOAD" in os.environ


@attack("handed on")
def find_the_daemons_python_path() -> object:
    return "PYTHONPATH" in os.environ


# Limits.
@attack("limits")
def use_more_memory_than_allowed() -> object:
    with mmap.mmap(-1, W["memory_bytes"] * 2) as taken:
        taken[0] = 1
        return True


@attack("limits")
def write_a_huge_file() -> object:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open(in_work("huge"), "wb") as file:
        file.truncate(W["file_bytes"] + 1)
    os.unlink(in_work("huge"))
    return True


@attack("limits")
def leave_a_core_file() -> object:
    folder = in_work("core")
    os.mkdir(folder)
    if os.fork() == 0:
        os.chdir(folder)
        LIBC.prctl(4, 1, 0, 0, 0)
        _raise_softly(resource.RLIMIT_CORE)
        os.abort()
    os.wait()
    return bool(os.listdir(folder))


def _raise_softly(which: int) -> None:
    hard = resource.getrlimit(which)[1]
    resource.setrlimit(which, (hard, hard))


@attack("limits")
def allow_itself_core_files() -> object:
    _raise_softly(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))
    return True


@attack("limits")
def open_more_files_than_allowed() -> object:
    _raise_softly(resource.RLIMIT_NOFILE)
    kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(W["open_files"] + 1)]
    return bool(kept)


@attack("limits")
def lift_the_limit_of_open_files() -> object:
    more = W["open_files"] + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (more, more))
    return True


@attack("limits")
def lift_the_limit_of_memory() -> object:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return True


@attack("limits")
def lift_the_limit_of_file_sizes() -> object:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return True


# The network.
@attack("network")
def connect_to_loopback() -> object:
    with socket.create_connection(("127.0.0.1", W["port"]), timeout=2) as client:
        return bool(client)


@attack("network")
def connect_to_loopback_by_another_address() -> object:
    with socket.create_connection(("0.0.0.0", W["port"]), timeout=2) as client:
        return bool(client)


@attack("network")
def connect_without_waiting() -> object:
    with socket.socket() as client:
        client.setblocking(False)
        return client.connect_ex(("127.0.0.1", W["port"])) in {0, errno.EINPROGRESS}


@attack("network")
def connect_over_ipv6_to_an_ipv4_address() -> object:
    with socket.socket(socket.AF_INET6) as client:
        client.settimeout(2)
        client.connect(("::ffff:127.0.0.1", W["port"]))
        return True


@attack("network")
def listen_for_connections_from_outside() -> object:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        return _reaches_us(port)


def _reaches_us(port: int) -> bool:
    """Whether somebody outside can come in; the test answers by connecting."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as teller:
        teller.settimeout(2)
        teller.connect(("127.0.0.1", W["udp_port"]))
        teller.send(str(port).encode())
        return teller.recv(10) == b"came in"


@attack("network")
def send_a_datagram() -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.connect(("127.0.0.1", W["udp_port"]))
        client.send(b"hello")
        return client.recv(10) == b"heard"


@attack("network")
def connect_by_another_program() -> object:
    line = f"exec 3<>/dev/tcp/127.0.0.1/{W['port']}"
    return (
        subprocess.run(["/bin/bash", "-c", line], capture_output=True, check=False).returncode == 0
    )


@attack("abstract")
def connect_to_an_abstract_socket() -> object:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(W["abstract"])
        return True


@attack("abstract")
def send_a_datagram_to_an_abstract_socket() -> object:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(b"hello", W["abstract_datagrams"])
        return True
