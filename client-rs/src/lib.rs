//! The Rust client of Ringwire: a sans-I/O core and a tokio WebSocket adapter.
