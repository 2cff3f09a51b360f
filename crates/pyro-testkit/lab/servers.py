"""Servers of the lab: `outside` is the world a guest may reach, `host` is what it may not.

Each line of the file they append to says who heard of something: role, protocol, address and port.
"""

import ctypes
import selectors
import signal
import socket
import struct
import sys

ROLE, HEARD = sys.argv[1:3]
PR_SET_PDEATHSIG = 1
LISTENING = 7001
ANYWHERE = 7002  # the host listens there whatever the address
BLOCK = bytes(1 << 16)
NAMES = {b"\x03www\x07outside\x04test\x00": ("198.51.100.80", "2001:db8:80::80")}


def heard(protocol: str, own: tuple) -> None:
    with open(HEARD, "a") as file:
        file.write(f"{ROLE} {protocol} {own[0]} {own[1]}\n")


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tcp(address: str, port: int) -> socket.socket:
    listener = socket.create_server((address, port), family=family(address), backlog=128)
    listener.setblocking(False)
    return listener


def udp(address: str, port: int) -> socket.socket:
    listener = socket.socket(family(address), socket.SOCK_DGRAM)
    listener.bind((address, port))
    listener.setblocking(False)
    return listener


def serve_http(connection: socket.socket) -> None:
    connection.settimeout(2)
    request = b""
    while b"\r\n\r\n" not in request and (piece := connection.recv(4096)):
        request += piece
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 19\r\n\r\nhello from outside\n")


def discard(connection: socket.socket) -> None:
    """Reads to the end and says how much it was."""
    connection.settimeout(60)
    total = 0
    while piece := connection.recv(1 << 20):
        total += len(piece)
    connection.sendall(f"{total}\n".encode())


def generate(connection: socket.socket) -> None:
    """Sends as many MiB as the first line asks for."""
    connection.settimeout(60)
    for _ in range(int(connection.recv(100)) * 16):
        connection.sendall(BLOCK)


def resolve(question: bytes) -> bytes:
    """Answers A and AAAA questions for the names it knows (RFC 1035)."""
    end = question.index(b"\x00", 12) + 1
    name, (kind, _) = question[12:end], struct.unpack(">HH", question[end : end + 4])
    known = NAMES.get(name.lower())
    answers = b""
    if known and kind in (1, 28):
        address = socket.inet_pton(*((socket.AF_INET, known[0]) if kind == 1 else (socket.AF_INET6, known[1])))
        answers = struct.pack(">HHHIH", 0xC00C, kind, 1, 60, len(address)) + address
    flags = 0x8180 if known else 0x8183
    counts = struct.pack(">HHHHH", flags, 1, 1 if answers else 0, 0, 0)
    return question[:2] + counts + question[12 : end + 4] + answers


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    print("here", flush=True)
    sys.stdin.readline()
    selector = selectors.DefaultSelector()
    if ROLE == "outside":
        for address in ("0.0.0.0", "::"):
            listeners = {80: serve_http, 9: discard, 19: generate, LISTENING: serve_http}
            for port, handler in listeners.items():
                if address == "::":
                    listener = socket.create_server((address, port), family=socket.AF_INET6, dualstack_ipv6=False)
                    listener.setblocking(False)
                else:
                    listener = tcp(address, port)
                selector.register(listener, selectors.EVENT_READ, handler)
        for address in ("198.51.100.53", "2001:db8:80::53"):
            selector.register(udp(address, 53), selectors.EVENT_READ, resolve)
        for address in ("198.51.100.80", "2001:db8:80::80", "169.254.169.254"):
            selector.register(udp(address, LISTENING), selectors.EVENT_READ, bytes)
    else:
        own = ["127.0.0.1", "::1", "10.9.0.1"]
        if "2001" in open("/proc/net/if_inet6").read():
            own.append("2001:db8:9::1")
        for address in own:
            selector.register(tcp(address, LISTENING), selectors.EVENT_READ, serve_http)
            selector.register(udp(address, LISTENING), selectors.EVENT_READ, bytes)
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            everywhere = socket.socket(socket.AF_INET6, kind)
            everywhere.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            everywhere.bind(("::", ANYWHERE))
            if kind == socket.SOCK_STREAM:
                everywhere.listen()
            everywhere.setblocking(False)
            selector.register(everywhere, selectors.EVENT_READ, serve_http if kind == socket.SOCK_STREAM else bytes)
        selector.register(udp("127.0.0.53", 53), selectors.EVENT_READ, resolve)
    print("serving", flush=True)
    while True:
        for key, _ in selector.select():
            listener, handler = key.fileobj, key.data
            try:
                if listener.type == socket.SOCK_DGRAM:
                    data, sender = listener.recvfrom(1 << 16)
                    if handler is bytes:
                        heard("udp", listener.getsockname())
                    listener.sendto(handler(data), sender)
                else:
                    connection, _ = listener.accept()
                    with connection:
                        heard("tcp", connection.getsockname())
                        handler(connection)
            except (OSError, ValueError):
                pass  # one that gave up must not end the others


main()
