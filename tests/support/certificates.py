"""A certificate for 127.0.0.1 and the authority that vouches for it, made for one run of the tests."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """`authority`: the file that a client is to trust. `server`: what a server shows, also in PEM."""

    authority: Path
    server: ssl.SSLContext
    server_pem: bytes


def make_certificates(folder: Path) -> Certificates:
    """Make both, the authority's file in `folder`."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown = authority.issue_cert("127.0.0.1", "localhost")
    shown.configure_cert(server)
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    return Certificates(folder / "authority.pem", server, shown.private_key_and_cert_chain_pem.bytes())
