"""Connections that a job makes."""

import contextlib
import ipaddress
import socket
import threading


class Listener:
    """Listens on loopback and notes the first line of whatever is asked there."""

    def __enter__(self) -> "Listener":
        self.asked: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self.socket.accept()
                connection.settimeout(5)
                with connection, contextlib.suppress(OSError):
                    self.asked.append(connection.recv(200).partition(b"\r\n")[0])

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def is_loopback(ip: str) -> bool:
    address = ipaddress.ip_address(ip.partition("%")[0])
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
