// The smallest broadcast on the npm package `ws`: rooms by path, a publisher's message to everybody in its room.
// Arguments: the package's folder, the port.
const { WebSocketServer } = require(process.argv[2]);
const rooms = new Map();
const server = new WebSocketServer({
  host: '127.0.0.1', port: Number(process.argv[3]), perMessageDeflate: false, clientTracking: false,
  skipUTF8Validation: true, backlog: 4096,
});
server.on('connection', (socket, request) => {
  const [, kind, list] = request.url.split('/');
  if (kind === 'subscribe') {
    for (const room of list.split(',')) {
      if (!rooms.has(+room)) rooms.set(+room, new Set());
      rooms.get(+room).add(socket);
    }
    socket.on('close', () => list.split(',').forEach((room) => rooms.get(+room).delete(socket)));
  } else if (kind === 'publish') {
    socket.on('message', (data) => {
      for (const other of rooms.get(data.readUInt32LE(4)) ?? []) other.send(data, { binary: true });
    });
  } else {
    socket.on('message', (data) => socket.send(data, { binary: true }));
  }
  socket.on('error', () => {});
});
