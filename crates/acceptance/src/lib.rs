//! Tests with real clients and servers.
