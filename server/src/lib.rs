//! Ringwire, a real-time messaging edge server.
