"""Taking an address, or saying in a sentence why not, before anything else is touched."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing

import pytest
import trio

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.web import bind_sockets, serve
from tests.web.doors import FrontOnly, open_door


@pytest.fixture
def bind():
    with ExitStack() as stack:

        def bind_and_close(listen_addr: str) -> list[socket.socket]:
            sockets = bind_sockets(listen_addr)
            for sock in sockets:
                stack.callback(sock.close)
            return sockets

        yield bind_and_close


@pytest.mark.parametrize(
    ("listen_addr", "hosts"),
    [
        ("127.0.0.1:0", {"127.0.0.1"}),
        ("[::1]:0", {"::1"}),
        (":0", {"127.0.0.1", "::1"}),
        ("localhost:0", {"127.0.0.1", "::1"}),
        ("0.0.0.0:0", {"0.0.0.0"}),
    ],
)
def test_the_forms_of_an_address(bind, listen_addr, hosts):
    bound = {sock.getsockname()[0] for sock in bind(listen_addr)}
    assert bound <= hosts
    assert bound & {"127.0.0.1", "::1", "0.0.0.0"}


@pytest.mark.parametrize(
    "listen_addr",
    ["", "4100", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "::1:4100", "a b:1", "x:-1"],
)
def test_another_form_is_refused_with_the_forms_that_are_understood(listen_addr):
    with pytest.raises(OpcodeError) as caught:
        bind_sockets(listen_addr)
    assert caught.value.code is ErrorCode.VALIDATION_ERROR
    assert caught.value.next


def test_an_address_that_is_not_here_is_refused():
    with pytest.raises(OpcodeError, match=r"192\.0\.2\.1:0 cannot be used"):
        bind_sockets("192.0.2.1:0")


def test_a_port_in_use_is_a_conflict_that_names_it_and_closes_what_it_had(bind):
    (taken,) = bind("127.0.0.1:0")
    port = taken.getsockname()[1]
    with pytest.raises(OpcodeError, match=f"127.0.0.1:{port} is in use") as caught:
        bind_sockets(f":{port}")
    assert caught.value.code is ErrorCode.CONFLICT
    assert "listen_addr" in caught.value.next


def test_sockets_are_not_inherited_by_children(bind):
    assert not any(sock.get_inheritable() for sock in bind("127.0.0.1:0"))


async def test_two_daemons_cannot_share_a_port():
    async with open_door() as door:
        with pytest.raises(OpcodeError) as caught:
            await serve(
                FrontOnly(), listen=[("127.0.0.1", door.port)], token="t", shutdown=trio.Event()
            )
    assert caught.value.code is ErrorCode.CONFLICT


async def test_an_open_door_to_others_needs_a_token():
    with pytest.raises(OpcodeError, match="loopback only") as caught:
        await serve(FrontOnly(), listen=[("0.0.0.0", 0)], token=None, shutdown=trio.Event())
    assert caught.value.code is ErrorCode.PERMISSION_DENIED


async def test_sockets_bound_before_are_served_and_closed_at_the_end(nursery):
    (sock,) = bind_sockets("127.0.0.1:0")
    shutdown = trio.Event()

    async def run(task_status):
        await serve(
            FrontOnly(), listen=[sock], token="t", shutdown=shutdown, task_status=task_status
        )

    addresses = await nursery.start(run)
    assert addresses == [sock.getsockname()]
    with closing(await trio.to_thread.run_sync(socket.create_connection, addresses[0])):
        shutdown.set()
    with trio.fail_after(5):
        while nursery.child_tasks:
            await trio.testing.wait_all_tasks_blocked()
    assert sock.fileno() == -1
