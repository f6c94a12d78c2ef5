//! That the simulation finds what it looks for: each fault is committed on purpose, and has to be found.
