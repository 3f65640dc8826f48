"""One async function per step (resolve, connect, handshake, exchange); failures of the network are values."""
