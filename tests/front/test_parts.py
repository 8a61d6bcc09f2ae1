"""Parts of sites: a pool of their own, and everything else their site's."""

import pytest

from itkwsgi.front import pools as module
from itkwsgi.wire import control


@pytest.fixture
def sites(make_site_row):
    return [
        make_site_row(0, "a.example", parts=[["/p/deep", 3], ["/p", 2]]),
        make_site_row(1, "b.example"),
        make_site_row(2, "a.example", part_of=0, default=True),
        make_site_row(3, "a.example", part_of=0),
    ]


@pytest.fixture
def divided(start_front, sites):
    front = start_front(sites=sites)
    for index in range(4):
        name = b"%d" % index
        front.add_pool(index).behave = lambda connection, name=name: connection.answer(name)
    return front


@pytest.mark.parametrize(
    ("path", "index"),
    [
        ("/", 0),
        ("/px", 0),
        ("/x/p", 0),
        ("/p", 2),
        ("/p/", 2),
        ("/p/x?y=/p/deep", 2),
        ("/p/deepx", 2),
        ("/p/deep", 3),
        ("/p/deep/x", 3),
        # Whoever writes a path in another way means the same place.
        ("//p", 2),
        ("/./p", 2),
        ("/%70", 2),
        ("/x/../p", 2),
        ("/%2e/p//deep", 3),
        ("/p%2fdeep", 3),
        ("/p/deep/../x", 2),
        ("/p/..", 0),
    ],
)
def test_the_path_decides(divided, path, index):
    assert divided.connect().ask(path).body == b"%d" % index


def test_no_name_leads_to_a_part(divided):
    """The row of a part says default; it answers for no other name."""
    assert divided.connect().ask("/p", host="nobody.example").status == 421
    assert divided.connect().ask("/p", host="b.example").body == b"1"


def test_its_own_pool_is_woken(start_front, sites):
    front = start_front(sites=sites)
    client = front.connect()
    client.get("/p/x")
    front.supervisor.expect(control.WAKE)
    assert [message.index for message in front.supervisor.heard if message.kind == control.WAKE] == [2]
    front.add_pool(2)
    front.supervisor.tell(control.AWAKE, 2)
    assert client.read().body == b"/p/x "


def test_lines_are_the_sites(divided):
    client = divided.connect()
    client.ask("/p")
    divided.pools[2].behave = lambda connection: None
    client.ask("/p")
    assert [line[:2] for line in divided.access_lines(2)] == ["0 ", "0 "]
    assert divided.notes().startswith("a.example: 500 [")


def test_parts_have_no_slots_of_their_own(start_front, sites, patiently):
    for row in sites:
        row["max_clients"] = 2
    front = start_front(sites=sites)
    for index in range(4):
        front.add_pool(index).behave = lambda connection: connection.hung_up()
    clients = [front.connect() for _ in range(2)]
    for client, path in zip(clients, ("/", "/p"), strict=True):
        client.get(path)
    patiently(lambda: front.in_loop(lambda: front.front.admission.in_use) == 2)
    assert front.connect().ask("/p/deep").status == 503
    assert "max_clients" in front.notes()
    for client in clients:
        client.reset()
    patiently(front.idle)


def test_parts_have_no_spool_of_their_own(start_front, sites, patiently):
    front = start_front(sites=sites, spool_max=1_000_000)
    front.add_pool(0)
    first = front.connect()
    first.send("POST /p HTTP/1.1\r\nHost: a.example\r\nContent-Length: 400001\r\n\r\n" + "x" * 400_000)
    patiently(lambda: front.in_loop(lambda: front.front.spool.used) == 400_000)

    def post(path, host):
        client = front.connect()
        client.send(f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 200000\r\nExpect: 100-continue\r\n\r\n")
        return client.read_head().status

    assert [post("/", "a.example"), post("/p/deep", "a.example"), post("/", "b.example")] == [503, 503, 100]


def test_a_part_that_cannot_be_served_is_a_page(start_front, sites):
    sites[2]["broken"] = "why"
    front = start_front(sites=sites)
    front.add_pool(0)
    assert front.connect().ask("/p").status == 500
    assert front.connect().ask("/").status == 200


def test_what_one_part_does_to_the_front_the_site_has_done(divided, patiently, monkeypatch):
    """One that sent descriptors is not asked again, nor is any other process of the same user."""
    monkeypatch.setattr(divided.front.pools, "refuses", False)
    monkeypatch.setattr(module.fds, "hang_up", lambda sock: False)
    monkeypatch.setattr(module.fds, "receive_bare", lambda sock, size: None)
    assert divided.connect().ask("/p").status == 502
    assert divided.connect().ask("/").status == 502
    assert divided.connect().ask("/p/deep").status == 502
    assert "is not asked again" in divided.notes()
    divided.supervisor.expect(control.END)
    assert [message.index for message in divided.supervisor.heard if message.kind == control.END] == [2]
    monkeypatch.undo()
    assert divided.connect().ask(host="b.example").body == b"1"
    for sock in divided.front.pools.kept:
        sock.close()


def test_the_wait_for_a_part_that_is_given_up_is_forgotten(start_front, sites, patiently):
    front = start_front(sites=sites)
    client = front.connect()
    client.get("/p")
    patiently(lambda: front.in_loop(lambda: len(front.front.waker._waiting.get(2, ()))) == 1)
    client.reset()
    patiently(lambda: front.in_loop(lambda: len(front.front.waker._waiting.get(2, ()))) == 0)
