"""The TLS layer against a server side of the standard library, both in memory."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from fastload.engine.tls import TlsLayer, make_context
from fastload.plan.model import Tls


class Server:
    """The other end."""

    def __init__(self, authority: trustme.CA, name: str, client_ca: trustme.CA | None = None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["h2", "http/1.1"])
        authority.issue_cert(name).configure_cert(context)
        if client_ca is not None:
            client_ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def shake(self, received: bytes) -> bytes:
        self.incoming.write(received)
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def say(self, plaintext: bytes) -> bytes:
        self.object.write(plaintext)
        return self.outgoing.read()

    def hear(self, ciphertext: bytes) -> bytes:
        self.incoming.write(ciphertext)
        return self.object.read(1 << 20)

    def close(self) -> bytes:
        try:
            self.object.unwrap()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()


def shake(layer: TlsLayer, server: Server) -> None:
    received = b""
    for _ in range(10):
        done, to_send = layer.handshake(received)
        received = server.shake(to_send) if to_send else b""
        if done:
            assert layer.decrypt(received) == (b"", False)  # session tickets
            return
    raise AssertionError("the handshake never ended")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def pair(authority: trustme.CA, trusted: Path) -> tuple[TlsLayer, Server]:
    layer, server = TlsLayer(make_context(Tls(cacert=trusted)), "llm.test"), Server(authority, "llm.test")
    shake(layer, server)
    return layer, server


def test_request_and_response(pair: tuple[TlsLayer, Server]) -> None:
    """A request arrives as it was, and a response of several records is returned whole from one read."""
    layer, server = pair
    assert server.hear(layer.encrypt(b"POST / HTTP/1.1\r\n\r\n")) == b"POST / HTTP/1.1\r\n\r\n"
    assert layer.decrypt(server.say(b"one") + server.say(b"two" * 10_000)) == (b"one" + b"two" * 10_000, False)
    assert server.object.selected_alpn_protocol() == "http/1.1"


def test_every_split(pair: tuple[TlsLayer, Server]) -> None:
    """Ciphertext cut anywhere gives the same plaintext, none of it before its record is whole."""
    layer, server = pair
    # Records can be read only in the order they were made, so each split gets a record of its own; all have the same size.
    first = server.say(b"hello")
    assert layer.decrypt(first) == (b"hello", False)
    for at in range(len(first)):
        cipher = server.say(b"hello")
        early, _ = layer.decrypt(cipher[:at])
        late, _ = layer.decrypt(cipher[at:])
        assert (early, late) == (b"", b"hello")


def test_close_notify(pair: tuple[TlsLayer, Server]) -> None:
    """The peer's close_notify ends the plaintext, also when data comes with it in one read."""
    layer, server = pair
    assert layer.decrypt(server.say(b"last") + server.close()) == (b"last", True)


def test_tampered_record(pair: tuple[TlsLayer, Server]) -> None:
    """A record that was changed on its way is an error, never plaintext."""
    layer, server = pair
    cipher = bytearray(server.say(b"hello"))
    cipher[-1] ^= 1
    with pytest.raises(ssl.SSLError):
        layer.decrypt(bytes(cipher))


def test_unknown_authority(authority: trustme.CA) -> None:
    """A certificate nobody vouches for ends the handshake."""
    layer, server = TlsLayer(make_context(Tls()), "llm.test"), Server(authority, "llm.test")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(layer, server)


def test_wrong_name(authority: trustme.CA, trusted: Path) -> None:
    """A trusted certificate for another name ends the handshake."""
    layer, server = TlsLayer(make_context(Tls(cacert=trusted)), "llm.test"), Server(authority, "other.test")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(layer, server)


def test_insecure(authority: trustme.CA) -> None:
    """With --insecure neither the name nor the authority matters."""
    shake(TlsLayer(make_context(Tls(insecure=True)), "llm.test"), Server(authority, "other.test"))


def test_client_certificate(authority: trustme.CA, trusted: Path, tmp_path: Path) -> None:
    """The client's certificate is shown to a server that asks for one."""
    own = authority.issue_cert("client.test")
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"
    own.cert_chain_pems[0].write_to_path(str(cert))
    own.private_key_pem.write_to_path(str(key))
    layer = TlsLayer(make_context(Tls(cacert=trusted, cert=cert, key=key)), "llm.test")
    server = Server(authority, "llm.test", client_ca=authority)
    shake(layer, server)
    subject = server.object.getpeercert()
    assert subject is not None
    assert ("DNS", "client.test") in subject["subjectAltName"]


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    """A missing or wrong file is an OSError, which ssl.SSLError is too."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    for settings in (Tls(cacert=tmp_path / "missing.pem"), Tls(cacert=wrong), Tls(cert=wrong, key=wrong)):
        with pytest.raises(OSError):  # noqa: PT011 - the kind is the contract
            make_context(settings)
