"""Attempts on files: what is always denied, what only a namespace covers, and what lies outside the roots."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess

from tests.escape.shell_attempts import (
    BIND,
    LIBC,
    RECURSIVE,
    W,
    attack,
    checked,
    holds_secret,
    in_work,
    mount,
    own_namespace,
    read,
    write,
)


# Reading what is denied: the data directory, the vault key, keys in the home directory.
def _reader(name: str, key: str) -> None:
    def fn() -> object:
        return read(W[key])

    fn.__name__ = name
    attack("denied")(fn)


for _name, _key in (
    ("read_the_token", "token"), ("read_the_journal", "journal"), ("read_the_vault_key", "vault_key"),
    ("read_an_ssh_key", "ssh_key"), ("read_cloud_credentials", "aws_key"), ("read_a_gpg_key", "gpg_key"),
):  # fmt: skip
    _reader(_name, _key)


@attack("denied")
def read_by_dot_dot() -> object:
    return read(os.path.join(W["work"], "..", "data", "token"))


@attack("denied")
def read_by_a_symbolic_link() -> object:
    os.symlink(W["token"], in_work("link"))
    return read(in_work("link"))


@attack("denied")
def read_by_a_chain_of_links() -> object:
    os.symlink(os.path.dirname(W["token"]), in_work("chain1"))
    os.symlink("chain1", in_work("chain2"))
    return read(in_work("chain2/token"))


@attack("denied")
def read_by_a_hard_link() -> object:
    os.link(W["token"], in_work("hard"))
    return read(in_work("hard"))


@attack("denied")
def read_by_proc_self_root() -> object:
    return read("/proc/self/root" + W["token"])


@attack("denied")
def read_by_proc_thread_self_root() -> object:
    return read("/proc/thread-self/root" + W["token"])


@attack("denied")
def read_by_proc_self_cwd() -> object:
    os.chdir(W["work"])
    return read("/proc/self/cwd/../data/token")


@attack("denied")
def read_from_inside_the_directory() -> object:
    os.chdir(os.path.dirname(W["token"]))
    return read("token")


@attack("denied")
def read_from_a_handle_of_the_root() -> object:
    root = os.open("/", os.O_PATH)
    return holds_secret(os.read(os.open(W["token"].lstrip("/"), os.O_RDONLY, dir_fd=root), 4096))


@attack("denied")
def read_by_another_program() -> object:
    return holds_secret(
        subprocess.run(["/bin/cat", W["token"]], capture_output=True, check=False).stdout
    )


@attack("denied")
def read_through_a_memory_map() -> object:
    with open(W["token"], "r+b") as file, mmap.mmap(file.fileno(), 0) as seen:
        return holds_secret(bytes(seen[:4096]))


@attack("denied")
def run_a_program_of_the_data_directory() -> object:
    return holds_secret(
        subprocess.run([W["denied_program"]], capture_output=True, check=False).stdout
    )


@attack("denied")
def send_the_file_through_a_socket() -> object:
    ours, theirs = socket.socketpair()
    os.sendfile(ours.fileno(), os.open(W["token"], os.O_RDONLY), 0, 4096)
    return holds_secret(theirs.recv(4096))


@attack("denied")
def read_by_a_bind_mount() -> object:
    own_namespace()
    os.mkdir(in_work("bound"))
    mount(os.path.dirname(W["token"]), in_work("bound"), BIND)
    return read(in_work("bound/token"))


@attack("denied")
def read_by_a_bind_mount_of_the_root() -> object:
    own_namespace()
    os.mkdir(in_work("slash"))
    mount("/", in_work("slash"), BIND | RECURSIVE)
    return read(in_work("slash") + W["token"])


@attack("denied")
def read_under_the_cover() -> object:
    own_namespace()
    LIBC.umount2(os.path.dirname(W["token"]).encode(), 2)
    return read(W["token"])


@attack("denied")
def write_to_a_denied_file() -> object:
    return write(W["victims"]["append"])


@attack("denied")
def truncate_a_denied_file() -> object:
    os.truncate(W["victims"]["truncate"], 0)
    return os.stat(W["victims"]["truncate"]).st_size == 0


@attack("denied")
def create_a_denied_file() -> object:
    return write(os.path.join(W["data"], "planted"), "w")


@attack("denied")
def delete_a_denied_file() -> object:
    os.unlink(W["victims"]["delete"])
    return True


@attack("denied")
def rename_a_denied_file_out() -> object:
    os.rename(W["victims"]["rename"], in_work("stolen"))
    return True


@attack("denied")
def rename_a_file_over_a_denied_one() -> object:
    write(in_work("mine"), "w")
    os.rename(in_work("mine"), W["victims"]["replace"])
    return True


@attack("denied")
def exchange_a_file_with_a_denied_one() -> object:
    write(in_work("swap"), "w")
    args = (-100, in_work("swap").encode(), -100, W["victims"]["exchange"].encode(), 2)
    checked(LIBC.renameat2(*args))
    return True


@attack("denied")
def make_a_directory_where_it_is_denied() -> object:
    os.mkdir(os.path.join(W["data"], "folder"))
    return True


@attack("denied")
def remove_a_denied_directory() -> object:
    os.rmdir(os.path.join(W["data"], "empty"))
    return True


@attack("denied")
def rename_the_whole_directory() -> object:
    os.rename(W["other_data"], W["other_data"] + ".gone")
    return True


@attack("denied")
def link_into_the_denied_directory() -> object:
    os.symlink("/etc/passwd", os.path.join(W["data"], "planted-link"))
    return True


@attack("denied")
def make_a_fifo_where_it_is_denied() -> object:
    os.mkfifo(os.path.join(W["data"], "planted-fifo"))
    return True


@attack("denied")
def read_the_key_for_another_program_by_the_shell() -> object:
    argv = ["/bin/sh", "-c", 'read x < "$1"; echo "$x"', "sh", W["token"]]
    return holds_secret(subprocess.run(argv, capture_output=True, check=False).stdout)


@attack("covered")
def list_the_data_directory() -> object:
    return "token" in os.listdir(W["data"])


@attack("covered")
def change_the_mode_of_a_denied_file() -> object:
    os.chmod(W["victims"]["mode"], 0o777)
    return True


@attack("covered")
def see_the_size_of_a_denied_file() -> object:
    return os.stat(W["token"]).st_size > 0


@attack("covered")
def connect_to_a_socket_in_the_data_directory() -> object:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(W["denied_socket"])
    return True


# Outside the roots.
@attack("outside")
def read_outside() -> object:
    return read(W["outside_file"])


@attack("outside")
def list_outside() -> object:
    return bool(os.listdir(W["outside"]))


@attack("outside")
def write_outside() -> object:
    return write(W["outside_victims"]["append"])


@attack("outside")
def create_outside() -> object:
    return write(os.path.join(W["outside"], "new"), "w")


@attack("outside")
def create_outside_by_dot_dot() -> object:
    return write(in_work("../outside/dotted"), "w")


@attack("outside")
def create_outside_through_a_dangling_link() -> object:
    os.symlink(os.path.join(W["outside"], "dangling"), in_work("dangling"))
    return write(in_work("dangling"), "w")


@attack("outside")
def write_outside_through_a_linked_folder() -> object:
    os.symlink(W["outside"], in_work("folder"))
    return write(in_work("folder/through"), "w")


@attack("outside")
def write_outside_through_a_hard_link() -> object:
    os.link(W["outside_victims"]["link"], in_work("linked"))
    return write(in_work("linked"))


@attack("outside")
def move_a_file_in_from_outside() -> object:
    os.rename(W["outside_victims"]["move"], in_work("moved"))
    return True


@attack("outside")
def move_a_file_outside() -> object:
    write(in_work("mover"), "w")
    os.rename(in_work("mover"), os.path.join(W["outside"], "mover"))
    return True


@attack("outside")
def delete_outside() -> object:
    os.unlink(W["outside_victims"]["delete"])
    return True


@attack("outside")
def truncate_outside() -> object:
    os.truncate(W["outside_victims"]["truncate"], 0)
    return True


@attack("outside")
def make_a_folder_outside() -> object:
    os.mkdir(os.path.join(W["outside"], "folder"))
    return True


@attack("outside")
def bind_a_socket_outside() -> object:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.join(W["outside"], "socket"))
    return True


@attack("outside")
def run_a_program_outside() -> object:
    return subprocess.run([W["outside_program"]], capture_output=True, check=False).returncode == 0


@attack("outside")
def write_outside_by_proc_self_root() -> object:
    return write("/proc/self/root" + os.path.join(W["outside"], "by-proc"), "w")


@attack("outside")
def write_to_a_read_only_root() -> object:
    return write(W["read_only_file"])


@attack("outside")
def create_in_a_read_only_root() -> object:
    return write(os.path.join(os.path.dirname(W["read_only_file"]), "new"), "w")


@attack("outside")
def truncate_in_a_read_only_root() -> object:
    os.truncate(W["read_only_file"], 0)
    return True


@attack("outside")
def delete_in_a_read_only_root() -> object:
    os.unlink(os.path.join(os.path.dirname(W["read_only_file"]), "victim"))
    return True


@attack("outside")
def move_out_of_a_read_only_root() -> object:
    os.rename(
        os.path.join(os.path.dirname(W["read_only_file"]), "mover"), in_work("from-read-only")
    )
    return True


@attack("outside root")
def read_the_password_file() -> object:
    with open("/etc/shadow", "rb") as file:
        return bool(file.read(1))


@attack("outside")
def change_the_home_directory() -> object:
    return write(os.path.join(W["home"], ".bashrc"))


@attack("outside")
def read_the_shared_temporary_folder() -> object:
    return read(W["shared_temporary_file"])
