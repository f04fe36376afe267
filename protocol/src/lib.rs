//! The wire: frames, FlatBuffers messages and the WebSocket codec. Pure: no clock, no sockets.
