//! The built binary as operators and clients meet it: a process, files, a socket, signals.

mod commands;
mod crash;
mod listener;
mod process;
mod start;
