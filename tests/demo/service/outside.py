"""What stands outside of the host, in a network namespace of its own: says what is sent to it.

On further ports it only answers.
"""

import selectors
import socket
import sys

ADDRESS, TCP_PORT, UDP_PORT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

answering = [socket.create_server((ADDRESS, int(port))) for port in sys.argv[4:]]
waiting = selectors.DefaultSelector()
listener = socket.create_server((ADDRESS, TCP_PORT))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind((ADDRESS, UDP_PORT))
for one in (listener, datagrams):
    waiting.register(one, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in waiting.select():
        if key.fileobj is datagrams:
            print("udp", datagrams.recv(4096).hex(), flush=True)
        else:
            peer, _ = listener.accept()
            peer.settimeout(5)
            print("tcp", peer.recv(4096).hex(), flush=True)
            peer.close()
