//! What both drivers promise, checked against the real kernel: every claim runs once per driver.

mod harness;

mod traffic;
