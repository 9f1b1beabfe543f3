"""The live view's server: this machine alone, a token, nothing that a sample says is run."""

import http.client
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import pytest

from analyses.viewing.pages import Pages
from analyses.viewing.server import ViewServer
from analyses.viewing.source import open_viewed
from tests.fixtures.synthetic_run import add_texts, write_run


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    made = write_run(tmp_path_factory.mktemp("served") / "run", num_samples=12, num_layers=1, num_heads=2, num_shards=1)
    add_texts(made)
    return made


@pytest.fixture(scope="module")
def server(run_dir):
    with ViewServer(Pages(open_viewed([run_dir])), 0, read_again=lambda: Pages(open_viewed([run_dir]))) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def asked(server, path, *, cookie=True, host=None, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    headers = {"Host": host or f"127.0.0.1:{server.server_port}"}
    if cookie:
        headers["Cookie"] = f"headledger{server.server_port}={server.token if cookie is True else cookie}"
    connection.request(method, path, headers=headers)
    reply = connection.getresponse()
    return reply.status, dict(reply.getheaders()), reply.read().decode()


def test_it_listens_on_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1" and len(server.token) >= 32


@pytest.mark.parametrize("path", ["/", "/view.css", "/sql?sql=SELECT+1", "/?token=wrong"])
@pytest.mark.parametrize("cookie", [False, "wrong", '"', "\x7f;"])
def test_without_the_token_nothing_is_shown(server, path, cookie):
    status, _, body = asked(server, path, cookie=cookie)
    assert status == 403 and "link" in body and "s00000" not in body


def test_the_link_gives_a_cookie_that_scripts_and_other_sites_cannot_use(server):
    status, headers, _ = asked(server, f"/sample?token={server.token}&id=s00000", cookie=False)
    assert status == 303 and headers["Location"] == "/sample?id=s00000"
    assert "HttpOnly" in headers["Set-Cookie"] and "SameSite=Strict" in headers["Set-Cookie"]
    assert asked(server, f"//evil.example/?token={server.token}", cookie=False)[1]["Location"] == "/evil.example/"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example:80", ""])
def test_another_name_for_this_machine_is_refused(server, host):
    assert asked(server, "/", host=host or " ")[0] == 403


def test_pages_may_load_from_here_alone_and_are_not_kept(server):
    status, headers, body = asked(server, "/")
    assert status == 200 and "s00000" in body
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "http" not in policy
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
    assert "<script>" not in body and " onclick" not in body, "no page has a script of its own in it"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_only_reads(server, method):
    assert asked(server, "/", method=method)[0] == 501


def test_what_is_not_there_is_404_and_says_so(server):
    assert asked(server, "/nowhere")[0] == 404
    status, _, body = asked(server, "/sample?id=nope")
    assert status == 404 and "has no sample 'nope'" in body
    assert asked(server, "/..%2f..%2fetc/passwd")[0] == 404


def test_a_run_is_read_again_when_asked(server):
    before = server.pages
    assert asked(server, "/?again=1")[0] == 200 and server.pages is not before


def test_downloads_have_names(server):
    _, headers, body = asked(server, "/?as=csv")
    assert headers["Content-Disposition"] == 'attachment; filename="run-samples.csv"' and body.startswith("sample_id,")


def test_the_command_prints_the_link_and_ends_with_ctrl_c(run_dir):
    with subprocess.Popen(
        [sys.executable, "-m", "analyses.view", str(run_dir)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        link = urlsplit(process.stdout.readline())
        assert link.hostname == "127.0.0.1" and link.query.startswith("token=")
        connection = http.client.HTTPConnection("127.0.0.1", link.port, timeout=60)
        connection.request("GET", f"/?{link.query}")
        assert connection.getresponse().status == 303
        connection.close()
        time.sleep(0.1)
        process.send_signal(2)
        assert process.wait(60) == 0


def test_what_is_no_run_is_refused_in_a_sentence(tmp_path, capsys):
    from analyses.view import main

    assert main([str(tmp_path)]) == 3
    assert "not a run directory" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--port", "70000"])
