"""A TCP proxy on 127.0.0.1 that does to connections what networks do to them. It passes on bytes and reads none, so TLS goes through."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import socket
import struct
import termios
import threading
import time

PIECE = 65536
ACKNOWLEDGED_WITHIN = 5  # seconds
SO_ATTACH_FILTER, RETURN = 26, 0x06  # of linux/socket.h and linux/bpf_common.h
UP, DOWN = "up", "down"  # from client to server, and back


class Link:
    """One connection of a client, and ours to the server for it."""

    def __init__(self, proxy: FaultProxy, client: socket.socket, server: socket.socket, cut_after: int | None) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._swallowed: set[str] = set()
        self._sending = {way: threading.Lock() for way in (UP, DOWN)}  # from the look at what is swallowed until a piece is sent
        self._left = cut_after  # bytes to the client until the connection is reset
        for way, source, sink in ((UP, client, server), (DOWN, server, client)):
            threading.Thread(target=self._pass_on, args=(way, source, sink), daemon=True).start()

    def _pass_on(self, way: str, source: socket.socket, sink: socket.socket) -> None:
        """Ends, and ends the link, when either side does. What is swallowed stays open."""
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE):
                if self._proxy.delay:
                    time.sleep(self._proxy.delay)  # the delay of the network is what is asked for
                with self._sending[way]:
                    if way in self._swallowed:
                        continue
                    if way == DOWN and self._left is not None:
                        piece, self._left = piece[:self._left], self._left - len(piece)
                    sink.sendall(piece)
                if way == DOWN and self._left is not None and self._left <= 0:
                    break
            else:
                self.end()
                return
        self.reset()

    def swallow(self, ways: set[str]) -> None:
        """From now on bytes that go these ways arrive nowhere; TCP acknowledges them all the same."""
        self._swallowed |= ways

    def fall_silent(self) -> None:
        """As if the client's packets met nobody: not even keepalive is answered, and nothing comes back.

        What the client has not acknowledged yet would be sent again for a minute, and its keepalive takes that for a
        sign of life: so first it is acknowledged.
        """
        self._swallowed |= {UP, DOWN}
        if not self._sending[DOWN].acquire(timeout=ACKNOWLEDGED_WITHIN):
            raise AssertionError("the client does not read what it is sent: the link would not be silent")
        self._sending[DOWN].release()
        with contextlib.suppress(OSError, ValueError):  # it has ended
            self._wait_for_acknowledgement()
            drop_all = ctypes.create_string_buffer(struct.pack("HBBI", RETURN, 0, 0, 0))
            self._client.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(drop_all)))

    def _wait_for_acknowledgement(self) -> None:
        deadline = time.monotonic() + ACKNOWLEDGED_WITHIN
        while struct.unpack("i", fcntl.ioctl(self._client, termios.TIOCOUTQ, bytes(4)))[0] > 0:
            if time.monotonic() > deadline:
                raise AssertionError("the client has not acknowledged what it was sent: the link would not be silent")
            time.sleep(0.01)  # a delayed ACK takes 40 ms

    def reset(self) -> None:
        """Both ends get a RST."""
        for one in (self._client, self._server):
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.end()

    def end(self) -> None:
        self._proxy.forget(self)
        for one in (self._client, self._server):
            with contextlib.suppress(OSError):
                # A thread that waits in recv() keeps the socket: the RST of a lingering close comes once it is woken.
                one.shutdown(socket.SHUT_RD)
            one.close()


class FaultProxy:
    """Between a client and a server of 127.0.0.1, on a port of its own; faultless until it is told otherwise."""

    def __init__(self, server_port: int) -> None:
        self._server = ("127.0.0.1", server_port)
        self._lock = threading.Lock()
        self._links: set[Link] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"https://127.0.0.1:{self.port}"
        self.opened = 0                      # connections until now
        self.delay = 0.0                     # seconds that each piece takes, either way
        self.refuses = False                 # whether new connections are reset at once
        self.cut_after: int | None = None    # new connections are reset after so many bytes to the client
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # the listener was closed
            with contextlib.suppress(OSError):  # of this connection, whose client is told by its end
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            if self.refuses:
                raise ConnectionRefusedError
            server = socket.create_connection(self._server, timeout=5)
            server.settimeout(None)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            return
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self.opened += 1
            self._links.add(Link(self, client, server, self.cut_after))

    def forget(self, link: Link) -> None:
        with self._lock:
            self._links.discard(link)

    def links(self) -> list[Link]:
        """The connections that are open now."""
        with self._lock:
            return list(self._links)

    def fall_silent(self) -> int:
        """The packets of all open connections meet nobody; new ones work. How many they are."""
        found = self.links()
        for one in found:
            one.fall_silent()
        return len(found)

    def swallow(self, *ways: str) -> int:
        """The same, but something on the way acknowledges what it swallows."""
        found = self.links()
        for one in found:
            one.swallow(set(ways))
        return len(found)

    def reset(self) -> int:
        found = self.links()
        for one in found:
            one.reset()
        return len(found)

    def close(self) -> None:
        self._listener.close()
        with contextlib.suppress(OSError):  # wakes the thread that waits for a connection
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        for one in self.links():
            one.end()
